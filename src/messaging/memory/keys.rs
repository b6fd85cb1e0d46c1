//! One at a time of each key.

use crate::messaging::Message;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The keys of which one message is under way, and those that come after it.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<Arc<str>, Queue>);

#[derive(Debug)]
struct Queue {
    first: u64,
    behind: VecDeque<u64>,
}

impl Keys {
    /// May this message go now? If not, it is behind the others of its key.
    pub(super) fn admit(&mut self, message: &Message, number: u64) -> bool {
        let Some(key) = message.key_shared().filter(|_| message.is_ordered()) else { return true };
        if let Some(queue) = self.0.get_mut(&key) {
            queue.behind.push_back(number);
            return false;
        }
        self.0.insert(key, Queue { first: number, behind: VecDeque::new() });
        true
    }

    /// This message is settled. The next of its key, which may go now.
    pub(super) fn settled(&mut self, message: &Message, number: u64) -> Option<u64> {
        let key = message.key().filter(|_| message.is_ordered())?;
        // One that was delivered before the group asked for order stands for no key.
        let queue = self.0.get_mut(key).filter(|queue| queue.first == number)?;
        match queue.behind.pop_front() {
            Some(next) => {
                queue.first = next;
                Some(next)
            }
            None => {
                self.0.remove(key);
                None
            }
        }
    }
}
