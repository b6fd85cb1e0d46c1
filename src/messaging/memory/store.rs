//! All topics behind one lock, which is taken once for a batch.
//!
//! S1. Nobody is woken and no message is dropped while the lock is held: both may run code that is not ours.
//! S2. After each change of a group: if there is something to take, one who waits is woken, who passes it on if more is left; if something
//!     becomes due before the last of those who wait would look, all are woken to look again. So nobody sleeps over a message.

use super::group::{Back, Group, Wish};
use super::topic::Topic;
use crate::messaging::{BrokerError, Delivery, ErrorKind, Interest, Limits, Message, Receipt, Settled};
use crate::sync::{Mutex, lock};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) struct Store {
    pub(super) name: Arc<str>,
    pub(super) limits: Limits,
    /// Messages of one topic.
    pub(super) capacity: usize,
    /// If given, there are no others but dead-letter topics.
    pub(super) only: Option<HashSet<Arc<str>>>,
    content: Mutex<Content>,
}

struct Content {
    names: HashMap<Arc<str>, usize>,
    topics: Vec<Topic>,
    closed: HashSet<u64>,
    next: u64,
}

/// A member's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) topic: usize,
    pub(super) group: usize,
    pub(super) member: u64,
}

/// What a look brought.
pub(super) enum Taken {
    These(Vec<Delivery>),
    /// Nothing, but not all has been looked at.
    LookOn,
    Nothing,
    /// Nothing; look again then, or when the bell rings.
    Sleep(Instant),
}

/// What is done after the lock.
#[derive(Default)]
struct After {
    freed: Vec<Message>,
    one: Vec<Arc<Notify>>,
    all: Vec<Arc<Notify>>,
}

impl After {
    fn look_at(&mut self, group: &mut Group) {
        let due = group.next_due();
        if let Some(bell) = group.waiters.all_before(due) {
            self.all.push(bell);
        } else if group.has_more() {
            self.one.extend(group.waiters.somebody());
        }
    }

    fn run(self) {
        self.all.iter().for_each(|bell| bell.notify_waiters());
        self.one.iter().for_each(|bell| bell.notify_one());
    }
}

impl Store {
    pub(super) fn new(name: Arc<str>, limits: Limits, capacity: usize, only: Option<HashSet<Arc<str>>>) -> Store {
        let content = Content { names: HashMap::new(), topics: Vec::new(), closed: HashSet::new(), next: 0 };
        Store { name, limits, capacity, only, content: Mutex::new(content) }
    }

    pub(super) fn error(&self, kind: ErrorKind, text: impl Into<String>) -> BrokerError {
        BrokerError::new(self.name.clone(), kind, text)
    }

    pub(super) fn closed(&self) -> BrokerError {
        self.error(ErrorKind::Closed, "this client was closed")
    }

    /// Is there such a topic, or may there be?
    pub(super) fn check_topic(&self, topic: &str) -> Result<(), BrokerError> {
        match &self.only {
            Some(only) if !only.contains(topic) && !topic.ends_with(".dead") => {
                Err(self.error(ErrorKind::UnknownTopic, "there is no such topic: name it to the builder's `topics`").about(topic))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn number(&self) -> u64 {
        lock(&self.content).number()
    }

    /// Stores those that passed their checks, and answers for each.
    pub(super) fn store(
        &self,
        client: u64,
        messages: &[Message],
        checked: impl Iterator<Item = Result<(), BrokerError>>,
    ) -> Vec<Result<(), BrokerError>> {
        let mut after = After::default();
        let mut answers = Vec::with_capacity(messages.len());
        let mut touched = None;
        let mut content = lock(&self.content);
        let closed = content.closed.contains(&client);
        for (message, checked) in messages.iter().zip(checked) {
            answers.push(checked.and_then(|()| if closed { Err(self.closed()) } else { Ok(()) }).and_then(|()| {
                let index = content.topic(message);
                if let Some(before) = touched.replace(index).filter(|before| *before != index) {
                    content.look_at(before, &mut after);
                }
                self.store_in(&mut content.topics[index], message.clone())
            }));
        }
        if let Some(index) = touched {
            content.look_at(index, &mut after);
        }
        drop(content);
        after.run();
        answers
    }

    fn store_in(&self, topic: &mut Topic, message: Message) -> Result<(), BrokerError> {
        if topic.len() >= self.capacity {
            let text = format!("{} messages are stored, and no more fit: wait for consumers, or give the broker a higher `capacity`", topic.len());
            return Err(self.error(ErrorKind::Full, text).about(message.topic_shared()));
        }
        topic.store(message);
        Ok(())
    }

    pub(super) fn join(&self, client: u64, interest: &Interest) -> Result<(Seat, Arc<Notify>), BrokerError> {
        let mut freed = Vec::new();
        let mut content = lock(&self.content);
        if content.closed.contains(&client) {
            return Err(self.closed());
        }
        let member = content.number();
        let topic = content.names.get(&interest.topic).copied().unwrap_or_else(|| content.make(interest.topic.clone()));
        let group = content.topics[topic].group(&interest.group, interest.start, &mut freed);
        let joined = content.topics[topic].get(group);
        joined.join(member, client, interest.ordered);
        let bell = joined.waiters.bell.clone();
        drop(content);
        Ok((Seat { topic, group, member }, bell))
    }

    /// Does something to a member's group, as of now. Who left gets an error.
    fn with<R>(&self, seat: Seat, act: impl FnOnce(&mut Topic, &mut Vec<Message>, Instant) -> R) -> Result<R, BrokerError> {
        let mut after = After::default();
        let now = Instant::now();
        let mut content = lock(&self.content);
        let topic = &mut content.topics[seat.topic];
        if !topic.get(seat.group).has(seat.member) {
            return Err(self.closed());
        }
        topic.get(seat.group).tick(now);
        let result = act(topic, &mut after.freed, now);
        after.look_at(topic.get(seat.group));
        drop(content);
        after.run();
        Ok(result)
    }

    /// What there is now. If there is nothing, the member sleeps from here on, unless its time is over.
    pub(super) fn take(&self, seat: Seat, wish: &Wish<'_>, deadline: Option<Instant>) -> Result<Taken, BrokerError> {
        self.with(seat, |topic, freed, now| {
            let (group, mut shelf) = topic.parts(seat.group, freed);
            let taken = group.take(wish, &mut shelf, now);
            if !taken.is_empty() {
                return Taken::These(taken);
            }
            match deadline.filter(|deadline| now < *deadline) {
                _ if group.has_more() => Taken::LookOn,
                None => Taken::Nothing,
                // In one step with looking, so that nothing comes in between unheard.
                Some(deadline) => {
                    let until = group.next_due().map_or(deadline, |due| due.min(deadline));
                    group.waiters.enter(until);
                    Taken::Sleep(until)
                }
            }
        })
    }

    pub(super) fn wake(&self, seat: Seat) {
        lock(&self.content).topics[seat.topic].get(seat.group).waiters.leave();
    }

    pub(super) fn ack(&self, seat: Seat, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.with(seat, |topic, freed, _| {
            let (group, mut shelf) = topic.parts(seat.group, freed);
            settle(receipts, |receipt| group.ack(receipt, &mut shelf))
        })
    }

    pub(super) fn give_back(&self, seat: Seat, receipts: &[Receipt], back: Back) -> Result<Settled, BrokerError> {
        self.with(seat, |topic, _, now| settle(receipts, |receipt| topic.get(seat.group).give_back(receipt, back, now)))
    }

    pub(super) fn extend(&self, seat: Seat, receipt: &Receipt, by: std::time::Duration) -> Result<bool, BrokerError> {
        self.with(seat, |topic, _, now| topic.get(seat.group).extend(receipt, super::later(now, by)))
    }

    /// Moves a message to another topic, in one step.
    pub(super) fn bury(&self, seat: Seat, receipt: &Receipt, dead: impl FnOnce(&Message) -> Message) -> Result<Settled, BrokerError> {
        let mut after = After::default();
        let mut content = lock(&self.content);
        let topic = &mut content.topics[seat.topic];
        if !topic.get(seat.group).has(seat.member) {
            return Err(self.closed());
        }
        topic.get(seat.group).tick(Instant::now());
        let buried = topic.get(seat.group).leased(receipt).and_then(|number| topic.message(number)).map(dead);
        let settled = match buried {
            None => Settled { done: 0, stale: 1 },
            Some(dead) => {
                let index = content.topic(&dead);
                self.store_in(&mut content.topics[index], dead)?;
                content.look_at(index, &mut after);
                let (group, mut shelf) = content.topics[seat.topic].parts(seat.group, &mut after.freed);
                group.ack(receipt, &mut shelf);
                Settled::all(1)
            }
        };
        after.look_at(content.topics[seat.topic].get(seat.group));
        drop(content);
        after.run();
        Ok(settled)
    }

    /// Is the member still there? For what needs nothing else.
    pub(super) fn check(&self, seat: Seat) -> Result<(), BrokerError> {
        if lock(&self.content).topics[seat.topic].get(seat.group).has(seat.member) { Ok(()) } else { Err(self.closed()) }
    }

    pub(super) fn leave(&self, seat: Seat) {
        let mut content = lock(&self.content);
        let group = content.topics[seat.topic].get(seat.group);
        group.leave(seat.member);
        let bell = group.waiters.somebody();
        drop(content);
        // All: the member's own pulls have to end, the others' may have something now.
        bell.iter().for_each(|bell| bell.notify_waiters());
    }

    /// Ends a client: its subscriptions, and whatever it may still try.
    pub(super) fn close(&self, client: u64) {
        let mut content = lock(&self.content);
        content.closed.insert(client);
        let mut bells = Vec::new();
        for group in content.topics.iter_mut().flat_map(Topic::groups) {
            let members = group.members_of(client);
            if !members.is_empty() {
                bells.extend(group.waiters.somebody());
            }
            members.into_iter().for_each(|member| group.leave(member));
        }
        drop(content);
        bells.iter().for_each(|bell| bell.notify_waiters());
    }

    pub(super) fn inspect<R>(&self, topic: &str, look: impl FnOnce(&mut Topic) -> R) -> Option<R> {
        let mut content = lock(&self.content);
        let index = *content.names.get(topic)?;
        Some(look(&mut content.topics[index]))
    }
}

impl Content {
    /// The message's topic, made if there is none.
    fn topic(&mut self, message: &Message) -> usize {
        self.names.get(message.topic()).copied().unwrap_or_else(|| self.make(message.topic_shared()))
    }

    fn make(&mut self, name: Arc<str>) -> usize {
        self.topics.push(Topic::new());
        self.names.insert(name, self.topics.len() - 1);
        self.topics.len() - 1
    }

    fn look_at(&mut self, topic: usize, after: &mut After) {
        self.topics[topic].groups().for_each(|group| after.look_at(group));
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn settle(receipts: &[Receipt], mut one: impl FnMut(&Receipt) -> bool) -> Settled {
    let done = receipts.iter().filter(|receipt| one(receipt)).count();
    Settled { done, stale: receipts.len() - done }
}
