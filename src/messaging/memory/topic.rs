//! A topic: its messages in order, and the groups that want them.
//!
//! T1. A message is stored until every group has settled it. Without any group it stays, for one that comes later.

use super::group::{Group, Shelf};
use super::lane::Lane;
use crate::messaging::{Message, StartFrom};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Topic {
    log: Lane<Slot>,
    next: u64,
    names: HashMap<Arc<str>, usize>,
    groups: Vec<Group>,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) message: Message,
    /// When it may be delivered, if that is later than at once.
    pub(super) due: Option<Instant>,
    /// So many groups have settled it.
    pub(super) settled: usize,
}

impl Topic {
    pub(super) fn new() -> Topic {
        Topic { log: Lane::new(), next: 0, names: HashMap::new(), groups: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.log.len()
    }

    pub(super) fn store(&mut self, message: Message) {
        let due = message.delay().map(|delay| super::later(Instant::now(), delay));
        let number = self.next;
        self.next += 1;
        self.log.insert(number, Slot { message, due, settled: 0 });
        for group in &mut self.groups {
            group.stored();
        }
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.log.iter().map(|slot| slot.message.clone()).collect()
    }

    pub(super) fn find(&self, group: &str) -> Option<usize> {
        self.names.get(group).copied()
    }

    /// The group of this name, which begins here if it is new.
    pub(super) fn group(&mut self, name: &Arc<str>, start: StartFrom, freed: &mut Vec<Message>) -> usize {
        if let Some(index) = self.find(name) {
            return index;
        }
        let group = match start {
            StartFrom::Earliest => Group::new(0, self.log.len()),
            StartFrom::Latest => Group::new(self.next, 0),
        };
        self.groups.push(group);
        self.names.insert(name.clone(), self.groups.len() - 1);
        if start == StartFrom::Latest {
            // What was sent before is none of its business. A topic's very first group does not free what is there:
            // another may come for it.
            let numbers = self.log.numbers();
            let first = self.groups.len() == 1;
            let mut shelf = Shelf { log: &mut self.log, groups: self.groups.len() + usize::from(first), freed };
            for number in numbers {
                shelf.settle(number);
            }
        }
        self.groups.len() - 1
    }

    /// A group, and what it needs of the topic.
    pub(super) fn parts<'a>(&'a mut self, group: usize, freed: &'a mut Vec<Message>) -> (&'a mut Group, Shelf<'a>) {
        let groups = self.groups.len();
        (&mut self.groups[group], Shelf { log: &mut self.log, groups, freed })
    }

    pub(super) fn get(&mut self, group: usize) -> &mut Group {
        &mut self.groups[group]
    }

    pub(super) fn groups(&mut self) -> impl Iterator<Item = &mut Group> {
        self.groups.iter_mut()
    }

    pub(super) fn message(&self, number: u64) -> Option<&Message> {
        self.log.get(number).map(|slot| &slot.message)
    }
}
