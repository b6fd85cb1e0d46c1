//! Settings of the client, and how it is connected.

use super::acl::Credentials;
use super::broker::{Face, RocketMqBroker};
use super::client::{Client, Settings};
use super::codes::error;
use super::delay::Delays;
use super::links::Dialer;
use super::names::TOPIC_BYTES;
use super::transport::{Stream, Transport};
use crate::messaging::random::Random;
use crate::messaging::{BrokerError, Class, ErrorKind, Limits};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Settings of a [`RocketMqBroker`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RocketMqBuilder {
    settings: Settings,
    transport: Transport,
    connect_timeout: Duration,
    given: String,
}

impl RocketMqBuilder {
    pub(super) fn new(name_servers: &str) -> RocketMqBuilder {
        let list = name_servers.split([';', ',']).map(str::trim).filter(|server| !server.is_empty());
        let settings = Settings {
            name_servers: list.map(|server| server.strip_prefix("rocketmq://").unwrap_or(server).into()).collect(),
            credentials: None,
            limits: Limits { topic_bytes: TOPIC_BYTES, batch: 100, ..Limits::default() },
            request_timeout: Duration::from_secs(3),
            close_timeout: Duration::from_secs(5),
            compress_from: 4096,
            weak_is_ok: false,
            delays: Delays::Any,
            producer_group: "winddown".to_owned(),
        };
        RocketMqBuilder { settings, transport: Transport::default(), connect_timeout: Duration::from_secs(5), given: name_servers.to_owned() }
    }

    /// Who it is, where brokers ask for it. Default: nobody.
    pub fn credentials(mut self, credentials: Credentials) -> RocketMqBuilder {
        self.settings.credentials = Some(credentials);
        self
    }

    /// What each TCP connection is wrapped in: TLS, with a library of your choice. The function gets the connected stream and the address, and
    /// its time counts against the connect timeout. Default: nothing.
    ///
    /// ```
    /// use winddown::messaging::RocketMqBroker;
    ///
    /// let builder = RocketMqBroker::builder("mq.example:9876").wrap(|stream, _address| async move {
    ///     // connector.connect(server_name, stream).await
    ///     Ok::<_, std::io::Error>(stream)
    /// });
    /// # let _ = builder;
    /// ```
    pub fn wrap<F, R, S>(mut self, wrap: F) -> RocketMqBuilder
    where
        F: Fn(TcpStream, String) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<S>> + Send + 'static,
        S: Stream,
    {
        self.transport = Transport::new(wrap);
        self
    }

    /// For so long a connection may take to be made. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> RocketMqBuilder {
        self.connect_timeout = timeout;
        self
    }

    /// For so long an answer is waited for. Default: 3 s.
    pub fn request_timeout(mut self, timeout: Duration) -> RocketMqBuilder {
        self.settings.request_timeout = timeout;
        self
    }

    /// For so long leaving a group may take, with what it gives back. Default: 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> RocketMqBuilder {
        self.settings.close_timeout = timeout;
        self
    }

    /// What it takes. Default: 4 MiB a message, as the broker's `maxMessageSize`, and 100 messages a batch. A batch is one request: as a whole it is
    /// no larger than a message.
    pub fn limits(mut self, limits: Limits) -> RocketMqBuilder {
        self.settings.limits = Limits { topic_bytes: limits.topic_bytes.min(TOPIC_BYTES), batch: limits.batch.max(1), ..limits };
        self
    }

    /// Bodies of more bytes than this are compressed with zlib; `usize::MAX` for never. Default: 4096. Those of a batch never are.
    pub fn compress_from(mut self, bytes: usize) -> RocketMqBuilder {
        self.settings.compress_from = bytes;
        self
    }

    /// A message that is stored, but not flushed or replicated in time (codes 10, 11 and 12), counts as sent. Default: no, it is an ambiguous
    /// error, and the next try may find another broker in better health.
    pub fn weak_durability_is_ok(mut self, ok: bool) -> RocketMqBuilder {
        self.settings.weak_is_ok = ok;
        self
    }

    /// Which delays the broker can do. Default: any.
    pub fn delays(mut self, delays: Delays) -> RocketMqBuilder {
        self.settings.delays = delays;
        self
    }

    /// The group that sends are attributed to in the broker's statistics and permissions. Default: `winddown`.
    pub fn producer_group(mut self, group: impl Into<String>) -> RocketMqBuilder {
        self.settings.producer_group = group.into();
        self
    }

    /// Connects: asks a name server which brokers there are.
    ///
    /// # Errors
    /// [`ErrorKind::Disconnected`] when no name server answers within the connect timeout, [`ErrorKind::Invalid`] for a bad list of them.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O.
    pub async fn connect(self) -> Result<RocketMqBroker, BrokerError> {
        let is_address = |server: &str| server.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if self.settings.name_servers.is_empty() || !self.settings.name_servers.iter().all(|server| is_address(server)) {
            let text = format!("`{}` is no list of name servers: write `host:port`, several of them apart by `;`", self.given);
            return Err(error(ErrorKind::Invalid, text));
        }
        let dialer = Arc::new(Dialer {
            transport: self.transport,
            connect_timeout: self.connect_timeout,
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            runtime: Handle::current(),
        });
        let id = format!("winddown-{}-{:016x}", std::process::id(), Random::unique().next());
        let client = Arc::new(Client::new(self.settings, dialer, id));
        // Should nobody wait any more, its drop ends what was begun.
        let face = Arc::new(Face { client: client.clone() });
        let bound = self.connect_timeout;
        let greeted = timeout(bound, client.greet()).await;
        greeted.unwrap_or_else(|_| {
            let text = format!("no name server of `{}` answered within {} ms", self.given, bound.as_millis());
            Err(error(ErrorKind::Disconnected, text).with_class(Class::RetryableSafe))
        })?;
        client.dialer.tasks.spawn(client.clone().keep_alive());
        Ok(RocketMqBroker(face))
    }
}
