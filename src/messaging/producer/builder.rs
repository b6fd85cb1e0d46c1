//! How a producer is set up.

use super::core::{Core, OnLost};
use super::lanes::Lanes;
use super::ledger::Ledger;
use super::stow::Stow;
use super::{Producer, SendError};
use crate::messaging::sending::Engine;
use crate::messaging::trace::TraceDispatcher;
use crate::messaging::{Backoff, Broker, Outbox, Permits};
use crate::sync::Mutex;
use crate::{Link, secs};
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`Producer`]; made by [`Producer::builder`].
#[must_use = "it becomes a producer with `build`"]
pub struct ProducerBuilder {
    broker: Arc<dyn Broker>,
    name: Arc<str>,
    count: usize,
    bytes: usize,
    timeout: Duration,
    try_timeout: Option<Duration>,
    backoff: Backoff,
    max_attempts: Option<u32>,
    batch: usize,
    outbox: Option<Outbox>,
    trace: Option<TraceDispatcher>,
    on_lost: Option<OnLost>,
}

impl ProducerBuilder {
    pub(super) fn new(broker: Arc<dyn Broker>) -> ProducerBuilder {
        ProducerBuilder {
            broker,
            name: "producer".into(),
            // What a broker answers in 10 ms is 100,000 messages a second by this.
            count: 1024,
            bytes: 64 << 20,
            timeout: secs(3),
            try_timeout: None,
            backoff: Backoff::default(),
            max_attempts: None,
            batch: 1,
            outbox: None,
            trace: None,
            on_lost: None,
        }
    }

    /// The component's name; several producers in an app need several. Default: `producer`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> ProducerBuilder {
        self.name = name.into();
        self
    }

    /// So many messages are in flight at most. Default: 1024.
    pub fn max_in_flight(mut self, count: usize) -> ProducerBuilder {
        self.count = count;
        self
    }

    /// With so many bytes together, by [`Message::size`](crate::messaging::Message::size). Default: 64 MiB.
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> ProducerBuilder {
        self.bytes = bytes;
        self
    }

    /// The time that a message has in all: to be let in, and for all its tries and the pauses between them. Default: 3 s. With an outbox, storing
    /// what was not sent in time comes on top: milliseconds as a rule.
    pub fn timeout(mut self, timeout: Duration) -> ProducerBuilder {
        self.timeout = timeout;
        self
    }

    /// The time that one try has at most. Default: half of what is left of the message's time where the broker has several routes, so that a route that hangs
    /// leaves time for another, and 250 ms at least; all that is left where there is one route, or this is the last try allowed.
    pub fn try_timeout(mut self, timeout: Duration) -> ProducerBuilder {
        self.try_timeout = Some(timeout);
        self
    }

    /// The pauses between tries. Default: [`Backoff::default`].
    pub fn backoff(mut self, backoff: Backoff) -> ProducerBuilder {
        self.backoff = backoff;
        self
    }

    /// So many tries for a message at most, 1 at least. Default: as many as its time allows.
    pub fn max_attempts(mut self, attempts: u32) -> ProducerBuilder {
        self.max_attempts = Some(attempts.max(1));
        self
    }

    /// Sends up to so many messages of a topic at once, where the broker takes batches ([`Limits::batch`](crate::messaging::Limits::batch)). What waits
    /// together goes together; nothing waits for others to come. Default: 1, each alone.
    pub fn batch(mut self, messages: usize) -> ProducerBuilder {
        self.batch = messages.max(1);
        self
    }

    /// Where to store what could not be sent in time, or was cancelled by a stop. The producer replays it while it runs. Default: none, such
    /// messages come back in their errors.
    pub fn outbox(mut self, outbox: Outbox) -> ProducerBuilder {
        self.outbox = Some(outbox);
        self
    }

    /// Records each send that was tried. The dispatcher is then planned to stop after this producer.
    pub fn trace(mut self, dispatcher: &TraceDispatcher) -> ProducerBuilder {
        self.trace = Some(dispatcher.clone());
        self
    }

    /// Called, besides the error in `tracing`, with each message that nobody has any more: it could not be sent nor stored, and nobody awaited it. Must not
    /// block. Its panics are contained.
    pub fn on_lost(mut self, hook: impl Fn(SendError) + Send + Sync + 'static) -> ProducerBuilder {
        self.on_lost = Some(Box::new(hook));
        self
    }

    /// The producer. It takes messages once its [component](Producer::component) has started.
    pub fn build(self) -> Producer {
        let broker_name: Arc<str> = self.broker.name().into();
        let mut engine = Engine::new(self.broker, self.backoff, self.timeout, self.batch);
        (engine.try_timeout, engine.max_attempts) = (self.try_timeout, self.max_attempts);
        Producer::of(Core {
            link: Link::new(&*self.name),
            name: self.name,
            broker_name,
            ledger: Ledger::new(),
            permits: Permits::new(self.count, self.bytes),
            lanes: Arc::new(Lanes::default()),
            engine: Arc::new(engine),
            stow: self.outbox.map(Stow::new),
            trace: self.trace,
            on_lost: self.on_lost,
            session: Mutex::new(None),
        })
    }
}

impl std::fmt::Debug for ProducerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProducerBuilder").field("name", &self.name).field("broker", &self.broker.name()).finish_non_exhaustive()
    }
}
