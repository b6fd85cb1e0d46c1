//! The broker's face.

use super::super::{Backlog, Broker, BrokerError, ErrorKind, Interest, Limits, Message, Route, SendReceipt, Subscription};
use super::builder::NatsBuilder;
use super::core::Core;
use super::fault::{NAME, closed};
use super::groups;
use super::link::until_closed;
use super::member::Member;
use super::names;
use super::subscription::NatsSubscription;
use async_nats::ConnectOptions;
use async_trait::async_trait;
use futures_util::future::join_all;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// No longer visibility is meant, and longer ones do not fit the server's clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A client of NATS JetStream.
///
/// A topic is a subject that a stream keeps, a group a durable consumer of it. What that means in detail, with traps, limits and the errors'
/// classes, is in `docs/nats.md`.
///
/// A clone is another handle of the same client. With the last handle, subscriptions included, it ends as by [`close`](Broker::close), which
/// nobody waits for then. It works in tokio's real time, and needs a runtime.
///
/// ```no_run
/// use winddown::messaging::{Broker, Interest, Message, NatsBroker};
/// use winddown::secs;
///
/// # async fn example() -> Result<(), winddown::messaging::BrokerError> {
/// let broker = NatsBroker::connect("nats://127.0.0.1:4222").await?;
/// broker.send(&Message::new("orders", "two pumps"), None).await?;
///
/// let group = broker.subscribe(&Interest::new("billing", "orders")).await?;
/// for delivery in group.pull(10, secs(15)).await? {
///     group.ack(&[delivery.receipt().clone()]).await?;
/// }
/// group.close().await?;
/// broker.close().await
/// # }
/// ```
#[derive(Clone)]
pub struct NatsBroker(Arc<Handle>);

/// What all handles share. Its drop begins the close.
pub(super) struct Handle {
    core: Arc<Core>,
    servers: Arc<str>,
    ended: watch::Receiver<Option<Result<(), BrokerError>>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.shutting.cancel();
    }
}

impl NatsBroker {
    /// Connects with the defaults.
    ///
    /// # Errors
    /// See [`NatsBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> Result<NatsBroker, BrokerError> {
        NatsBroker::builder(url).connect().await
    }

    /// The same with the client library's options: credentials, TLS and whatever else it has.
    ///
    /// # Errors
    /// See [`NatsBuilder::connect`].
    pub async fn with(options: ConnectOptions, url: impl Into<String>) -> Result<NatsBroker, BrokerError> {
        NatsBroker::builder(url).options(options).connect().await
    }

    /// The same with settings. The url is `nats://host:port`, or several separated by commas; a user and a password may stand in it.
    pub fn builder(url: impl Into<String>) -> NatsBuilder {
        NatsBuilder::new(url.into())
    }

    pub(super) fn start(core: Arc<Core>, servers: Arc<str>, tasks: &tokio_util::task::TaskTracker) -> NatsBroker {
        let (say, ended) = watch::channel(None);
        let closing = core.clone();
        tasks.spawn(async move {
            closing.shutting.cancelled().await;
            say.send_replace(Some(end(&closing).await));
        });
        NatsBroker(Arc::new(Handle { core, servers, ended }))
    }

    fn core(&self) -> &Core {
        &self.0.core
    }
}

/// The members leave while the connection is still there; then it ends.
async fn end(core: &Core) -> Result<(), BrokerError> {
    core.members.close();
    // They have their own limits, twice the close's: for their tasks, and for what they give back.
    let gone = timeout(core.close_timeout.saturating_mul(2), core.members.wait()).await;
    let ended = core.link.close(core.close_timeout).await;
    core.take_trouble()?;
    ended?;
    gone.map_err(|_| BrokerError::new(NAME, ErrorKind::TimedOut, "a member did not leave in time: what it holds comes again after the lease"))
}

#[async_trait]
impl Broker for NatsBroker {
    fn name(&self) -> &str {
        NAME
    }

    fn limits(&self) -> Limits {
        self.core().limits()
    }

    async fn send(&self, message: &Message, _: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        self.core().publish(message, None).await
    }

    async fn send_batch(&self, messages: &[Message], _: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        let mut answers = Vec::with_capacity(messages.len());
        for chunk in messages.chunks(self.limits().batch) {
            // The streams first: after that all are written one behind the other, and stored in that order, before the answers are awaited.
            self.core().prepare(chunk).await;
            answers.extend(join_all(chunk.iter().map(|message| self.send(message, None))).await);
        }
        answers
    }

    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        let core = &self.0.core;
        let about = |error: BrokerError| if error.topic().is_some() { error } else { error.about(interest.topic.clone()) };
        let limits = self.limits();
        names::topic(&interest.topic, limits.topic_bytes).map_err(about)?;
        names::group(&interest.group, limits.topic_bytes).map_err(about)?;
        if interest.visibility.is_zero() {
            let text = "a visibility of zero gives every message to everybody at once: give it at least a millisecond";
            return Err(about(BrokerError::new(NAME, ErrorKind::Invalid, text)));
        }
        until_closed(&core.shutting).map_err(about)?;
        let interest = Interest { visibility: interest.visibility.min(LONGEST), ..interest.clone() };
        let joined = tokio::select! {
            biased;
            () = core.shutting.cancelled() => Err(closed()),
            joined = groups::join(&core.link, &core.streams, core.consumer_shape.as_ref(), &interest) => joined,
        };
        let member = Member::new(core.clone(), interest, joined.map_err(about)?);
        Ok(Arc::new(NatsSubscription::new(member, self.0.clone())))
    }

    async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        let core = self.core();
        let about = |error: BrokerError| if error.topic().is_some() { error } else { error.about(topic) };
        let limits = self.limits();
        names::topic(topic, limits.topic_bytes).and_then(|()| names::group(group, limits.topic_bytes)).map_err(about)?;
        until_closed(&core.shutting).map_err(about)?;
        groups::backlog(&core.link, &core.streams, group, topic).await.map_err(about)
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.core().shutting.cancel();
        let mut ended = self.0.ended.clone();
        let ended = ended.wait_for(Option::is_some).await.map(|ended| ended.clone());
        // A second close is none.
        ended.ok().flatten().unwrap_or(Ok(()))
    }
}

impl fmt::Debug for NatsBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBroker").field("servers", &self.0.servers).finish_non_exhaustive()
    }
}
