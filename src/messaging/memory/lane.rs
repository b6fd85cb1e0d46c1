//! A sparse row of things by ascending number, O(1) each way.

use std::collections::VecDeque;

const SIZE: u64 = 128;

/// What is stored by numbers that are given out in ascending order and taken away in any.
///
/// L1. Numbers are inserted in ascending order; the last segment therefore stays, even when empty.
/// L2. A segment before the last exists only while something is in it: one thing that stays for long holds one segment, not all after it.
#[derive(Debug)]
pub(super) struct Lane<T> {
    /// The number of the first segment.
    first: u64,
    segments: VecDeque<Option<Box<Segment<T>>>>,
    len: usize,
}

#[derive(Debug)]
struct Segment<T> {
    used: usize,
    slots: Vec<Option<T>>,
}

impl<T> Lane<T> {
    pub(super) const fn new() -> Lane<T> {
        Lane { first: 0, segments: VecDeque::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts in what has this number, which is higher than any before.
    pub(super) fn insert(&mut self, number: u64, thing: T) {
        let segment = number / SIZE;
        if self.segments.is_empty() {
            self.first = segment;
        }
        while self.first + (self.segments.len() as u64) <= segment {
            self.end_last();
            let wanted = self.first + self.segments.len() as u64 == segment;
            self.segments.push_back(wanted.then(Segment::new));
            self.trim();
        }
        debug_assert!(segment + 1 == self.first + self.segments.len() as u64, "numbers ascend");
        if let Some(Some(last)) = self.segments.back_mut() {
            let before = last.slots[(number % SIZE) as usize].replace(thing);
            debug_assert!(before.is_none(), "a number is used once");
            last.used += 1;
            self.len += 1;
        }
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        self.segments.get(self.index(number)?)?.as_ref()?.slots[(number % SIZE) as usize].as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let index = self.index(number)?;
        self.segments.get_mut(index)?.as_mut()?.slots[(number % SIZE) as usize].as_mut()
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let index = self.index(number)?;
        let last = self.segments.len().checked_sub(1)?;
        let segment = self.segments.get_mut(index)?.as_mut()?;
        let thing = segment.slots[(number % SIZE) as usize].take()?;
        segment.used -= 1;
        self.len -= 1;
        if segment.used == 0 && index < last {
            self.segments[index] = None;
            self.trim();
        }
        Some(thing)
    }

    /// The lowest number that is in it and not below this one.
    pub(super) fn next_from(&self, number: u64) -> Option<u64> {
        let start = number.max(self.first * SIZE);
        let mut offset = (start % SIZE) as usize;
        for index in (start / SIZE - self.first) as usize..self.segments.len() {
            if let Some(segment) = &self.segments[index]
                && let Some(found) = segment.slots[offset..].iter().position(Option::is_some)
            {
                return Some((self.first + index as u64) * SIZE + (offset + found) as u64);
            }
            offset = 0;
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten().flat_map(|segment| segment.slots.iter().flatten())
    }

    pub(super) fn numbers(&self) -> Vec<u64> {
        let mut all = Vec::with_capacity(self.len);
        let mut next = 0;
        while let Some(number) = self.next_from(next) {
            all.push(number);
            next = number + 1;
        }
        all
    }

    fn index(&self, number: u64) -> Option<usize> {
        (number / SIZE).checked_sub(self.first).map(|index| index as usize)
    }

    /// The last segment will not be the last any more: gone if it is empty.
    fn end_last(&mut self) {
        if let Some(last) = self.segments.back_mut()
            && last.as_ref().is_some_and(|segment| segment.used == 0)
        {
            *last = None;
        }
    }

    fn trim(&mut self) {
        while self.segments.len() > 1 && self.segments.front().is_some_and(Option::is_none) {
            self.segments.pop_front();
            self.first += 1;
        }
    }
}

impl<T> Segment<T> {
    fn new() -> Box<Segment<T>> {
        Box::new(Segment { used: 0, slots: (0..SIZE).map(|_| None).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_lane_is_a_map_by_ascending_numbers(steps in proptest::collection::vec((1u64..400, any::<bool>(), any::<prop::sample::Index>()), 1..400)) {
            let (mut lane, mut map, mut next) = (Lane::new(), BTreeMap::new(), 0);
            for (gap, insert, which) in steps {
                if insert {
                    next += if gap > 380 { gap } else { 1 };
                    lane.insert(next, next);
                    map.insert(next, next);
                } else {
                    let number = which.index(next as usize + 2) as u64;
                    prop_assert_eq!(lane.remove(number), map.remove(&number));
                    prop_assert_eq!(lane.next_from(number), map.range(number..).next().map(|(number, _)| *number));
                }
                prop_assert_eq!(lane.len(), map.len());
                prop_assert_eq!(lane.get(next), map.get(&next));
            }
            prop_assert_eq!(lane.numbers(), map.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(lane.iter().count(), map.len());
        }
    }

    #[test]
    fn one_that_stays_does_not_hold_those_after_it() {
        let mut lane = Lane::new();
        for number in 0..100_000 {
            lane.insert(number, ());
        }
        for number in 1..100_000 {
            lane.remove(number);
        }
        assert_eq!(lane.segments.iter().flatten().count(), 2, "the first with the one that stays, and the last");
    }
}
