//! The queue's part in keeping leases: which are due, and what happens to a message whose lease is lost.

use super::Dispatch;
use crate::messaging::consumer::held::{Held, LEAST_PAUSE};
use crate::messaging::consumer::keys::Keys;
use std::sync::Arc;
use tokio::time::Instant;

impl Dispatch {
    /// The leases that are to be renewed now, and when to look again at the latest.
    pub(in crate::messaging::consumer) fn leases(&self, now: Instant) -> (Vec<Arc<Held>>, Option<Instant>) {
        let behind = self.keys.iter().flat_map(Keys::iter);
        let all = self.ready.iter().chain(behind).chain(self.seats.iter().flatten());
        let (mut due, mut next) = (Vec::new(), self.shortest.map(|shortest| now + (shortest / 2).max(LEAST_PAUSE)));
        for held in all {
            match held.due() {
                Some(at) if at <= now => due.push(held.clone()),
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        (due, next)
    }

    /// No longer ours: `None` if a worker has it, and else out of the queue, with those behind its key, which are to go back.
    pub(in crate::messaging::consumer) fn expire(&mut self, held: &Arc<Held>) -> Option<Vec<Arc<Held>>> {
        self.stats.stale += 1;
        if let Some(at) = self.ready.iter().position(|one| Arc::ptr_eq(one, held)) {
            self.ready.remove(at);
            self.stats.expired += 1;
            return Some(self.keys.as_mut().map(|keys| keys.break_off(held)).unwrap_or_default());
        }
        let mut cut = self.keys.as_mut()?.cut_off(held);
        if cut.is_empty() {
            return None;
        }
        self.stats.expired += 1;
        Some(cut.split_off(1))
    }
}
