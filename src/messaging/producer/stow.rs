//! The way into the outbox: one line, emptied by one task, many messages a transaction (M3).
//!
//! Invariants:
//! - S1. Messages are stored in the order in which they were pushed. Those of one ordered key are pushed one after the other, each with its turn.
//! - S2. A key counts as waiting from before its message's turn is given on until the outbox has the message, or has refused it. From the begin of
//!   the put on, the outbox itself says so too, so no moment is left between the two.
//! - S3. While the line is not empty there is a runner; one that is dropped finishes what it leaves as not stored.

use super::accepted::{Body, Sent};
use super::error::SendErrorKind;
use super::lanes::{Name, Turn};
use crate::messaging::sending::Contained;
use crate::messaging::{Message, NotStored, Outbox, OutboxErrorKind};
use crate::sync::{Mutex, lock};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// In one transaction: a disk that syncs in 10 ms stores 12,800 messages a second by this, and 100 one by one.
const TOGETHER: usize = 128;
/// A disk that has not answered for so long is not waited for: the message comes back, and may be stored all the same.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Stow {
    pub(super) outbox: Outbox,
    line: Arc<Mutex<Line>>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Body>,
    /// How many of each ordered key wait or are being stored.
    keys: HashMap<Name, usize>,
    running: bool,
}

impl Stow {
    pub(super) fn new(outbox: Outbox) -> Stow {
        Stow { outbox, line: Arc::default() }
    }

    /// Is there something of its key that must be sent before it?
    pub(super) fn has_before(&self, turn: &Turn) -> bool {
        let name = turn.name();
        lock(&self.line).keys.contains_key(name) || self.outbox.ordered_pending(&name.0, &name.1)
    }

    /// To be stored; what becomes of it is said to its reply.
    pub(super) fn push(&self, mut body: Body) {
        let turn = body.turn.take();
        let cx = body.core.session().unwrap_or_else(|| body.session.clone()).cx.clone();
        let mut line = lock(&self.line);
        if let Some(turn) = &turn {
            *line.keys.entry(turn.name().clone()).or_default() += 1;
        }
        let key = turn.as_ref().map(|turn| turn.name().clone());
        body.stored_key = key;
        line.waiting.push_back(body);
        let start = !std::mem::replace(&mut line.running, true);
        drop(line);
        drop(turn);
        if start {
            let runner = Runner { outbox: self.outbox.clone(), line: self.line.clone(), taken: Vec::new(), counts: true };
            cx.spawn_job("store", runner.run());
        }
    }
}

struct Runner {
    outbox: Outbox,
    line: Arc<Mutex<Line>>,
    /// Being stored.
    taken: Vec<Body>,
    counts: bool,
}

impl Runner {
    async fn run(mut self) -> anyhow::Result<()> {
        while self.take() {
            self.store().await;
        }
        Ok(())
    }

    fn take(&mut self) -> bool {
        let mut line = lock(&self.line);
        let many = line.waiting.len().min(TOGETHER);
        self.taken = line.waiting.drain(..many).collect();
        if self.taken.is_empty() {
            line.running = false;
            self.counts = false;
        }
        !self.taken.is_empty()
    }

    async fn store(&mut self) {
        let answer = put(&self.outbox, self.taken.iter().map(|body| body.message.clone()).collect()).await;
        match answer {
            // One of them may be too much where the others fit: one by one then, in order.
            Err(error) if self.taken.len() > 1 && matches!(error.outbox, Some(OutboxErrorKind::Full | OutboxErrorKind::TooLarge)) => {
                for message in self.taken.iter().map(|body| body.message.clone()).collect::<Vec<_>>() {
                    let answer = put(&self.outbox, vec![message]).await;
                    let body = self.taken.remove(0);
                    over(&self.line, body, answer);
                }
            }
            answer => {
                for body in std::mem::take(&mut self.taken) {
                    over(&self.line, body, answer.clone());
                }
            }
        }
    }
}

async fn put(outbox: &Outbox, messages: Vec<Message>) -> Result<(), Failed> {
    let answer = match Contained::new(|| Box::pin(outbox.put(messages))) {
        Ok(putting) => timeout(PATIENCE, putting).await,
        Err(panic) => Ok(Err(panic)),
    };
    match answer {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(not_stored))) => Err(Failed::of(&not_stored)),
        Ok(Err(panic)) => Err(Failed { outbox: None, text: format!("the outbox's code panicked: {panic}"), unsure: true }),
        Err(_late) => Err(Failed { outbox: None, text: format!("the outbox did not answer within {PATIENCE:?}"), unsure: true }),
    }
}

/// What became of it is known.
fn over(line: &Mutex<Line>, mut body: Body, answer: Result<(), Failed>) {
    leave(line, &mut body);
    match answer {
        Ok(()) => drop(body.finish(Ok(Sent::Stored), None)),
        Err(failed) => {
            body.tries.ambiguous |= failed.unsure;
            let full = matches!(failed.outbox, Some(OutboxErrorKind::Full | OutboxErrorKind::TooLarge));
            let kind = if full { SendErrorKind::OutboxFull } else { SendErrorKind::OutboxFailed };
            drop(body.finish(Err(kind), Some(failed.text)));
        }
    }
}

impl Drop for Runner {
    /// By force, or because the component is over: what it leaves is not stored any more (S3).
    fn drop(&mut self) {
        if !self.counts {
            return;
        }
        let mut line = lock(&self.line);
        line.running = false;
        let left: Vec<Body> = line.waiting.drain(..).collect();
        drop(line);
        for mut body in std::mem::take(&mut self.taken) {
            // The transaction may have been on its way.
            body.tries.ambiguous = true;
            leave(&self.line, &mut body);
            body.finish(Err(SendErrorKind::Cancelled), Some("the producer was ended before the outbox had it".into()));
        }
        for mut body in left {
            leave(&self.line, &mut body);
            body.finish(Err(SendErrorKind::Cancelled), Some("the producer was ended before the outbox had it".into()));
        }
    }
}

/// Its key waits no longer on its account (S2).
fn leave(line: &Mutex<Line>, body: &mut Body) {
    let Some(name) = body.stored_key.take() else { return };
    let mut line = lock(line);
    if let Some(count) = line.keys.get_mut(&name) {
        *count -= 1;
        if *count == 0 {
            line.keys.remove(&name);
        }
    }
}

/// Why it was not stored.
#[derive(Clone)]
struct Failed {
    outbox: Option<OutboxErrorKind>,
    text: String,
    unsure: bool,
}

impl Failed {
    fn of(not_stored: &NotStored) -> Failed {
        Failed { outbox: Some(not_stored.kind()), text: not_stored.error().to_string(), unsure: false }
    }
}
