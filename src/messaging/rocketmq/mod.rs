//! Apache RocketMQ as a broker.
