//! Threads work in real time, which virtual time has no notion of: it would jump over a component's whole stop before its thread had woken up.
//! So while a component on a thread of its own is to end, the clock is held still, for a bounded real time.
//!
//! tokio does not advance its clock by itself while a task on its blocking pool runs; such a task is what holds it.

use std::collections::HashSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Real time for a thread to end once it was asked to, and once more when it was cancelled.
const PATIENCE: Duration = Duration::from_millis(500);

/// A component on a thread that was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) subject: u32,
    pub(super) epoch: u32,
    pub(super) cancelled: bool,
}

/// Who has had their time.
#[derive(Debug, Default)]
pub(super) struct Patience {
    over: Arc<Mutex<HashSet<Asked>>>,
}

/// Holds the clock until it is dropped, or the time is over.
#[derive(Debug)]
pub(super) struct Held(#[allow(dead_code, reason = "its drop ends the wait")] Sender<()>);

impl Patience {
    /// `None` if there is nobody to wait for.
    pub(super) fn hold(&self, asked: Vec<Asked>) -> Option<Held> {
        if asked.is_empty() {
            return None;
        }
        let had = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting: Vec<Asked> = asked.into_iter().filter(|one| !had.contains(one)).collect();
        drop(had);
        if waiting.is_empty() {
            return None;
        }
        let (held, released) = channel();
        let over = self.over.clone();
        tokio::task::spawn_blocking(move || {
            if released.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                over.lock().unwrap_or_else(PoisonError::into_inner).extend(waiting);
            }
        });
        Some(Held(held))
    }
}
