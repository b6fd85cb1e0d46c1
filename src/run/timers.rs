//! One timer a component at most, in one heap. Setting or clearing one leaves the old entry behind; an entry counts only while its
//! generation is the component's present one, and the heap is swept when most of it no longer does.

use crate::span::Moment;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Moment, u32, u32)>>,
    generation: Vec<u32>,
    armed: Vec<bool>,
    live: usize,
}

impl Timers {
    pub(super) fn new(components: usize) -> Timers {
        Timers { heap: BinaryHeap::new(), generation: vec![0; components], armed: vec![false; components], live: 0 }
    }

    pub(super) fn set(&mut self, id: u32, at: Moment) {
        self.clear(id);
        self.armed[id as usize] = true;
        self.live += 1;
        self.heap.push(Reverse((at, id, self.generation[id as usize])));
    }

    pub(super) fn clear(&mut self, id: u32) {
        let index = id as usize;
        if std::mem::take(&mut self.armed[index]) {
            self.live -= 1;
            self.generation[index] = self.generation[index].wrapping_add(1);
            if self.heap.len() > 64 && self.heap.len() > 2 * self.live {
                let (generation, armed) = (&self.generation, &self.armed);
                self.heap.retain(|Reverse((_, id, g))| armed[*id as usize] && generation[*id as usize] == *g);
                self.heap.shrink_to(64);
            }
        }
    }

    pub(super) fn next(&mut self) -> Option<Moment> {
        while let Some(&Reverse((at, id, generation))) = self.heap.peek() {
            if self.armed[id as usize] && self.generation[id as usize] == generation {
                return Some(at);
            }
            self.heap.pop();
        }
        None
    }

    /// What one is set to; looks through all of them.
    pub(super) fn at(&self, id: u32) -> Moment {
        let set = |(_, i, g): &(Moment, u32, u32)| *i == id && self.armed[id as usize] && self.generation[id as usize] == *g;
        self.heap.iter().map(|Reverse(entry)| entry).find(|entry| set(entry)).map_or(Moment::NEVER, |entry| entry.0)
    }

    /// Takes one timer that is due.
    pub(super) fn due(&mut self, now: Moment) -> Option<u32> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, id, _)) = self.heap.pop()?;
        self.armed[id as usize] = false;
        self.live -= 1;
        self.generation[id as usize] = self.generation[id as usize].wrapping_add(1);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_setting_counts_and_the_heap_stays_small() {
        let mut timers = Timers::new(1000);
        for id in 0..1000 {
            timers.set(id, Moment(100));
        }
        for id in 0..999 {
            timers.clear(id);
        }
        assert!(timers.heap.len() <= 64, "{}", timers.heap.len());
        timers.set(999, Moment(50));
        assert_eq!(timers.next(), Some(Moment(50)));
        assert_eq!(timers.due(Moment(49)), None);
        assert_eq!(timers.due(Moment(50)), Some(999));
        assert_eq!(timers.next(), None);
    }
}
