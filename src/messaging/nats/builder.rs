//! Settings, and how the client connects.

use super::super::{Backoff, BrokerError, ErrorKind};
use super::broker::NatsBroker;
use super::codec::unescape;
use super::core::Core;
use super::fault::{Lost, NAME};
use super::groups;
use super::line::Listener;
use super::link::{Link, Way};
use super::streams::{self, Streams};
use crate::sync::Mutex;
use async_nats::jetstream::{consumer, stream};
use async_nats::{ConnectOptions, Event, ServerAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Settings of a [`NatsBroker`].
///
/// ```no_run
/// use winddown::messaging::{NatsBroker, nats::async_nats::ConnectOptions};
/// use winddown::secs;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let broker = NatsBroker::builder("nats://one:4222,nats://two:4222")
///     .options(ConnectOptions::new().credentials_file("orders.creds").await?.name("orders"))
///     .stream(|stream| {
///         stream.num_replicas = 3;
///         stream.max_age = secs(7 * 24 * 3600);
///     })
///     .connect()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use]
pub struct NatsBuilder {
    url: String,
    options: Option<ConnectOptions>,
    listener: Option<Listener>,
    connect_timeout: Duration,
    request_timeout: Duration,
    close_timeout: Duration,
    reconnect: Backoff,
    api: Arc<str>,
    declare: bool,
    delays: bool,
    stream: Option<streams::Shape>,
    consumer: Option<groups::Shape>,
}

impl NatsBuilder {
    pub(super) fn new(url: String) -> NatsBuilder {
        NatsBuilder {
            url,
            options: None,
            listener: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(5),
            reconnect: Backoff::new(Duration::from_millis(50), Duration::from_secs(2)),
            api: "$JS.API".into(),
            declare: true,
            delays: false,
            stream: None,
            consumer: None,
        }
    }

    /// The client library's own options: credentials, TLS, names, pings. Of these, connection timeout, number of reconnects and event callback are
    /// the adapter's: see [`connect_timeout`](NatsBuilder::connect_timeout), [`reconnect`](NatsBuilder::reconnect) and
    /// [`on_event`](NatsBuilder::on_event). Default: the library's, with a ping every 10 s.
    pub fn options(mut self, options: ConnectOptions) -> NatsBuilder {
        self.options = Some(options);
        self
    }

    /// Called for each event of the connection: connected, lost, slow, refused. It must return at once. Default: nobody is.
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> NatsBuilder {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// For so long a connection may take, the first and each later one. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> NatsBuilder {
        self.connect_timeout = timeout;
        self
    }

    /// For so long an answer of the server is awaited: then it may have done what was asked, or not. Default: 5 s.
    pub fn request_timeout(mut self, timeout: Duration) -> NatsBuilder {
        self.request_timeout = timeout;
        self
    }

    /// For so long each step of a close may take: ending what is under way, giving back what is held, ending the connection. Default: 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> NatsBuilder {
        self.close_timeout = timeout;
        self
    }

    /// The pauses before each try to get a lost connection back, for ever. Default: from 50 ms to 2 s.
    pub fn reconnect(mut self, backoff: Backoff) -> NatsBuilder {
        self.reconnect = backoff;
        self
    }

    /// JetStream of another domain, by way of leaf nodes. Default: the account's own.
    pub fn domain(mut self, domain: &str) -> NatsBuilder {
        self.api = format!("$JS.{domain}.API").into();
        self
    }

    /// Are streams made where no stream takes a topic? Without it such a topic is [`ErrorKind::UnknownTopic`]. Groups are made in either case.
    /// Default: yes.
    pub fn declare(mut self, declare: bool) -> NatsBuilder {
        self.declare = declare;
        self
    }

    /// Are new streams made so that messages may be sent with a delay? For servers from 2.12 on; streams that exist are left as they are. Such a
    /// stream cannot refuse what is too much: give it a limit, and it forgets its oldest messages instead (`discard: old`). Default: no, and a
    /// message with a delay is [`ErrorKind::Unsupported`].
    pub fn delays(mut self, delays: bool) -> NatsBuilder {
        self.delays = delays;
        self
    }

    /// Changes what a new stream is made with: replicas, limits, storage, the window in which duplicates are found. What exists is left as it is.
    /// Default: one replica, in files, without limits, `discard: new`, duplicates found for 2 min.
    pub fn stream(mut self, shape: impl Fn(&mut stream::Config) + Send + Sync + 'static) -> NatsBuilder {
        self.stream = Some(Arc::new(shape));
        self
    }

    /// Changes what a new group's consumer is made with. What exists is left as it is. Default: acknowledged one by one, delivered again without end,
    /// up to 20,000 unsettled.
    pub fn consumer(mut self, shape: impl Fn(&mut consumer::Config) + Send + Sync + 'static) -> NatsBuilder {
        self.consumer = Some(Arc::new(shape));
        self
    }

    /// Connects, and asks whether there is JetStream.
    ///
    /// # Errors
    /// Each names the servers.
    /// - [`ErrorKind::Disconnected`] and [`ErrorKind::TimedOut`], safe to try again: nobody there, or no answer within the connect timeout.
    /// - [`ErrorKind::Unauthorised`]: not with these credentials or certificates.
    /// - [`ErrorKind::Invalid`]: the url cannot be one.
    /// - [`ErrorKind::Unsupported`]: the server, or the account, has no JetStream.
    pub async fn connect(self) -> Result<NatsBroker, BrokerError> {
        let (servers, shown) = addresses(&self.url)?;
        let options = self.options.unwrap_or_else(|| ConnectOptions::new().ping_interval(Duration::from_secs(10)));
        let way = Way {
            options: with_login(options, &servers),
            servers,
            shown: shown.clone(),
            listener: self.listener,
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            reconnect: self.reconnect,
            api: self.api,
        };
        let tasks = TaskTracker::new();
        let link = Link::open(way, &tasks).await?;
        if let Err(error) = has_jetstream(&link, &shown).await {
            let _ = link.close(self.close_timeout).await;
            return Err(error);
        }
        let core = Arc::new(Core {
            streams: Streams::new(link.clone(), self.declare, self.delays, self.stream),
            link,
            consumer_shape: self.consumer,
            shutting: CancellationToken::new(),
            members: TaskTracker::new(),
            close_timeout: self.close_timeout,
            trouble: Mutex::default(),
        });
        Ok(NatsBroker::start(core, shown, &tasks))
    }
}

/// The servers, and how they are shown: without what is secret.
fn addresses(url: &str) -> Result<(Vec<ServerAddr>, Arc<str>), BrokerError> {
    let invalid = |text: String| BrokerError::new(NAME, ErrorKind::Invalid, text);
    let servers: Result<Vec<ServerAddr>, _> = url.split(',').map(|one| one.trim().parse()).collect();
    // The text itself may have a password in it.
    let servers = servers.map_err(|error| invalid(format!("an address is `nats://host:port`, several are separated by commas: {error}")))?;
    if servers.iter().any(|server| server.host().is_empty()) {
        return Err(invalid("an address has no host: it is `nats://host:port`, several are separated by commas".into()));
    }
    let shown: Vec<_> = servers.iter().map(|server| format!("{}://{}:{}", server.scheme(), server.host(), server.port())).collect();
    Ok((servers, shown.join(",").into()))
}

/// The library itself passes over what stands in an address.
fn with_login(options: ConnectOptions, servers: &[ServerAddr]) -> ConnectOptions {
    match servers.iter().find_map(|server| Some((server.username()?, server.password()))) {
        Some((user, Some(password))) => options.user_and_password(unescape(user), unescape(password)),
        Some((token, None)) => options.token(unescape(token)),
        None => options,
    }
}

async fn has_jetstream(link: &Link, shown: &str) -> Result<(), BrokerError> {
    let none = |text: &str| BrokerError::new(NAME, ErrorKind::Unsupported, format!("{shown}: {text}"));
    let asked = link.request(&link.api("INFO"), None, bytes::Bytes::new()).await;
    let answer = match asked {
        Ok(answer) => answer,
        // The account may use JetStream and not ask about it.
        Err(Lost::Denied(_)) => return Ok(()),
        Err(Lost::NoResponders) => return Err(none("no JetStream there: start the server with `-js`, or enable it for the account")),
        Err(lost) => {
            let error = lost.into_error();
            let text = format!("{shown}: {}", error.text());
            return Err(BrokerError::new(NAME, error.kind(), text).with_class(super::super::Class::RetryableSafe));
        }
    };
    match super::link::read::<serde_json::Value>(&answer.payload)? {
        Ok(_) => Ok(()),
        Err(refusal) => {
            let error = refusal.into_error();
            let text = format!("{shown}: {}", error.text());
            let code = error.code().unwrap_or_default();
            Err(BrokerError::new(NAME, error.kind(), text).with_class(error.class()).with_code(code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_their_secrets() {
        let (servers, shown) = addresses("nats://user:se%63ret@one:1, tls://two,three:3").unwrap();
        assert_eq!(servers.len(), 3);
        assert_eq!(&*shown, "nats://one:1,tls://two:4222,nats://three:3");
        for bad in ["", "http://one", "nats://se:cret@one:port"] {
            let error = addresses(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!error.to_string().contains("cret"), "{error}");
        }
    }
}
