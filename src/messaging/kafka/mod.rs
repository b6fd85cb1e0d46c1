//! Apache Kafka as a broker, through librdkafka.
//!
//! Kafka keeps a log for each partition and one number for each group: the offset from which on to go on. It knows no acknowledgement of one
//! message, no giving back and no attempts. What the contract wants of that, this adapter does on the client's side, and keeps it honest:
//! `docs/kafka.md` says what comes of it and what does not.
//!
//! # Parts
//! `broker` sends and opens; `member` is what a subscription, its thread and librdkafka's callbacks share; `thread` is the only place that reads
//! from the server and that waits for it; `hold` is what was read and is not settled; `offsets` is what of it goes into a commit.
//!
//! # Invariants
//! - K1. A send is answered by the server's word on that record (`acks=all`), or by an error whose class says whether it may have been stored. A
//!   send whose future is dropped goes on inside the client.
//! - K2. A message is taken out of the hold after the last await of a pull: a pull that is dropped has taken nothing.
//! - K3. A receipt names one taking of one message by one subscription. With the revocation of its partition it is stale.
//! - K4. What is committed of a partition is never beyond what is not settled (O1), and is committed only by who has the partition.
//! - K5. Every wait for the server happens on the member's thread or on a blocking thread, and who awaits it has a time limit.
//! - K6. What is read and not settled is bounded by number and bytes; beyond that the member's partitions are paused.
//! - K7. A member's thread ends by leaving the group. It holds the last reference to its client; nothing of it runs after it has said so.

mod backlog;
mod broker;
mod builder;
mod context;
mod fault;
mod hold;
mod member;
mod names;
mod offsets;
mod producing;
mod rebalance;
mod subscription;
mod thread;
mod wire;

pub use broker::KafkaBroker;
pub use builder::KafkaBuilder;
pub use rdkafka;
