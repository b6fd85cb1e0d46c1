//! RabbitMQ: the contract against the real server. `scripts/live/up rabbitmq` starts it.
#![allow(clippy::print_stdout, reason = "the report is what it is run for")]

mod server;

#[path = "rabbitmq/contract.rs"]
mod contract;
#[path = "rabbitmq/failing.rs"]
mod failing;
#[path = "rabbitmq/foreign.rs"]
mod foreign;
#[path = "rabbitmq/kit.rs"]
mod kit;
#[path = "rabbitmq/refused.rs"]
mod refused;
