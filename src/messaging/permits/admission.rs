//! Permits for so many things of so many bytes: who is in, who waits, who is next.
//!
//! The way of a permit: `acquire` takes it at once if nobody waits and both budgets have room. Otherwise it gets a ticket and joins the line.
//! Whoever makes room (a permit that comes back, a waiter that leaves, a resize) hands it to the first in line, under the same lock, and wakes
//! it afterwards. The waiter finds its answer when it is polled; if it is dropped before that, the answer's room goes to the next.
//!
//! Invariants, at every moment the lock is free:
//! - A1. `used` is the sum over all living permits and all answers `Ok` that were not fetched yet: each took count and bytes together, or
//!   neither. It grows only up to the limits of that moment; a resize may put it above them until enough came back.
//! - A2. The first in line does not fit. So there is never room that somebody could have and does not get.
//! - A3. Tickets rise, the line is served by ticket, and nobody is let in past a line that is not empty.
//! - A4. Nobody in the line asks for more bytes than there are in all; a resize that would break this answers those who do.
//! - A5. After a close the line is empty for good, until it is opened again.
//! - A6. A ticket is in the line or among the answers or gone; its future is the only one to fetch or remove it.
//! - A7. No waker is cloned, woken or dropped under the lock, since each may run foreign code.

use super::error::{AcquireError, TryAcquireError};
use crate::sync::{Arc, Mutex, lock};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A budget of so many things with so many bytes together, shared by all clones.
///
/// - Both or neither: who waits for bytes holds no count meanwhile.
/// - First come, first served: nobody overtakes who waits, not even something small.
/// - What is larger than the whole budget is refused at once.
/// - Both limits can be changed while everything is taken, in both directions.
///
/// A permit that is free costs two short locks and no allocation.
///
/// ```
/// use winddown::messaging::{Permits, TryAcquireError};
///
/// let permits = Permits::new(2, 1000);
/// let first = permits.try_acquire(600).unwrap();
/// assert_eq!(permits.try_acquire(600).unwrap_err(), TryAcquireError::Full);
/// assert_eq!(permits.in_flight(), (1, 600));      // the refused one holds nothing
/// drop(first);
/// assert!(permits.try_acquire(600).is_ok());
/// ```
#[derive(Clone)]
pub struct Permits(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Budget {
    count: usize,
    bytes: usize,
}

struct State {
    limit: Budget,
    used: Budget,
    closed: bool,
    next: u64,
    waiting: BTreeMap<u64, Waiter>,
    answers: BTreeMap<u64, Result<(), AcquireError>>,
    /// Who waits for nothing to be in flight; no waker once that was so.
    idlers: BTreeMap<u64, Option<Waker>>,
}

struct Waiter {
    bytes: usize,
    waker: Waker,
}

impl State {
    fn fits(&self, bytes: usize) -> bool {
        let bytes = self.used.bytes.checked_add(bytes);
        self.used.count < self.limit.count && bytes.is_some_and(|bytes| bytes <= self.limit.bytes)
    }

    fn take(&mut self, bytes: usize) {
        self.used.count += 1;
        self.used.bytes += bytes;
    }

    fn try_take(&mut self, bytes: usize) -> Result<(), TryAcquireError> {
        if self.closed {
            return Err(TryAcquireError::Closed);
        }
        if bytes > self.limit.bytes {
            return Err(TryAcquireError::TooLarge { bytes, limit: self.limit.bytes });
        }
        if !self.waiting.is_empty() || !self.fits(bytes) {
            return Err(TryAcquireError::Full);
        }
        self.take(bytes);
        Ok(())
    }

    fn ticket(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Lets in from the head of the line whoever fits (A2, A3).
    fn admit(&mut self, wakers: &mut Vec<Waker>) {
        while let Some((_, first)) = self.waiting.first_key_value() {
            let bytes = first.bytes;
            if !self.fits(bytes) {
                break;
            }
            self.take(bytes);
            if let Some((ticket, waiter)) = self.waiting.pop_first() {
                self.answers.insert(ticket, Ok(()));
                wakers.push(waiter.waker);
            }
        }
    }

    /// So much comes back.
    fn put_back(&mut self, bytes: usize, wakers: &mut Vec<Waker>) {
        self.used.count -= 1;
        self.used.bytes -= bytes;
        self.admit(wakers);
        if self.used.count == 0 {
            wakers.extend(self.idlers.values_mut().filter_map(Option::take));
        }
    }

    /// Takes out of the line whom this concerns, with this answer.
    fn answer(&mut self, answer: impl Fn(&Waiter) -> Option<AcquireError>, wakers: &mut Vec<Waker>) {
        let concerned: Vec<(u64, AcquireError)> = self.waiting.iter().filter_map(|(ticket, waiter)| Some((*ticket, answer(waiter)?))).collect();
        for (ticket, error) in concerned {
            self.answers.insert(ticket, Err(error));
            wakers.extend(self.waiting.remove(&ticket).map(|waiter| waiter.waker));
        }
    }
}

impl Permits {
    /// Permits for `count` things at a time with `bytes` bytes together. A count of 0 lets nobody in until it is changed.
    pub fn new(count: usize, bytes: usize) -> Permits {
        let none = Budget { count: 0, bytes: 0 };
        let (waiting, answers, idlers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Permits(Arc::new(Mutex::new(State { limit: Budget { count, bytes }, used: none, closed: false, next: 0, waiting, answers, idlers })))
    }

    /// Changes something under the lock and wakes whom that concerns after it.
    fn change<T>(&self, change: impl FnOnce(&mut State, &mut Vec<Waker>) -> T) -> T {
        let mut wakers = Vec::new();
        let result = change(&mut lock(&self.0), &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    fn permit(&self, bytes: usize) -> Permit {
        Permit { permits: self.clone(), bytes }
    }

    /// One permit for so many bytes, now or not at all.
    ///
    /// # Errors
    /// [`Full`](TryAcquireError::Full) also while somebody waits, even if this one would fit.
    pub fn try_acquire(&self, bytes: usize) -> Result<Permit, TryAcquireError> {
        let taken = lock(&self.0).try_take(bytes);
        taken.map(|()| self.permit(bytes))
    }

    /// One permit for so many bytes, as soon as both budgets have room and everybody who came before has been served.
    ///
    /// Cancel safe: who gives up waiting leaves no trace, and the next is served. The place in the line is taken when the future is polled first.
    ///
    /// # Errors
    /// [`AcquireError`], at once or when it becomes true while waiting.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let permits = winddown::messaging::Permits::new(1024, 64 << 20);
    /// let permit = permits.acquire(4096).await?;
    /// assert_eq!(permit.bytes(), 4096);
    /// # Ok::<(), winddown::messaging::AcquireError>(())
    /// # }).unwrap();
    /// ```
    pub fn acquire(&self, bytes: usize) -> Acquire {
        Acquire { permits: self.clone(), bytes, stage: Stage::New }
    }

    /// Changes both limits. Permits that are out stay valid: after a reduction nobody is let in until enough came back. Waiters that can no
    /// longer be served at all are told [`TooLarge`](AcquireError::TooLarge).
    pub fn resize(&self, count: usize, bytes: usize) {
        self.change(|state, wakers| {
            state.limit = Budget { count, bytes };
            state.answer(|waiter| (waiter.bytes > bytes).then_some(AcquireError::TooLarge { bytes: waiter.bytes, limit: bytes }), wakers);
            state.admit(wakers);
        });
    }

    /// From now on everybody gets `Closed`, and who waits gets it at once. Permits that are out stay valid.
    pub fn close(&self) {
        self.change(|state, wakers| {
            state.closed = true;
            state.answer(|_| Some(AcquireError::Closed), wakers);
        });
    }

    /// Takes a close back.
    #[allow(dead_code)] // The model checker's copy has no component that is started again.
    pub(crate) fn open(&self) {
        lock(&self.0).closed = false;
    }

    /// How many permits are out, and for how many bytes.
    pub fn in_flight(&self) -> (usize, usize) {
        let used = lock(&self.0).used;
        (used.count, used.bytes)
    }

    /// Both limits: count and bytes.
    pub fn limits(&self) -> (usize, usize) {
        let limit = lock(&self.0).limit;
        (limit.count, limit.bytes)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        lock(&self.0).waiting.len()
    }

    /// Waits until no permit is out: now, or at some moment after the first poll, even if the next one went out right after it. Cancel safe.
    pub fn idle(&self) -> Idle {
        Idle { permits: self.clone(), ticket: None }
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.0);
        let (used, limit, waiting, closed) = (state.used, state.limit, state.waiting.len(), state.closed);
        drop(state);
        f.debug_struct("Permits").field("used", &used).field("limit", &limit).field("waiting", &waiting).field("closed", &closed).finish()
    }
}

/// The right to have one thing of so many bytes in flight. Comes back when it is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped has been given back"]
pub struct Permit {
    permits: Permits,
    bytes: usize,
}

impl Permit {
    /// For how many bytes it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.change(|state, wakers| state.put_back(self.bytes, wakers));
    }
}

/// Waits for a [`Permit`]; made by [`Permits::acquire`]. It must not be polled again after it has ended: that panics.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire {
    permits: Permits,
    bytes: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    Waiting(u64),
    Done,
}

impl Future for Acquire {
    type Output = Result<Permit, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Permit, AcquireError>> {
        let this = &mut *self;
        let answer = match this.stage {
            Stage::New => this.join(cx),
            Stage::Waiting(ticket) => this.look(ticket, cx),
            Stage::Done => panic!("`Acquire` was polled after it had ended"),
        };
        answer.map(|answer| {
            this.stage = Stage::Done;
            answer.map(|()| this.permits.permit(this.bytes))
        })
    }
}

impl Acquire {
    /// In at once, or into the line.
    fn join(&mut self, cx: &Context<'_>) -> Poll<Result<(), AcquireError>> {
        let bytes = self.bytes;
        // Most are let in at once and need no waker.
        match lock(&self.permits.0).try_take(bytes) {
            Err(TryAcquireError::Full) => {}
            other => return Poll::Ready(other.map_err(AcquireError::from_try)),
        }
        let waker = cx.waker().clone();
        let mut state = lock(&self.permits.0);
        // Between the two locks everything may have changed.
        match state.try_take(bytes) {
            Err(TryAcquireError::Full) => {
                let ticket = state.ticket();
                state.waiting.insert(ticket, Waiter { bytes, waker });
                self.stage = Stage::Waiting(ticket);
                Poll::Pending
            }
            other => {
                drop(state);
                Poll::Ready(other.map_err(AcquireError::from_try))
            }
        }
    }

    fn look(&mut self, ticket: u64, cx: &Context<'_>) -> Poll<Result<(), AcquireError>> {
        let mut waker = cx.waker().clone();
        let mut state = lock(&self.permits.0);
        match state.waiting.get_mut(&ticket) {
            Some(waiter) => {
                std::mem::swap(&mut waiter.waker, &mut waker);
                drop(state);
                Poll::Pending
            }
            // A6: not in the line, so among the answers.
            None => Poll::Ready(state.answers.remove(&ticket).unwrap_or(Err(AcquireError::Closed))),
        }
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        let Stage::Waiting(ticket) = self.stage else { return };
        let left = self.permits.change(|state, wakers| {
            let left = state.waiting.remove(&ticket);
            match state.answers.remove(&ticket) {
                // It had been let in and never knew.
                Some(Ok(())) => state.put_back(self.bytes, wakers),
                // It may have been the one that did not fit.
                _ => state.admit(wakers),
            }
            left
        });
        drop(left);
    }
}

/// Waits until no permit is out; made by [`Permits::idle`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Idle {
    permits: Permits,
    ticket: Option<u64>,
}

impl Future for Idle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = cx.waker().clone();
        let mut state = lock(&this.permits.0);
        let was_idle = state.used.count == 0 || this.ticket.is_some_and(|ticket| matches!(state.idlers.get(&ticket), Some(None)));
        let (answer, old) = if was_idle {
            (Poll::Ready(()), this.ticket.take().and_then(|ticket| state.idlers.remove(&ticket)).flatten())
        } else {
            let ticket = *this.ticket.get_or_insert_with(|| state.ticket());
            (Poll::Pending, state.idlers.insert(ticket, Some(waker)).flatten())
        };
        drop(state);
        drop(old);
        answer
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let waker = lock(&self.permits.0).idlers.remove(&ticket);
            drop(waker);
        }
    }
}
