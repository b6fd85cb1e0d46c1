//! What broker and subscriptions share: settings, connections, routes, and how a request is made.

use super::acl::Credentials;
use super::codes::{self, GET_CLUSTER, GET_ROUTE, closed, error, refused};
use super::connection::Connection;
use super::delay::Delays;
use super::heartbeat::Registry;
use super::json;
use super::links::{Dialer, Link, Links};
use super::route::TopicRoute;
use super::wire::{Answer, Command};
use crate::messaging::{BrokerError, ErrorKind, Limits};
use crate::sync::{Mutex, lock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// A route is asked for again when it is older than this.
pub(super) const ROUTE_AGE: Duration = Duration::from_secs(30);
/// A route is not asked for more often than this.
const ROUTE_REST: Duration = Duration::from_millis(100);
/// A route that nobody has used for so long is forgotten.
const ROUTE_UNUSED: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) name_servers: Vec<Arc<str>>,
    pub(super) credentials: Option<Credentials>,
    pub(super) limits: Limits,
    pub(super) request_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) compress_from: usize,
    pub(super) weak_is_ok: bool,
    pub(super) delays: Delays,
    pub(super) producer_group: String,
}

struct Known {
    route: Arc<TopicRoute>,
    asked: Instant,
    used: Instant,
    /// An answer hinted that it is out of date.
    doubtful: bool,
}

pub(super) struct Client {
    pub(super) settings: Settings,
    pub(super) dialer: Arc<Dialer>,
    pub(super) registry: Registry,
    /// By which this client is known at the brokers: another one for each, also in one process.
    pub(super) id: String,
    links: Links,
    routes: Mutex<HashMap<Arc<str>, Known>>,
    /// One asks the name servers at a time: the others find the answer.
    asking: tokio::sync::Mutex<()>,
    /// The name server that answered last.
    name_server: AtomicUsize,
    turn: AtomicU64,
    closing: AtomicBool,
}

impl Client {
    pub(super) fn new(settings: Settings, dialer: Arc<Dialer>, id: String) -> Client {
        Client {
            settings,
            registry: Registry::default(),
            id,
            links: Links::new(dialer.clone()),
            dialer,
            routes: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            name_server: AtomicUsize::new(0),
            turn: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        }
    }

    /// No new calls: members still leave, and settle what they hold.
    pub(super) fn close_gate(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire) || self.is_closed()
    }

    fn is_closed(&self) -> bool {
        self.dialer.end.is_cancelled()
    }

    /// A number that goes up by one each time: whose turn it is.
    pub(super) fn turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.settings.request_timeout
    }

    fn signed(&self, command: Command) -> Command {
        match &self.settings.credentials {
            Some(credentials) => credentials.sign(command),
            None => command,
        }
    }

    /// A request over the shared connection to this address; an answer of any code.
    pub(super) async fn ask(&self, address: &str, command: Command) -> Result<Answer, BrokerError> {
        if self.is_closed() {
            return Err(closed());
        }
        let connection = self.links.to(address).get().await?;
        self.ask_on(&connection, command, self.timeout()).await
    }

    /// The same over a connection of one's own.
    pub(super) async fn ask_on(&self, connection: &Connection, command: Command, within: Duration) -> Result<Answer, BrokerError> {
        let answered = connection.request(self.signed(command), within).await;
        // What was cut off by the close is told so; whether it was done, nobody knows.
        answered.map_err(|lost| if self.is_closed() { closed() } else { lost })
    }

    /// The same; an answer other than "yes" is an error.
    pub(super) async fn call(&self, address: &str, command: Command) -> Result<Answer, BrokerError> {
        let answer = self.ask(address, command).await?;
        if answer.code == codes::SUCCESS { Ok(answer) } else { Err(refused(&answer)) }
    }

    /// A connection of one's own to this address.
    pub(super) fn link(&self, address: &str) -> Arc<Link> {
        self.dialer.link(address)
    }

    /// Asks the name servers one after the other, beginning with the one that answered last.
    async fn ask_name_server(&self, command: Command) -> Result<Answer, BrokerError> {
        let servers = &self.settings.name_servers;
        let first = self.name_server.load(Ordering::Relaxed);
        let mut last = error(ErrorKind::Invalid, "no name server was given");
        for index in 0..servers.len() {
            let index = (first + index) % servers.len();
            match self.ask(&servers[index], command.clone()).await {
                Ok(answer) => {
                    self.name_server.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
                Err(error) => last = error,
            }
        }
        // Only a route was asked for: nothing was done.
        Err(last.with_class(crate::messaging::Class::RetryableSafe))
    }

    /// Is any name server there?
    pub(super) async fn greet(&self) -> Result<(), BrokerError> {
        self.masters().await.map(drop)
    }

    /// All brokers' masters: name and address.
    pub(super) async fn masters(&self) -> Result<Vec<(String, String)>, BrokerError> {
        let answer = self.ask_name_server(Command::new(GET_CLUSTER)).await?;
        if answer.code != codes::SUCCESS {
            return Err(refused(&answer));
        }
        let cluster = json::parse(&answer.body, "a list of brokers")?;
        let brokers = cluster["brokerAddrTable"].as_object().into_iter().flatten();
        let mut masters: Vec<_> =
            brokers.filter_map(|(name, broker)| Some((name.clone(), broker["brokerAddrs"]["0"].as_str()?.to_owned()))).collect();
        masters.sort();
        Ok(masters)
    }

    /// The route as far as it is known.
    pub(super) fn known_route(&self, topic: &str) -> Option<Arc<TopicRoute>> {
        lock(&self.routes).get(topic).map(|known| known.route.clone())
    }

    /// The route of a topic, by its name at the broker.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopic`]; no name server, where nothing is known from before.
    pub(super) async fn route(&self, topic: &str) -> Result<Arc<TopicRoute>, BrokerError> {
        if let Some(route) = self.fresh(topic) {
            return Ok(route);
        }
        let _asking = self.asking.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(route) = self.fresh(topic) {
            return Ok(route);
        }
        match self.ask_route(topic).await {
            Ok(route) => Ok(route),
            // The name servers may be away: brokers are where they were.
            Err(error) if error.class().is_retryable() => self.known_route(topic).ok_or(error),
            Err(error) => Err(error),
        }
    }

    fn fresh(&self, topic: &str) -> Option<Arc<TopicRoute>> {
        let mut routes = lock(&self.routes);
        let known = routes.get_mut(topic)?;
        known.used = Instant::now();
        (!known.doubtful && known.asked.elapsed() < ROUTE_AGE).then(|| known.route.clone())
    }

    async fn ask_route(&self, topic: &str) -> Result<Arc<TopicRoute>, BrokerError> {
        let answer = self.ask_name_server(Command::new(GET_ROUTE).with("topic", topic).with("acceptStandardJsonOnly", true)).await?;
        if answer.code != codes::SUCCESS {
            return self.without_route(topic, refused(&answer)).await;
        }
        let route = Arc::new(TopicRoute::parse(&answer.body)?);
        let now = Instant::now();
        let mut routes = lock(&self.routes);
        routes.retain(|_, known| known.used.elapsed() < ROUTE_UNUSED);
        routes.insert(topic.into(), Known { route: route.clone(), asked: now, used: now, doubtful: false });
        Ok(route)
    }

    /// A name server forgets a broker that dies, and with it the topics that were there alone: that it does not know a topic proves little. One that
    /// was known stays where it was, and its broker says what has become of it.
    async fn without_route(&self, topic: &str, refusal: BrokerError) -> Result<Arc<TopicRoute>, BrokerError> {
        if let Some(known) = lock(&self.routes).get_mut(topic) {
            known.asked = Instant::now();
            known.doubtful = false;
            return Ok(known.route.clone());
        }
        if refusal.kind() == ErrorKind::UnknownTopic && self.masters().await?.is_empty() {
            return Err(error(
                ErrorKind::Unavailable,
                "no broker is known to the name server: see whether one runs, it may take some seconds to register",
            ));
        }
        Err(refusal)
    }

    /// Where this broker's master is.
    pub(super) async fn address(&self, topic: &str, broker: &str) -> Result<Arc<str>, BrokerError> {
        let route = self.route(topic).await?;
        let gone = || error(ErrorKind::Unavailable, format!("broker `{broker}` has no master now, as the name server knows"));
        route.of(broker).map(|part| part.address.clone()).ok_or_else(gone)
    }

    /// The route is asked for anew.
    pub(super) fn forget(&self, topic: &str) {
        lock(&self.routes).remove(topic);
    }

    /// Asks anew before the route is used again, if this error hints that it is out of date.
    pub(super) fn doubt(&self, topic: &str, error: &BrokerError) {
        if error.kind() == ErrorKind::UnknownTopic {
            // The broker itself has said so.
            self.forget(topic);
        } else if codes::hints_at_stale_route(error)
            && let Some(known) = lock(&self.routes).get_mut(topic)
            // A name server is not asked more often than this, whatever fails.
            && known.asked.elapsed() >= ROUTE_REST
        {
            known.doubtful = true;
        }
    }

    /// Forgets connections to brokers that no route leads to any more.
    pub(super) fn tidy(&self) {
        let routes: Vec<_> = lock(&self.routes).values().map(|known| known.route.clone()).collect();
        let servers = &self.settings.name_servers;
        self.links.keep(|address| {
            servers.iter().any(|server| &**server == address) || routes.iter().any(|route| route.0.iter().any(|part| &*part.address == address))
        });
    }
}
