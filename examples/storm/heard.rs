//! What the clients heard: the truth that nobody else can change.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(crate) struct Heard {
    /// The ids answered 202.
    accepted: Mutex<HashSet<String>>,
    /// Answered 503 with a time to come back.
    refused: AtomicU64,
    /// The connection ended without an answer, or none could be made.
    silent: AtomicU64,
    /// Answers that a valid order must never get, and how often.
    wrong: Mutex<BTreeMap<String, u64>>,
}

impl Heard {
    pub(crate) fn accepted(&self, id: &str) {
        let mut accepted = held(&self.accepted);
        if !accepted.contains(id) {
            accepted.insert(id.to_owned());
        }
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn silence(&self) {
        self.silent.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wrong(&self, what: String) {
        *held(&self.wrong).entry(what).or_default() += 1;
    }

    /// How many ids were answered 202 so far.
    pub(crate) fn count(&self) -> u64 {
        held(&self.accepted).len() as u64
    }

    /// Refusals and silences so far.
    pub(crate) fn troubles(&self) -> (u64, u64) {
        (self.refused.load(Ordering::Relaxed), self.silent.load(Ordering::Relaxed))
    }

    pub(crate) fn ids(&self) -> HashSet<String> {
        held(&self.accepted).clone()
    }

    pub(crate) fn wrongs(&self) -> BTreeMap<String, u64> {
        held(&self.wrong).clone()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
