//! The producer's books and its gate, under one lock (M4, M5).
//!
//! Invariants, at every moment the lock is free:
//! - L1. accepted = acknowledged + returned + outboxed + lost + in_flight.
//! - L2. `in_flight` is the number of living [`Entry`]s: made with the count, in the critical section that found the gate open. So who closed the gate
//!   and then sees nothing in flight knows that no accepted message is anywhere, begun or not.
//! - L3. While the gate is not open, `accepted` does not change.
//! - L4. An entry is settled once: by name, or as lost when it is dropped.
//! - L5. No waker is cloned, woken or dropped under the lock.

use crate::sync::{Arc, Mutex, lock};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// What became of the messages that a producer was given, all read at one moment:
/// `accepted = acknowledged + returned + outboxed + lost + in_flight`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerStats {
    /// Let in: by the gate and by both budgets.
    pub accepted: u64,
    /// The broker has them.
    pub acknowledged: u64,
    /// Given back with an error to who awaits them, or to their callback. An error in an [`InFlight`](super::InFlight) that is dropped unread moves
    /// from here to `lost`.
    pub returned: u64,
    /// Stored in the outbox.
    pub outboxed: u64,
    /// Nobody has them: each was reported to `on_lost` and to `tracing`.
    pub lost: u64,
    /// On their way.
    pub in_flight: u64,
    /// Never let in, and given back at once or after waiting for admission.
    pub refused: u64,
    /// Tries after the first of a message.
    pub retries: u64,
    /// Tries whose answer was lost: such a message may have been stored twice.
    pub ambiguous: u64,
}

/// What becomes of a message in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    Returned,
    Outboxed,
    Lost,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    NotStarted,
    Open,
    Closed,
}

/// Clones are the same books.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Mutex<Books>>);

struct Books {
    gate: Gate,
    stats: ProducerStats,
    /// Who waits for nothing to be in flight.
    idlers: Vec<Waker>,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        Ledger(Arc::new(Mutex::new(Books { gate: Gate::NotStarted, stats: ProducerStats::default(), idlers: Vec::new() })))
    }

    pub(crate) fn gate(&self) -> Gate {
        lock(&self.0).gate
    }

    pub(crate) fn stats(&self) -> ProducerStats {
        lock(&self.0).stats
    }

    pub(crate) fn open(&self) {
        lock(&self.0).gate = Gate::Open;
    }

    /// From here on nothing is accepted; says what the books were at that moment. A second time they are read, and nothing changes.
    pub(crate) fn close(&self) -> ProducerStats {
        let mut books = lock(&self.0);
        books.gate = Gate::Closed;
        books.stats
    }

    /// One message more, if the gate is open.
    pub(crate) fn accept(&self) -> Result<Entry, Gate> {
        let mut books = lock(&self.0);
        if books.gate != Gate::Open {
            return Err(books.gate);
        }
        books.stats.accepted += 1;
        books.stats.in_flight += 1;
        drop(books);
        Ok(Entry { ledger: self.clone(), open: true })
    }

    pub(crate) fn refused(&self) {
        lock(&self.0).stats.refused += 1;
    }
    pub(crate) fn retried(&self) {
        lock(&self.0).stats.retries += 1;
    }
    pub(crate) fn unsure(&self) {
        lock(&self.0).stats.ambiguous += 1;
    }

    /// What was given back did not arrive.
    pub(crate) fn returned_in_vain(&self) {
        let mut books = lock(&self.0);
        books.stats.returned -= 1;
        books.stats.lost += 1;
    }

    fn settle(&self, fate: Fate) {
        let mut books = lock(&self.0);
        let stats = &mut books.stats;
        stats.in_flight -= 1;
        *match fate {
            Fate::Acknowledged => &mut stats.acknowledged,
            Fate::Returned => &mut stats.returned,
            Fate::Outboxed => &mut stats.outboxed,
            Fate::Lost => &mut stats.lost,
        } += 1;
        let idlers = if books.stats.in_flight == 0 { std::mem::take(&mut books.idlers) } else { Vec::new() };
        drop(books);
        idlers.into_iter().for_each(Waker::wake);
    }

    /// Waits until nothing is in flight. With the gate closed it stays so.
    pub(crate) fn idle(&self) -> Idle {
        Idle(self.clone())
    }
}

/// A message in the books, from its acceptance until its fate is known.
pub(crate) struct Entry {
    ledger: Ledger,
    open: bool,
}

impl Entry {
    pub(crate) fn settle(mut self, fate: Fate) {
        self.open = false;
        self.ledger.settle(fate);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.open {
            self.ledger.settle(Fate::Lost);
        }
    }
}

pub(crate) struct Idle(Ledger);

impl Future for Idle {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut books = lock(&self.0.0);
        if books.stats.in_flight == 0 {
            return Poll::Ready(());
        }
        // One waker too many is harmless, and gone at the next idle moment; those who wait are one or two.
        if !books.idlers.iter().any(|other| other.will_wake(&waker)) {
            books.idlers.push(waker);
        }
        Poll::Pending
    }
}
