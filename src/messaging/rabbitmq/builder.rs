//! Settings of the broker, and how it is opened.

use super::super::{BrokerError, ErrorKind, Limits};
use super::broker::RabbitMqBroker;
use super::fault::error;
use lapin::ConnectionProperties;
use lapin::tcp::OwnedTLSConfig;
use lapin::uri::AMQPUri;
use std::time::Duration;

/// What kind of queue a group gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueKind {
    /// Replicated where there are several nodes, on the disk of each, counting deliveries. It needs no more than one node.
    #[default]
    Quorum,
    /// On one node. It counts what failed, but not what a crash gave back.
    Classic,
}

/// Settings of a [`RabbitMqBroker`].
///
/// ```
/// use winddown::messaging::rabbitmq::{QueueKind, RabbitMqBroker};
/// use winddown::secs;
///
/// let builder = RabbitMqBroker::builder("amqp://orders:secret@rabbit.example:5672/shop")
///     .queues(QueueKind::Quorum)
///     .connect_timeout(secs(3))
///     .send_timeout(secs(5));
/// # let _ = builder;
/// ```
#[derive(Clone)]
#[must_use]
pub struct RabbitMqBuilder {
    url: String,
    properties: ConnectionProperties,
    tls: OwnedTLSConfig,
    limits: Limits,
    queue: QueueKind,
    declare: bool,
    prefetch: u16,
    connect_timeout: Duration,
    send_timeout: Duration,
    close_timeout: Duration,
}

impl RabbitMqBuilder {
    pub(super) fn new(url: &str) -> RabbitMqBuilder {
        RabbitMqBuilder {
            url: url.to_owned(),
            properties: ConnectionProperties::default(),
            tls: OwnedTLSConfig::default(),
            limits: Limits { batch: 256, ..Limits::default() },
            queue: QueueKind::default(),
            declare: true,
            prefetch: 256,
            connect_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
        }
    }

    /// The client library's own settings: name of the connection, authentication by another mechanism, a secret that is renewed. Leave its automatic
    /// recovery off; connections are made anew here.
    pub fn properties(mut self, properties: ConnectionProperties) -> RabbitMqBuilder {
        self.properties = properties;
        self
    }

    /// Certificates for `amqps://`, in the client library's own form. A TLS library has to be compiled in, by a feature of `lapin` in your
    /// Cargo.toml such as `rustls`.
    pub fn tls(mut self, tls: OwnedTLSConfig) -> RabbitMqBuilder {
        self.tls = tls;
        self
    }

    /// What it takes. Default: 4 MiB a message (the server's own limit is 128 MiB, and it likes them small), 127 bytes for a topic's name, 256
    /// messages a batch. A batch is at least 1.
    pub fn limits(mut self, limits: Limits) -> RabbitMqBuilder {
        self.limits = limits;
        self
    }

    /// The kind of queue that groups get. Default: [`QueueKind::Quorum`]. A queue stays what it was made as.
    pub fn queues(mut self, kind: QueueKind) -> RabbitMqBuilder {
        self.queue = kind;
        self
    }

    /// Makes exchanges, queues and bindings when they are needed. Default: yes. With `false` operators own them: what is missing is
    /// [`ErrorKind::UnknownTopic`] or [`ErrorKind::UnknownGroup`], and there are no delay queues, so a message with a delay is refused, and what is
    /// given back with one waits in the client.
    pub fn declare(mut self, declare: bool) -> RabbitMqBuilder {
        self.declare = declare;
        self
    }

    /// So many messages a subscription fetches ahead at most, beyond what is pulled and not settled. Default: 256; at least 1. Of those it
    /// fetches no more than a pull has asked for, except in the order of keys.
    pub fn prefetch(mut self, messages: u16) -> RabbitMqBuilder {
        self.prefetch = messages.max(1);
        self
    }

    /// For so long a connection, a channel or a declaration is waited for. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> RabbitMqBuilder {
        self.connect_timeout = timeout;
        self
    }

    /// For so long the server may take to confirm a message; then the send is [`ErrorKind::TimedOut`] and may have been stored. Default: 10 s.
    pub fn send_timeout(mut self, timeout: Duration) -> RabbitMqBuilder {
        self.send_timeout = timeout;
        self
    }

    /// For so long closing waits for the server, for each connection and each subscription. Default: 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> RabbitMqBuilder {
        self.close_timeout = timeout;
        self
    }

    /// Connects, and so finds out whether address, credentials and virtual host are right. Has to be called inside a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// - [`ErrorKind::Invalid`]: the URL cannot be read, or there is no such virtual host.
    /// - [`ErrorKind::Unauthorised`]: not with these credentials.
    /// - [`ErrorKind::Disconnected`], [`ErrorKind::TimedOut`]: nobody answers there.
    /// - [`ErrorKind::Unsupported`]: `amqps://` without a TLS library.
    pub async fn connect(self) -> Result<RabbitMqBroker, BrokerError> {
        RabbitMqBroker::open(self.settle()?).await
    }

    fn settle(self) -> Result<Settings, BrokerError> {
        let parsed = self.url.parse::<AMQPUri>();
        // Not the URL itself, which may have a password in it.
        let mut uri =
            parsed.map_err(|why| error(ErrorKind::Invalid, format!("the URL is not one of AMQP (amqp://user:password@host:port/vhost): {why}")))?;
        // The server's default of 60 s finds a dead peer after two minutes.
        uri.query.heartbeat.get_or_insert(10);
        let address = format!("`{}:{}`, virtual host `{}`", uri.authority.host, uri.authority.port, uri.vhost);
        Ok(Settings {
            uri,
            address,
            properties: self.properties,
            tls: self.tls,
            limits: Limits { batch: self.limits.batch.max(1), ..self.limits },
            queue: self.queue,
            declare: self.declare,
            prefetch: self.prefetch,
            connect_timeout: self.connect_timeout,
            send_timeout: self.send_timeout,
            close_timeout: self.close_timeout,
        })
    }
}

/// What was settled upon.
pub(super) struct Settings {
    pub(super) uri: AMQPUri,
    pub(super) address: String,
    pub(super) properties: ConnectionProperties,
    pub(super) tls: OwnedTLSConfig,
    pub(super) limits: Limits,
    pub(super) queue: QueueKind,
    pub(super) declare: bool,
    pub(super) prefetch: u16,
    pub(super) connect_timeout: Duration,
    pub(super) send_timeout: Duration,
    pub(super) close_timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_read_is_refused_without_its_password() {
        for url in ["", "orders", "http://u:secret@host/", "amqp://u:secret@host:notaport/"] {
            let error = RabbitMqBuilder::new(url).settle().map(drop).expect_err(url);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!error.text().contains("secret"), "{error}");
        }
        let settings = RabbitMqBuilder::new("amqp://u:secret@host:5673/shop").settle().expect("a URL");
        assert_eq!(settings.address, "`host:5673`, virtual host `shop`");
        assert_eq!(settings.uri.query.heartbeat, Some(10));
    }
}
