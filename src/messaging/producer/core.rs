//! What all clones of a producer share, and how a message is let in.

use super::accepted::{Accepted, Body, Reply, Sent};
use super::error::{SendError, SendErrorKind};
use super::lanes::{Lanes, Turn};
use super::ledger::{Gate, Ledger, ProducerStats};
use super::stow::Stow;
use crate::messaging::permits::{AcquireError, Permit, Permits, TryAcquireError};
use crate::messaging::sending::{Engine, caught};
use crate::messaging::trace::{PubTrace, TraceDispatcher, TraceRecord};
use crate::messaging::{BrokerError, Message};
use crate::sync::{Mutex, lock};
use crate::{Cx, Link};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

pub(super) type OnLost = Box<dyn Fn(SendError) + Send + Sync>;

pub(super) struct Core {
    pub(super) name: Arc<str>,
    pub(super) broker_name: Arc<str>,
    pub(super) link: Link,
    pub(super) ledger: Ledger,
    pub(super) permits: Permits,
    pub(super) lanes: Arc<Lanes>,
    pub(super) engine: Arc<Engine>,
    pub(super) stow: Option<Stow>,
    pub(super) trace: Option<TraceDispatcher>,
    pub(super) on_lost: Option<OnLost>,
    pub(super) session: Mutex<Option<Arc<Session>>>,
}

/// One start of the component.
pub(super) struct Session {
    pub(super) cx: Cx,
    /// Set when the drain is over: what is in flight ends now.
    pub(super) cancel: CancellationToken,
    /// Set when the outbox's replay is over.
    pub(super) replayed: CancellationToken,
    /// The books when the gate was closed.
    at_gate: OnceLock<ProducerStats>,
}

impl Session {
    pub(super) fn new(cx: Cx) -> Arc<Session> {
        Arc::new(Session { cx, cancel: CancellationToken::new(), replayed: CancellationToken::new(), at_gate: OnceLock::new() })
    }
}

impl Core {
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    pub(super) fn open(&self, session: &Arc<Session>) {
        let before = lock(&self.session).replace(session.clone());
        drop(before);
        self.engine.run_in(Some(session.cx.clone()));
        self.permits.open();
        self.ledger.open();
    }

    /// Gate first, then those who wait for a permit: who still gets one finds the gate closed.
    pub(super) fn close(&self, session: &Session) -> ProducerStats {
        let at_gate = *session.at_gate.get_or_init(|| self.ledger.close());
        self.permits.close();
        at_gate
    }

    fn refuse(&self, kind: SendErrorKind, message: Message) -> SendError {
        self.ledger.refused();
        SendError::new(kind, &self.broker_name, message)
    }

    fn refuse_at(&self, gate: Gate, message: Message) -> SendError {
        self.refuse(if gate == Gate::NotStarted { SendErrorKind::NotStarted } else { SendErrorKind::Closed }, message)
    }

    fn refuse_large(&self, message: Message, (bytes, limit): (usize, usize)) -> SendError {
        let text = format!("{bytes} bytes are more than the producer's whole budget of {limit} (max_in_flight_bytes)");
        self.refuse(SendErrorKind::TooLarge, message).because(text)
    }

    /// What is wrong with it is said before it waits for anything.
    fn check(&self, message: Message) -> Result<(Message, Arc<Session>), SendError> {
        let session = match (self.ledger.gate(), self.session()) {
            (Gate::Open, Some(session)) => session,
            (gate, _) => return Err(self.refuse_at(gate, message)),
        };
        match self.engine.broker.limits().check(&self.broker_name, &message) {
            Ok(()) => Ok((message, session)),
            Err(error) => Err(self.refuse_limited(message, error)),
        }
    }

    fn refuse_limited(&self, message: Message, error: BrokerError) -> SendError {
        self.ledger.refused();
        SendError::limited(&self.broker_name, message, error)
    }

    /// In now or not at all.
    pub(super) fn try_admit(self: &Arc<Core>, message: Message) -> Result<Accepted, SendError> {
        let (message, session) = self.check(message)?;
        let now = Instant::now();
        // The order of those calls is the order of their messages.
        let turn = self.lanes.enter(&message);
        let permit = match self.permits.try_acquire(message.size()) {
            Ok(permit) => permit,
            Err(TryAcquireError::Full) => return Err(self.refuse(SendErrorKind::Full, message)),
            Err(TryAcquireError::TooLarge { bytes, limit }) => return Err(self.refuse_large(message, (bytes, limit))),
            Err(TryAcquireError::Closed) => return Err(self.refuse(SendErrorKind::Closed, message)),
        };
        self.accept(message, session, now, Some(permit), turn)
    }

    /// In as soon as there is room, until the budget is over. With an outbox it is in then all the same, to be stored.
    pub(super) async fn admit(self: &Arc<Core>, message: Message) -> Result<Accepted, SendError> {
        let (message, session) = self.check(message)?;
        let now = Instant::now();
        let turn = self.lanes.enter(&message);
        let permit = match self.permits.try_acquire(message.size()) {
            Ok(permit) => Some(permit),
            Err(_) => match timeout_at(now + self.engine.timeout, self.permits.acquire(message.size())).await {
                Ok(Ok(permit)) => Some(permit),
                Ok(Err(AcquireError::Closed)) => return Err(self.refuse(SendErrorKind::Closed, message)),
                Ok(Err(AcquireError::TooLarge { bytes, limit })) => return Err(self.refuse_large(message, (bytes, limit))),
                Err(_late) if self.stow.is_some() => None,
                Err(_late) => {
                    let (count, bytes) = self.permits.in_flight();
                    let text = format!("{count} messages with {bytes} bytes were in flight and none of them ended in time");
                    return Err(self.refuse(SendErrorKind::TimedOut, message).because(text));
                }
            },
        };
        self.accept(message, session, now, permit, turn)
    }

    fn accept(
        self: &Arc<Core>,
        message: Message,
        session: Arc<Session>,
        began: Instant,
        permit: Option<Permit>,
        turn: Option<Turn>,
    ) -> Result<Accepted, SendError> {
        let entry = match self.ledger.accept() {
            Ok(entry) => entry,
            Err(gate) => return Err(self.refuse_at(gate, message)),
        };
        let deadline = began + self.engine.timeout;
        let (core, reply, tries) = (self.clone(), Reply::Nobody, Default::default());
        Ok(Accepted::new(Body { core, session, message, entry, permit, turn, reply, began, deadline, tries, stored_key: None }))
    }

    /// Nobody has it any more: counted in the report, told to `on_lost` and to `tracing`.
    pub(super) fn lost(&self, error: SendError) {
        if let Some(session) = self.session() {
            session.cx.lost(1);
        }
        tracing::error!(
            producer = &*self.name,
            topic = error.message().topic(),
            key = error.message().key(),
            message = %error.message().id(),
            kind = error.kind().name(),
            "winddown: a message is lost: {error}"
        );
        if let Some(on_lost) = &self.on_lost
            && let Err(panic) = caught(move || on_lost(error))
        {
            tracing::error!(producer = &*self.name, panic, "winddown: the hook for lost messages panicked");
        }
    }

    /// Records what became of a send that was tried; one that went into the outbox is recorded when that has sent it.
    pub(super) fn trace(&self, message: &Message, took: Duration, attempts: u32, result: &Result<Sent, SendErrorKind>) {
        let receipt = match result {
            Ok(Sent::Acknowledged(receipt)) => Some(receipt),
            Err(_) if attempts > 0 => None,
            Ok(Sent::Stored) | Err(_) => return,
        };
        let Some(trace) = &self.trace else { return };
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(took);
        let record = PubTrace {
            timestamp: u64::try_from(began.as_millis()).unwrap_or(u64::MAX),
            cost: took,
            offset_id: receipt.and_then(|receipt| receipt.broker_id.clone()),
            success: receipt.is_some(),
            ..PubTrace::of(&self.name, message)
        };
        // What is turned away is counted by the dispatcher; a send does not fail for it.
        drop(trace.append(TraceRecord::Pub(record)));
    }
}
