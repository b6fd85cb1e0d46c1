//! One connection per address, made when it is needed, and made again with growing pauses after it was lost.

use super::codes::{closed, error};
use super::connection::Connection;
use super::transport::Transport;
use crate::messaging::random::Random;
use crate::messaging::{Backoff, BrokerError, Class, ErrorKind};
use crate::sync::{Mutex, lock};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Between tries to connect to an address that cannot be reached.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// A connection that may be lost and made again.
pub(super) struct Link {
    address: Arc<str>,
    dialer: Arc<Dialer>,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    failed: u32,
    /// Not before this it is tried again, and why.
    pause: Option<(Instant, String)>,
}

/// How connections are made, and what ends them all.
pub(super) struct Dialer {
    pub(super) transport: Transport,
    pub(super) connect_timeout: Duration,
    pub(super) tasks: TaskTracker,
    pub(super) end: CancellationToken,
    /// What all tasks run on, wherever they are begun.
    pub(super) runtime: Handle,
}

impl Dialer {
    pub(super) fn link(self: &Arc<Dialer>, address: &str) -> Arc<Link> {
        Arc::new(Link { address: address.into(), dialer: self.clone(), state: tokio::sync::Mutex::default() })
    }
}

impl Link {
    /// The connection, a new one if the last was lost. Answers at once while a pause after a failure lasts.
    ///
    /// # Errors
    /// Safe: nothing was sent.
    pub(super) async fn get(&self) -> Result<Arc<Connection>, BrokerError> {
        let mut state = self.state.lock().await;
        if self.dialer.end.is_cancelled() {
            return Err(closed());
        }
        if let Some(connection) = state.connection.as_ref().filter(|connection| connection.is_good()) {
            return Ok(connection.clone());
        }
        if let Some((until, why)) = &state.pause
            && Instant::now() < *until
        {
            return Err(self.unreachable(why));
        }
        let connected = tokio::select! {
            connected = self.dialer.transport.connect(&self.address, self.dialer.connect_timeout) => connected,
            () = self.dialer.end.cancelled() => return Err(closed()),
        };
        match connected {
            Ok(stream) => {
                let connection = Arc::new(Connection::start(stream, &self.address, &self.dialer.tasks, &self.dialer.end));
                *state = State { connection: Some(connection.clone()), ..State::default() };
                Ok(connection)
            }
            Err(why) => {
                let failed = state.failed.saturating_add(1);
                let until = Instant::now() + BACKOFF.pause(failed, &mut Random::unique());
                *state = State { connection: None, failed, pause: Some((until, why.clone())) };
                Err(self.unreachable(&why))
            }
        }
    }

    fn unreachable(&self, why: &str) -> BrokerError {
        let text = format!("no connection to {}: {why}; see whether the server runs there and can be reached", self.address);
        error(ErrorKind::Disconnected, text).with_class(Class::RetryableSafe)
    }
}

/// The links of one client, by address.
pub(super) struct Links {
    dialer: Arc<Dialer>,
    links: Mutex<HashMap<Arc<str>, Arc<Link>>>,
}

impl Links {
    pub(super) fn new(dialer: Arc<Dialer>) -> Links {
        Links { dialer, links: Mutex::default() }
    }

    pub(super) fn to(&self, address: &str) -> Arc<Link> {
        let mut links = lock(&self.links);
        if let Some(link) = links.get(address) {
            return link.clone();
        }
        let link = self.dialer.link(address);
        links.insert(address.into(), link.clone());
        link
    }

    /// Drops the connections to addresses that are used no more.
    pub(super) fn keep(&self, used: impl Fn(&str) -> bool) {
        lock(&self.links).retain(|address, _| used(address));
    }
}
