//! The buffer between those who append and the one who exports: its gate, its flights, its accounts.
//!
//! Records come in at [`append`](Gate::append), wait, leave in batches with [`next`](Gate::next), fly, and end with
//! [`settle`](Gate::settle); [`drain`](Gate::drain) closes the gate, [`close`](Gate::close) writes off what is still there.
//!
//! Invariants:
//! - B1. All of it changes under one lock, so every snapshot balances: accepted = sent + failed + abandoned + buffered + in flight.
//! - B2. A record is let in under the same lock under which the stage is looked at: once the gate is closed nothing comes in, and an owner
//!   that finds a closed gate before an empty buffer has seen the end.
//! - B3. No wake-up is lost. Who waits (the owner, and who stops it) leaves a waker under the lock under which it found nothing to do, the owner
//!   together with what it waits for; whoever makes that true under the same lock takes the waker out, and wakes it.
//! - B4. A batch ends once: the first to settle it removes its flight, and who comes second finds none.
//! - B5. Nothing foreign runs under the lock: wakers are cloned before, and woken and dropped after; records are dropped after.
//!
//! This file knows of no clock, no runtime and no record, so that a model checker can compile it as it is (`proofs/loom-trace`).

use crate::sync::{Mutex, MutexGuard, lock};
use std::collections::VecDeque;
use std::task::{Poll, Waker};

/// How many records went where. At every moment accepted = sent + failed + abandoned + buffered + in_flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceCounts {
    /// Taken by `append`.
    pub accepted: u64,
    /// Exported, as the exporter said.
    pub sent: u64,
    /// Turned away since the buffer was full.
    pub dropped_full: u64,
    /// Turned away since the gate was closed.
    pub dropped_closed: u64,
    /// In a batch whose export failed, panicked or took too long. Of some of these the exporter may have got rid nevertheless.
    pub failed: u64,
    /// Given up when the dispatcher was stopped: still in the buffer, or in an export that did not end in time.
    pub abandoned: u64,
    /// In the buffer.
    pub buffered: u64,
    /// Being exported.
    pub in_flight: u64,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The buffer is full: records come faster than the exporter takes them.
    Full,
    /// The dispatcher is being stopped, or was.
    Closed,
}

/// The sizes of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Records that may wait.
    pub(crate) capacity: usize,
    /// Records of one batch.
    pub(crate) batch: usize,
    /// Bytes of one batch, unless its only record is larger.
    pub(crate) bytes: usize,
    /// Batches that may fly at a time.
    pub(crate) exports: usize,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Landing {
    Sent,
    Failed,
    Abandoned,
}

/// What the owner is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn<T> {
    /// Export these, and settle them by this number.
    Batch { number: u64, records: Vec<T> },
    /// Nothing: the buffer is empty.
    Empty,
    /// Nothing: what waits is neither full nor due.
    Filling,
    /// Nothing: as many batches fly as may; does anything wait behind them?
    Busy { waiting: bool },
    /// Nothing any more: the gate is closed and the buffer is empty.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Draining,
    Closed,
}

/// What an appended record must have brought about for the owner to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    First,
    Full,
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Gate<T> {
    shape: Shape,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    stage: Stage,
    /// Each with its bytes.
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    /// Number and records of each batch that flies.
    flights: Vec<(u64, u64)>,
    last_number: u64,
    /// Its `buffered` and `in_flight` are made when somebody asks.
    counts: TraceCounts,
    wish: Wish,
    owner: Option<Waker>,
    stopper: Option<Waker>,
}

impl<T> Gate<T> {
    /// An open one. Its memory is taken here, so that appending takes none.
    pub(crate) fn new(shape: Shape) -> Gate<T> {
        let state = State {
            stage: Stage::Open,
            waiting: VecDeque::with_capacity(shape.capacity),
            bytes: 0,
            flights: Vec::with_capacity(shape.exports),
            last_number: 0,
            counts: TraceCounts::default(),
            wish: Wish::Nothing,
            owner: None,
            stopper: None,
        };
        Gate { shape, state: Mutex::new(state) }
    }

    /// Takes a record of so many bytes, or gives it back.
    pub(crate) fn append(&self, record: T, bytes: usize) -> Result<(), (T, Why)> {
        let mut state = lock(&self.state);
        if state.stage != Stage::Open {
            state.counts.dropped_closed += 1;
            return Err((record, Why::Closed));
        }
        if state.waiting.len() >= self.shape.capacity {
            state.counts.dropped_full += 1;
            return Err((record, Why::Full));
        }
        state.waiting.push_back((record, bytes));
        state.bytes += bytes;
        state.counts.accepted += 1;
        let fulfilled = match state.wish {
            Wish::First => true,
            Wish::Full => self.is_full(&state),
            Wish::Nothing => false,
        };
        let owner = if fulfilled { state.owner.take() } else { None };
        wake(state, [owner, None]);
        Ok(())
    }

    /// What the owner is to do now; for anything but a batch and the end it is woken when that changes. `due`: what waits is old enough.
    pub(crate) fn next(&self, waker: &Waker, due: bool) -> Turn<T> {
        let waker = waker.clone();
        let mut state = lock(&self.state);
        let (empty, draining) = (state.waiting.is_empty(), state.stage != Stage::Open);
        let (turn, wish) = if empty && draining {
            return Turn::End;
        } else if state.flights.len() >= self.shape.exports {
            (Turn::Busy { waiting: !empty }, if empty { Wish::First } else { Wish::Nothing })
        } else if empty {
            (Turn::Empty, Wish::First)
        } else if draining || due || self.is_full(&state) {
            return self.take_off(&mut state);
        } else {
            (Turn::Filling, Wish::Full)
        };
        state.wish = wish;
        let previous = state.owner.replace(waker);
        drop(state);
        drop(previous);
        turn
    }

    /// A batch has ended; says how many records it had, none if it had ended before.
    pub(crate) fn settle(&self, number: u64, landing: Landing) -> u64 {
        let mut state = lock(&self.state);
        let Some(place) = state.flights.iter().position(|(flying, _)| *flying == number) else { return 0 };
        let (_, records) = state.flights.swap_remove(place);
        match landing {
            Landing::Sent => state.counts.sent += records,
            Landing::Failed => state.counts.failed += records,
            Landing::Abandoned => state.counts.abandoned += records,
        }
        // It waits for room for one more flight, and now there is.
        let owner = if state.wish == Wish::Nothing { state.owner.take() } else { None };
        let stopper = if state.is_over() { state.stopper.take() } else { None };
        wake(state, [owner, stopper]);
        records
    }

    /// Closes the gate; what was taken goes on. Gives the accounts of that moment.
    pub(crate) fn drain(&self) -> TraceCounts {
        let mut state = lock(&self.state);
        if state.stage == Stage::Open {
            state.stage = Stage::Draining;
        }
        let counts = state.counts();
        let owner = state.owner.take();
        wake(state, [owner, None]);
        counts
    }

    /// Ready when the gate is closed and nothing is left. For one waiter at a time.
    pub(crate) fn poll_over(&self, waker: &Waker) -> Poll<()> {
        let waker = waker.clone();
        let mut state = lock(&self.state);
        if state.is_over() {
            return Poll::Ready(());
        }
        let previous = state.stopper.replace(waker);
        drop(state);
        drop(previous);
        Poll::Pending
    }

    /// Closes for good and writes off what is left; says how much that was.
    pub(crate) fn close(&self) -> u64 {
        let mut state = lock(&self.state);
        let before = state.counts();
        let left = before.buffered + before.in_flight;
        state.stage = Stage::Closed;
        state.counts.abandoned += left;
        state.bytes = 0;
        state.flights.clear();
        let records = std::mem::take(&mut state.waiting);
        let wakers = [state.owner.take(), state.stopper.take()];
        wake(state, wakers);
        drop(records);
        left
    }

    /// Opens it again, for another start.
    pub(crate) fn open(&self) {
        let mut state = lock(&self.state);
        state.stage = Stage::Open;
        let more = self.shape.capacity.saturating_sub(state.waiting.len());
        state.waiting.reserve(more);
    }

    /// The accounts of this moment.
    pub(crate) fn counts(&self) -> TraceCounts {
        lock(&self.state).counts()
    }

    fn is_full(&self, state: &State<T>) -> bool {
        state.waiting.len() >= self.shape.batch || state.bytes >= self.shape.bytes
    }

    fn take_off(&self, state: &mut State<T>) -> Turn<T> {
        let mut records = Vec::with_capacity(self.shape.batch.min(state.waiting.len()));
        let mut room = self.shape.bytes;
        while records.len() < self.shape.batch
            && let Some((record, bytes)) = state.waiting.pop_front_if(|(_, bytes)| records.is_empty() || *bytes <= room)
        {
            room = room.saturating_sub(bytes);
            state.bytes -= bytes;
            records.push(record);
        }
        state.last_number += 1;
        state.flights.push((state.last_number, records.len() as u64));
        Turn::Batch { number: state.last_number, records }
    }
}

impl<T> State<T> {
    fn is_over(&self) -> bool {
        self.stage != Stage::Open && self.waiting.is_empty() && self.flights.is_empty()
    }

    fn counts(&self) -> TraceCounts {
        let in_flight = self.flights.iter().map(|(_, records)| records).sum();
        TraceCounts { buffered: self.waiting.len() as u64, in_flight, ..self.counts }
    }
}

/// B5: first the lock goes, then the wakers run.
fn wake<T>(state: MutexGuard<'_, State<T>>, wakers: [Option<Waker>; 2]) {
    drop(state);
    wakers.into_iter().flatten().for_each(Waker::wake);
}
