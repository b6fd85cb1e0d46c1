//! Settings of the client, and how it is connected.

use super::super::{BrokerError, ErrorKind};
use super::broker::KafkaBroker;
use super::fault::NAME;
use super::wire::OVERHEAD;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use std::fmt;
use std::time::Duration;

/// Settings of a [`KafkaBroker`].
///
/// What is not here is set by its name in librdkafka's own configuration with [`set`](KafkaBuilder::set): encryption, credentials, time-outs.
///
/// ```no_run
/// use winddown::{messaging::kafka::KafkaBroker, secs};
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = KafkaBroker::builder("kafka-1:9092,kafka-2:9092")
///     .connect_timeout(secs(3))
///     .set("security.protocol", "SASL_PLAINTEXT")
///     .set("sasl.mechanism", "PLAIN")
///     .set("sasl.username", "orders")
///     .set("sasl.password", std::env::var("KAFKA_PASSWORD")?)
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct KafkaBuilder {
    pub(super) servers: String,
    own: Vec<(String, String)>,
    pub(super) connect_timeout: Duration,
    pub(super) send_timeout: Duration,
    pub(super) join_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) commit_every: Duration,
    pub(super) session_timeout: Duration,
    pub(super) hold_messages: usize,
    pub(super) hold_bytes: usize,
    pub(super) message_bytes: usize,
    pub(super) metadata_bytes: usize,
}

impl KafkaBuilder {
    pub(super) fn new(servers: &str) -> KafkaBuilder {
        KafkaBuilder {
            servers: servers.strip_prefix("kafka://").unwrap_or(servers).trim_end_matches('/').to_owned(),
            own: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(10),
            join_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            commit_every: Duration::from_secs(1),
            session_timeout: Duration::from_secs(30),
            // In the worst order these still fit into the metadata of a commit, with their attempts.
            hold_messages: 1_000,
            hold_bytes: 64 << 20,
            message_bytes: 1_000_000,
            // What a server takes unless it is told otherwise, less a reserve.
            metadata_bytes: 4_000,
        }
    }

    /// For how long a connection is tried for, and a question to the server waited for. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> KafkaBuilder {
        self.connect_timeout = timeout;
        self
    }

    /// When a send without an answer is given up, as ambiguous. Within it the client itself tries again, which makes no duplicates. Default: 10 s.
    pub fn send_timeout(mut self, timeout: Duration) -> KafkaBuilder {
        self.send_timeout = timeout;
        self
    }

    /// How long joining a group may take, with the wait of others for it. Default: 30 s.
    pub fn join_timeout(mut self, timeout: Duration) -> KafkaBuilder {
        self.join_timeout = timeout;
        self
    }

    /// How long a commit or a close waits for the server. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> KafkaBuilder {
        self.close_timeout = timeout;
        self
    }

    /// How often what was settled is committed, without anybody asking for it. After a crash, so much may come again. Default: 1 s.
    pub fn commit_every(mut self, interval: Duration) -> KafkaBuilder {
        self.commit_every = interval;
        self
    }

    /// When a member that is not heard of is taken for dead, and others get its partitions. Servers take 6 s to 30 min. Default: 30 s.
    pub fn session_timeout(mut self, timeout: Duration) -> KafkaBuilder {
        self.session_timeout = timeout;
        self
    }

    /// So many messages, of so many bytes, a subscription reads and has not settled, at most about; then it reads no more until half of them are
    /// settled. What is put off counts. Default: 1,000 messages, 64 MiB.
    pub fn hold(mut self, messages: usize, bytes: usize) -> KafkaBuilder {
        (self.hold_messages, self.hold_bytes) = (messages.max(1), bytes.max(1));
        self
    }

    /// Bytes of one message, by its [size](super::super::Message::size). More than 1,000,000 needs a server with a higher `message.max.bytes`, which
    /// has to be 40,000 more than this. Default: 1,000,000.
    pub fn message_bytes(mut self, bytes: usize) -> KafkaBuilder {
        self.message_bytes = bytes;
        self
    }

    /// Bytes that a commit's metadata may have; no more than the server's `offset.metadata.max.bytes`. Default: 4,000.
    pub fn metadata_bytes(mut self, bytes: usize) -> KafkaBuilder {
        self.metadata_bytes = bytes;
        self
    }

    /// A setting of librdkafka, for producer and consumers. It replaces this crate's own, except for those on which its promises stand: `acks`,
    /// `enable.idempotence`, `enable.auto.commit`, `enable.auto.offset.store`, `auto.offset.reset`.
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> KafkaBuilder {
        self.own.push((name.into(), value.into()));
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ErrorKind::Disconnected`] or [`ErrorKind::TimedOut`] where no server answers within the connect time-out, both safe to try again;
    /// [`ErrorKind::Unauthorised`]; [`ErrorKind::Invalid`] for a setting that is none.
    pub async fn connect(self) -> Result<KafkaBroker, BrokerError> {
        if self.servers.is_empty() {
            return Err(BrokerError::new(NAME, ErrorKind::Invalid, "an address is missing: say `host:port`, several with commas between"));
        }
        KafkaBroker::open(self).await
    }

    /// What all clients have in common.
    pub(super) fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.servers)
            .set("client.id", "winddown")
            // A server that comes back is found within a second.
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000")
            // Said by errors, which name the reason.
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// `own` last but for what the promises stand on.
    fn finish(&self, mut config: ClientConfig, fixed: &[(&str, &str)]) -> ClientConfig {
        for (name, value) in &self.own {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config
    }

    pub(super) fn plain(&self) -> ClientConfig {
        self.finish(self.common(), &[])
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("message.timeout.ms", self.send_timeout.as_millis().max(100).to_string())
            .set("message.max.bytes", (self.message_bytes + OVERHEAD).to_string())
            // What is sent at the same moment goes together; nobody waits for more.
            .set("linger.ms", "1")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "65536")
            // As Java's client: who sends with the same key from there, sends to the same partition.
            .set("partitioner", "murmur2_random");
        self.finish(config, &[("enable.idempotence", "true"), ("acks", "all")])
    }

    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.common();
        // In the newer protocol of groups these are the server's to say.
        if !self.own.iter().any(|(name, value)| name == "group.protocol" && value.eq_ignore_ascii_case("consumer")) {
            config
                .set("session.timeout.ms", self.session_timeout.as_millis().to_string())
                // Whoever comes or goes is noticed by the others within half a second.
                .set("heartbeat.interval.ms", "500")
                // Who stays keeps its partitions, and what it holds of them, when others come and go.
                .set("partition.assignment.strategy", "cooperative-sticky");
        }
        config
            // The library reads ahead of the hold; little, since what is read ahead is read again after a pause.
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.message.max.bytes", (self.message_bytes + OVERHEAD).max(1 << 20).to_string())
            .set("fetch.error.backoff.ms", "100");
        let fixed = [
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // Where a group begins is decided by the adapter. This is for a log that was cut under a group: nothing that is left is skipped.
            ("auto.offset.reset", "earliest"),
        ];
        self.finish(config, &fixed)
    }
}

impl fmt::Debug for KafkaBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Settings of the library may be passwords: their names only.
        let own: Vec<_> = self.own.iter().map(|(name, _)| name).collect();
        f.debug_struct("KafkaBuilder").field("servers", &self.servers).field("set", &own).finish_non_exhaustive()
    }
}
