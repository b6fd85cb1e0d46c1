//! The broker's face, and what all of a client shares.

use super::super::{Backlog, Broker, BrokerError, ErrorKind, Interest, Limits, Message, Route, SendReceipt, Subscription};
use super::builder::{RabbitMqBuilder, Settings};
use super::fault::{NAME, closed, error};
use super::link::Link;
use super::member::Member;
use super::publisher::{Need, Parcel, Publishers};
use super::subscription::RabbitMqSubscription;
use super::{names, topology, wire};
use crate::sync::{Mutex, lock};
use async_trait::async_trait;
use futures_util::future::join_all;
use lapin::types::ShortString;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A broker on a RabbitMQ server, by AMQP 0.9.1.
///
/// A topic is a durable fanout exchange, a group is a durable queue bound to it. What happens in detail, with settings, guarantees, limits and traps,
/// is in `docs/rabbitmq.md`.
///
/// It has two connections: one to send, one to receive and settle, since the server stops reading from those that publish while its memory or disk
/// alarm is on. Both are made anew when they were lost. A clone is another handle of the same client; with the last handle, subscriptions included, it
/// ends as by [`close`](Broker::close), which nobody waits for then.
///
/// ```no_run
/// use winddown::messaging::{Broker, Interest, Message, RabbitMqBroker};
/// use winddown::secs;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let broker = RabbitMqBroker::connect("amqp://guest:guest@127.0.0.1:5672/%2f").await?;
/// let group = broker.subscribe(&Interest::new("billing", "orders")).await?;
/// broker.send(&Message::new("orders", "two pumps"), None).await?;       // Ok: the server has confirmed it
/// for delivery in group.pull(10, secs(5)).await? {
///     group.ack(&[delivery.receipt().clone()]).await?;
/// }
/// broker.close().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RabbitMqBroker(Arc<Handle>);

/// What all handles share. Its drop ends the client.
pub(super) struct Handle(pub(super) Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.over.cancel();
        for member in self.0.members() {
            member.leave();
        }
        self.0.publishers.end();
    }
}

/// What the tasks of a client share.
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    sending: Arc<Link>,
    pub(super) receiving: Link,
    pub(super) publishers: Arc<Publishers>,
    members: Mutex<Vec<Weak<Member>>>,
    /// The delay queues that this client has used, by the queue or topic that they belong to, and until when they may hold something.
    delays: Mutex<HashMap<Arc<str>, BTreeMap<Duration, Instant>>>,
    /// The pumps, one for each subscription.
    pub(super) tasks: TaskTracker,
    /// From here on everything is answered as closed.
    over: CancellationToken,
}

impl Shared {
    fn members(&self) -> Vec<Arc<Member>> {
        lock(&self.members).iter().filter_map(Weak::upgrade).collect()
    }

    fn open(&self) -> Result<(), BrokerError> {
        if self.over.is_cancelled() { Err(closed()) } else { Ok(()) }
    }

    /// A message was put into this delay queue.
    pub(super) fn used_delay(&self, target: &Arc<str>, bucket: Duration) {
        let mut delays = lock(&self.delays);
        let until = Instant::now() + bucket + topology::UNUSED;
        delays.entry(target.clone()).or_default().insert(bucket, until);
    }

    /// The delay queues of this queue or topic that may still be there.
    fn delays_of(&self, target: &str) -> Vec<Duration> {
        let mut delays = lock(&self.delays);
        let now = Instant::now();
        delays.retain(|_, buckets| {
            buckets.retain(|_, until| *until > now);
            !buckets.is_empty()
        });
        delays.get(target).into_iter().flatten().map(|(bucket, _)| *bucket).collect()
    }

    fn parcel(&self, message: &Message) -> Result<Parcel, BrokerError> {
        let settings = &self.settings;
        settings.limits.check(NAME, message)?;
        names::topic(message.topic(), settings.limits.topic_bytes)?;
        let properties = wire::encode(message)?;
        let (mut exchange, mut key, mut need) = (message.topic().to_owned(), String::new(), Need::Exchange);
        if let Some(delay) = message.delay() {
            if !settings.declare {
                let text = "a delay needs a delay queue, and nothing is declared with declare(false)";
                return Err(error(ErrorKind::Unsupported, text).about(message.topic_shared()));
            }
            let bucket = names::bucket(delay).map_err(|error| error.about(message.topic_shared()))?;
            let queue = names::delay_queue(message.topic(), bucket);
            self.used_delay(&message.topic_shared(), bucket);
            (exchange, key, need) = (String::new(), queue.clone(), Need::Delay { queue, bucket, for_topic: true });
        }
        if !settings.declare {
            need = Need::Nothing;
        }
        let short = |name: String| ShortString::try_new(name).map_err(|_| error(ErrorKind::Invalid, "a name of more than 255 bytes"));
        Ok(Parcel { exchange: short(exchange)?, routing_key: short(key)?, properties, body: message.body().clone(), need })
    }
}

impl RabbitMqBroker {
    /// Connects to this address, `amqp://user:password@host:port/vhost`, with the defaults.
    ///
    /// # Errors
    /// See [`RabbitMqBuilder::connect`].
    pub async fn connect(url: &str) -> Result<RabbitMqBroker, BrokerError> {
        RabbitMqBroker::builder(url).connect().await
    }

    /// The same with settings.
    pub fn builder(url: &str) -> RabbitMqBuilder {
        RabbitMqBuilder::new(url)
    }

    pub(super) async fn open(settings: Settings) -> Result<RabbitMqBroker, BrokerError> {
        let settings = Arc::new(settings);
        let sending = Arc::new(Link::new(settings.clone()));
        sending.connection().await?;
        let shared = Shared {
            receiving: Link::new(settings.clone()),
            publishers: Publishers::new(settings.clone(), sending.clone()),
            sending,
            settings,
            members: Mutex::default(),
            delays: Mutex::default(),
            tasks: TaskTracker::new(),
            over: CancellationToken::new(),
        };
        Ok(RabbitMqBroker(Arc::new(Handle(Arc::new(shared)))))
    }
}

#[async_trait]
impl Broker for RabbitMqBroker {
    fn name(&self) -> &str {
        NAME
    }

    fn limits(&self) -> Limits {
        self.0.0.settings.limits
    }

    async fn send(&self, message: &Message, _: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        let shared = &self.0.0;
        shared.open()?;
        let parcel = shared.parcel(message)?;
        shared.publishers.publish(&message.topic_shared(), parcel).await.map(|()| SendReceipt::default())
    }

    async fn send_batch(&self, messages: &[Message], _: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        let shared = &self.0.0;
        let mut answers: Vec<Result<SendReceipt, BrokerError>> = Vec::with_capacity(messages.len());
        let mut topics: BTreeMap<Arc<str>, Vec<(usize, Parcel)>> = BTreeMap::new();
        for (index, message) in messages.iter().enumerate() {
            let parcel = shared.open().and_then(|()| shared.parcel(message));
            answers.push(match parcel {
                Ok(parcel) => {
                    topics.entry(message.topic_shared()).or_default().push((index, parcel));
                    Ok(SendReceipt::default())
                }
                Err(error) => Err(error),
            });
        }
        let sending = topics.into_iter().map(async |(topic, parcels)| {
            let (places, parcels): (Vec<usize>, Vec<Parcel>) = parcels.into_iter().unzip();
            places.into_iter().zip(shared.publishers.publish_all(&topic, parcels).await).collect::<Vec<_>>()
        });
        for (place, answer) in join_all(sending).await.into_iter().flatten() {
            answers[place] = answer.map(|()| SendReceipt::default());
        }
        answers
    }

    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        let shared = &self.0.0;
        shared.open()?;
        names::topic(&interest.topic, shared.settings.limits.topic_bytes)?;
        names::group(&interest.group)?;
        let member = Member::join(shared.clone(), interest.clone()).await?;
        {
            let mut members = lock(&shared.members);
            members.retain(|member| member.strong_count() > 0);
            members.push(Arc::downgrade(&member));
        }
        // Closed meanwhile: nobody else would end it.
        if let Err(error) = shared.open() {
            member.leave();
            return Err(error);
        }
        Ok(Arc::new(RabbitMqSubscription::new(self.0.clone(), member)))
    }

    async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        let shared = &self.0.0;
        shared.open()?;
        names::topic(topic, shared.settings.limits.topic_bytes)?;
        names::group(group)?;
        let queue = names::queue(topic, group);
        let (_, mut channel) = shared.receiving.channel(false).await?;
        let mut waiting = match topology::count(&shared.settings, &channel, &queue).await {
            Ok(waiting) => waiting,
            // Never joined: it would begin with what is sent from then on.
            Err(error) if error.kind() == ErrorKind::UnknownTopic && shared.settings.declare => return Ok(Backlog::default()),
            Err(error) => return Err(error.about(topic)),
        };
        for target in [&queue, topic] {
            for bucket in shared.delays_of(target) {
                match topology::count(&shared.settings, &channel, &names::delay_queue(target, bucket)).await {
                    Ok(more) => waiting += more,
                    // Unused, and so deleted; the channel went with the question.
                    Err(error) if error.kind() == ErrorKind::UnknownTopic => (_, channel) = shared.receiving.channel(false).await?,
                    Err(error) => return Err(error.about(topic)),
                }
            }
        }
        Ok(Backlog { waiting, held: None })
    }

    async fn close(&self) -> Result<(), BrokerError> {
        let shared = &self.0.0;
        shared.over.cancel();
        let left = join_all(shared.members().iter().map(|member| member.close())).await;
        shared.publishers.close().await;
        let within = shared.settings.close_timeout;
        let (sending, receiving) = tokio::join!(shared.sending.close(within), shared.receiving.close(within));
        left.into_iter().collect::<Result<(), _>>().and(sending).and(receiving)
    }
}

impl fmt::Debug for RabbitMqBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqBroker").field("address", &self.0.0.settings.address).finish_non_exhaustive()
    }
}
