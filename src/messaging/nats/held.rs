//! What a member holds, as pure accounts: until when each delivery is its own, and what is due when.
//!
//! Invariants:
//! 1. A delivery is settled by the receipt it was admitted with, once, while it is this member's by its visibility *and* by the server's
//!    lease. So nothing is ever said to the server about a delivery that may be another's by now.
//! 2. What runs out of its visibility leaves the accounts and is given back; what loses its lease leaves them and the server knows.
//! 3. The agenda has every entry once, by the moment it is due.

use async_nats::Subject;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// What is known of one delivery.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the server wants to hear of it.
    pub(super) reply: Subject,
    /// Its number in the stream.
    pub(super) sequence: u64,
    /// When its visibility is over.
    deadline: Instant,
    /// When the server was last known to have given, or prolonged, its lease: a moment not after the real one but for the way of a message.
    leased: Instant,
    due: Instant,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Their visibility is over: give these back.
    pub(super) over: Vec<Entry>,
    /// The server's lease ends sooner than the visibility: prolong these.
    pub(super) renew: Vec<(u64, Subject)>,
}

pub(super) struct Held {
    entries: HashMap<u64, Entry>,
    agenda: BTreeSet<(Instant, u64)>,
    next: u64,
    /// The server's, after which a delivery that it heard nothing of comes again.
    lease: Duration,
    /// Nothing is taken in any more.
    closed: bool,
}

/// The server's clock runs from when it sends a delivery, the member's from when that arrives: for so long a delivery may have been on its way.
pub(super) fn margin(visibility: Duration) -> Duration {
    (visibility / 8).clamp(Duration::from_millis(250), Duration::from_secs(5))
}

impl Held {
    pub(super) fn new(lease: Duration) -> Held {
        Held { entries: HashMap::new(), agenda: BTreeSet::new(), next: 1, lease, closed: false }
    }

    /// A delivery that came now. Its number is its receipt; none when the member has left.
    pub(super) fn admit(&mut self, reply: Subject, sequence: u64, visibility: Duration, now: Instant) -> Option<u64> {
        if self.closed {
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.insert(id, Entry { reply, sequence, deadline: now + visibility, leased: now, due: now });
        Some(id)
    }

    fn insert(&mut self, id: u64, mut entry: Entry) {
        entry.due = self.due(&entry);
        self.agenda.insert((entry.due, id));
        self.entries.insert(id, entry);
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.agenda.remove(&(entry.due, id));
        Some(entry)
    }

    /// How long the lease may be relied on.
    fn safe(&self) -> Duration {
        // A lease that was made for a visibility has its margin on top; of one that is shorter than any margin, half is left.
        let kept = self.lease.saturating_sub(margin(self.lease * 8 / 9));
        // A millisecond more, for divisions that are not exact and the way from the socket to the caller.
        kept.max(self.lease / 2) + Duration::from_millis(1)
    }

    fn due(&self, entry: &Entry) -> Instant {
        if entry.deadline <= entry.leased + self.safe() { entry.deadline } else { entry.deadline.min(entry.leased + self.lease / 3) }
    }

    fn is_ours(&self, entry: &Entry, now: Instant) -> bool {
        now < entry.deadline && now < entry.leased + self.safe()
    }

    /// Takes it out to settle it, if it is still ours.
    pub(super) fn take(&mut self, id: u64, now: Instant) -> Option<Entry> {
        let ours = self.entries.get(&id).is_some_and(|entry| self.is_ours(entry, now));
        if ours { self.remove(id) } else { None }
    }

    /// Settling it failed: it is ours for as long as it would have been.
    pub(super) fn put_back(&mut self, id: u64, entry: Entry) {
        if !self.closed {
            self.insert(id, entry);
        }
    }

    /// Is it still ours?
    pub(super) fn peek(&self, id: u64, now: Instant) -> Option<&Entry> {
        self.entries.get(&id).filter(|entry| self.is_ours(entry, now))
    }

    /// It is to be ours until then; the server heard of it at `told`.
    pub(super) fn extend(&mut self, id: u64, told: Instant, until: Instant) -> bool {
        self.change(id, |entry| {
            entry.leased = entry.leased.max(told);
            entry.deadline = until;
        })
    }

    /// The server heard of it at `told`.
    pub(super) fn renewed(&mut self, id: u64, told: Instant) {
        self.change(id, |entry| entry.leased = entry.leased.max(told));
    }

    /// Begins its visibility anew: it was only now handed on.
    pub(super) fn begin(&mut self, id: u64, visibility: Duration, now: Instant) {
        self.change(id, |entry| entry.deadline = now + visibility);
    }

    /// Its visibility is over at once: nobody wants it.
    pub(super) fn give_up(&mut self, id: u64, now: Instant) {
        self.change(id, |entry| entry.deadline = now);
    }

    fn change(&mut self, id: u64, change: impl FnOnce(&mut Entry)) -> bool {
        let Some(mut entry) = self.remove(id) else { return false };
        change(&mut entry);
        self.insert(id, entry);
        true
    }

    /// What is due by now. What is to be renewed is due again a little later, should that fail.
    pub(super) fn take_due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        while let Some(&(at, id)) = self.agenda.first() {
            if at > now {
                break;
            }
            let Some(mut entry) = self.remove(id) else { break };
            if now >= entry.deadline {
                // Without the lease it is no longer ours to give.
                if now < entry.leased + self.lease {
                    due.over.push(entry);
                }
            } else if self.is_ours(&entry, now) {
                due.renew.push((id, entry.reply.clone()));
                entry.due = entry.deadline.min(now + (self.lease / 6).max(Duration::from_millis(1)));
                self.agenda.insert((entry.due, id));
                self.entries.insert(id, entry);
            }
        }
        due
    }

    /// When there is something to be done next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Everything, to be given back; nothing is ours any more, nor will be.
    pub(super) fn drain(&mut self) -> Vec<Entry> {
        self.closed = true;
        self.agenda.clear();
        self.entries.drain().map(|(_, entry)| entry).collect()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.agenda.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Accounts with the lease that a group made for a visibility of 8 s has.
    fn held() -> (Held, Instant) {
        (Held::new(secs(8) + margin(secs(8))), Instant::now())
    }

    fn reply() -> Subject {
        Subject::from("$JS.ACK.x")
    }

    #[test]
    fn a_delivery_is_settled_once_and_in_time() {
        let (mut held, start) = held();
        let id = held.admit(reply(), 1, secs(8), start).unwrap();
        assert!(held.take(id, start + secs(7)).is_some());
        assert!(held.take(id, start + secs(7)).is_none());
        let late = held.admit(reply(), 1, secs(8), start).unwrap();
        assert!(held.take(late, start + secs(8)).is_none());
        assert!(held.take(99, start).is_none());
    }

    #[test]
    fn the_groups_own_visibility_needs_no_renewal() {
        let (mut held, start) = held();
        held.admit(reply(), 1, secs(8), start).unwrap();
        assert_eq!(held.next_due(), Some(start + secs(8)));
        let due = held.take_due(start + secs(8));
        assert_eq!((due.over.len(), due.renew.len(), held.len()), (1, 0, 0));
    }

    #[test]
    fn a_longer_one_is_renewed_until_its_end_and_is_lost_without() {
        let (mut held, start) = held();
        let id = held.admit(reply(), 1, secs(60), start).unwrap();
        assert_eq!(held.next_due(), Some(start + secs(3)));
        for second in [3, 6, 9, 12] {
            let now = start + secs(second);
            assert_eq!(held.take_due(now).renew.len(), 1, "after {second} s");
            held.renewed(id, now);
            assert!(held.peek(id, now).is_some());
        }
        // No answer any more: the server gives it to somebody else after its lease.
        assert!(held.peek(id, start + secs(19)).is_some());
        assert!(held.peek(id, start + secs(21)).is_none());
        let due = held.take_due(start + secs(21));
        assert_eq!((due.over.len(), due.renew.len(), held.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_given_up_is_due_at_once_and_what_is_extended_later() {
        let (mut held, start) = held();
        let (one, two) = (held.admit(reply(), 1, secs(8), start).unwrap(), held.admit(reply(), 2, secs(8), start).unwrap());
        held.give_up(one, start + secs(1));
        assert!(held.extend(two, start + secs(1), start + secs(30)));
        let due = held.take_due(start + secs(1));
        assert_eq!(due.over.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1]);
        assert!(held.take(two, start + secs(8)).is_some());
        assert!(!held.extend(two, start, start + secs(30)));
    }

    #[test]
    fn what_could_not_be_settled_is_ours_as_long_as_before() {
        let (mut held, start) = held();
        let id = held.admit(reply(), 1, secs(8), start).unwrap();
        let entry = held.take(id, start).unwrap();
        assert_eq!(held.next_due(), None);
        held.put_back(id, entry);
        assert_eq!(held.next_due(), Some(start + secs(8)));
        assert_eq!(held.drain().len(), 1);
        assert_eq!(held.next_due(), None);
        assert_eq!(held.admit(reply(), 1, secs(8), start), None);
    }

    #[test]
    fn leases_of_any_length_leave_something() {
        for ms in [1, 10, 300, 2_000, 60_000, 10_000_000] {
            let mut held = Held::new(Duration::from_millis(ms));
            let start = Instant::now();
            let id = held.admit(reply(), 1, secs(100_000), start).unwrap();
            assert!(held.peek(id, start).is_some(), "{ms} ms");
            assert!(held.safe() <= held.lease + Duration::from_millis(1));
            let visibility = Duration::from_millis(ms);
            let own = Held::new(visibility + margin(visibility));
            assert!(own.safe() >= visibility, "{ms} ms: {:?}", own.safe());
        }
    }
}
