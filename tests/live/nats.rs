//! NATS JetStream: the contract and the ordeals against the real server. `scripts/live/up nats` starts it.

mod server;
