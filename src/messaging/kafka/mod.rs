//! Apache Kafka as a broker.

#[allow(dead_code)]
mod offsets;
