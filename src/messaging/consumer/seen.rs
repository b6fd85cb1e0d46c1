//! Which messages were acknowledged here lately, to count those that come again all the same. For statistics only.

use crate::messaging::MessageId;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// So many ids are remembered, half a megabyte at most. At 500 messages a second that is the 30 s after which what was not acknowledged comes again.
const WINDOW: usize = 16_384;

/// Ids are as good as random already.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(29) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Default)]
pub(super) struct Seen {
    ids: HashSet<MessageId, BuildHasherDefault<Folded>>,
    order: VecDeque<MessageId>,
}

impl Seen {
    pub(super) fn insert(&mut self, id: MessageId) {
        if self.ids.insert(id) {
            self.order.push_back(id);
            if self.order.len() > WINDOW
                && let Some(oldest) = self.order.pop_front()
            {
                self.ids.remove(&oldest);
            }
        }
    }

    pub(super) fn has(&self, id: MessageId) -> bool {
        self.ids.contains(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m9_the_window_is_bounded_and_forgets_the_oldest_first() {
        let id = |n: usize| MessageId::of(&n.to_le_bytes());
        let mut seen = Seen::default();
        (0..WINDOW).for_each(|n| seen.insert(id(n)));
        seen.insert(id(0));
        assert!(seen.has(id(0)) && seen.has(id(WINDOW - 1)) && !seen.has(id(WINDOW)));
        seen.insert(id(WINDOW));
        assert!(!seen.has(id(0)) && seen.has(id(1)) && seen.has(id(WINDOW)));
        assert_eq!((seen.ids.len(), seen.order.len()), (WINDOW, WINDOW));
    }
}
