//! The broker in an SQLite file: its contract, its files, and what a killed process leaves behind.
//!
//! Real time, real files, real child processes: this executable starts itself again in the roles of `messaging_sqlite/roles.rs`.
#![cfg(all(unix, feature = "sqlite"))]

#[path = "messaging_sqlite/cancel.rs"]
mod cancel;
#[path = "messaging_sqlite/closing.rs"]
mod closing;
#[path = "messaging_sqlite/contract.rs"]
mod contract;
#[path = "messaging_sqlite/files.rs"]
mod files;
#[path = "messaging_sqlite/groups.rs"]
mod groups;
#[path = "messaging_sqlite/kill.rs"]
mod kill;
#[path = "messaging_sqlite/leases.rs"]
mod leases;
#[path = "messaging_sqlite/many.rs"]
mod many;
#[path = "messaging_sqlite/measure.rs"]
mod measure;
#[path = "messaging_sqlite/order.rs"]
mod order;
#[path = "messaging_sqlite/roles.rs"]
mod roles;
#[path = "messaging_sqlite/sharing.rs"]
mod sharing;
#[path = "messaging_sqlite/support.rs"]
mod support;
