//! How a group's member receives.

use super::{BrokerError, Delivery, Receipt, Settled};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Where a group begins that the broker has never seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// With the oldest message there is: nothing that was sent before the first consumer came is missed.
    #[default]
    Earliest,
    /// With what is sent from now on.
    Latest,
}

/// Which tags are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TagFilter {
    /// Every message, tagged or not.
    #[default]
    All,
    /// Those with one of these tags. What is filtered out counts as handled for the group.
    Any(BTreeSet<String>),
}

impl TagFilter {
    /// Those with one of these tags.
    pub fn any<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> TagFilter {
        TagFilter::Any(tags.into_iter().map(Into::into).collect())
    }

    /// Is a message with this tag wanted?
    pub fn wants(&self, tag: Option<&str>) -> bool {
        match self {
            TagFilter::All => true,
            TagFilter::Any(tags) => tag.is_some_and(|tag| tags.contains(tag)),
        }
    }
}

/// What a member of a group wants from a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The group.
    pub group: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// Which tags. Default: all.
    pub tags: TagFilter,
    /// For how long a delivery is this member's alone; after that it comes again. Default: 30 s.
    pub visibility: Duration,
    /// Deliver messages of one key (those sent with [`Message::with_ordered_key`](super::Message::with_ordered_key)) one after the other: the
    /// next only when the one before is settled. Default: no.
    pub ordered: bool,
    /// Where a new group begins. Default: with the oldest.
    pub start: StartFrom,
}

impl Interest {
    /// All of a topic, with the defaults.
    pub fn new(group: impl Into<Arc<str>>, topic: impl Into<Arc<str>>) -> Interest {
        Interest {
            group: group.into(),
            topic: topic.into(),
            tags: TagFilter::All,
            // Longer than most handlers take, short enough that a killed process's share comes back within a restart.
            visibility: Duration::from_secs(30),
            ordered: false,
            start: StartFrom::Earliest,
        }
    }

    /// The topic that this group's dead letters go to, where the broker has no rule of its own: `<group>.dead`.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}.dead", self.group)
    }
}

/// One member's way to its messages. Shared by the tasks of one consumer, hence `&self`.
///
/// Methods that settle take receipts of this subscription. What ran out of its visibility is counted as [`Settled::stale`], never an error.
#[async_trait]
pub trait Subscription: Send + Sync + 'static {
    /// Waits up to `wait` for messages and takes up to `max` of them; an empty answer after `wait` is normal.
    ///
    /// Cancel safe: when the future is dropped, what it may have taken goes back at once, or, where the broker knows no way, after its visibility.
    ///
    /// # Errors
    /// No connection and the like; nothing was taken then. Who calls tries again.
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError>;

    /// These were handled: they do not come again to this group.
    ///
    /// # Errors
    /// The broker could not be told; they may come again.
    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError>;

    /// These were not: they come again after the delay, with a higher attempt.
    ///
    /// # Errors
    /// The broker could not be told; they come again when their visibility is over.
    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError>;

    /// These were not even begun: others may have them at once, and the attempt does not count, where the broker can do that.
    ///
    /// # Errors
    /// As [`nack`](Subscription::nack), which it is by default.
    async fn release(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.nack(receipts, Duration::ZERO).await
    }

    /// Moves this one to the group's dead-letter topic, with the reason, the attempts and the topic it came from among its properties
    /// (`winddown.dead-reason`, `winddown.dead-attempts`, `winddown.dead-topic`). It is then settled. Not lost in between, at worst twice.
    ///
    /// # Errors
    /// It was not moved, and comes again.
    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError>;

    /// Keeps this one for so much longer from now on. Gives the receipt to use from here, which may be another.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`](super::ErrorKind::Stale) when it is no longer ours; [`ErrorKind::Unsupported`](super::ErrorKind::Unsupported) where
    /// a delivery is ours for as long as the connection lives.
    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<Receipt, BrokerError>;

    /// Returns when the broker has everything that was settled so far, as safely as it ever will.
    ///
    /// # Errors
    /// It does not; what was settled may come again.
    async fn commit(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    /// Leaves the group. What is not settled yet goes back to it at once, where the broker can do that. A second close is harmless.
    ///
    /// # Errors
    /// The broker could not be told; it finds out by itself.
    async fn close(&self) -> Result<(), BrokerError>;
}
