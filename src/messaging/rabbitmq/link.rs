//! One connection to the server, made anew when it was lost.
//!
//! Nobody waits longer than the connect timeout: a try that failed is answered to everybody who asks during the pause after it. A socket that is
//! given up is shut down, so that the client library's thread behind it ends too.

use super::super::random::Random;
use super::super::{Backoff, BrokerError, ErrorKind};
use super::builder::Settings;
use super::fault::{Stage, closed, error, failed, late};
use crate::sync::{Mutex, lock};
use lapin::options::ConfirmSelectOptions;
use lapin::tcp::{AMQPUriTcpExt, AsyncTcpStream};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection};
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Between tries to connect.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// Where the socket is found that the library has.
type Socket = Arc<Mutex<Option<std::net::TcpStream>>>;

/// A connection, up or not.
pub(super) struct Live {
    connection: Connection,
    socket: Socket,
}

impl Live {
    pub(super) fn is_up(&self) -> bool {
        self.connection.status().connected()
    }

    /// Has the server said that it takes no messages for now?
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }
}

pub(super) struct Link {
    settings: Arc<Settings>,
    live: tokio::sync::Mutex<State>,
    closed: AtomicBool,
}

struct State {
    live: Option<Arc<Live>>,
    failed: u32,
    /// What the last try was answered, and until when that is everybody's answer.
    pause: Option<(Instant, BrokerError)>,
    random: Random,
}

impl Link {
    pub(super) fn new(settings: Arc<Settings>) -> Link {
        let state = State { live: None, failed: 0, pause: None, random: Random::fresh() };
        Link { settings, live: tokio::sync::Mutex::new(state), closed: AtomicBool::new(false) }
    }

    /// The connection, made if there is none.
    ///
    /// Cancel safe: a try that is dropped is as if it had not been.
    ///
    /// # Errors
    /// Why there is none, within the connect timeout and what a try before it has left of its own.
    pub(super) async fn connection(&self) -> Result<Arc<Live>, BrokerError> {
        let mut state = self.live.lock().await;
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        if let Some(live) = state.live.as_ref().filter(|live| live.is_up()) {
            return Ok(live.clone());
        }
        if let Some((until, error)) = state.pause.as_ref().filter(|(until, _)| Instant::now() < *until) {
            let _ = until;
            return Err(error.clone());
        }
        state.live = None;
        match open(&self.settings).await {
            Ok(live) => {
                let live = Arc::new(live);
                (state.live, state.failed, state.pause) = (Some(live.clone()), 0, None);
                Ok(live)
            }
            Err(error) => {
                state.failed = state.failed.saturating_add(1);
                let State { failed, random, .. } = &mut *state;
                let pause = BACKOFF.pause(*failed, random);
                state.pause = Some((Instant::now() + pause, error.clone()));
                Err(error)
            }
        }
    }

    /// A channel of its own, and the connection that it is on.
    ///
    /// # Errors
    /// As [`connection`](Link::connection); no answer in time.
    pub(super) async fn channel(&self, confirms: bool) -> Result<(Arc<Live>, Channel), BrokerError> {
        let live = self.connection().await?;
        let opening = async {
            let channel = live.connection.create_channel().await?;
            if confirms {
                channel.confirm_select(ConfirmSelectOptions::default()).await?;
            }
            Ok(channel)
        };
        let what = "opening a channel";
        let opened = timeout(self.settings.connect_timeout, opening).await;
        match opened {
            Ok(Ok(channel)) => Ok((live, channel)),
            Ok(Err(fault)) => Err(failed(what, &fault, Stage::Before)),
            Err(_) => Err(late(what, Stage::Before)),
        }
    }

    /// Ends it, in an orderly way if the server answers in time.
    pub(super) async fn close(&self, within: Duration) -> Result<(), BrokerError> {
        self.closed.store(true, Ordering::Release);
        let taken = self.live.lock().await.live.take();
        let Some(live) = taken.filter(|live| live.is_up()) else { return Ok(()) };
        match timeout(within, live.connection.close(200, "the client was closed".into())).await {
            Ok(Ok(())) => Ok(()),
            // It was lost meanwhile: that is closed as well.
            Ok(Err(_)) => Ok(()),
            Err(_) => {
                cut(&live.socket);
                Err(late("closing the connection", Stage::Before))
            }
        }
    }
}

fn cut(socket: &Socket) {
    if let Some(socket) = lock(socket).take() {
        // Lost already, perhaps.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// Shuts the socket of a try that was given up, by a timeout or by its caller.
struct Given {
    socket: Socket,
    up: bool,
}

impl Drop for Given {
    fn drop(&mut self) {
        if !self.up {
            cut(&self.socket);
        }
    }
}

async fn open(settings: &Settings) -> Result<Live, BrokerError> {
    let what = format!("connecting to {}", settings.address);
    let socket = Socket::default();
    let mut given = Given { socket: socket.clone(), up: false };
    let runtime = lapin::runtime::default_runtime().map_err(|fault| failed(&what, &fault, Stage::Before))?;
    let (for_library, reactor, tls, within) = (socket.clone(), runtime.clone(), settings.tls.clone(), settings.connect_timeout);
    let connect = async move |uri: AMQPUri, _| {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        // Without TLS first, so that the socket itself is at hand.
        let mut plain = uri.clone();
        plain.scheme = AMQPScheme::AMQP;
        let stream = timeout(within, plain.connect_async(&reactor)).await.map_err(late)??;
        if let AsyncTcpStream::Plain(stream) = &stream {
            *lock(&for_library) = Some(stream.get_ref().as_fd().try_clone_to_owned()?.into());
        }
        if uri.scheme == AMQPScheme::AMQP {
            return Ok(stream);
        }
        let stream = timeout(within, stream.into_tls(&uri.authority.host, tls.as_ref())).await;
        match stream.map_err(late)?? {
            // Without a TLS library the client library goes on in the clear.
            AsyncTcpStream::Plain(_) => Err(io::Error::new(io::ErrorKind::Unsupported, NO_TLS).into()),
            stream => Ok(stream),
        }
    };
    let opening = Connection::connector(settings.uri.clone(), runtime, connect, settings.properties.clone());
    match timeout(settings.connect_timeout, opening).await {
        Ok(Ok(connection)) => {
            given.up = true;
            Ok(Live { connection, socket })
        }
        Ok(Err(fault)) if is_without_tls(&fault) => Err(error(ErrorKind::Unsupported, format!("{what}: {NO_TLS}"))),
        Ok(Err(fault)) => Err(failed(&what, &fault, Stage::Before)),
        Err(_) => Err(late(&what, Stage::Before)),
    }
}

const NO_TLS: &str =
    "no TLS library is compiled in: add `lapin = { version = \"4\", default-features = false, features = [\"rustls\"] }` to your Cargo.toml";

fn is_without_tls(fault: &lapin::Error) -> bool {
    matches!(fault.kind(), lapin::ErrorKind::IOError(io) if io.kind() == io::ErrorKind::Unsupported)
}
