//! One start of a consumer: what its tasks share, and how they wake each other.
//!
//! Invariant R1: no lock is held over an await, user code or a wake-up.

use super::dispatch::{Dispatch, Rings, Wake};
use super::settings::Settings;
use super::{renew, settle, work};
use crate::Cx;
use crate::messaging::Subscription;
use crate::messaging::random::Random;
use crate::sync::{Mutex, MutexGuard, lock};
use futures_util::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The queue and its bells. A handle keeps it beyond the run, for the counts.
pub(super) struct Desk {
    dispatch: Mutex<Dispatch>,
    pub(super) workers: Notify,
    pub(super) puller: Notify,
    pub(super) settler: Notify,
    pub(super) renewer: Notify,
    /// Rung while a stop waits, whenever something is done with.
    pub(super) stop: Notify,
}

impl Desk {
    pub(super) fn new(dispatch: Dispatch) -> Arc<Desk> {
        Arc::new(Desk {
            dispatch: Mutex::new(dispatch),
            workers: Notify::new(),
            puller: Notify::new(),
            settler: Notify::new(),
            renewer: Notify::new(),
            stop: Notify::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Dispatch> {
        lock(&self.dispatch)
    }
}

pub(super) struct Run {
    pub(super) cx: Cx,
    pub(super) settings: Arc<Settings>,
    pub(super) desk: Arc<Desk>,
    subscription: OnceLock<Arc<dyn Subscription>>,
    /// The puller has ended: nothing is fetched any more.
    pub(super) pull_over: CancellationToken,
    /// All is settled that will be: whoever is left ends.
    pub(super) over: CancellationToken,
    /// Somebody leads the stop.
    pub(super) departing: AtomicBool,
    /// Handlers have been told to end because of a stop.
    pub(super) cancelling: AtomicBool,
    /// Workers drop what they have.
    cut: AtomicBool,
    seats: Mutex<Vec<Arc<AtomicWaker>>>,
    drain_until: Mutex<Option<Instant>>,
    random: Mutex<Random>,
}

/// One worker's place.
pub(super) struct Seat {
    pub(super) run: Arc<Run>,
    pub(super) index: usize,
    waker: Arc<AtomicWaker>,
}

impl Run {
    pub(super) fn new(cx: Cx, settings: Arc<Settings>, desk: Arc<Desk>) -> Arc<Run> {
        Arc::new(Run {
            cx,
            settings,
            desk,
            subscription: OnceLock::new(),
            pull_over: CancellationToken::new(),
            over: CancellationToken::new(),
            departing: AtomicBool::new(false),
            cancelling: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            seats: Mutex::new(Vec::new()),
            drain_until: Mutex::new(None),
            random: Mutex::new(Random::fresh()),
        })
    }

    /// The group is joined: the tasks that settle begin.
    pub(super) fn joined(self: &Arc<Run>, subscription: Arc<dyn Subscription>) {
        if self.subscription.set(subscription).is_ok() {
            self.cx.spawn("settle", settle::settle(self.clone()));
            self.cx.spawn("renew", renew::renew(self.clone()));
        }
    }

    /// `None` before the group was joined.
    pub(super) fn subscription(&self) -> Option<&Arc<dyn Subscription>> {
        self.subscription.get()
    }

    /// Wakes who is to be woken.
    pub(super) fn ring(self: &Arc<Run>, rings: Rings) {
        match rings.worker {
            Wake::Nobody => {}
            // The one that fell asleep last: its data is still near, and the others may sleep on.
            Wake::One => self.desk.workers.notify_last(),
            Wake::New(index) => self.seat_one(index),
        }
        let bells = [(rings.puller, &self.desk.puller), (rings.settler, &self.desk.settler), (rings.renewer, &self.desk.renewer)];
        bells.iter().filter(|(rung, _)| *rung).for_each(|(_, bell)| bell.notify_one());
        if let Some(occupied) = rings.stop {
            self.cx.progress(format!("{occupied} in flight"));
            self.desk.stop.notify_one();
        }
    }

    fn seat_one(self: &Arc<Run>, index: usize) {
        let waker = Arc::new(AtomicWaker::new());
        lock(&self.seats).push(waker.clone());
        let seat = Arc::new(Seat { run: self.clone(), index, waker });
        self.cx.spawn(format!("worker {}", index + 1), work::work(seat));
    }

    /// Every worker drops what it has.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        let seats = lock(&self.seats).clone();
        seats.iter().for_each(|waker| waker.wake());
    }

    pub(super) fn set_drain_until(&self, at: Instant) {
        *lock(&self.drain_until) = Some(at);
    }
    pub(super) fn drain_until(&self) -> Option<Instant> {
        *lock(&self.drain_until)
    }

    pub(super) fn with_random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut lock(&self.random))
    }
}

impl Seat {
    /// Is it to drop what it has? If not, the task is woken when it is.
    pub(super) fn is_cut(&self, cx: &std::task::Context<'_>) -> bool {
        // Put down before the look, and the flag is set before the wakers are called: one of the two comes second.
        self.waker.register(cx.waker());
        self.run.cut.load(Ordering::SeqCst)
    }
}
