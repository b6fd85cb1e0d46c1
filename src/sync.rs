//! The locks and atomics of the hand-made synchronisation, in one place: a model checker compiles the same files with its own.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// A lock that a panic elsewhere does not take away: what it guards is changed in whole steps only.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
