//! RabbitMQ: the contract and the ordeals against the real server. `scripts/live/up rabbitmq` starts it.

mod server;

#[path = "rabbitmq/contract.rs"]
mod contract;
