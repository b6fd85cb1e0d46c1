//! Counts what is under way, and lets one wait until nothing is.

use std::sync::Arc;
use tokio::sync::watch;

/// A shared count. Cloned freely; all clones are the same count.
#[derive(Clone)]
pub(crate) struct Gauge(Arc<watch::Sender<usize>>);

/// One unit of a [`Gauge`], given back when dropped: also by a panic, or when the future that holds it is dropped.
pub(crate) struct Entered(Gauge);

impl Gauge {
    pub(crate) fn new() -> Gauge {
        Gauge(Arc::new(watch::Sender::new(0)))
    }

    pub(crate) fn enter(&self) -> Entered {
        self.0.send_modify(|count| *count += 1);
        Entered(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until the count is 0, saying on the way what it is.
    pub(crate) async fn none(&self, mut saw: impl FnMut(usize)) {
        let mut counts = self.0.subscribe();
        loop {
            let count = *counts.borrow_and_update();
            if count == 0 {
                return;
            }
            saw(count);
            if counts.changed().await.is_err() {
                return; // cannot be: `self` holds the sender
            }
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
