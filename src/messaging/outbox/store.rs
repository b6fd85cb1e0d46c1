//! What an outbox must be able to store: the trait behind which SQLite, Postgres or anything else durable stands.

use super::{OutboxCounts, OutboxEntry, OutboxError, OutboxErrorKind, OutboxFilter, OutboxPick};
use crate::messaging::Message;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Topic and key of messages that are to stay in order.
pub type OrderedKey = (Arc<str>, Arc<str>);

/// How much an outbox may hold, rows of every state counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxBounds {
    /// Messages. Default: 100 000.
    pub messages: u64,
    /// Bytes, by [`Message::size`]. Default: 256 MiB.
    pub bytes: u64,
}

impl Default for OutboxBounds {
    fn default() -> OutboxBounds {
        OutboxBounds { messages: 100_000, bytes: 256 << 20 }
    }
}

impl OutboxBounds {
    /// For stores: would these messages still fit beside what is held? To be asked inside the transaction that stores them.
    ///
    /// # Errors
    /// [`OutboxErrorKind::Full`], or [`OutboxErrorKind::TooLarge`] if they would not fit into an empty one either.
    pub fn check(&self, place: &Arc<str>, held: OutboxCounts, messages: &[Message]) -> Result<(), OutboxError> {
        let (count, bytes) = (messages.len() as u64, messages.iter().map(|message| message.size() as u64).sum::<u64>());
        if count > self.messages || bytes > self.bytes {
            let (m, b) = (self.messages, self.bytes);
            let text =
                format!("{count} messages of {bytes} bytes at once, it may hold {m} and {b}: put fewer at once, or raise max_messages and max_bytes");
            return Err(OutboxError::new(OutboxErrorKind::TooLarge, place.clone(), text));
        }
        if held.rows().saturating_add(count) > self.messages || held.bytes.saturating_add(bytes) > self.bytes {
            let kept = held.dead + held.damaged;
            let text = format!(
                "it holds {} messages of {} bytes and may hold {} and {}; {kept} of them are dead or damaged: see whether the broker takes messages, \
                 retry or purge the dead ones, or raise max_messages and max_bytes",
                held.rows(),
                held.bytes,
                self.messages,
                self.bytes
            );
            return Err(OutboxError::new(OutboxErrorKind::Full, place.clone(), text));
        }
        Ok(())
    }
}

/// What to claim.
#[derive(Clone, Debug)]
pub struct OutboxClaim {
    /// At most so many rows.
    pub rows: usize,
    /// About so many bytes: the row that goes beyond is the last one.
    pub bytes: usize,
    /// So many rows of one ordered key at most.
    pub run: usize,
    /// For how long they are the claimer's alone.
    pub lease: Duration,
    /// A due time further away than this was written by a clock that has jumped since: due now.
    pub horizon: Duration,
    /// Nothing of these topics.
    pub skip: Vec<Arc<str>>,
}

/// A row that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number.
    pub row: i64,
    /// The claim that it belongs to: another number with each claim, whoever makes it.
    pub claim: i64,
    /// What is to be sent.
    pub message: Message,
    /// So many tries were counted against it.
    pub attempts: u32,
    /// For so long it has been failing so, as [`OutboxOutcome::Counted`] noted.
    pub failing: Duration,
}

/// What a claim brought.
#[derive(Clone, Debug, Default)]
pub struct OutboxClaimed {
    /// The rows, oldest first within each ordered key.
    pub rows: Vec<OutboxRow>,
    /// When to ask again: zero if there may be more that is due, `None` if nothing is known to become due.
    pub next: Option<Duration>,
    /// So many rows were found damaged, and set aside.
    pub damaged: u64,
}

/// A claimed row, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxSettled {
    /// Its number.
    pub row: i64,
    /// The claim it was claimed by.
    pub claim: i64,
    /// What became of it.
    pub outcome: OutboxOutcome,
}

/// What became of a claimed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxOutcome {
    /// The broker has it: the row goes.
    Sent,
    /// It could not be sent: due again after so long. Not counted against it.
    Failed {
        /// What it was answered.
        error: String,
        /// Due again after this.
        after: Duration,
    },
    /// The same, and counted against it: one attempt more.
    Counted {
        /// What it was answered.
        error: String,
        /// Due again after this.
        after: Duration,
        /// For so long it has been failing; to be kept with the row.
        failing: Duration,
    },
    /// It is given up: kept as dead, this attempt counted.
    Dead {
        /// Why.
        error: String,
    },
    /// It was not tried: due again after so long.
    Released {
        /// Due again after this.
        after: Duration,
    },
}

/// A durable store for an [`Outbox`](super::Outbox), shared by any number of processes.
///
/// # The contract
/// **Durable.** When [`put`](OutboxStore::put) has answered `Ok`, its messages survive a crash of the process, and of the machine as far as the
/// disk keeps its word. All messages of one call, or none.
///
/// **Order.** Rows of one ordered key (same topic and key, [`Message::is_ordered`]) are claimed in the order of their numbers, and only if no older
/// pending row of that key is left behind: neither claimed by somebody else nor waiting until it is due. A dead or damaged row holds nobody up.
///
/// **Claims.** A claimed row is not claimed again before its lease is over, by whomever, unless it was settled. Each claim has a number of its own;
/// a row is settled only by the claim that it belongs to at that moment, and what comes from an older one is ignored, except for
/// [`OutboxOutcome::Sent`], which counts always.
///
/// **Cancel safety.** When a call's future is dropped, the call was carried out or not, as a whole.
///
/// Every method takes `&self` and may be called concurrently.
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// Where it is, for errors and logs: a path, what a server is called.
    fn place(&self) -> Arc<str>;

    /// Stores them all, durably, in this order, if they fit.
    ///
    /// # Errors
    /// None of them was stored. See [`OutboxBounds::check`].
    async fn put(&self, messages: &[Message], bounds: OutboxBounds) -> Result<(), OutboxError>;

    /// Claims rows that are due. Rows whose content is no message are set aside as damaged.
    ///
    /// # Errors
    /// Nothing was claimed.
    async fn claim(&self, claim: OutboxClaim) -> Result<OutboxClaimed, OutboxError>;

    /// Records what became of claimed rows: all of it, or nothing.
    ///
    /// # Errors
    /// Nothing was recorded.
    async fn settle(&self, settled: &[OutboxSettled]) -> Result<(), OutboxError>;

    /// The ordered keys, of these or of all, that have a pending row.
    ///
    /// # Errors
    /// It could not be read.
    async fn ordered(&self, among: Option<Vec<OrderedKey>>) -> Result<Vec<OrderedKey>, OutboxError>;

    /// May somebody else have written since this was asked last? `true` is always right, and the default.
    ///
    /// # Errors
    /// It could not be read.
    async fn changed(&self) -> Result<bool, OutboxError> {
        Ok(true)
    }

    /// Some rows, oldest first.
    ///
    /// # Errors
    /// It could not be read.
    async fn list(&self, filter: OutboxFilter) -> Result<Vec<OutboxEntry>, OutboxError>;

    /// Makes dead and damaged rows pending again, without attempts and due now; a pending one that waits is due now. How many.
    ///
    /// # Errors
    /// None was changed.
    async fn retry(&self, pick: OutboxPick) -> Result<u64, OutboxError>;

    /// Deletes rows, whatever their state. How many.
    ///
    /// # Errors
    /// None was deleted.
    async fn purge(&self, pick: OutboxPick) -> Result<u64, OutboxError>;

    /// How much there is.
    ///
    /// # Errors
    /// It could not be read.
    async fn counts(&self) -> Result<OutboxCounts, OutboxError>;

    /// Finishes what is under way and lets go of the store. Later calls get [`OutboxErrorKind::Closed`]. A second close is harmless.
    ///
    /// # Errors
    /// It could not be closed in an orderly way; it is closed nevertheless.
    async fn close(&self) -> Result<(), OutboxError>;
}
