//! What handles messages, and what it is given.

use super::held::Held;
use super::renew;
use super::run::Seat;
use crate::messaging::{BrokerError, Delivery, Message};
use async_trait::async_trait;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Handles one message after the other, several at a time. Any `Fn(HandlerCx) -> Future` is one.
///
/// # The contract
///
/// **`Ok` means handled**: the message is acknowledged and does not come again to this group, unless the acknowledgement is lost. So a message
/// can come more than once, and handling it a second time must do no harm ([`Message::id`](crate::messaging::Message::id) tells it).
///
/// **An error** gives it back, to come again after a pause that grows with each attempt; [`Retry`](super::Retry) sets the pause,
/// [`Poison`](super::Poison) sends the message to the dead letters. **A panic** and **a time-out** count as errors.
///
/// **Being dropped.** After `handler_timeout`, and at the end of a stop, the future is dropped at its next await; the message comes again. Before
/// that [`cancelled`](HandlerCx::cancelled) fires.
///
/// **Blocking** the thread keeps other messages, and the rest of the program, waiting: use `tokio::task::spawn_blocking`. winddown's reports
/// name a worker that blocks.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles one message.
    ///
    /// # Errors
    /// It was not handled.
    async fn handle(&self, cx: &HandlerCx) -> anyhow::Result<()>;
}

#[async_trait]
impl<F, Fut> Handler for F
where
    F: Fn(HandlerCx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    async fn handle(&self, cx: &HandlerCx) -> anyhow::Result<()> {
        self(cx.clone()).await
    }
}

/// One handling: the message, its circumstances, and what can be done about them. Cheap to clone.
#[derive(Clone)]
pub struct HandlerCx {
    held: Arc<Held>,
    seat: Arc<Seat>,
}

impl HandlerCx {
    pub(super) fn new(held: Arc<Held>, seat: Arc<Seat>) -> HandlerCx {
        HandlerCx { held, seat }
    }

    /// The message as it was delivered.
    pub fn delivery(&self) -> &Delivery {
        self.held.delivery()
    }
    /// The message.
    pub fn message(&self) -> &Message {
        self.held.delivery().message()
    }
    /// 1 the first time.
    pub fn attempt(&self) -> u32 {
        self.held.attempt()
    }
    /// The group that handles it.
    pub fn group(&self) -> &str {
        &self.seat.run.settings.interest.group
    }

    /// Fires when the handler should end now, at the price of leaving the message to another: the stop's time is over, the handling has timed
    /// out, or the message is no longer this consumer's. A token of its own for each call: cancelling it does nothing else.
    pub fn cancelled(&self) -> CancellationToken {
        self.held.token()
    }
    /// Has it fired?
    pub fn is_cancelled(&self) -> bool {
        self.held.is_fired()
    }

    /// Until when it may take: its time-out, or the time that a stop leaves, whichever is first. `None` while there is no such limit.
    pub fn deadline(&self) -> Option<Instant> {
        let limits = [self.held.deadline(), self.seat.run.drain_until()];
        limits.into_iter().flatten().min().map(tokio::time::Instant::into_std)
    }
    /// Time left until the [`deadline`](HandlerCx::deadline).
    pub fn remaining(&self) -> Option<Duration> {
        let deadline = tokio::time::Instant::from_std(self.deadline()?);
        Some(deadline.saturating_duration_since(tokio::time::Instant::now()))
    }

    /// Keeps the message for so much longer from now on, and renews it by as much from then on. Seldom needed: while a handler runs, its
    /// message's visibility is renewed by itself, at the half of it.
    ///
    /// Not cancel safe: when it is dropped before the broker has answered, the message may come again although it was handled.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`](crate::messaging::ErrorKind::Stale): it is no longer ours.
    /// [`ErrorKind::Unsupported`](crate::messaging::ErrorKind::Unsupported): it is ours for as long as the connection lives. Others: the broker
    /// could not be told.
    pub async fn extend(&self, by: Duration) -> Result<(), BrokerError> {
        renew::extend(&self.seat.run, &self.held, by).await?;
        self.seat.run.desk.renewer.notify_one();
        Ok(())
    }
}

impl fmt::Debug for HandlerCx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerCx").field("group", &self.group()).field("delivery", self.delivery()).finish_non_exhaustive()
    }
}
