//! One group's view of a topic: what it has not settled, who has it, and until when. Pure: the time is an argument.
//!
//! A message's way: beyond the cursor → ready → leased → settled (gone from here); or leased → waiting or ready → leased again. A delayed
//! one waits first, one of a key that is held is blocked first.
//!
//! G1. A message below the cursor that the group has not settled has one state; one that is settled has none.
//! G2. It is in `ready` if and only if its state says so, once; its timer or its batch's timer is in `timers` while it waits or is leased.
//! G3. A batch (what one pull took) counts those of it that are still leased through it, and goes with the last.
//! G4. Of one key, at most one message is ready, waiting or leased; those behind it are blocked, in order.
//! G5. Each message is looked at once beyond the cursor; after that only when something happens to it.

use super::keys::Keys;
use super::lane::Lane;
use super::topic::Slot;
use super::waiters::Waiters;
use crate::messaging::{Delivery, Message, Receipt, TagFilter};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// So many messages are looked at while the lock is held; then others get their turn.
const LOOK_AT_ONCE: usize = 4096;

#[derive(Debug)]
pub(super) struct Group {
    /// The next message to look at.
    cursor: u64,
    /// So many are beyond the cursor.
    unseen: usize,
    states: Lane<State>,
    ready: VecDeque<u64>,
    batches: Lane<Batch>,
    next_batch: u64,
    timers: BTreeSet<(Instant, Timer)>,
    members: HashMap<u64, Member>,
    keys: Option<Keys>,
    in_flight: usize,
    pub(super) waiters: Waiters,
}

#[derive(Debug)]
struct State {
    /// So many deliveries have counted.
    attempts: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Ready,
    Blocked,
    Waiting,
    /// Through this batch; the token is the receipt's and stays the same when the lease is extended into another batch.
    Leased {
        batch: u64,
        token: u64,
    },
}

#[derive(Debug)]
struct Batch {
    member: u64,
    until: Instant,
    numbers: Vec<u64>,
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Batch(u64),
    Message(u64),
}

#[derive(Debug)]
struct Member {
    client: u64,
    batches: HashSet<u64>,
}

/// What one pull asks for.
pub(super) struct Wish<'a> {
    pub(super) member: u64,
    pub(super) max: usize,
    pub(super) tags: &'a TagFilter,
    pub(super) visibility: Duration,
}

/// The topic's part in what a group does: its messages, how many groups have to settle each, and what has been freed.
pub(super) struct Shelf<'a> {
    pub(super) log: &'a mut Lane<Slot>,
    pub(super) groups: usize,
    /// Dropped by who asked, after the lock.
    pub(super) freed: &'a mut Vec<Message>,
}

impl Shelf<'_> {
    /// One more group has settled it.
    pub(super) fn settle(&mut self, number: u64) {
        if let Some(slot) = self.log.get_mut(number) {
            slot.settled += 1;
            if slot.settled >= self.groups {
                self.freed.extend(self.log.remove(number).map(|slot| slot.message));
            }
        }
    }
}

/// How a delivery comes back.
#[derive(Clone, Copy)]
pub(super) enum Back {
    /// It came back unhandled: the attempt does not count.
    Released,
    /// It failed: it counts, and comes again after the delay.
    After(Duration),
}

impl Group {
    pub(super) fn new(cursor: u64, unseen: usize) -> Group {
        Group {
            cursor,
            unseen,
            states: Lane::new(),
            ready: VecDeque::new(),
            batches: Lane::new(),
            next_batch: 1,
            timers: BTreeSet::new(),
            members: HashMap::new(),
            keys: None,
            in_flight: 0,
            waiters: Waiters::default(),
        }
    }

    /// One more was stored.
    pub(super) fn stored(&mut self) {
        self.unseen += 1;
    }

    pub(super) fn pending(&self) -> usize {
        self.unseen + self.states.len()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn join(&mut self, member: u64, client: u64, ordered: bool) {
        self.members.insert(member, Member { client, batches: HashSet::new() });
        if ordered {
            self.keys.get_or_insert_default();
        }
    }

    pub(super) fn has(&self, member: u64) -> bool {
        self.members.contains_key(&member)
    }

    /// Members of a client.
    pub(super) fn members_of(&self, client: u64) -> Vec<u64> {
        self.members.iter().filter(|(_, member)| member.client == client).map(|(member, _)| *member).collect()
    }

    /// A member goes; what it has is ready for others.
    pub(super) fn leave(&mut self, member: u64) {
        let Some(gone) = self.members.remove(&member) else { return };
        let mut batches: Vec<u64> = gone.batches.into_iter().collect();
        batches.sort_unstable();
        for batch in batches {
            self.expire(batch);
        }
    }

    /// Is there anything for the next pull?
    pub(super) fn has_more(&self) -> bool {
        !self.ready.is_empty() || self.unseen > 0
    }

    /// When something will become ready by itself.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// What was due has happened.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some((due, timer)) = self.timers.first().copied()
            && due <= now
        {
            self.timers.pop_first();
            match timer {
                Timer::Batch(batch) => self.expire(batch),
                Timer::Message(number) => self.make_ready(number),
            }
        }
    }

    /// Takes up to so many for a member. Who gets nothing while there [is more](Group::has_more) asks again.
    pub(super) fn take(&mut self, wish: &Wish<'_>, shelf: &mut Shelf<'_>, now: Instant) -> Vec<Delivery> {
        let mut taken = Vec::with_capacity(wish.max.min(self.ready.len() + self.unseen).min(LOOK_AT_ONCE));
        let mut numbers = Vec::with_capacity(taken.capacity());
        let mut looked = 0;
        while taken.len() < wish.max && looked < LOOK_AT_ONCE {
            let Some(number) = self.ready.pop_front().or_else(|| self.look(wish.tags, shelf, now, &mut looked)) else { break };
            looked += 1;
            let Some(slot) = shelf.log.get(number) else { continue };
            // It was wanted when it was first looked at, by a member who wants other tags.
            if !wish.tags.wants(slot.message.tag()) {
                self.forget(number, shelf);
                continue;
            }
            let Some(state) = self.states.get_mut(number) else { continue };
            state.attempts += 1;
            state.place = Place::Leased { batch: self.next_batch, token: self.next_batch };
            let receipt = Receipt::numbers(number, self.next_batch);
            taken.push(Delivery::new(slot.message.clone(), state.attempts, receipt).with_visibility(wish.visibility));
            numbers.push(number);
        }
        if !taken.is_empty() {
            self.in_flight += taken.len();
            self.lease(wish.member, numbers, super::later(now, wish.visibility));
        }
        taken
    }

    /// Handled: it is gone for this group.
    pub(super) fn ack(&mut self, receipt: &Receipt, shelf: &mut Shelf<'_>) -> bool {
        let Some((number, _)) = self.end_lease(receipt) else { return false };
        self.forget(number, shelf);
        true
    }

    /// Not handled: it comes again.
    pub(super) fn give_back(&mut self, receipt: &Receipt, back: Back, now: Instant) -> bool {
        let Some((number, _)) = self.end_lease(receipt) else { return false };
        let delay = match back {
            Back::After(delay) => delay,
            Back::Released => {
                if let Some(state) = self.states.get_mut(number) {
                    state.attempts -= 1;
                }
                Duration::ZERO
            }
        };
        if delay.is_zero() {
            self.make_ready(number)
        } else {
            self.wait(number, super::later(now, delay))
        }
        true
    }

    /// Is the message still out by this receipt? Its number then.
    pub(super) fn leased(&self, receipt: &Receipt) -> Option<u64> {
        let (number, wanted) = receipt.as_numbers();
        matches!(self.states.get(number)?.place, Place::Leased { token, .. } if token == wanted).then_some(number)
    }

    /// A new end of the lease; the receipt stays good. That way, an extension whose answer nobody waited for does no harm.
    pub(super) fn extend(&mut self, receipt: &Receipt, until: Instant) -> bool {
        let Some((number, member)) = self.end_lease(receipt) else { return false };
        if let Some(state) = self.states.get_mut(number) {
            state.place = Place::Leased { batch: self.next_batch, token: receipt.as_numbers().1 };
            self.in_flight += 1;
            self.lease(member, vec![number], until);
        }
        true
    }

    /// The next beyond the cursor that may be delivered now.
    fn look(&mut self, tags: &TagFilter, shelf: &mut Shelf<'_>, now: Instant, looked: &mut usize) -> Option<u64> {
        while self.unseen > 0 && *looked < LOOK_AT_ONCE {
            let number = shelf.log.next_from(self.cursor)?;
            let slot = shelf.log.get(number)?;
            *looked += 1;
            self.cursor = number + 1;
            self.unseen -= 1;
            if !tags.wants(slot.message.tag()) {
                shelf.settle(number);
                continue;
            }
            self.states.insert(number, State { attempts: 0, place: Place::Ready });
            let free = self.keys.as_mut().is_none_or(|keys| keys.admit(&slot.message, number));
            match slot.due {
                _ if !free => self.set(number, Place::Blocked),
                Some(due) if due > now => self.wait(number, due),
                _ => return Some(number),
            }
        }
        None
    }

    fn lease(&mut self, member: u64, numbers: Vec<u64>, until: Instant) {
        let batch = self.next_batch;
        self.next_batch += 1;
        if let Some(member) = self.members.get_mut(&member) {
            member.batches.insert(batch);
        }
        self.timers.insert((until, Timer::Batch(batch)));
        let left = numbers.len();
        self.batches.insert(batch, Batch { member, until, numbers, left });
    }

    /// The message is no longer out by this receipt. Gives its number and whose it was.
    fn end_lease(&mut self, receipt: &Receipt) -> Option<(u64, u64)> {
        let (number, wanted) = receipt.as_numbers();
        let Place::Leased { batch, token } = self.states.get(number)?.place else { return None };
        if token != wanted {
            return None;
        }
        let leased = self.batches.get_mut(batch)?;
        leased.left -= 1;
        let (member, until, left) = (leased.member, leased.until, leased.left);
        self.in_flight -= 1;
        if left == 0 {
            self.batches.remove(batch);
            self.timers.remove(&(until, Timer::Batch(batch)));
            if let Some(member) = self.members.get_mut(&member) {
                member.batches.remove(&batch);
            }
        }
        Some((number, member))
    }

    /// The whole batch comes again.
    fn expire(&mut self, batch: u64) {
        let Some(gone) = self.batches.remove(batch) else { return };
        self.timers.remove(&(gone.until, Timer::Batch(batch)));
        if let Some(member) = self.members.get_mut(&gone.member) {
            member.batches.remove(&batch);
        }
        for number in gone.numbers {
            // Those that were settled or extended are not in this batch any more.
            if matches!(self.states.get(number), Some(State { place: Place::Leased { batch: now, .. }, .. }) if *now == batch) {
                self.in_flight -= 1;
                self.make_ready(number);
            }
        }
    }

    /// It is settled for this group; the next of its key may come.
    fn forget(&mut self, number: u64, shelf: &mut Shelf<'_>) {
        self.states.remove(number);
        if let Some(keys) = &mut self.keys
            && let Some(slot) = shelf.log.get(number)
            && let Some(next) = keys.settled(&slot.message, number)
        {
            // Only now does its delay matter; `take` and `tick` see to it.
            match shelf.log.get(next).and_then(|slot| slot.due) {
                Some(due) => self.wait(next, due),
                None => self.make_ready(next),
            }
        }
        shelf.settle(number);
    }

    fn make_ready(&mut self, number: u64) {
        self.set(number, Place::Ready);
        self.ready.push_back(number);
    }

    fn wait(&mut self, number: u64, until: Instant) {
        self.set(number, Place::Waiting);
        self.timers.insert((until, Timer::Message(number)));
    }

    fn set(&mut self, number: u64, place: Place) {
        if let Some(state) = self.states.get_mut(number) {
            state.place = place;
        }
    }
}
