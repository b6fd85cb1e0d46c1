//! Apache Kafka as a broker.
