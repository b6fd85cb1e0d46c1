//! One connection of the client library's: what becomes of it, and requests over it.

use super::super::BrokerError;
use super::fault::{Lost, unconnected};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, Request, RequestErrorKind, ServerAddr, ServerError};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// So many refusals of the server's may wait to be heard.
const DENIALS: usize = 64;

/// Hears what the connection tells of itself.
pub(super) type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// What became of a connection so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    /// How often it broke; the library has mended it since, or tries to.
    pub(super) breaks: u64,
    /// The library has given it up, and nothing of it is left: no task, no socket.
    pub(super) ended: bool,
}

#[derive(Clone)]
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) flow: watch::Receiver<Flow>,
    denials: broadcast::Sender<Arc<str>>,
}

/// Lives in the library's event task, which ends after the connection.
struct Ear {
    flow: watch::Sender<Flow>,
    denials: broadcast::Sender<Arc<str>>,
    listener: Option<Listener>,
}

impl Ear {
    fn hear(&self, event: &Event) {
        match event {
            Event::Disconnected => self.flow.send_modify(|flow| flow.breaks += 1),
            // The server says this beside the answers, and the request itself is never answered.
            Event::ServerError(ServerError::Other(text)) if text.contains("Permissions Violation") => {
                let _ = self.denials.send(text.as_str().into());
            }
            _ => {}
        }
        if let Some(listener) = &self.listener {
            listener(event);
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.flow.send_modify(|flow| flow.ended = true);
    }
}

/// Connects, in this time at most.
pub(super) async fn dial(
    servers: &[ServerAddr],
    shown: &str,
    options: ConnectOptions,
    listener: Option<Listener>,
    within: Duration,
) -> Result<Line, BrokerError> {
    let (flow, watched) = watch::channel(Flow::default());
    let (denials, _) = broadcast::channel(DENIALS);
    let ear = Ear { flow, denials: denials.clone(), listener };
    // One that does not answer leaves time for the others.
    let each = (within / u32::try_from(servers.len()).unwrap_or(u32::MAX).max(1)).max(within.min(Duration::from_secs(1)));
    let options = options
        .connection_timeout(each)
        // Each server once, and some more: whoever has a cluster is elsewhere at once. Then it is given up, and the link dials anew: the library
        // alone would try for ever and hear of no close meanwhile.
        .max_reconnects(servers.len() + 3)
        .event_callback(move |event| {
            ear.hear(&event);
            std::future::ready(())
        });
    let late = || async_nats::ConnectError::new(async_nats::ConnectErrorKind::TimedOut);
    let connected = tokio::time::timeout(within, options.connect(servers)).await.unwrap_or_else(|_| Err(late()));
    let client = connected.map_err(|error| unconnected(&error, shown))?;
    Ok(Line { client, flow: watched, denials })
}

impl Line {
    /// Is it there at this moment, as far as anybody knows?
    pub(super) fn is_up(&self) -> bool {
        !self.flow.borrow().ended && matches!(self.client.connection_state(), async_nats::connection::State::Connected)
    }

    /// Returns when the connection breaks.
    pub(super) async fn broken(&mut self) {
        let _ = self.flow.changed().await;
    }

    /// Returns when the server does not allow something about this subject.
    pub(super) async fn denied(denials: &mut broadcast::Receiver<Arc<str>>, subject: &str) -> String {
        let named = format!("\"{subject}\"");
        loop {
            match denials.recv().await {
                Ok(text) if text.contains(&named) => return text.to_string(),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    pub(super) fn denials(&self) -> broadcast::Receiver<Arc<str>> {
        self.denials.subscribe()
    }

    /// Asks and waits for the answer, for so long at most. May be dropped: the request is then written whole or not at all, and its answer
    /// passed over.
    pub(super) async fn request(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        within: Duration,
    ) -> Result<async_nats::Message, Lost> {
        let (mut line, mut denials) = (self.clone(), self.denials());
        line.flow.mark_unchanged();
        if !line.is_up() {
            return Err(Lost::Down("the connection broke".into()));
        }
        let mut request = Request::new().payload(payload).timeout(Some(within));
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let answer = tokio::select! {
            biased;
            answer = self.client.send_request(subject.to_owned(), request) => answer,
            text = Line::denied(&mut denials, subject) => return Err(Lost::Denied(text)),
            () = line.broken() => return Err(Lost::Broken),
        };
        answer.map_err(|error| match error.kind() {
            RequestErrorKind::TimedOut => Lost::Late(within.as_millis()),
            RequestErrorKind::NoResponders => Lost::NoResponders,
            RequestErrorKind::InvalidSubject => Lost::Invalid(error.to_string()),
            RequestErrorKind::MaxPayloadExceeded => Lost::TooLarge(error.to_string()),
            RequestErrorKind::Other => Lost::Broken,
        })
    }
}
