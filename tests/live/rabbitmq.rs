//! RabbitMQ: the contract and the ordeals against the real server. `scripts/live/up rabbitmq` starts it.
#![allow(clippy::print_stdout, reason = "the report is what it is run for")]

mod ordeals;
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
#[path = "rabbitmq/through.rs"]
mod through;
