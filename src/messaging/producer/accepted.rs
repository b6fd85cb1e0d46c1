//! A message from its acceptance until its fate is known: run, stored, finished or dropped, it is settled once.
//!
//! Invariants:
//! - N1. [`Accepted`] holds a [`Body`] until its fate is known, and gives it on whole: to the outbox's line, or to [`Body::finish`].
//! - N2. Permit, turn and entry live in the body and go back in `finish`, in this order, whichever way it came there.
//! - N3. Who is to hear of it hears once: `finish` consumes the reply.

use super::core::{Core, Session};
use super::error::{SendError, SendErrorKind};
use super::in_flight::InFlight;
use super::lanes::{Name, Turn};
use super::ledger::{Entry, Fate};
use crate::messaging::permits::Permit;
use crate::messaging::sending::{Noted, Tries, Undelivered, caught};
use crate::messaging::{ErrorKind, Message, SendReceipt};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// Where a message is that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The broker has it.
    Acknowledged(SendReceipt),
    /// The outbox has it, durably, and will send it.
    Stored,
}

pub(super) type Outcome = Result<Sent, SendError>;
pub(super) type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// Who is to hear what became of it.
pub(super) enum Reply {
    /// The caller itself, whose future runs it.
    Inline,
    Handle(oneshot::Sender<Outcome>),
    Callback(Callback),
    Nobody,
}

pub(super) struct Body {
    pub(super) core: Arc<Core>,
    pub(super) session: Arc<Session>,
    pub(super) message: Message,
    pub(super) entry: Entry,
    /// None if the budget was over before it was let in: it may still be stored.
    pub(super) permit: Option<Permit>,
    pub(super) turn: Option<Turn>,
    pub(super) reply: Reply,
    pub(super) began: Instant,
    pub(super) deadline: Instant,
    pub(super) tries: Tries,
    /// While it is in the outbox's line in place of its turn.
    pub(super) stored_key: Option<Name>,
}

pub(super) struct Accepted(Option<Body>);

/// How its way ended.
enum End {
    Sent(SendReceipt),
    /// To be stored, or given back for this reason where there is no outbox.
    Store(SendErrorKind),
    Failed(SendErrorKind),
}

/// What is left to be done after it.
enum Then {
    Told(Option<Outcome>),
    Stored(InFlight),
}

impl Accepted {
    pub(super) fn new(body: Body) -> Accepted {
        Accepted(Some(body))
    }

    pub(super) fn reply_to(mut self, reply: Reply) -> Accepted {
        if let Some(body) = &mut self.0 {
            body.reply = reply;
        }
        self
    }

    /// In its caller's own future.
    pub(super) async fn run(self) -> Outcome {
        match self.go().await {
            Then::Told(Some(outcome)) => outcome,
            Then::Stored(in_flight) => in_flight.await,
            Then::Told(None) => unreachable!("only `Inline` is run here, and `finish` hands that its outcome"),
        }
    }

    /// As a task of its own. Its reply is made on the way.
    pub(super) fn spawn(self) {
        let Some(session) = self.0.as_ref().map(|body| body.session.clone()) else { return };
        session.cx.spawn_job("send", async move {
            if let Then::Stored(in_flight) = self.go().await {
                drop(in_flight);
            }
            Ok(())
        });
    }

    async fn go(mut self) -> Then {
        let end = match &mut self.0 {
            Some(body) => body.way().await,
            None => return Then::Told(None),
        };
        let Some(mut body) = self.0.take() else { return Then::Told(None) };
        let core = body.core.clone();
        match (end, &core.stow) {
            (End::Sent(receipt), _) => Then::Told(body.finish(Ok(Sent::Acknowledged(receipt)), None)),
            (End::Store(_), Some(stow)) => {
                let mut in_flight = None;
                if matches!(body.reply, Reply::Inline) {
                    let (answer, answered) = oneshot::channel();
                    in_flight = Some(InFlight::new(answered, &core));
                    body.reply = Reply::Handle(answer);
                }
                stow.push(body);
                in_flight.map_or(Then::Told(None), Then::Stored)
            }
            (End::Store(kind) | End::Failed(kind), _) => Then::Told(body.finish(Err(kind), None)),
        }
    }
}

impl Drop for Accepted {
    /// The caller dropped its send, or its task was dropped by force.
    fn drop(&mut self) {
        let Some(mut body) = self.0.take() else { return };
        let core = body.core.clone();
        match (&body.reply, &core.stow) {
            (Reply::Inline, Some(stow)) => {
                body.reply = Reply::Nobody;
                stow.push(body);
            }
            (Reply::Inline, None) => {
                body.reply = Reply::Nobody;
                body.finish(Err(SendErrorKind::Dropped), None);
            }
            // By force: nothing could be stored any more.
            _ => drop(body.finish(Err(SendErrorKind::Cancelled), None)),
        }
    }
}

impl Body {
    async fn way(&mut self) -> End {
        let cancel = &self.session.cancel;
        if let Some(turn) = &self.turn {
            if let Some(stow) = &self.core.stow {
                // Even when its own time is over: it may not be stored before those before it. They have their own deadlines.
                turn.come().await;
                if stow.has_before(turn) {
                    return End::Store(SendErrorKind::TimedOut);
                }
            } else {
                tokio::select! {
                    biased;
                    () = turn.come() => {}
                    () = cancel.cancelled() => return End::Failed(SendErrorKind::Cancelled),
                    () = sleep_until(self.deadline) => return End::Failed(SendErrorKind::TimedOut),
                }
            }
        }
        if self.permit.is_none() {
            return End::Store(SendErrorKind::TimedOut);
        }
        if cancel.is_cancelled() {
            return End::Store(SendErrorKind::Cancelled);
        }
        let ledger = &self.core.ledger;
        let note = |noted| match noted {
            Noted::Retry => ledger.retried(),
            Noted::Ambiguous => ledger.unsure(),
        };
        let delivered = tokio::select! {
            biased;
            delivered = self.core.engine.deliver(&self.message, self.deadline, &mut self.tries, &note) => delivered,
            () = cancel.cancelled() => {
                // A try was cut off: it may have arrived.
                self.tries.ambiguous |= self.tries.attempts > 0;
                return End::Store(SendErrorKind::Cancelled);
            }
        };
        match delivered {
            Ok(receipt) => End::Sent(receipt),
            Err(Undelivered::BudgetOver) => End::Store(SendErrorKind::TimedOut),
            Err(Undelivered::AttemptsUsedUp) => End::Store(SendErrorKind::AttemptsUsedUp),
            Err(Undelivered::Fatal) => match self.tries.last.as_ref().map(|error| error.kind()) {
                // Nothing is wrong with the message.
                Some(ErrorKind::Closed) => End::Store(SendErrorKind::Refused),
                Some(ErrorKind::TooLarge) => End::Failed(SendErrorKind::TooLarge),
                _ => End::Failed(SendErrorKind::Refused),
            },
        }
    }

    /// Its fate is known. The outcome comes back where the caller itself is to have it.
    pub(super) fn finish(self, result: Result<Sent, SendErrorKind>, because: Option<String>) -> Option<Outcome> {
        let Body { core, message, entry, permit, turn, reply, began, tries, .. } = self;
        core.trace(&message, began.elapsed(), tries.attempts, &result);
        let outcome = result.map_err(|kind| {
            let error = SendError::new(kind, &core.broker_name, message).after(tries.attempts, tries.ambiguous, tries.last);
            because.into_iter().fold(error, SendError::because)
        });
        // Before anybody hears of it: who is told that it is over finds room for the next.
        drop(permit);
        drop(turn);
        let outcome = match (outcome, &reply) {
            (Err(error), reply) if reply.is_gone() => {
                // In the component's counts before the books say that nothing is in flight.
                core.lost(error);
                entry.settle(Fate::Lost);
                return None;
            }
            (outcome, _) => outcome,
        };
        entry.settle(match &outcome {
            Ok(Sent::Acknowledged(_)) => Fate::Acknowledged,
            Ok(Sent::Stored) => Fate::Outboxed,
            Err(_) => Fate::Returned,
        });
        match reply {
            Reply::Inline => return Some(outcome),
            Reply::Nobody => {}
            Reply::Handle(answer) => {
                if let Err(Err(error)) = answer.send(outcome) {
                    core.ledger.returned_in_vain();
                    core.lost(error);
                }
            }
            Reply::Callback(callback) => {
                if let Err(panic) = caught(move || callback(outcome)) {
                    tracing::error!(producer = &*core.name, panic, "winddown: a callback of a send panicked");
                }
            }
        }
        None
    }
}

impl Reply {
    /// Does nobody wait any more?
    fn is_gone(&self) -> bool {
        match self {
            Reply::Nobody => true,
            Reply::Handle(answer) => answer.is_closed(),
            Reply::Inline | Reply::Callback(_) => false,
        }
    }
}
