//! What is in an outbox, as its operator sees it.

use crate::messaging::{Message, MessageId};
use std::fmt;
use std::time::SystemTime;

/// What state a row of an outbox is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutboxState {
    /// To be sent.
    Pending,
    /// Given up after so many tries; kept until it is retried or purged.
    Dead,
    /// Its content is no message; kept until it is mended and retried, or purged.
    Damaged,
}

impl OutboxState {
    /// Its stable name, which is also what the column `state` says.
    pub const fn name(self) -> &'static str {
        match self {
            OutboxState::Pending => "pending",
            OutboxState::Dead => "dead",
            OutboxState::Damaged => "damaged",
        }
    }
}

impl fmt::Display for OutboxState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which rows to list: all, or those of one state; oldest first, page by page.
///
/// ```
/// use winddown::messaging::{OutboxFilter, OutboxState};
///
/// let first = OutboxFilter::dead().limit(100);
/// let next = first.after(4711);           // the last row of the page before
/// assert_eq!((next.state(), next.limit_rows()), (Some(OutboxState::Dead), 100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxFilter {
    state: Option<OutboxState>,
    after: i64,
    limit: usize,
}

impl OutboxFilter {
    const fn of(state: Option<OutboxState>) -> OutboxFilter {
        // A page that a person can still scroll through, and that holds no more than some megabytes of usual messages.
        OutboxFilter { state, after: 0, limit: 1000 }
    }

    /// Every row.
    pub const fn all() -> OutboxFilter {
        OutboxFilter::of(None)
    }
    /// What is to be sent.
    pub const fn pending() -> OutboxFilter {
        OutboxFilter::of(Some(OutboxState::Pending))
    }
    /// What was given up.
    pub const fn dead() -> OutboxFilter {
        OutboxFilter::of(Some(OutboxState::Dead))
    }
    /// What is no message.
    pub const fn damaged() -> OutboxFilter {
        OutboxFilter::of(Some(OutboxState::Damaged))
    }
    /// Only rows after this one.
    pub const fn after(mut self, row: i64) -> OutboxFilter {
        self.after = row;
        self
    }
    /// At most so many rows. Default: 1000.
    pub const fn limit(mut self, rows: usize) -> OutboxFilter {
        self.limit = rows;
        self
    }

    /// For stores: the state wanted.
    pub const fn state(&self) -> Option<OutboxState> {
        self.state
    }
    /// For stores: the row after which to begin.
    pub const fn after_row(&self) -> i64 {
        self.after
    }
    /// For stores: at most so many.
    pub const fn limit_rows(&self) -> usize {
        self.limit
    }
}

/// Which rows to retry or purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxPick {
    /// Those of this message. (Its id may be there twice: for two topics, say.)
    Id(MessageId),
    /// The one of this number.
    Row(i64),
    /// All that were given up.
    Dead,
    /// All that are no messages.
    Damaged,
}

impl From<MessageId> for OutboxPick {
    fn from(id: MessageId) -> OutboxPick {
        OutboxPick::Id(id)
    }
}

/// One row of an outbox, as [`Outbox::list`](super::Outbox::list) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxEntry {
    /// Its number: rows are numbered in the order in which they came, and no number is given twice.
    pub row: i64,
    /// Its state.
    pub state: OutboxState,
    /// The topic, as far as it can be read.
    pub topic: String,
    /// The message; `None` if the row is damaged.
    pub message: Option<Message>,
    /// So many tries were counted against it.
    pub attempts: u32,
    /// What the last failed try was answered, or what is wrong with the row.
    pub error: Option<String>,
    /// When it was stored, by the clock of who stored it.
    pub created: Option<SystemTime>,
    /// Is somebody sending it, as far as the store knows?
    pub claimed: bool,
}

impl OutboxEntry {
    /// For stores: a row that was read.
    pub fn new(row: i64, state: OutboxState, topic: impl Into<String>, message: Option<Message>) -> OutboxEntry {
        OutboxEntry { row, state, topic: topic.into(), message, attempts: 0, error: None, created: None, claimed: false }
    }
}

/// How much is in an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Messages to be sent, those that are being sent included.
    pub pending: u64,
    /// Messages that were given up.
    pub dead: u64,
    /// Rows that are no messages.
    pub damaged: u64,
    /// Bytes of all of them, by [`Message::size`].
    pub bytes: u64,
}

impl OutboxCounts {
    /// All rows: what the bound on messages is about.
    pub const fn rows(&self) -> u64 {
        self.pending + self.dead + self.damaged
    }
}
