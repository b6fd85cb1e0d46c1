//! The files of the crate that synchronise by hand, compiled with loom's locks in place of the standard library's, and copies of them
//! that were broken on purpose: a check that does not find those finds nothing.
#![allow(dead_code)]

/// What the crate has in `src/sync.rs`.
mod sync {
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }
}

mod permits;

#[path = "../../../src/messaging/producer/ledger.rs"]
mod ledger;

#[cfg(test)]
#[allow(unused_mut)]
mod broken;
#[cfg(test)]
mod check_ledger;
#[cfg(test)]
mod check_permits;

/// For three threads that wait for each other: every interleaving in which a thread is cut off where it need not be three times at most.
/// All of them take minutes, and bugs of this kind show with one or two such cuts.
#[cfg(test)]
fn with_few_cuts(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}
