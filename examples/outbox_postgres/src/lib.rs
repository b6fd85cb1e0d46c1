//! The outbox in Postgres, by sqlx: for services whose own tables are there, so that an order and its message commit together.
//!
//! [`PostgresOutbox`] is the store, [`insert`] the hand-in for a transaction of your own. Copy the crate and change what you need to change: the
//! promises that a store has to keep are written on [`OutboxStore`](winddown::messaging::OutboxStore).

mod claim;
mod fault;
mod record;
mod store;

pub use record::insert;
pub use store::PostgresOutbox;
