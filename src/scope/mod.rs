//! A component's scope: its tokens, its tasks by name, its counters. The one room that spawns user code.
//!
//! Invariants:
//! - C1. Every operation and every task of a component is a member of the scope from before it is spawned until after its future
//!   (or closure) has been dropped.
//! - C2. A scope is sealed once, when its end is awaited; it closes when it is sealed and has no member, and says so exactly once:
//!   both happen in one compare-and-swap on one word, by whoever makes the last of the two true.
//! - C3. Nothing enters a closed scope: `spawn` then drops the future, and says so with `false`.
//! - C4. All user code runs under [`blame`] and panic capture, including the drop of a future, of an error and of a panic's payload.

pub(crate) mod blame;
mod extra;
pub(crate) mod gate;
mod shared;
mod task;
mod token;

pub(crate) use extra::{Counts, Extra};
pub(crate) use shared::{Message, OVER, READY, STOPS, Shared};
pub(crate) use task::{FIRST_TASK, Role, Wrapped, caught, failure_of};
pub use token::{Token, Wait};

use crate::run::Input;
use crate::span::Moment;
use blame::Place;
use gate::Gate;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

/// Subjects that are no components share the numbers above these.
pub(crate) const RESOURCES: u32 = 1 << 23;
pub(crate) const SET_UP: u32 = (1 << 24) - 1;

const SEALED: u32 = 1;
const CLOSED: u32 = 2;
const MEMBER: u32 = 4;

/// One start of one component. An allocation of its own; what is seldom needed is in [`Extra`].
pub(crate) struct Scope {
    pub(crate) shared: Arc<Shared>,
    pub(crate) subject: u32,
    pub(crate) epoch: u32,
    pub(crate) gate: Gate,
    /// Members times four, and the flags `SEALED` and `CLOSED`.
    word: AtomicU32,
    /// Critical sections times two, and whether an abort waits for them.
    critical: AtomicU32,
    deadline: AtomicU64,
    extra: OnceLock<Box<Extra>>,
}

impl Scope {
    pub(crate) fn new(shared: &Arc<Shared>, subject: u32, epoch: u32, deadline: Moment) -> Arc<Scope> {
        Arc::new(Scope {
            shared: shared.clone(),
            subject,
            epoch,
            gate: Gate::default(),
            word: AtomicU32::new(0),
            critical: AtomicU32::new(0),
            deadline: AtomicU64::new(deadline.0),
            extra: OnceLock::new(),
        })
    }

    pub(crate) fn place(&self, task: u16) -> Place {
        Place { app: self.shared.number.0, subject: self.subject, task }
    }

    pub(crate) fn extra(&self) -> &Extra {
        self.extra.get_or_init(Box::default)
    }
    pub(crate) fn extra_if_any(&self) -> Option<&Extra> {
        self.extra.get().map(|extra| &**extra)
    }

    pub(crate) fn deadline(&self) -> Moment {
        Moment(self.deadline.load(Ordering::Acquire))
    }
    pub(crate) fn set_deadline(&self, at: Moment) {
        self.deadline.store(at.0, Ordering::Release);
    }

    /// Was it asked to stop, or cancelled?
    pub(crate) fn asked(&self) -> bool {
        self.gate.is_set(gate::STOPPING)
    }

    /// Fires a token, wakes threads that sleep on it, and hands out the tasks that are to be woken.
    pub(crate) fn fire(&self, flag: u8, wakers: &mut Vec<Waker>) {
        self.gate.set_and_collect(flag, wakers);
        if let Some(extra) = self.extra_if_any() {
            extra.fire(flag);
        }
    }

    /// One member more; false if the scope is closed (C3).
    pub(crate) fn enter(&self) -> bool {
        let before = self.word.fetch_add(MEMBER, Ordering::AcqRel);
        if before & CLOSED != 0 {
            self.word.fetch_sub(MEMBER, Ordering::AcqRel);
            return false;
        }
        true
    }

    /// One member less.
    pub(crate) fn leave(&self) {
        let after = self.word.fetch_sub(MEMBER, Ordering::AcqRel) - MEMBER;
        if after == SEALED {
            self.close();
        }
    }

    /// Its end is awaited from now on.
    pub(crate) fn seal(&self) {
        if self.word.fetch_or(SEALED, Ordering::AcqRel) == 0 {
            self.close();
        }
    }

    /// C2: only from "sealed and nobody in it", and only one of those who see that succeeds.
    fn close(&self) {
        if self.word.compare_exchange(SEALED, SEALED | CLOSED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.shared.fact(Input::ScopeEmpty { id: self.subject, epoch: self.epoch });
        }
    }

    pub(crate) fn members(&self) -> u32 {
        self.word.load(Ordering::Acquire) / MEMBER
    }

    /// A critical section begins; false if an abort has been carried out already.
    pub(crate) fn enter_critical(&self, bound: Duration) -> bool {
        self.extra().raise_bound(bound);
        self.critical.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| (word != 1).then_some(word + 2)).is_ok()
    }

    pub(crate) fn leave_critical(&self) {
        let before = self.critical.fetch_sub(2, Ordering::AcqRel);
        if before <= 3 {
            // The last of them: a later one has its own bound.
            self.extra().reset_bound();
        }
        if before == 3 {
            self.shared.fact(Input::Released { id: self.subject, epoch: self.epoch });
        }
    }

    /// Aborts unless a critical section holds (and `now` is not insisted on); then says for how long it may.
    pub(crate) fn abort(&self, now: bool) -> Result<(), Duration> {
        let before = self.critical.fetch_or(1, Ordering::AcqRel);
        if before > 1 && !now {
            return Err(self.extra().bound());
        }
        // Made if need be: a task that is spawned from now on finds that it is too late.
        self.extra().abort_tasks();
        Ok(())
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("subject", &self.subject).field("epoch", &self.epoch).field("members", &self.members()).finish()
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// With its two counts it fills 104 bytes, which beside a tokio task of 256, aligned to 128, leaves no gap in glibc's heap.
    #[test]
    fn a_scope_stays_small() {
        assert!(size_of::<Scope>() <= 88, "{}", size_of::<Scope>());
    }
}
