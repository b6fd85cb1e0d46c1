//! Tests of the outbox and its replay: against a store in memory that is as plain as can be, and against SQLite, files, clocks and killed
//! processes.

mod naive;
mod replaying;
mod scripted;
#[cfg(feature = "sqlite")]
mod sqlite;
