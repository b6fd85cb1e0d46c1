//! The way to the server: a connection that is made anew whenever it is lost, until the link is closed.
//!
//! Invariants:
//! 1. What is asked while there is no connection is refused at once and was never written; so the caller's own retries, with their budget and
//!    outbox, see the outage, and no queue of the library's grows in secret.
//! 2. What is asked before a break is answered within the break's first notice: nobody waits out a time limit for an answer that is lost.
//! 3. After the close nothing is left: the task that dials, the connection and the library's tasks have ended, or the close has said so.

use super::super::backoff::Backoff;
use super::super::random::Random;
use super::super::{BrokerError, ErrorKind};
use super::fault::{Lost, NAME, Refusal, closed};
use super::line::{Line, Listener, dial};
use async_nats::{ConnectOptions, HeaderMap, ServerAddr};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How a link connects.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) servers: Vec<ServerAddr>,
    /// The addresses without passwords, for errors.
    pub(super) shown: Arc<str>,
    pub(super) options: ConnectOptions,
    pub(super) listener: Option<Listener>,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) reconnect: Backoff,
    /// What JetStream's own subjects begin with, without a dot at the end.
    pub(super) api: Arc<str>,
}

pub(super) struct Link {
    way: Way,
    line: watch::Sender<State>,
    /// Of the server's last word.
    max_payload: AtomicUsize,
    closing: CancellationToken,
}

#[derive(Clone)]
enum State {
    Up(Line),
    Down(Arc<str>),
}

impl Link {
    /// Connects; the task that keeps it so is one of these.
    pub(super) async fn open(way: Way, tasks: &TaskTracker) -> Result<Arc<Link>, BrokerError> {
        let line = dial(&way.servers, &way.shown, way.options.clone(), way.listener.clone(), way.connect_timeout).await?;
        let max_payload = AtomicUsize::new(line.client.max_payload());
        let link = Arc::new(Link { way, line: watch::Sender::new(State::Up(line.clone())), max_payload, closing: CancellationToken::new() });
        tasks.spawn(keep(link.clone(), line));
        Ok(link)
    }

    /// The connection there is.
    pub(super) fn line(&self) -> Result<Line, Lost> {
        let lost = match &*self.line.borrow() {
            State::Up(line) if line.is_up() => {
                self.max_payload.store(line.client.max_payload(), Ordering::Relaxed);
                return Ok(line.clone());
            }
            State::Up(_) => "the connection broke".to_owned(),
            State::Down(why) => why.to_string(),
        };
        Err(if self.closing.is_cancelled() { Lost::Closed } else { Lost::Down(lost) })
    }

    pub(super) fn max_payload(&self) -> usize {
        self.max_payload.load(Ordering::Relaxed)
    }

    /// Asks and waits for the answer.
    pub(super) async fn request(&self, subject: &str, headers: Option<HeaderMap>, payload: Bytes) -> Result<async_nats::Message, Lost> {
        let line = self.line()?;
        line.request(subject, headers, payload, self.way.request_timeout).await
    }

    /// The subject of JetStream's API with this name.
    pub(super) fn api(&self, name: &str) -> String {
        format!("{}.{name}", self.way.api)
    }

    /// Asks JetStream's API. The inner answer is its refusal.
    pub(super) async fn ask<T: DeserializeOwned>(&self, name: &str, question: &impl Serialize) -> Result<Result<T, Refusal>, BrokerError> {
        let question = serde_json::to_vec(question).map_err(|error| BrokerError::new(NAME, ErrorKind::Invalid, error.to_string()))?;
        let answer = self.request(&self.api(name), None, question.into()).await.map_err(Lost::into_error)?;
        read(&answer.payload)
    }

    /// Ends it: what is under way is written, then the connection is given up. For so long at most.
    pub(super) async fn close(&self, within: Duration) -> Result<(), BrokerError> {
        self.closing.cancel();
        let last = self.line.send_replace(State::Down("it was closed".into()));
        let State::Up(mut line) = last else { return Ok(()) };
        let ended = timeout(within, async {
            if line.is_up() {
                let _ = line.client.flush().await;
            }
            let _ = line.client.drain().await;
            line.flow.wait_for(|flow| flow.ended).await.is_ok()
        });
        match ended.await {
            Ok(_) => Ok(()),
            Err(_) => {
                let text = format!("the connection did not end within {} ms; it does when the server answers or is gone", within.as_millis());
                Err(BrokerError::new(NAME, ErrorKind::TimedOut, text))
            }
        }
    }
}

/// What JetStream answers: something, or an error.
pub(super) fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<Result<T, Refusal>, BrokerError> {
    let strange = |error: serde_json::Error| BrokerError::new(NAME, ErrorKind::Other, format!("an answer that is not JetStream's: {error}"));
    let mut value: serde_json::Value = serde_json::from_slice(payload).map_err(strange)?;
    match value.get_mut("error").map(serde_json::Value::take) {
        Some(error) => serde_json::from_value(error).map(Err).map_err(strange),
        None => serde_json::from_value(value).map(Ok).map_err(strange),
    }
}

/// Watches the connection and makes a new one when the library has given it up.
async fn keep(link: Arc<Link>, mut line: Line) {
    let mut servers = link.way.servers.clone();
    loop {
        // What the cluster told of itself is worth trying too.
        if let Ok(Ok(known)) = timeout(link.way.request_timeout, line.client.server_pool()).await {
            servers.extend(known.into_iter().map(|server| server.addr));
            servers.dedup();
            let mut seen = std::collections::HashSet::new();
            servers.retain(|server| seen.insert(server.clone()));
        }
        tokio::select! {
            () = link.closing.cancelled() => return,
            _ = line.flow.wait_for(|flow| flow.ended) => {}
        }
        let Some(new) = redial(&link, &servers).await else { return };
        line = new;
    }
}

/// Tries until there is a connection, or nobody wants one.
async fn redial(link: &Link, servers: &[ServerAddr]) -> Option<Line> {
    let way = &link.way;
    let mut random = Random::unique();
    link.line.send_replace(State::Down("the connection was lost".into()));
    for tries in 1.. {
        let dialling = async {
            sleep(way.reconnect.pause(tries, &mut random)).await;
            dial(servers, &way.shown, way.options.clone(), way.listener.clone(), way.connect_timeout).await
        };
        let dialled = tokio::select! { () = link.closing.cancelled() => return None, dialled = dialling => dialled };
        match dialled {
            Ok(line) => {
                let kept = link.line.send_if_modified(|state| {
                    let open = !link.closing.is_cancelled();
                    if open {
                        *state = State::Up(line.clone());
                    }
                    open
                });
                if kept {
                    return Some(line);
                }
                let _ = line.client.drain().await;
                return None;
            }
            Err(error) => drop(link.line.send_replace(State::Down(error.text().into()))),
        }
    }
    None
}

/// After the close, whatever was asked.
pub(super) fn until_closed(closing: &CancellationToken) -> Result<(), BrokerError> {
    if closing.is_cancelled() { Err(closed()) } else { Ok(()) }
}
