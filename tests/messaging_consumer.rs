//! The consumer (M6 to M9), in virtual time: whole apps on the broker in memory, with a spy or faults in front of it.
//!
//! A test's name begins with the rule that it proves; the rules stand in `docs/messaging.md`.
#![cfg(feature = "messaging")]

#[path = "messaging_consumer/bounds.rs"]
mod bounds;
#[path = "messaging_consumer/conservation.rs"]
mod conservation;
#[path = "messaging_consumer/failing.rs"]
mod failing;
#[path = "messaging_consumer/hooks.rs"]
mod hooks;
#[path = "messaging_consumer/joining.rs"]
mod joining;
#[path = "messaging_consumer/kit.rs"]
mod kit;
#[path = "messaging_consumer/leases.rs"]
mod leases;
#[path = "messaging_consumer/ordered.rs"]
mod ordered;
#[path = "messaging_consumer/outages.rs"]
mod outages;
#[path = "messaging_consumer/pausing.rs"]
mod pausing;
#[path = "messaging_consumer/spy.rs"]
mod spy;
#[path = "messaging_consumer/stopping.rs"]
mod stopping;
#[path = "messaging_consumer/telling.rs"]
mod telling;
