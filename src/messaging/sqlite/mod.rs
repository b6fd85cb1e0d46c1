//! The broker in an SQLite file: embedded and durable.
//!
//! The way of a message: [`broker`] hands `send` to the [`queue`]; the [`writer`] thread takes all that waits into one transaction of the
//! [`store`], commits, and only then answers. A pull waits in [`waiting`] until a transaction leases something to it; the lease stands in the file,
//! so it holds against every process that has the file open. An ack deletes the lease, and with the last group's the message.
//!
//! Invariants of the whole (each room has its own):
//! 1. `Ok` to anybody means committed, with the log flushed to the disk.
//! 2. A message is in the file until every group has settled it: for each group it is ahead of the cursor, has a row, or is settled.
//! 3. At one moment at most one receipt of a message and group is good.
//! 4. A file that is refused was not written to.

mod broker;
mod builder;
mod clock;
mod closing;
mod fault;
mod file;
mod inspect;
mod queue;
mod schema;
mod store;
mod subscription;
#[cfg(test)]
mod tests;
mod waiting;
mod writer;

pub use broker::SqliteBroker;
pub use builder::SqliteBuilder;
pub use inspect::{GroupState, SqliteInspection, StoredMessage, StoredMessages};
pub use store::SqliteCounts;
