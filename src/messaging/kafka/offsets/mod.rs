//! What a group has done of one partition, where the server keeps one number only: the offset from which on to go on.
//!
//! Messages are settled in any order. Committed is the lowest offset that is not settled; what was settled beyond it, and how often what is not
//! settled was tried, travels with the commit as its metadata (`text`), and comes back when the partition is assigned again.
//!
//! # Invariants
//! - O1. What is committed is never beyond what is not settled: a restart loses nothing.
//! - O2. An offset that is settled is not handed out again, and neither is one that is held.
//! - O3. Offsets that the log skips (compacted away, marks of transactions) are settled as soon as a later one comes.
//! - O4. A text that is not ours, is damaged, or was cut because it did not fit, costs repetitions and counts of attempts, never a message.

mod ranges;
#[cfg(test)]
mod tests;
mod text;

use ranges::Ranges;
use std::collections::BTreeMap;

/// Of one partition, from its assignment to its revocation.
#[derive(Debug)]
pub(super) struct Tracker {
    /// The lowest offset that is not settled. Not known yet where a new group begins with the oldest message, whatever its offset is.
    base: Option<u64>,
    /// One more than the highest offset that came.
    next: u64,
    /// What is settled, from the base on.
    settled: Ranges,
    /// How often what is not settled was tried; what was not tried is not in it.
    tries: BTreeMap<u64, u32>,
    /// Counts changes, so that it is seen whether there is anything to commit.
    changes: u64,
    committed: u64,
}

/// What is to be done with a message that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is new here, and was tried so often before.
    New(u32),
    /// It is settled, or held: nothing.
    Known,
    /// The log begins anew (the topic was made again, or cut): whatever is held of it is of another log. It is new, as everything now.
    Restarted,
}

/// What a commit says of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: u64,
    pub(super) text: String,
    /// To be handed to [`Tracker::confirmed`].
    pub(super) changes: u64,
}

impl Tracker {
    /// Of a group that has never committed, and begins with whatever comes first.
    pub(super) fn fresh() -> Tracker {
        Tracker { base: None, next: 0, settled: Ranges::default(), tries: BTreeMap::new(), changes: 0, committed: 0 }
    }

    /// Of a group that begins here, which is to be committed.
    pub(super) fn beginning(offset: u64) -> Tracker {
        Tracker { base: Some(offset), next: offset, changes: 1, ..Tracker::fresh() }
    }

    /// As it was committed.
    pub(super) fn restored(offset: u64, text: &str) -> Tracker {
        let (settled, tries) = text::read(offset, text).unwrap_or_default();
        let mut tracker = Tracker { base: Some(offset), next: offset, settled, tries, ..Tracker::fresh() };
        tracker.advance();
        tracker
    }

    /// A message came.
    pub(super) fn arrived(&mut self, offset: u64) -> Arrival {
        let base = *self.base.get_or_insert(offset);
        // A log is read forwards. Back to what was done with goes only one that begins anew; a mistake about it costs repetitions.
        if offset < self.next {
            if offset >= base {
                return Arrival::Known;
            }
            *self = Tracker { next: offset + 1, changes: self.changes + 1, committed: self.committed, ..Tracker::beginning(offset) };
            return Arrival::Restarted;
        }
        if offset > self.next.max(base) {
            self.settled.insert(self.next.max(base), offset);
        }
        self.next = offset + 1;
        self.advance();
        if self.settled.contains(offset) || self.base.is_some_and(|base| offset < base) {
            return Arrival::Known;
        }
        Arrival::New(self.tries.get(&offset).copied().unwrap_or(0))
    }

    /// It was tried so often; this one is under way as well, so that it counts if the process dies of it.
    pub(super) fn tried(&mut self, offset: u64, times: u32) {
        let before = if times == 0 { self.tries.remove(&offset) } else { self.tries.insert(offset, times) };
        if before.unwrap_or(0) != times {
            self.changes += 1;
        }
    }

    /// It is done with.
    pub(super) fn settle(&mut self, offset: u64) {
        self.tries.remove(&offset);
        self.settled.insert(offset, offset + 1);
        self.changes += 1;
        self.advance();
    }

    /// What is to be committed, with a text of at most so many bytes; nothing if that has been done.
    pub(super) fn mark(&self, limit: usize) -> Option<Mark> {
        let offset = self.base.filter(|_| self.changes > self.committed)?;
        Some(Mark { offset, text: text::write(offset, &self.settled, &self.tries, limit), changes: self.changes })
    }

    /// A mark with this number was committed.
    pub(super) fn confirmed(&mut self, changes: u64) {
        self.committed = self.committed.max(changes);
    }

    fn advance(&mut self) {
        if let Some(base) = self.base
            && let Some(end) = self.settled.leave(base)
        {
            self.base = Some(end);
            self.changes += 1;
        }
    }
}

/// How many are settled beyond the offset that was committed with this text.
pub(super) fn settled_beyond(offset: u64, text: &str) -> u64 {
    text::read(offset, text).map_or(0, |(settled, _)| settled.count())
}
