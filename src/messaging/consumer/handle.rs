//! Pausing and looking at a consumer, from any thread.

use super::dispatch::Dispatch;
use super::run::Desk;
use super::settings::Settings;
use super::stats::ConsumerStats;
use crate::sync::{Mutex, lock};
use std::fmt;
use std::sync::Arc;

/// Pauses and resumes a consumer, and reads its counts: from any thread, before its start and after its stop. Cheap to clone.
#[derive(Clone)]
pub struct ConsumerHandle {
    /// The present run's desk; a restart puts another in its place.
    desk: Arc<Mutex<Arc<Desk>>>,
}

impl ConsumerHandle {
    pub(super) fn new(settings: &Settings) -> ConsumerHandle {
        let desk = Desk::new(Dispatch::new(settings.concurrency, settings.prefetch, settings.interest.ordered, ConsumerStats::default()));
        ConsumerHandle { desk: Arc::new(Mutex::new(desk)) }
    }

    /// A new desk, for a new start: counts go on, and a pause lasts.
    pub(super) fn new_desk(&self, settings: &Settings) -> Arc<Desk> {
        let mut desk = lock(&self.desk);
        let (stats, paused) = {
            let before = desk.lock();
            (ConsumerStats { in_flight: 0, prefetched: 0, ..before.stats() }, before.is_paused())
        };
        let mut dispatch = Dispatch::new(settings.concurrency, settings.prefetch, settings.interest.ordered, stats);
        dispatch.set_paused(paused);
        *desk = Desk::new(dispatch);
        desk.clone()
    }

    /// Stops pulling until [`resume`](ConsumerHandle::resume). Handlers that run go on; what was fetched and not begun goes back to the
    /// group, so that others have it meanwhile. The consumer stays a member of its group.
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Pulls again.
    pub fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        // The lock is kept, so that a start in between takes the pause over.
        let desk = lock(&self.desk);
        desk.lock().set_paused(paused);
        desk.puller.notify_one();
    }

    /// Is it paused?
    pub fn is_paused(&self) -> bool {
        lock(&self.desk).lock().is_paused()
    }

    /// What it has done so far.
    pub fn stats(&self) -> ConsumerStats {
        lock(&self.desk).lock().stats()
    }
}

impl fmt::Debug for ConsumerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHandle").field("paused", &self.is_paused()).field("stats", &self.stats()).finish()
    }
}
