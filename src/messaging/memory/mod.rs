//! The broker in memory: the reference of the contract.
//!
//! A message's way in: checks → the [server](server)'s queue → stored in its [topic](topic) under the one [lock](store). Its way out: a pull
//! takes from its [group](group)'s view of the topic. There is no task in the background: what is due is found when somebody looks, and who
//! waits in a pull sleeps until the next such moment.

mod builder;
mod group;
mod keys;
mod lane;
mod server;
mod store;
mod subscription;
#[cfg(test)]
mod tests;
mod topic;
mod waiters;

pub use builder::MemoryBrokerBuilder;

use super::{Backlog, Broker, BrokerError, ErrorKind, Interest, Limits, Message, Route, Routes, SendReceipt, Subscription};
use async_trait::async_trait;
use server::Server;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::Store;
use subscription::MemorySubscription;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A broker inside the process: topics, groups, visibility, redelivery, order by key, delays, dead letters, and a queue that turns away what waits
/// for too long, as RocketMQ's broker does. What it holds dies with the process.
///
/// A message is kept until every group of its topic has settled it; in a topic without groups it waits for the first. Clones are the same
/// client; [`client`](MemoryBroker::client) is another one of the same content.
///
/// All its times are tokio's, so tests may pause them. It has no tasks of its own and can be made outside a runtime.
///
/// ```
/// use winddown::{messaging::{Broker, Interest, MemoryBroker, Message}, secs};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let broker = MemoryBroker::new();
/// broker.send(&Message::new("orders", "two pumps"), None).await?;
///
/// let orders = broker.subscribe(&Interest::new("billing", "orders")).await?;
/// let deliveries = orders.pull(10, secs(1)).await?;
/// assert_eq!(deliveries[0].message().body().as_ref(), b"two pumps");
/// orders.ack(&[deliveries[0].receipt().clone()]).await?;
/// assert_eq!(broker.depth("orders"), 0);
/// # Ok::<(), winddown::messaging::BrokerError>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
    client: Arc<Client>,
}

struct Shared {
    store: Arc<Store>,
    routes: Routes,
    /// One for each route, or one.
    servers: Vec<Server>,
    next_route: AtomicUsize,
}

/// One connection's worth: what ends with its close.
struct Client {
    number: u64,
    closed: CancellationToken,
}

impl Default for MemoryBroker {
    fn default() -> MemoryBroker {
        MemoryBroker::new()
    }
}

impl MemoryBroker {
    /// A broker with the defaults: topics are made when they are first used, sends take no time, nothing is ever full.
    pub fn new() -> MemoryBroker {
        MemoryBroker::builder().build()
    }

    /// A broker with settings of your own.
    pub fn builder() -> MemoryBrokerBuilder {
        MemoryBrokerBuilder::new()
    }

    fn with(store: Store, routes: Routes, servers: Vec<Server>) -> MemoryBroker {
        let client = Client::of(&store);
        MemoryBroker { shared: Arc::new(Shared { store: Arc::new(store), routes, servers, next_route: AtomicUsize::new(0) }), client }
    }

    /// Another client of the same content: its close ends its own subscriptions and sends only.
    pub fn client(&self) -> MemoryBroker {
        MemoryBroker { shared: self.shared.clone(), client: Client::of(&self.shared.store) }
    }

    /// While stalled, the server serves nothing: sends queue, and are turned away when they have waited for too long. Pulls go on.
    pub fn stall(&self, stalled: bool) {
        self.shared.servers.iter().for_each(|server| server.stall(stalled));
    }

    /// So many sends wait for the server, or for the servers of all routes.
    pub fn queued(&self) -> usize {
        self.shared.servers.iter().map(Server::waiting).sum()
    }

    /// So many messages of the topic are stored: some group has not settled them, or there is no group yet.
    pub fn depth(&self, topic: &str) -> usize {
        self.shared.store.inspect(topic, |topic| topic.len()).unwrap_or(0)
    }

    /// So many messages a group has not settled, in flight or not. All of them if the group is not known yet.
    pub fn pending(&self, topic: &str, group: &str) -> usize {
        self.in_group(topic, group, |group| group.pending()).unwrap_or_else(|| self.depth(topic))
    }

    /// So many messages members of the group have right now.
    pub fn in_flight(&self, topic: &str, group: &str) -> usize {
        self.in_group(topic, group, |group| group.in_flight()).unwrap_or(0)
    }

    /// All messages of the topic that are stored, the oldest first.
    pub fn messages(&self, topic: &str) -> Vec<Message> {
        self.shared.store.inspect(topic, |topic| topic.messages()).unwrap_or_default()
    }

    /// The dead letters of a group that are stored, the oldest first.
    pub fn dead_letters(&self, group: &str) -> Vec<Message> {
        self.messages(&format!("{group}.dead"))
    }

    fn in_group<R>(&self, topic: &str, group: &str, look: impl FnOnce(&mut group::Group) -> R) -> Option<R> {
        let in_topic = |topic: &mut topic::Topic| {
            let group = topic.find(group)?;
            let group = topic.get(group);
            group.tick(Instant::now());
            Some(look(group))
        };
        self.shared.store.inspect(topic, in_topic).flatten()
    }

    /// Is it taken at all? Found before it takes the server's time.
    fn check(&self, message: &Message) -> Result<(), BrokerError> {
        let store = &self.shared.store;
        store.limits.check(&store.name, message)?;
        store.check_topic(message.topic())
    }

    /// The server to go to: by this route, or by each in turn.
    fn server(&self, route: Option<&Route>) -> Result<(&Server, Option<Route>), BrokerError> {
        let routes = &self.shared.routes;
        let index = match route {
            None if routes.is_empty() => return Ok((&self.shared.servers[0], None)),
            None => self.shared.next_route.fetch_add(1, Ordering::Relaxed) % routes.len(),
            Some(route) => routes.iter().position(|known| known == route).ok_or_else(|| {
                let known: Vec<_> = routes.iter().map(Route::name).collect();
                self.shared.store.error(ErrorKind::Invalid, format!("there is no route `{route}`, only [{}]", known.join(", ")))
            })?,
        };
        Ok((&self.shared.servers[index], Some(routes[index].clone())))
    }

    async fn store(
        &self,
        messages: &[Message],
        checked: impl Iterator<Item = Result<(), BrokerError>> + Send,
        route: Option<&Route>,
    ) -> Result<Vec<Result<SendReceipt, BrokerError>>, BrokerError> {
        // Sends that never have to wait must let others have their turn.
        tokio::task::consume_budget().await;
        let store = &self.shared.store;
        let (server, route) = self.server(route)?;
        let turn = match server.free() {
            true => None,
            false => tokio::select! {
                biased;
                () = self.client.closed.cancelled() => return Err(store.closed()),
                turn = server.serve(&store.name) => Some(turn?),
            },
        };
        let answers = store.store(self.client.number, messages, checked);
        drop(turn);
        Ok(answers.into_iter().map(|answer| answer.map(|()| SendReceipt { broker_id: None, route: route.clone() })).collect())
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn name(&self) -> &str {
        &self.shared.store.name
    }

    fn limits(&self) -> Limits {
        self.shared.store.limits
    }

    fn routes(&self, _topic: &str) -> Routes {
        self.shared.routes.clone()
    }

    async fn send(&self, message: &Message, route: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        self.check(message)?;
        self.store(std::slice::from_ref(message), std::iter::once(Ok(())), route).await?.pop().unwrap_or_else(|| Err(self.shared.store.closed()))
    }

    async fn send_batch(&self, messages: &[Message], route: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        match self.store(messages, messages.iter().map(|message| self.check(message)), route).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); messages.len()],
        }
    }

    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        let store = &self.shared.store;
        if interest.group.is_empty() {
            return Err(store.error(ErrorKind::Invalid, "a group needs a name"));
        }
        store.limits.check(&store.name, &Message::new(interest.topic.clone(), ""))?;
        store.check_topic(&interest.topic)?;
        let (seat, bell) = store.join(self.client.number, interest)?;
        Ok(Arc::new(MemorySubscription { store: store.clone(), seat, interest: interest.clone(), bell }))
    }

    async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        if self.client.closed.is_cancelled() {
            return Err(self.shared.store.closed());
        }
        self.shared.store.check_topic(topic)?;
        // Both at one look: what is handed out in between would count twice, or not at all.
        let counted = self.in_group(topic, group, |group| (group.pending(), group.in_flight()));
        let (pending, held) = counted.unwrap_or_else(|| (self.depth(topic), 0));
        Ok(Backlog { waiting: (pending - held) as u64, held: Some(held as u64) })
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.shared.store.close(self.client.number);
        self.client.closed.cancel();
        Ok(())
    }
}

impl Client {
    fn of(store: &Store) -> Arc<Client> {
        Arc::new(Client { number: store.number(), closed: CancellationToken::new() })
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").field("name", &self.shared.store.name).field("client", &self.client.number).finish_non_exhaustive()
    }
}

/// A moment later by this much, or, where that is beyond what can be told, in some thirty years.
fn later(from: Instant, by: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 86_400);
    from + by.min(FOR_EVER)
}
