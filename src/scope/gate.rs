//! Two one-way flags, `stopping` and `cancelled`, and whoever waits for them.
//!
//! Invariants:
//! - G1. A flag once set stays set; `cancelled` implies `stopping`.
//! - G2. A waiter that registers while a flag is being set is woken or sees it: the flag is set before the lock is taken to collect
//!   wakers, and a waiter looks at the flag again after it has put its waker under the lock. One of the two comes second.
//! - G3. No waker is cloned, woken or dropped under the lock (each may run foreign code); the lock is held for a few moves only.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub(crate) const STOPPING: u8 = 1;
pub(crate) const CANCELLED: u8 = 2;

#[derive(Debug, Default)]
pub(crate) struct Gate {
    flags: AtomicU8,
    next_key: AtomicU32,
    waiters: Mutex<Waiters>,
}

/// One waiter is the rule, and costs no allocation. Flat, and the many boxed: there is a gate for each of many thousand components.
#[derive(Debug, Default)]
enum Waiters {
    #[default]
    None,
    One(u32, u8, Waker),
    #[allow(clippy::box_collection)]
    Many(Box<BTreeMap<u32, (u8, Waker)>>),
}

impl Gate {
    pub(crate) fn is_set(&self, flag: u8) -> bool {
        // Acquire: who sees the flag also sees what the conductor wrote before it, such as the deadline of the stop.
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    /// Sets a flag and wakes who waits for it.
    pub(crate) fn set(&self, flag: u8) {
        let mut wakers = Vec::new();
        self.set_and_collect(flag, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sets a flag and hands out who is to be woken: of many gates in a row, so that the wake-ups come close together.
    pub(crate) fn set_and_collect(&self, flag: u8, wakers: &mut Vec<Waker>) {
        let flag = if flag == CANCELLED { CANCELLED | STOPPING } else { flag };
        self.flags.fetch_or(flag, Ordering::SeqCst);
        let due = self.lock().take_due(flag);
        match due {
            Waiters::None => {}
            Waiters::One(_, _, waker) => wakers.push(waker),
            Waiters::Many(all) => wakers.extend(all.into_values().map(|(_, waker)| waker)),
        }
    }

    /// Polls for a flag. `key` is the waiter's own, `None` before its first poll.
    pub(crate) fn poll(&self, flag: u8, key: &mut Option<u32>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_set(flag) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let previous = {
            let mut waiters = self.lock();
            // The counter comes round after four thousand million waits: a key that is taken then is passed over.
            let key = *key.get_or_insert_with(|| {
                loop {
                    let key = self.next_key.fetch_add(1, Ordering::Relaxed);
                    if !waiters.has(key) {
                        return key;
                    }
                }
            });
            waiters.insert(key, flag, waker)
        };
        drop(previous);
        if self.flags.load(Ordering::SeqCst) & flag != 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The waiter is gone.
    pub(crate) fn forget(&self, key: u32) {
        let gone = self.lock().remove(key);
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiters {
    fn has(&self, key: u32) -> bool {
        match self {
            Waiters::None => false,
            Waiters::One(k, ..) => *k == key,
            Waiters::Many(all) => all.contains_key(&key),
        }
    }

    /// Puts a waiter in; gives back the waker that it had before.
    fn insert(&mut self, key: u32, mask: u8, waker: Waker) -> Option<Waker> {
        match std::mem::take(self) {
            Waiters::None => *self = Waiters::One(key, mask, waker),
            Waiters::One(k, _, previous) if k == key => {
                *self = Waiters::One(key, mask, waker);
                return Some(previous);
            }
            Waiters::One(k, m, first) => *self = Waiters::Many(Box::new(BTreeMap::from([(k, (m, first)), (key, (mask, waker))]))),
            Waiters::Many(mut all) => {
                let previous = all.insert(key, (mask, waker));
                *self = Waiters::Many(all);
                return previous.map(|(_, waker)| waker);
            }
        }
        None
    }

    fn remove(&mut self, key: u32) -> Option<Waker> {
        match self {
            Waiters::One(k, ..) if *k == key => match std::mem::take(self) {
                Waiters::One(_, _, waker) => Some(waker),
                _ => None,
            },
            Waiters::Many(all) => all.remove(&key).map(|(_, waker)| waker),
            Waiters::None | Waiters::One(..) => None,
        }
    }

    /// Takes out all that wait for one of these flags.
    fn take_due(&mut self, flag: u8) -> Waiters {
        match self {
            Waiters::One(_, mask, _) if *mask & flag != 0 => std::mem::take(self),
            Waiters::Many(all) => Waiters::Many(Box::new(all.extract_if(.., |_, (mask, _)| *mask & flag != 0).collect())),
            Waiters::None | Waiters::One(..) => Waiters::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn t5_stopping_does_not_wake_who_waits_for_cancelled_but_cancelled_wakes_both() {
        let gate = Gate::default();
        let counts: Vec<Arc<Count>> = (0..3).map(|_| Arc::default()).collect();
        let mut keys = [None; 3];
        for ((count, key), flag) in counts.iter().zip(&mut keys).zip([STOPPING, CANCELLED, STOPPING]) {
            let waker = Waker::from(count.clone());
            assert!(gate.poll(flag, key, &mut Context::from_waker(&waker)).is_pending());
        }
        gate.forget(keys[2].unwrap());
        let woken = || counts.iter().map(|c| c.0.load(Ordering::SeqCst)).collect::<Vec<_>>();
        gate.set(STOPPING);
        assert_eq!(woken(), [1, 0, 0]);
        gate.set(CANCELLED);
        assert_eq!(woken(), [1, 1, 0]);
        let other = Gate::default();
        other.set(CANCELLED);
        assert!(other.is_set(STOPPING));
    }

    #[test]
    fn a_key_that_is_taken_is_passed_over_when_the_counter_comes_round() {
        let gate = Gate::default();
        let counts: Vec<Arc<Count>> = (0..2).map(|_| Arc::default()).collect();
        for count in &counts {
            let waker = Waker::from(count.clone());
            assert!(gate.poll(STOPPING, &mut None, &mut Context::from_waker(&waker)).is_pending());
            gate.next_key.store(0, Ordering::Relaxed);
        }
        gate.set(STOPPING);
        assert!(counts.iter().all(|c| c.0.load(Ordering::SeqCst) == 1));
    }

    #[test]
    fn a_setter_and_a_waiter_never_miss_each_other() {
        for _ in 0..2000 {
            let gate = Arc::new(Gate::default());
            let setter = std::thread::spawn({
                let gate = gate.clone();
                move || gate.set(STOPPING)
            });
            let count = Arc::new(Count::default());
            let waker = Waker::from(count.clone());
            let saw = gate.poll(STOPPING, &mut None, &mut Context::from_waker(&waker)).is_ready();
            setter.join().unwrap();
            assert!(saw || count.0.load(Ordering::SeqCst) == 1);
        }
    }
}
