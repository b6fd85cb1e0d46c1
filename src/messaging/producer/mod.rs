//! The producer: a component that sends messages, and stops without losing count of any (M1–M5).
//!
//! The way of a message:
//!
//! ```text
//!  send ─> checked ─> its lane ─> permit ─> gate ─> in the books ─> its turn ─> tries ─────────> acknowledged
//!             │      (ordered)      │        │      (Ledger)                     │ fatal ──────> returned, lost
//!             └───── refused ───────┴────────┘                                   └ time over, cancelled ─> Stow ─> outboxed
//! ```
//!
//! From the books on it is an [`accepted::Accepted`], which is settled once, however it ends. `send` runs it in the caller's own future; the
//! others run it as a job of the component's scope. Stopping is [`component`]'s.

mod accepted;
mod builder;
mod component;
mod core;
mod error;
mod in_flight;
mod lanes;
mod ledger;
mod stow;

pub use accepted::Sent;
pub use builder::ProducerBuilder;
pub use component::ProducerComponent;
pub use error::{SendError, SendErrorKind};
pub use in_flight::InFlight;
pub use ledger::ProducerStats;

use crate::Link;
use crate::messaging::sending::drop_contained;
use crate::messaging::{IntoBroker, Message, Permits};
use accepted::{Accepted, Reply};
use core::Core;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Sends messages: with a bound on what is in flight, tries until one time budget is over, and an account of each. Cheap to clone; all clones
/// are one producer.
///
/// It takes messages while its [component](Producer::component) runs. It needs a runtime with timers.
///
/// ```
/// use winddown::messaging::{MemoryBroker, Message, Producer, Sent};
/// use winddown::{App, testkit};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let broker = MemoryBroker::new();
/// let producer = Producer::new(broker.clone());
/// let app = App::new("shop");
/// app.add(producer.component());
/// let sender = producer.clone();
/// app.task("shop", |_| async move {
///     let sent = sender.send(Message::new("orders", "two pumps")).await?;
///     assert!(matches!(sent, Sent::Acknowledged(_)));
///     Ok(())                      // the work is done, so the app stops
/// });
/// let report = testkit::run(&app).await;
/// assert_eq!(report.exit_code(), 0);
/// assert_eq!(producer.stats().acknowledged, 1);
/// assert_eq!(broker.messages("orders").len(), 1);
/// # });
/// ```
#[derive(Clone)]
pub struct Producer {
    core: Arc<Core>,
}

impl Producer {
    /// A producer with the defaults of [`ProducerBuilder`].
    pub fn new(broker: impl IntoBroker) -> Producer {
        Producer::builder(broker).build()
    }

    /// One with settings of its own.
    pub fn builder(broker: impl IntoBroker) -> ProducerBuilder {
        ProducerBuilder::new(broker.into_broker())
    }

    fn of(core: Core) -> Producer {
        Producer { core: Arc::new(core) }
    }

    /// The component that opens and closes this producer. Add it to the app once: a plan that has it twice is refused.
    pub fn component(&self) -> ProducerComponent {
        ProducerComponent::new(self.core.clone())
    }

    /// Stands for the component: who sends with this producer [needs](crate::Lifecycle::needs) it.
    pub fn link(&self) -> Link {
        self.core.link.clone()
    }

    /// Sends a message and waits for what becomes of it, for [`timeout`](ProducerBuilder::timeout) at most, admission included.
    ///
    /// # Errors
    /// It was not sent; the error has the message, and says what may be done. With an outbox only what would be refused again, or could not be
    /// stored either, comes back.
    ///
    /// # Cancel safety
    /// Dropped before it was let in, nothing has happened. Dropped later, the message may have arrived: it goes to the outbox if there is one, and is
    /// counted and reported as lost otherwise.
    pub async fn send(&self, message: Message) -> Result<Sent, SendError> {
        self.core.admit(message).await?.reply_to(Reply::Inline).run().await
    }

    /// Lets the message in now, or not at all. The send then goes on by itself, whether the [`InFlight`] is awaited or dropped.
    ///
    /// # Errors
    /// It was not let in; [`Full`](SendErrorKind::Full) also while others wait to be.
    pub fn try_send(&self, message: Message) -> Result<InFlight, SendError> {
        let accepted = self.core.try_admit(message)?;
        Ok(self.go_on(accepted))
    }

    /// Waits until the message is let in. The send then goes on by itself, whether the [`InFlight`] is awaited or dropped. The time it waits is
    /// part of its budget.
    ///
    /// # Errors
    /// It was not let in.
    ///
    /// # Cancel safety
    /// Dropped before it was let in, nothing has happened.
    pub async fn enqueue(&self, message: Message) -> Result<InFlight, SendError> {
        let accepted = self.core.admit(message).await?;
        Ok(self.go_on(accepted))
    }

    /// As [`try_send`](Producer::try_send); what becomes of the message is told to the callback, exactly once. The callback runs in the send's own task
    /// and must not block; its panics are contained.
    ///
    /// # Errors
    /// It was not let in, and the callback is dropped without being called.
    pub fn try_send_with<F>(&self, message: Message, callback: F) -> Result<(), SendError>
    where
        F: FnOnce(Result<Sent, SendError>) + Send + 'static,
    {
        match self.core.try_admit(message) {
            Ok(accepted) => {
                accepted.reply_to(Reply::Callback(Box::new(callback))).spawn();
                Ok(())
            }
            Err(error) => {
                drop_contained(callback);
                Err(error)
            }
        }
    }

    fn go_on(&self, accepted: Accepted) -> InFlight {
        let (answer, answered) = oneshot::channel();
        accepted.reply_to(Reply::Handle(answer)).spawn();
        InFlight::new(answered, &self.core)
    }

    /// What became of all messages so far, read at one moment.
    pub fn stats(&self) -> ProducerStats {
        self.core.ledger.stats()
    }

    /// The budgets of what is in flight: to look at, or to [resize](Permits::resize) while it runs. Closing them is the component's.
    pub fn permits(&self) -> &Permits {
        &self.core.permits
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.core.name
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("name", &self.core.name).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
