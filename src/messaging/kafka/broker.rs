//! The broker's face.

use super::super::{Backlog, Broker, BrokerError, Class, ErrorKind, Interest, Limits, Message, Route, SendReceipt, Subscription};
use super::builder::KafkaBuilder;
use super::context::{Alarm, Quiet};
use super::fault::{self, NAME, closed};
use super::member::{Client, Cx, Member};
use super::producing::{self, Producer};
use super::subscription::{KafkaSubscription, ended};
use super::{names, thread};
use crate::sync::{Mutex, lock};
use async_trait::async_trait;
use futures_util::future::join_all;
use rdkafka::consumer::Consumer;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Apache Kafka as a broker: a client of its own, which a clone shares.
///
/// What it guarantees, what it cannot do and which settings it has is told in `docs/kafka.md`. With the last handle, subscriptions included, it ends as by
/// [`close`](Broker::close), which nobody waits for then.
///
/// ```no_run
/// use winddown::messaging::{Broker, Interest, KafkaBroker, Message};
/// use winddown::secs;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = KafkaBroker::connect("127.0.0.1:9092").await?;
/// broker.create_topic("orders", 4).await?;
/// broker.send(&Message::new("orders", "two pumps"), None).await?;
///
/// let group = broker.subscribe(&Interest::new("billing", "orders")).await?;
/// for delivery in group.pull(10, secs(5)).await? {
///     group.ack(&[delivery.receipt().clone()]).await?;
/// }
/// group.commit().await?;
/// broker.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KafkaBroker(pub(super) Arc<Shared>);

/// What all handles share.
pub(super) struct Shared {
    pub(super) settings: Arc<KafkaBuilder>,
    pub(super) limits: Limits,
    pub(super) alarm: Arc<Alarm>,
    /// `None` when it is closed.
    pub(super) producer: Mutex<Option<Arc<Producer>>>,
    /// Topics that were there when they were asked for.
    pub(super) topics: Mutex<HashSet<Arc<str>>>,
    /// Those whose threads may still run.
    members: Mutex<Vec<Weak<Member>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(producer) = lock(&self.producer).take() {
            producing::retire(producer);
        }
    }
}

impl Shared {
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        lock(&self.members).iter().filter_map(Weak::upgrade).collect()
    }

    /// Makes a client and its thread, which joins the group.
    fn enlist(self: &Arc<Shared>, interest: &Interest) -> Result<Arc<Member>, BrokerError> {
        let member = Arc::new(Member::new(interest.clone(), self, Handle::current()));
        let client: Client = self.settings.consumer(&interest.group).create_with_context(Cx(member.clone())).map_err(|error| fault::of(&error))?;
        client.subscribe(&[&interest.topic]).map_err(|error| fault::of(&error))?;
        let client = Arc::new(client);
        *lock(&member.client) = Some(client.clone());
        let mut members = lock(&self.members);
        let running = member.clone();
        // Closed in between, and nobody would end it; or there is no thread.
        let spawned = self.producer().and_then(|_| {
            let thread = std::thread::Builder::new().name("winddown-kafka".into());
            let spawned = thread.spawn(move || thread::run(&running, client));
            spawned.map_err(|error| BrokerError::new(NAME, ErrorKind::Full, format!("no thread for a member: {error}")))
        });
        if let Err(error) = spawned {
            // Member and client refer to each other.
            *lock(&member.client) = None;
            return Err(error);
        }
        members.retain(|other| other.strong_count() > 0);
        members.push(Arc::downgrade(&member));
        Ok(member)
    }
}

impl KafkaBroker {
    /// Connects to one of these servers, `host:port` with commas between, with the defaults.
    ///
    /// # Errors
    /// See [`KafkaBuilder::connect`].
    pub async fn connect(servers: impl AsRef<str>) -> Result<KafkaBroker, BrokerError> {
        KafkaBroker::builder(servers).connect().await
    }

    /// The same with settings.
    pub fn builder(servers: impl AsRef<str>) -> KafkaBuilder {
        KafkaBuilder::new(servers.as_ref())
    }

    pub(super) async fn open(settings: KafkaBuilder) -> Result<KafkaBroker, BrokerError> {
        let alarm = Arc::new(Alarm::default());
        let producer: Producer = settings.producer().create_with_context(Quiet(alarm.clone())).map_err(|error| fault::of(&error))?;
        let limits = Limits { message_bytes: settings.message_bytes, topic_bytes: names::TOPIC_BYTES, batch: 500 };
        let shared = Shared {
            limits,
            alarm,
            producer: Mutex::new(Some(Arc::new(producer))),
            topics: Mutex::default(),
            members: Mutex::default(),
            settings: Arc::new(settings),
        };
        shared.reach().await?;
        Ok(KafkaBroker(Arc::new(shared)))
    }
}

impl Shared {
    /// A server answers, whatever it says: a question about one topic that every server has.
    async fn reach(&self) -> Result<(), BrokerError> {
        let (producer, limit) = (self.producer()?, self.settings.connect_timeout);
        let asking = tokio::task::spawn_blocking(move || {
            use rdkafka::producer::Producer as _;
            producer.client().fetch_metadata(Some("__consumer_offsets"), limit).map(drop)
        });
        let error = tokio::select! {
            answer = timeout(limit + limit / 10, asking) => match answer {
                Ok(Ok(Ok(()))) => return Ok(()),
                Ok(Ok(Err(error))) => fault::of(&error),
                Ok(Err(_)) => closed(),
                Err(_) => BrokerError::new(NAME, ErrorKind::TimedOut, "no answer"),
            },
            refused = self.alarm.refused() => refused,
        };
        // What the connection said is nearer to the cause.
        let error = self.alarm.last().unwrap_or(error);
        let text = format!("{}: no server answers: {}", self.settings.servers, error.text());
        let class = if error.class().is_retryable() { Class::RetryableSafe } else { error.class() };
        let told = BrokerError::new(NAME, error.kind(), text).with_class(class);
        Err(error.code().map_or(told.clone(), |code| told.with_code(code)))
    }
}

#[async_trait]
impl Broker for KafkaBroker {
    fn name(&self) -> &str {
        NAME
    }

    fn limits(&self) -> Limits {
        self.0.limits
    }

    async fn send(&self, message: &Message, _: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        self.0.check(message)?;
        self.0.produce(message).await
    }

    async fn send_batch(&self, messages: &[Message], _: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        self.send_all(messages).await
    }

    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        self.0.producer()?;
        names::topic(&interest.topic)?;
        names::group(&interest.group).map_err(|error| error.about(interest.topic.clone()))?;
        self.0.known(&interest.topic).await?;
        let (shared, wanted) = (self.0.clone(), interest.clone());
        // From here on a future that is dropped leaves the group again.
        let enlisted = tokio::task::spawn_blocking(move || shared.enlist(&wanted).map(|member| KafkaSubscription::new(shared.clone(), member)));
        let subscription = enlisted.await.unwrap_or_else(|_| Err(closed())).map_err(|error| error.about(interest.topic.clone()))?;
        subscription.joined().await?;
        Ok(Arc::new(subscription))
    }

    async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        self.0.backlog(group, topic).await
    }

    async fn close(&self) -> Result<(), BrokerError> {
        // First, so that no member is enlisted after those that are ended here.
        self.0.end_producer().await;
        let members = self.0.members();
        members.iter().for_each(|member| member.close());
        let ends = join_all(members.iter().map(|member| ended(member))).await;
        ends.into_iter().find(Result::is_err).unwrap_or(Ok(()))
    }
}

impl fmt::Debug for KafkaBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBroker").field("servers", &self.0.settings.servers).finish_non_exhaustive()
    }
}
