//! What a member of a group holds for itself, where the broker hands messages out in a row and leaves everything else to the client: which of
//! them may be given out, which are out, and which wait for their time.
//!
//! It knows neither clock nor broker: the time is an argument, and what is held is anything.
//!
//! # Invariants
//! - L1. An entry waits or is out; it leaves only when it is settled or drained. A ticket is good from the take that gave it until the entry is
//!   settled, put back or drained, and never again: each take has a number of its own.
//! - L2. What is given out comes in the order in which it was pushed, as far as it is due. What was put back has its old place.
//! - L3. Of entries with one key, only the first is ever given out: the next follows when it has left, whatever became of it in between.
//! - L4. Pushing, taking, settling and putting back cost no more than the logarithm of what is held.

#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// One taking of one entry. Opaque but for its two numbers, which a receipt can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    /// The entry's place in the row.
    pub(crate) place: u64,
    /// Which taking it is, of all there ever were.
    pub(crate) turn: u64,
}

/// What a take gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken<T> {
    pub(crate) ticket: Ticket,
    pub(crate) attempt: u32,
    pub(crate) thing: T,
}

#[derive(Debug)]
pub(crate) struct Lanes<T> {
    entries: BTreeMap<u64, Entry<T>>,
    /// Those that may be given out, unless they are in `later`.
    ready: BTreeSet<u64>,
    /// Those that may be given out from then on.
    later: BTreeSet<(Instant, u64)>,
    /// All places of a key, the first of which is in `ready`, in `later`, or out.
    keys: HashMap<Arc<str>, BTreeSet<u64>>,
    next_place: u64,
    next_turn: u64,
    out: usize,
}

#[derive(Debug)]
struct Entry<T> {
    key: Option<Arc<str>>,
    attempt: u32,
    due: Option<Instant>,
    /// The turn that it is out by.
    out: Option<u64>,
    thing: T,
}

impl<T: Clone> Lanes<T> {
    pub(crate) fn new() -> Lanes<T> {
        Lanes { entries: BTreeMap::new(), ready: BTreeSet::new(), later: BTreeSet::new(), keys: HashMap::new(), next_place: 0, next_turn: 0, out: 0 }
    }

    /// How many there are, waiting and out.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many are out.
    pub(crate) fn out(&self) -> usize {
        self.out
    }

    /// One more at the end of the row. With a key only where what has the same key is to be given out one after the other.
    pub(crate) fn push(&mut self, key: Option<Arc<str>>, attempt: u32, due: Option<Instant>, thing: T) {
        let place = self.next_place;
        self.next_place += 1;
        let first = match &key {
            None => true,
            Some(key) => {
                let places = self.keys.entry(key.clone()).or_default();
                places.insert(place);
                places.len() == 1
            }
        };
        self.entries.insert(place, Entry { key, attempt, due, out: None, thing });
        if first {
            self.offer(place);
        }
    }

    /// Up to so many of those that are due, first come, first served.
    pub(crate) fn take(&mut self, max: usize, now: Instant) -> Vec<Taken<T>> {
        while let Some((due, place)) = self.later.first().copied().filter(|(due, _)| *due <= now) {
            self.later.remove(&(due, place));
            self.ready.insert(place);
        }
        let mut taken = Vec::with_capacity(max.min(self.ready.len()));
        while taken.len() < max
            && let Some(place) = self.ready.pop_first()
        {
            let Some(entry) = self.entries.get_mut(&place) else { continue };
            let ticket = Ticket { place, turn: self.next_turn };
            self.next_turn += 1;
            entry.out = Some(ticket.turn);
            self.out += 1;
            taken.push(Taken { ticket, attempt: entry.attempt, thing: entry.thing.clone() });
        }
        taken
    }

    /// What this ticket stands for, while it is good.
    pub(crate) fn get(&self, ticket: Ticket) -> Option<&T> {
        self.entries.get(&ticket.place).filter(|entry| entry.out == Some(ticket.turn)).map(|entry| &entry.thing)
    }

    /// Done with: it leaves, and the next of its key may come. `None` if the ticket is no longer good.
    pub(crate) fn settle(&mut self, ticket: Ticket) -> Option<T> {
        self.get(ticket)?;
        self.remove(ticket.place)
    }

    /// Back to its place, to be given out again from `due` on; the attempt is what `count` makes of it. Gives what it is and its attempt;
    /// `None` if the ticket is no longer good.
    pub(crate) fn put_back(&mut self, ticket: Ticket, due: Option<Instant>, count: impl FnOnce(u32) -> u32) -> Option<(&T, u32)> {
        self.get(ticket)?;
        let entry = self.entries.get_mut(&ticket.place)?;
        entry.out = None;
        entry.due = due;
        entry.attempt = count(entry.attempt);
        self.out -= 1;
        self.offer(ticket.place);
        self.entries.get(&ticket.place).map(|entry| (&entry.thing, entry.attempt))
    }

    /// When a take will find more than it does now: at once (`now` itself), later, or not before something is pushed, settled or put back.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        if self.ready.is_empty() { self.later.first().map(|(due, _)| (*due).max(now)) } else { Some(now) }
    }

    /// All tickets that are good, in the order of their places: what is out.
    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        self.entries.iter().filter_map(|(place, entry)| entry.out.map(|turn| Ticket { place: *place, turn })).collect()
    }

    /// Takes out for good all of which this is true, waiting or out. Their tickets are no longer good.
    pub(crate) fn drain(&mut self, mut which: impl FnMut(&T) -> bool) -> Vec<T> {
        let places: Vec<u64> = self.entries.iter().filter(|(_, entry)| which(&entry.thing)).map(|(place, _)| *place).collect();
        places.into_iter().filter_map(|place| self.remove(place)).collect()
    }

    fn remove(&mut self, place: u64) -> Option<T> {
        let entry = self.entries.remove(&place)?;
        self.ready.remove(&place);
        if let Some(due) = entry.due {
            self.later.remove(&(due, place));
        }
        if entry.out.is_some() {
            self.out -= 1;
        }
        if let Some(key) = entry.key
            && let Slot::Occupied(mut places) = self.keys.entry(key)
        {
            let was_first = places.get().first() == Some(&place);
            places.get_mut().remove(&place);
            let next = places.get().first().copied();
            if next.is_none() {
                places.remove();
            }
            if let Some(next) = next.filter(|_| was_first) {
                self.offer(next);
            }
        }
        Some(entry.thing)
    }

    /// It is the first of its key, if it has one, and not out.
    fn offer(&mut self, place: u64) {
        match self.entries.get(&place).and_then(|entry| entry.due) {
            Some(due) => drop(self.later.insert((due, place))),
            None => drop(self.ready.insert(place)),
        }
    }
}
