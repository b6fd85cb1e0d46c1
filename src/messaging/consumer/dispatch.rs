//! Who gets which message next: the queue between the puller and the workers, and the count of what is where. Plain data under one lock.
//!
//! A message is in one place at a time: `ready`, behind its key, at a seat (with a worker), among the acknowledgements, or gone.
//!
//! Invariants:
//! - D1. At most `concurrency` seats exist, and each has at most one message: concurrency is bounded by what there is to sit on.
//! - D2. The puller is told of `room` for no more than `prefetch` less what is fetched and not begun.
//! - D3. No message waits while a worker sleeps: whoever adds a message, and whoever takes one and leaves others, wakes one worker, unless one
//!   that was woken has not looked yet; and it looks before it sleeps.
//! - D4. After `close` no worker takes a message; those that are fetched are taken out in one go.
//! - D5. `sleeping` counts workers that have enabled their bell and then found nothing, less those rung for since. So each ring finds a worker.

mod leases;

use super::held::Held;
use super::keys::Keys;
use super::seen::Seen;
use super::stats::ConsumerStats;
use super::verdict::FailureKind;
use crate::messaging::Settled;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Acknowledgements that the broker has not answered hold the pulling up once there are so many, or four times the prefetch: otherwise a
/// broker that still gives and no longer takes would fill the memory.
const BACKLOG: usize = 256;

pub(super) struct Dispatch {
    pub(super) stats: ConsumerStats,
    ready: VecDeque<Arc<Held>>,
    keys: Option<Keys>,
    /// What each worker has in hand.
    seats: Vec<Option<Arc<Held>>>,
    concurrency: usize,
    prefetch: usize,
    /// Seats that are taken, by a message or by what follows on its failure.
    occupied: usize,
    sleeping: usize,
    /// Rung for, or spawned, and has not looked yet.
    searching: usize,
    acks: Vec<Arc<Held>>,
    /// Handled, and not known to the broker as such.
    unsettled: usize,
    settler_sleeps: bool,
    puller_waits: bool,
    closed: bool,
    given_up: bool,
    paused: bool,
    /// Given up by their workers when the stop cut them short.
    cut: Vec<Arc<Held>>,
    seen: Seen,
    /// The shortest lease that was seen: nothing that comes can be due before half of it.
    shortest: Option<Duration>,
}

/// What a worker gets.
pub(super) enum Turn {
    Work(Arc<Held>),
    Nothing,
    Closed,
}

/// What a worker did with its message.
pub(super) enum Done {
    Handled(Arc<Held>),
    /// Failed, and what follows on that is done too.
    Failed,
    /// The stop cut it short.
    Cut(Option<Arc<Held>>),
}

/// Who is to be woken, once the lock is gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rings {
    pub(super) worker: Wake,
    pub(super) puller: bool,
    pub(super) settler: bool,
    pub(super) renewer: bool,
    /// So many seats are still taken, and a stop waits for them.
    pub(super) stop: Option<usize>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Wake {
    #[default]
    Nobody,
    One,
    /// A new one, with this seat.
    New(usize),
}

/// What the puller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    Pull(usize),
    Wait,
    Pause,
    Close,
}

impl Dispatch {
    pub(super) fn new(concurrency: usize, prefetch: usize, ordered: bool, stats: ConsumerStats) -> Dispatch {
        Dispatch {
            stats,
            ready: VecDeque::new(),
            keys: ordered.then(Keys::default),
            seats: Vec::new(),
            concurrency,
            prefetch,
            occupied: 0,
            sleeping: 0,
            searching: 0,
            acks: Vec::new(),
            unsettled: 0,
            settler_sleeps: false,
            puller_waits: false,
            closed: false,
            given_up: false,
            paused: false,
            cut: Vec::new(),
            seen: Seen::default(),
            shortest: None,
        }
    }

    /// What was pulled.
    pub(super) fn push(&mut self, fetched: Vec<Arc<Held>>) -> Rings {
        let mut rings = Rings::default();
        for held in fetched {
            self.stats.pulled += 1;
            self.stats.duplicates += u64::from(self.seen.has(held.delivery().message().id()));
            if let Some(lease) = held.lease()
                && self.shortest.is_none_or(|shortest| lease < shortest)
            {
                self.shortest = Some(lease);
                rings.renewer = true;
            }
            self.line_up(held);
        }
        // Whoever is searching may be stuck on a thread that somebody blocks: from here one more is woken in any case.
        self.wake(true, &mut rings);
        rings
    }

    /// D3.
    fn wake(&mut self, in_any_case: bool, rings: &mut Rings) {
        if self.closed || self.ready.is_empty() || (self.searching > 0 && !in_any_case) {
            return;
        }
        if self.sleeping > 0 {
            self.sleeping -= 1;
            rings.worker = Wake::One;
        } else if self.seats.len() < self.concurrency {
            rings.worker = Wake::New(self.seats.len());
            self.seats.push(None);
        } else {
            return;
        }
        self.searching += 1;
    }

    /// A worker that was rung for, or is new, looks for the first time.
    pub(super) fn arrived(&mut self) {
        self.searching = self.searching.saturating_sub(1);
    }

    /// A worker has done what it did, and takes the next. With `sleeps` it counts as asleep if there is nothing (D5).
    pub(super) fn next(&mut self, seat: usize, done: Option<Done>, sleeps: bool) -> (Turn, Rings) {
        let mut rings = Rings::default();
        if let Some(done) = done {
            self.done(seat, done, &mut rings);
        }
        if self.closed {
            return (Turn::Closed, rings);
        }
        let Some(held) = self.ready.pop_front() else {
            self.sleeping += usize::from(sleeps);
            return (Turn::Nothing, rings);
        };
        self.occupied += 1;
        self.stats.in_flight += 1;
        self.seats[seat] = Some(held.clone());
        self.wake(false, &mut rings);
        self.call_puller(&mut rings);
        (Turn::Work(held), rings)
    }

    fn done(&mut self, seat: usize, done: Done, rings: &mut Rings) {
        self.occupied -= 1;
        match done {
            Done::Handled(held) => {
                self.out_of_hand(seat);
                self.stats.handled += 1;
                self.unsettled += 1;
                self.acks.push(held);
                rings.settler = std::mem::take(&mut self.settler_sleeps);
            }
            Done::Failed => {}
            Done::Cut(held) => {
                if let Some(held) = held {
                    self.out_of_hand(seat);
                    // One that had failed already was counted then.
                    self.stats.cancelled += u64::from(!held.has_failed());
                    self.cut.push(held);
                }
            }
        }
        rings.stop = self.closed.then_some(self.occupied);
    }

    fn out_of_hand(&mut self, seat: usize) {
        if self.seats[seat].take().is_some() {
            self.stats.in_flight -= 1;
        }
    }

    /// Its handling failed.
    pub(super) fn failed(&mut self, kind: FailureKind) {
        match kind {
            FailureKind::Error => self.stats.failed += 1,
            FailureKind::Panic => self.stats.panicked += 1,
            FailureKind::TimedOut => self.stats.timed_out += 1,
            FailureKind::Exhausted => self.stats.exhausted += 1,
        }
    }

    /// The message at this seat is settled, or left to its lease; the seat stays taken. If it comes again, those behind its key go back.
    pub(super) fn settled(&mut self, seat: usize, held: &Held, comes_again: bool) -> (Vec<Arc<Held>>, Rings) {
        let mut rings = Rings::default();
        self.out_of_hand(seat);
        let back = self.free_key(held, comes_again);
        self.wake(false, &mut rings);
        self.call_puller(&mut rings);
        (back, rings)
    }

    fn free_key(&mut self, held: &Held, comes_again: bool) -> Vec<Arc<Held>> {
        let Some(keys) = &mut self.keys else { return Vec::new() };
        if comes_again {
            return keys.break_off(held);
        }
        self.ready.extend(keys.advance(held));
        Vec::new()
    }

    /// What is to be acknowledged, up to so many; nothing puts the settler to sleep.
    pub(super) fn take_acks(&mut self, max: usize) -> Vec<Arc<Held>> {
        self.settler_sleeps = self.acks.is_empty();
        if self.acks.len() <= max {
            return std::mem::take(&mut self.acks);
        }
        let rest = self.acks.split_off(max);
        std::mem::replace(&mut self.acks, rest)
    }

    /// The broker has answered about these, or (`None`) will not.
    pub(super) fn acked(&mut self, batch: &[Arc<Held>], answer: Option<Settled>) -> (Vec<Arc<Held>>, Rings) {
        let (mut rings, mut back) = (Rings::default(), Vec::new());
        if self.given_up {
            return (back, rings);
        }
        self.unsettled -= batch.len();
        let settled = answer.unwrap_or_default();
        self.stats.acked += settled.done as u64;
        self.stats.stale += settled.stale as u64;
        if answer.is_none() {
            self.stats.unanswered += batch.len() as u64;
        }
        for held in batch {
            if answer.is_some() {
                self.seen.insert(held.delivery().message().id());
            }
            back.extend(self.free_key(held, answer.is_none()));
        }
        self.wake(false, &mut rings);
        self.call_puller(&mut rings);
        rings.stop = self.closed.then_some(self.occupied);
        (back, rings)
    }

    /// No answer is waited for any longer. So many were acknowledged, and about so many the broker never said anything.
    pub(super) fn give_up(&mut self) -> (u64, u64) {
        self.given_up = true;
        self.stats.unanswered += self.unsettled as u64;
        (self.stats.acked, self.unsettled as u64)
    }

    /// What the puller should do now; it will be rung for if it has to wait.
    pub(super) fn advise(&mut self) -> Advice {
        let advice = match self.room() {
            _ if self.closed => Advice::Close,
            _ if self.paused => Advice::Pause,
            0 => Advice::Wait,
            room => Advice::Pull(room),
        };
        self.puller_waits = advice == Advice::Wait;
        advice
    }

    fn room(&self) -> usize {
        let room = self.prefetch.saturating_sub(self.fetched());
        // Half a prefetch at once: pulling each single place anew would cost a call a message. Unless there is nobody to run, all of
        // them being behind keys.
        let enough = room * 2 >= self.prefetch || self.ready.is_empty();
        if enough && self.unsettled < BACKLOG.max(4 * self.prefetch) { room } else { 0 }
    }

    fn call_puller(&mut self, rings: &mut Rings) {
        if self.puller_waits && self.room() > 0 {
            self.puller_waits = false;
            rings.puller = true;
        }
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// D4. So many are in hand.
    pub(super) fn close(&mut self) -> u64 {
        self.closed = true;
        self.stats.in_flight
    }

    /// What is fetched and not begun: out of here, to be handed back.
    pub(super) fn take_fetched(&mut self) -> Vec<Arc<Held>> {
        let mut all: Vec<Arc<Held>> = self.ready.drain(..).collect();
        if let Some(keys) = &mut self.keys {
            let waiting = keys.take_waiting();
            // None waits behind them any more, so this frees their keys.
            all.iter().for_each(|held| drop(keys.advance(held)));
            all.extend(waiting);
        }
        all
    }

    /// Taken out, and not handed back after all.
    pub(super) fn put_back(&mut self, fetched: Vec<Arc<Held>>) {
        fetched.into_iter().for_each(|held| self.line_up(held));
    }

    fn line_up(&mut self, held: Arc<Held>) {
        let runnable = match &mut self.keys {
            Some(keys) => keys.admit(held),
            None => Some(held),
        };
        self.ready.extend(runnable);
    }

    fn fetched(&self) -> usize {
        self.ready.len() + self.keys.as_ref().map_or(0, Keys::waiting)
    }

    pub(super) fn in_hand(&self) -> Vec<Arc<Held>> {
        self.seats.iter().flatten().cloned().collect()
    }
    pub(super) fn occupied(&self) -> usize {
        self.occupied
    }
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }
    pub(super) fn take_cut(&mut self) -> Vec<Arc<Held>> {
        std::mem::take(&mut self.cut)
    }

    pub(super) fn stats(&self) -> ConsumerStats {
        ConsumerStats { prefetched: self.fetched() as u64, ..self.stats }
    }
}

#[cfg(test)]
mod tests;
