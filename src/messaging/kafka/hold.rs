//! What a subscription has read and not settled. Pure: the time is an argument, and nothing waits.

use super::super::lanes::{Lanes, Taken, Ticket};
use super::super::{Message, TagFilter};
use super::offsets::{Arrival, Mark, Tracker};
use std::collections::BTreeMap;
use std::time::Instant;

/// A message and its place in the log.
#[derive(Clone, Debug)]
pub(super) struct Held {
    partition: i32,
    offset: u64,
    pub(super) message: Message,
}

/// What is to be committed of a partition; good for as long as it stays ours.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) partition: i32,
    assignment: u64,
    pub(super) mark: Mark,
}

#[derive(Debug)]
struct Part {
    /// Which assignment it is, of all there ever were.
    assignment: u64,
    tracker: Tracker,
}

#[derive(Debug)]
pub(super) struct Hold {
    ordered: bool,
    tags: TagFilter,
    most: usize,
    most_bytes: usize,
    text_limit: usize,
    lanes: Lanes<Held>,
    parts: BTreeMap<i32, Part>,
    bytes: usize,
    assignments: u64,
}

impl Hold {
    pub(super) fn new(ordered: bool, tags: TagFilter, most: usize, most_bytes: usize, text_limit: usize) -> Hold {
        let (lanes, parts) = (Lanes::new(), BTreeMap::new());
        Hold { ordered, tags, most, most_bytes, text_limit, lanes, parts, bytes: 0, assignments: 0 }
    }

    /// This partition is ours from now on.
    pub(super) fn assign(&mut self, partition: i32, tracker: Tracker) {
        self.forget(partition);
        self.assignments += 1;
        self.parts.insert(partition, Part { assignment: self.assignments, tracker });
    }

    /// This one no longer: what is held of it is another member's. What is left to commit of it.
    pub(super) fn revoke(&mut self, partition: i32) -> Option<Commit> {
        let commit = self.commit_of(partition);
        self.forget(partition);
        self.parts.remove(&partition);
        commit
    }

    /// None is ours any more.
    pub(super) fn revoke_all(&mut self) {
        self.parts.clear();
        self.bytes = 0;
        drop(self.lanes.drain(|_| true));
    }

    fn forget(&mut self, partition: i32) {
        for gone in self.lanes.drain(|held| held.partition == partition) {
            self.bytes -= gone.message.size();
        }
    }

    /// A message was read.
    pub(super) fn arrived(&mut self, partition: i32, offset: u64, message: Message) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        let tries = match part.tracker.arrived(offset) {
            Arrival::Known => return,
            Arrival::New(tries) => tries,
            Arrival::Restarted => {
                self.forget(partition);
                0
            }
        };
        if !self.tags.wants(message.tag()) {
            self.done(partition, offset);
            return;
        }
        let key = if self.ordered && message.is_ordered() { message.key_shared() } else { None };
        self.bytes += message.size();
        self.lanes.push(key, tries.saturating_add(1), None, Held { partition, offset, message });
    }

    /// Up to so many that are due. They count as tried from now on: should the process die of one, that is known.
    pub(super) fn take(&mut self, max: usize, now: Instant) -> Vec<Taken<Held>> {
        let taken = self.lanes.take(max, now);
        for one in &taken {
            self.tried(one.thing.partition, one.thing.offset, one.attempt);
        }
        taken
    }

    /// Is it out by this ticket?
    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.lanes.get(ticket).is_some()
    }

    pub(super) fn ack(&mut self, ticket: Ticket) -> bool {
        let Some(held) = self.lanes.settle(ticket) else { return false };
        self.bytes -= held.message.size();
        self.done(held.partition, held.offset);
        true
    }

    /// It failed, and comes again from `due` on.
    pub(super) fn nack(&mut self, ticket: Ticket, due: Option<Instant>) -> bool {
        self.lanes.put_back(ticket, due, |attempt| attempt.saturating_add(1)).is_some()
    }

    /// It was not begun.
    pub(super) fn release(&mut self, ticket: Ticket) -> bool {
        let back = self.lanes.put_back(ticket, None, |attempt| attempt).map(|(held, attempt)| (held.partition, held.offset, attempt));
        let Some((partition, offset, attempt)) = back else { return false };
        self.tried(partition, offset, attempt.saturating_sub(1));
        true
    }

    /// Gives everything back that is out, uncounted.
    pub(super) fn release_all(&mut self) {
        for ticket in self.lanes.tickets() {
            self.release(ticket);
        }
    }

    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        self.lanes.next_due(now)
    }

    pub(super) fn is_full(&self) -> bool {
        self.lanes.len() >= self.most || self.bytes >= self.most_bytes
    }

    /// Empty enough to read on after it was full.
    pub(super) fn has_room(&self) -> bool {
        self.lanes.len() <= self.most / 2 && self.bytes <= self.most_bytes / 2
    }

    /// What has changed and is not committed.
    pub(super) fn commits(&self) -> Vec<Commit> {
        self.parts.keys().filter_map(|partition| self.commit_of(*partition)).collect()
    }

    /// The server has it.
    pub(super) fn confirmed(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(part) = self.parts.get_mut(&commit.partition).filter(|part| part.assignment == commit.assignment) {
                part.tracker.confirmed(commit.mark.changes);
            }
        }
    }

    fn commit_of(&self, partition: i32) -> Option<Commit> {
        let part = self.parts.get(&partition)?;
        let mark = part.tracker.mark(self.text_limit)?;
        Some(Commit { partition, assignment: part.assignment, mark })
    }

    fn done(&mut self, partition: i32, offset: u64) {
        if let Some(part) = self.parts.get_mut(&partition) {
            part.tracker.settle(offset);
        }
    }

    fn tried(&mut self, partition: i32, offset: u64, times: u32) {
        if let Some(part) = self.parts.get_mut(&partition) {
            part.tracker.tried(offset, times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(tags: TagFilter) -> Hold {
        let mut hold = Hold::new(false, tags, 4, 1000, 4000);
        hold.assign(0, Tracker::beginning(10));
        hold
    }

    fn feed(hold: &mut Hold, offsets: std::ops::Range<u64>) {
        offsets.for_each(|offset| hold.arrived(0, offset, Message::new("t", offset.to_string())));
    }

    #[test]
    fn attempts_survive_with_the_commit_and_what_was_released_is_not_counted() {
        let (mut one, now) = (hold(TagFilter::All), Instant::now());
        feed(&mut one, 10..14);
        let taken = one.take(4, now);
        assert!(one.nack(taken[0].ticket, None) && one.release(taken[1].ticket) && one.ack(taken[2].ticket));
        let commit = one.revoke(0).expect("there is much to say");
        assert!(!one.ack(taken[3].ticket), "its partition is another's");
        let mut other = hold(TagFilter::All);
        other.assign(0, Tracker::restored(commit.mark.offset, &commit.mark.text));
        feed(&mut other, 10..14);
        let again: Vec<_> = other.take(9, now).iter().map(|one| (one.thing.offset, one.attempt)).collect();
        assert_eq!(again, [(10, 2), (11, 1), (13, 2)], "the last one was out when it was lost: that counts");
    }

    #[test]
    fn who_leaves_gives_back_uncounted() {
        let (mut one, now) = (hold(TagFilter::All), Instant::now());
        feed(&mut one, 10..12);
        one.take(2, now);
        one.release_all();
        assert!(one.take(2, now).iter().all(|one| one.attempt == 1));
    }

    #[test]
    fn what_is_not_wanted_is_settled_for_the_group() {
        let mut hold = hold(TagFilter::any(["red"]));
        feed(&mut hold, 10..13);
        assert!(hold.take(9, Instant::now()).is_empty());
        assert_eq!(hold.commits()[0].mark.offset, 13);
    }

    #[test]
    fn it_is_full_by_number_or_bytes_and_has_room_at_the_half() {
        let (mut hold, now) = (hold(TagFilter::All), Instant::now());
        feed(&mut hold, 10..14);
        assert!(hold.is_full());
        let taken = hold.take(2, now);
        assert!(hold.ack(taken[0].ticket) && !hold.is_full() && !hold.has_room());
        assert!(hold.ack(taken[1].ticket) && hold.has_room());
        hold.arrived(0, 14, Message::new("t", vec![0; 1000]));
        assert!(hold.is_full());
    }

    #[test]
    fn a_confirmation_of_an_assignment_that_is_over_confirms_nothing() {
        let mut hold = hold(TagFilter::All);
        let commits = hold.commits();
        assert_eq!(commits[0].mark.offset, 10, "where a group begins is committed");
        hold.assign(0, Tracker::beginning(10));
        hold.confirmed(&commits);
        assert_eq!(hold.commits().len(), 1);
        hold.confirmed(&hold.commits());
        assert!(hold.commits().is_empty());
    }
}
