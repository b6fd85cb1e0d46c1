//! One at a time per key: who of a key is in hand, and who waits behind it.
//!
//! Invariants:
//! - K1. Of each key at most one message is runnable or being handled; a key is listed here exactly while that is so.
//! - K2. Whoever waits behind a key came later than all that were let through before it.
//! - K3. After a failure nobody overtakes: those behind go back to the broker, whose order counts from there.

use super::held::Held;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Keys {
    busy: HashMap<Arc<str>, VecDeque<Arc<Held>>>,
    waiting: usize,
}

impl Keys {
    /// Lets a message through, or keeps it behind its predecessor.
    pub(super) fn admit(&mut self, held: Arc<Held>) -> Option<Arc<Held>> {
        let Some(key) = held.delivery().message().key_shared() else { return Some(held) };
        match self.busy.get_mut(&key) {
            Some(behind) => {
                behind.push_back(held);
                self.waiting += 1;
                None
            }
            None => {
                self.busy.insert(key, VecDeque::new());
                Some(held)
            }
        }
    }

    /// The one in hand is done with: the next one, if somebody waits.
    pub(super) fn advance(&mut self, held: &Held) -> Option<Arc<Held>> {
        let key = held.delivery().message().key()?;
        let next = self.busy.get_mut(key)?.pop_front();
        match next {
            Some(_) => self.waiting -= 1,
            None => {
                self.busy.remove(key);
            }
        }
        next
    }

    /// The one in hand comes again: those behind it, to go back (K3).
    pub(super) fn break_off(&mut self, held: &Held) -> Vec<Arc<Held>> {
        let behind = held.delivery().message().key().and_then(|key| self.busy.remove(key)).unwrap_or_default();
        self.waiting -= behind.len();
        behind.into()
    }

    /// Removes one that waits, and all behind it.
    pub(super) fn cut_off(&mut self, held: &Arc<Held>) -> Vec<Arc<Held>> {
        let Some(behind) = held.delivery().message().key().and_then(|key| self.busy.get_mut(key)) else { return Vec::new() };
        let Some(at) = behind.iter().position(|one| Arc::ptr_eq(one, held)) else { return Vec::new() };
        let cut: Vec<Arc<Held>> = behind.drain(at..).collect();
        self.waiting -= cut.len();
        cut
    }

    /// All that wait. Keys in hand stay.
    pub(super) fn take_waiting(&mut self) -> Vec<Arc<Held>> {
        self.waiting = 0;
        self.busy.values_mut().flat_map(|behind| behind.drain(..)).collect()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Those that wait, in no order of note.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.busy.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::{Delivery, Message, Receipt};
    use tokio::time::Instant;

    fn held(key: &str, n: u64) -> Arc<Held> {
        let message = Message::new("t", n.to_string());
        let message = if key.is_empty() { message } else { message.with_ordered_key(key) };
        Arc::new(Held::new(Delivery::new(message, 1, Receipt::numbers(n, 0)), Instant::now()))
    }

    fn numbers(all: &[Arc<Held>]) -> Vec<u64> {
        all.iter().map(|one| one.delivery().receipt().as_numbers().0).collect()
    }

    #[test]
    fn m7_one_at_a_time_per_key_in_the_order_in_which_they_came() {
        let mut keys = Keys::default();
        let (a1, a2, a3, b1) = (held("a", 1), held("a", 2), held("a", 3), held("b", 4));
        assert!(keys.admit(a1.clone()).is_some() && keys.admit(b1.clone()).is_some());
        assert!(keys.admit(a2.clone()).is_none() && keys.admit(a3.clone()).is_none());
        assert!(keys.admit(held("", 5)).is_some() && keys.admit(held("", 6)).is_some());
        assert_eq!(keys.waiting(), 2);
        assert!(Arc::ptr_eq(&keys.advance(&a1).unwrap(), &a2));
        assert!(Arc::ptr_eq(&keys.advance(&a2).unwrap(), &a3));
        assert!(keys.advance(&a3).is_none() && keys.advance(&b1).is_none());
        assert_eq!((keys.waiting(), keys.busy.len()), (0, 0));
    }

    #[test]
    fn m7_after_a_failure_those_behind_go_back() {
        let mut keys = Keys::default();
        let all: Vec<_> = (1..=4).map(|n| held("a", n)).collect();
        all.iter().for_each(|one| drop(keys.admit(one.clone())));
        assert_eq!(numbers(&keys.cut_off(&all[2])), [3, 4]);
        assert_eq!(keys.waiting(), 1);
        assert_eq!(numbers(&keys.break_off(&all[0])), [2]);
        assert_eq!((keys.waiting(), keys.busy.len()), (0, 0));
        assert!(keys.admit(held("a", 5)).is_some());
    }

    #[test]
    fn m7_who_waits_is_taken_and_who_is_in_hand_stays() {
        let mut keys = Keys::default();
        let all: Vec<_> = (1..=3).map(|n| held("a", n)).collect();
        all.iter().for_each(|one| drop(keys.admit(one.clone())));
        assert_eq!(numbers(&keys.take_waiting()), [2, 3]);
        assert!(keys.admit(held("a", 4)).is_none(), "1 is still in hand");
        assert_eq!(keys.waiting(), 1);
    }
}
