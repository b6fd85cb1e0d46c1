//! The trace dispatcher, through the public door: whole apps in virtual time, files as they are on the disk, RocketMQ's own bytes.
//!
//! A test's name begins with the rule that it proves; the rules stand in `docs/messaging.md`.

#[path = "messaging_trace/allocation.rs"]
mod allocation;
#[path = "messaging_trace/appending.rs"]
mod appending;
#[path = "messaging_trace/batching.rs"]
mod batching;
#[path = "messaging_trace/broker.rs"]
mod broker;
#[path = "messaging_trace/conservation.rs"]
mod conservation;
#[path = "messaging_trace/failing.rs"]
mod failing;
#[path = "messaging_trace/file.rs"]
mod file;
#[path = "messaging_trace/kit.rs"]
mod kit;
#[path = "messaging_trace/place.rs"]
mod place;
#[path = "messaging_trace/stopping.rs"]
mod stopping;
#[path = "messaging_trace/together.rs"]
mod together;
#[path = "messaging_trace/wire.rs"]
mod wire;
