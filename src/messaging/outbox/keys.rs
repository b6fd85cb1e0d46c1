//! Which ordered keys have something in the outbox: known without asking the store, since every send of such a key asks.
//!
//! Invariants:
//! 1. From before a put begins until its row is known to have gone, [`Keys::pending`] is true for its key. It may be true for longer.
//! 2. A key is taken away only by a look at the store that began after the key's last put was over ([`Keys::apply`] compares epochs).
//! 3. Until the store was looked at once, it is true for every key.

use super::store::OrderedKey;
use crate::messaging::Message;
use crate::sync::{Mutex, lock};
use std::collections::HashMap;
use std::sync::Arc;

/// Topic, then key; nested, so that a look-up by two `&str` allocates nothing.
type Map<V> = HashMap<Arc<str>, HashMap<Arc<str>, V>>;

#[derive(Debug, Default)]
pub(super) struct Keys(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    looked: bool,
    /// Counts looks; a stored key has the number of looks that had begun when it was added.
    epoch: u64,
    stored: Map<u64>,
    /// Puts under way.
    putting: Map<usize>,
}

/// A look at the store, begun before the store was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look(u64);

impl Keys {
    pub(super) fn pending(&self, topic: &str, key: &str) -> bool {
        let inner = lock(&self.0);
        let has = |map: &Map<u64>| map.get(topic).is_some_and(|keys| keys.contains_key(key));
        !inner.looked || has(&inner.stored) || inner.putting.get(topic).is_some_and(|keys| keys.contains_key(key))
    }

    /// To be held while these messages are put.
    pub(super) fn putting(self: &Arc<Keys>, messages: &[Message]) -> Putting {
        let mut keys = Vec::new();
        for message in messages.iter().filter(|message| message.is_ordered()) {
            keys.extend(message.key_shared().map(|key| (message.topic_shared(), key)));
        }
        if !keys.is_empty() {
            let mut inner = lock(&self.0);
            for (topic, key) in &keys {
                *inner.putting.entry(topic.clone()).or_default().entry(key.clone()).or_default() += 1;
            }
        }
        Putting { of: self.clone(), keys, stored: true }
    }

    pub(super) fn look(&self) -> Look {
        let mut inner = lock(&self.0);
        inner.epoch += 1;
        Look(inner.epoch)
    }

    /// What a look found: of these keys, or of all, those that have a pending row.
    pub(super) fn apply(&self, look: Look, among: Option<&[OrderedKey]>, found: Vec<OrderedKey>) {
        let mut inner = lock(&self.0);
        match among {
            None => {
                inner.looked = true;
                inner.stored.values_mut().for_each(|keys| keys.retain(|_, epoch| *epoch >= look.0));
            }
            Some(keys) => {
                for (topic, key) in keys {
                    if let Some(of_topic) = inner.stored.get_mut(topic)
                        && of_topic.get(key).is_some_and(|epoch| *epoch < look.0)
                    {
                        of_topic.remove(key);
                    }
                }
            }
        }
        inner.stored.retain(|_, keys| !keys.is_empty());
        for (topic, key) in found {
            // An epoch of 0: older than any look that comes.
            inner.stored.entry(topic).or_default().entry(key).or_insert(0);
        }
    }
}

/// Puts under way. Dropped without a word, as when the caller's future is: what became of them is not known, so the keys stay.
pub(super) struct Putting {
    of: Arc<Keys>,
    keys: Vec<OrderedKey>,
    stored: bool,
}

impl Putting {
    /// None of them was stored.
    pub(super) fn failed(mut self) {
        self.stored = false;
    }
}

impl Drop for Putting {
    fn drop(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let mut guard = lock(&self.of.0);
        let inner = &mut *guard;
        for (topic, key) in self.keys.drain(..) {
            if let Some(of_topic) = inner.putting.get_mut(&topic) {
                if let Some(count) = of_topic.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        of_topic.remove(&key);
                    }
                }
                if of_topic.is_empty() {
                    inner.putting.remove(&topic);
                }
            }
            if self.stored {
                inner.stored.entry(topic).or_default().insert(key, inner.epoch);
            }
        }
    }
}
