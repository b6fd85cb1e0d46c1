//! A set of numbers that mostly stand next to each other.

use std::collections::BTreeMap;

/// Ranges by their beginning, with their ends (not included), none touching another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    /// All from `start` on, up to `end`, which is not in it.
    pub(super) fn insert(&mut self, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        if let Some((before, its_end)) = self.0.range(..=start).next_back().map(|(start, end)| (*start, *end))
            && its_end >= start
        {
            (start, end) = (before, end.max(its_end));
        }
        while let Some((after, its_end)) = self.0.range(start..=end).next().map(|(start, end)| (*start, *end)) {
            self.0.remove(&after);
            end = end.max(its_end);
        }
        self.0.insert(start, end);
    }

    /// Takes out the range that `number` is in, with all before it, and gives its end.
    pub(super) fn leave(&mut self, number: u64) -> Option<u64> {
        let end = self.0.range(..=number).next_back().map(|(_, end)| *end).filter(|end| number < *end);
        while let Some(first) = self.0.first_entry().filter(|first| *first.key() <= number) {
            first.remove();
        }
        end
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// Beginning and end of each, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(start, end)| (*start, *end))
    }
}
