//! Messaging: a producer, a consumer and a trace dispatcher as components, and the brokers they run on.
//!
//! What each promises is written in `docs/messaging.md`, by number (M1–M14).
//!
//! Invariant: nothing here is known to the core; this wing uses the crate's public face only.

mod backoff;
mod broker;
mod delivery;
mod error;
mod id;
mod into_broker;
mod message;
pub(crate) mod random;
mod receipt;
mod resource;
mod sending;
mod subscription;

mod consumer;
mod faults;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(any(feature = "kafka", feature = "rabbitmq"))]
#[allow(dead_code, reason = "which part of it is used depends on the brokers that are compiled in")]
mod lanes;
mod memory;
#[cfg(feature = "nats")]
pub mod nats;
pub mod outbox;
mod permits;
mod producer;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "rocketmq")]
pub mod rocketmq;
#[cfg(feature = "sqlite")]
mod sqlite;
pub mod trace;

pub use backoff::Backoff;
pub use broker::{Backlog, Broker, Limits, Route, Routes, SendReceipt};
pub use consumer::{
    Consumer, ConsumerBuilder, ConsumerHandle, ConsumerStats, Failure, FailureHook, FailureKind, Handler, HandlerCx, Next, Poison, Retry,
    WhenUnavailable,
};
pub use delivery::Delivery;
pub use error::{BrokerError, Class, ErrorKind};
pub use faults::{FaultCounts, Faults, FaultsError, FaultyBroker};
pub use id::MessageId;
pub use into_broker::IntoBroker;
#[cfg(feature = "kafka")]
pub use kafka::KafkaBroker;
pub use memory::{MemoryBroker, MemoryBrokerBuilder};
pub use message::{Message, Properties};
#[cfg(feature = "nats")]
pub use nats::NatsBroker;
#[cfg(feature = "sqlite")]
pub use outbox::SqliteOutbox;
pub use outbox::{
    NotStored, OrderedKey, Outbox, OutboxBounds, OutboxBuilder, OutboxClaim, OutboxClaimed, OutboxCounts, OutboxEntry, OutboxError, OutboxErrorKind,
    OutboxFilter, OutboxOutcome, OutboxPick, OutboxRow, OutboxSettled, OutboxState, OutboxStore,
};
pub use permits::{Acquire, AcquireError, Idle, Permit, Permits, TryAcquireError};
pub use producer::{InFlight, Producer, ProducerBuilder, ProducerComponent, ProducerStats, SendError, SendErrorKind, Sent};
#[cfg(feature = "rabbitmq")]
pub use rabbitmq::RabbitMqBroker;
pub use receipt::{Receipt, Settled};
pub use resource::{OpenBroker, open_broker};
#[cfg(feature = "rocketmq")]
pub use rocketmq::RocketMqBroker;
#[cfg(feature = "sqlite")]
pub use sqlite::{GroupState, SqliteBroker, SqliteBuilder, SqliteCounts, SqliteInspection, StoredMessage, StoredMessages};
pub use subscription::{Interest, StartFrom, Subscription, TagFilter};

pub use bytes::Bytes;
#[cfg(feature = "sqlite")]
pub use rusqlite;
