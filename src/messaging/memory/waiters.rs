//! Those of a group who sleep in a pull, and whom to wake.

use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Who waits in a pull.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    pub(super) bell: Arc<Notify>,
    count: usize,
    /// None sleeps longer than until here.
    latest: Option<Instant>,
}

impl Waiters {
    /// One more will sleep until then at the latest.
    pub(super) fn enter(&mut self, until: Instant) {
        self.count += 1;
        self.latest = self.latest.max(Some(until));
    }

    pub(super) fn leave(&mut self) {
        self.count -= 1;
        if self.count == 0 {
            self.latest = None;
        }
    }

    /// Whom to wake because there is something, if anybody waits.
    pub(super) fn somebody(&self) -> Option<Arc<Notify>> {
        (self.count > 0).then(|| self.bell.clone())
    }

    /// Whom to wake because something is due while somebody sleeps on. That is told once: who is woken sleeps until then at most.
    pub(super) fn all_before(&mut self, due: Option<Instant>) -> Option<Arc<Notify>> {
        let bell = self.somebody()?;
        due.filter(|due| self.latest.is_some_and(|latest| *due < latest))?;
        self.latest = due;
        Some(bell)
    }
}
