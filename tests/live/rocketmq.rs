//! Apache RocketMQ: the contract and the ordeals against the real server. `scripts/live/up rocketmq` starts it.

mod server;
