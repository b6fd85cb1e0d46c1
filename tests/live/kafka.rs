//! Apache Kafka: the contract and the ordeals against the real server. `scripts/live/up kafka` starts it.

mod server;
