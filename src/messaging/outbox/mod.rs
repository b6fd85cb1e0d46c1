//! The outbox: what could not be sent, kept durably and replayed (M3).
//!
//! The way of the data: [`Outbox::put`] hands messages to the store, which answers when they are durable; a user's own transaction may write the
//! same rows without the outbox knowing. The replay, which runs inside a producer's scope, is woken or looks each second, claims rows that
//! are due, makes one try for each through the producer's way of sending, and settles them: gone, due later, or dead. The store decides who
//! has which row; the replay decides what an answer means; the handle knows, in memory, which ordered keys have something in here.
//!
//! Invariants:
//! 1. A row leaves the store only after the broker acknowledged it, or because an operator purged it.
//! 2. One row is in one state: pending (perhaps claimed), dead, or damaged.
//! 3. No try begins or goes on after its claim's lease is over.
//! 4. Of one ordered key at most one try is under way, for the oldest row that is not dead or damaged.

mod builder;
mod error;
mod handle;
mod keys;
mod replay;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
#[cfg(test)]
mod tests;
mod words;

pub use builder::OutboxBuilder;
pub use error::{NotStored, OutboxError, OutboxErrorKind};
pub use handle::Outbox;
#[allow(unused_imports)] // The producer's.
pub(crate) use replay::{Replayed, replay};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOutbox, create_table, insert};
pub use store::{OrderedKey, OutboxBounds, OutboxClaim, OutboxClaimed, OutboxOutcome, OutboxRow, OutboxSettled, OutboxStore};
pub use words::{OutboxCounts, OutboxEntry, OutboxFilter, OutboxPick, OutboxState};
