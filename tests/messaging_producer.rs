//! The producer and the permits, through the public door, in virtual time. A test's name begins with the rule that it proves (M1–M5).
#![cfg(feature = "messaging")]

#[path = "messaging_producer/admission.rs"]
mod admission;
#[path = "messaging_producer/batches.rs"]
mod batches;
#[path = "messaging_producer/books.rs"]
mod books;
#[path = "messaging_producer/cost.rs"]
mod cost;
#[path = "messaging_producer/kit.rs"]
mod kit;
#[path = "messaging_producer/order.rs"]
mod order;
#[path = "messaging_producer/outboxed.rs"]
mod outboxed;
#[path = "messaging_producer/prop.rs"]
mod prop;
#[path = "messaging_producer/retry.rs"]
mod retry;
#[path = "messaging_producer/routes.rs"]
mod routes;
#[path = "messaging_producer/stop.rs"]
mod stop;
#[path = "messaging_producer/store.rs"]
mod store;
#[path = "messaging_producer/traced.rs"]
mod traced;
