//! What is asked of the writer thread, in the order in which it was asked.
//!
//! Invariants:
//! 1. Whatever was pushed is run and answered, or dropped with the thread; after the close nothing can be pushed.
//! 2. What gives messages back can be pushed for as long as the thread runs: no bound refuses it.

use super::super::{BrokerError, ErrorKind};
use super::fault::NAME;
use super::store::{Member, Store};
use super::waiting::Pull;
use crate::sync::{Mutex, MutexGuard, lock};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A piece of a transaction, and who waits for it. It may be run more than once, each time on the state that it found the first time.
pub(super) trait Job: Send {
    fn run(&mut self, store: &mut Store) -> rusqlite::Result<()>;
    fn answer(self: Box<Self>, outcome: Result<(), BrokerError>);
    /// Nobody waits any more, and it has not begun.
    fn is_off(&self) -> bool;
    /// Bytes that it puts in. What only settles or frees (0) is never refused for want of room.
    fn weight(&self) -> usize;
}

pub(super) enum Work {
    Job(Box<dyn Job>),
    Pull(Pull),
    /// A pull that was dropped gives back what it had: message and lease of each.
    Return(Arc<Member>, Vec<(i64, i64)>),
    /// A subscription ends. Its pulls do too, before this is answered.
    Leave(Arc<Member>, Option<oneshot::Sender<Result<(), BrokerError>>>),
}

impl Work {
    fn weight(&self) -> usize {
        if let Work::Job(job) = self { job.weight() } else { 0 }
    }
}

/// One question: what to do, what came of it, who asked.
pub(super) struct Ask<T, F> {
    pub(super) run: F,
    pub(super) done: Option<T>,
    pub(super) reply: oneshot::Sender<Result<T, BrokerError>>,
    pub(super) weight: usize,
}

impl<T: Send, F: FnMut(&mut Store) -> rusqlite::Result<T> + Send> Job for Ask<T, F> {
    fn run(&mut self, store: &mut Store) -> rusqlite::Result<()> {
        self.done = Some((self.run)(store)?);
        Ok(())
    }
    fn answer(self: Box<Self>, outcome: Result<(), BrokerError>) {
        let done = self.done;
        // Who asked may be gone.
        let _ = self.reply.send(outcome.map(|()| done.expect("a job that ran has left its answer")));
    }
    fn is_off(&self) -> bool {
        self.weight > 0 && self.reply.is_closed()
    }
    fn weight(&self) -> usize {
        self.weight
    }
}

/// So many pieces of work go into one transaction at most, and so many bytes unless a single piece has more.
const BATCH: usize = 512;
const BYTES: usize = 16 << 20;

/// What the thread took.
pub(super) struct Batch {
    pub(super) works: Vec<Work>,
    /// Nothing more will come, and this was the last of it.
    pub(super) last: bool,
    /// It had to wait: others had the file for themselves meanwhile.
    pub(super) waited: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    /// So many requests that put something in may wait.
    bound: usize,
}

#[derive(Default)]
struct State {
    works: VecDeque<Work>,
    filling: usize,
    closing: bool,
    ended: bool,
}

impl Queue {
    pub(super) fn new(bound: usize) -> Queue {
        Queue { state: Mutex::default(), ready: Condvar::new(), bound }
    }

    pub(super) fn push(&self, work: Work) -> Result<(), BrokerError> {
        let mut state = lock(&self.state);
        if state.closing || state.ended {
            let closed = state.closing;
            drop(state);
            return Err(if closed { self::closed() } else { self::ended() });
        }
        if work.weight() > 0 {
            if state.filling >= self.bound {
                let text = format!("{} requests are waiting for the disk: send less at once, or try again", self.bound);
                return Err(BrokerError::new(NAME, ErrorKind::Busy, text));
            }
            state.filling += 1;
        }
        self.add(state, work);
        Ok(())
    }

    /// For what gives back, also while it is being closed. Without the thread it is lost, and the leases with it: they were given back or run out.
    pub(super) fn push_return(&self, work: Work) {
        let state = lock(&self.state);
        if !state.ended {
            self.add(state, work);
        }
    }

    fn add(&self, mut state: MutexGuard<'_, State>, work: Work) {
        state.works.push_back(work);
        let first = state.works.len() == 1;
        drop(state);
        // With more than one, the thread has been woken or is at work.
        if first {
            self.ready.notify_one();
        }
    }

    /// Ends it when what was asked is done.
    pub(super) fn close(&self) {
        lock(&self.state).closing = true;
        self.ready.notify_one();
    }

    /// The next of what was asked; waits for it, up to a time if one is given.
    pub(super) fn take(&self, wait: Option<Duration>) -> Batch {
        let until = wait.map(|wait| Instant::now() + wait);
        let mut state = lock(&self.state);
        let mut waited = false;
        while state.works.is_empty() && !state.closing {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            state = match left {
                Some(Duration::ZERO) => break,
                Some(left) => self.ready.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0,
                None => self.ready.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner),
            };
            waited = true;
        }
        let (mut works, mut bytes) = (Vec::new(), 0);
        while works.len() < BATCH && bytes < BYTES {
            let Some(work) = state.works.pop_front() else { break };
            let weight = work.weight();
            state.filling -= usize::from(weight > 0);
            bytes += weight;
            works.push(work);
        }
        Batch { works, last: state.closing && state.works.is_empty(), waited }
    }

    /// The thread is gone: who waits in the queue learns it by the drop of what they wait for, who comes is refused.
    pub(super) fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        let left = std::mem::take(&mut state.works);
        drop(state);
        drop(left);
    }
}

pub(super) fn closed() -> BrokerError {
    BrokerError::new(NAME, ErrorKind::Closed, "this broker was closed")
}

/// The thread has panicked: what it had begun may be done or not.
pub(super) fn ended() -> BrokerError {
    BrokerError::new(NAME, ErrorKind::Other, "the writer thread has ended by a panic: open the broker anew")
}
