//! Messages of one ordered key, one after the other.
//!
//! Invariants:
//! - O1. A lane is there exactly while it has tickets; tickets rise, and a turn leaves its lane when it is dropped, wherever it stands.
//! - O2. It is the turn of the lowest ticket. Whoever leaves from the front wakes the next; who looks and is not the first leaves its waker under
//!   the same lock.
//! - O3. No waker is cloned, woken or dropped under the lock.

use crate::messaging::Message;
use crate::sync::{Mutex, lock};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Topic and key.
pub(super) type Name = (Arc<str>, Arc<str>);

#[derive(Default)]
pub(super) struct Lanes(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: u64,
    lanes: HashMap<Name, BTreeMap<u64, Option<Waker>>>,
}

impl Lanes {
    /// A place at the end of the message's lane; none if it is not ordered.
    pub(super) fn enter(self: &Arc<Lanes>, message: &Message) -> Option<Turn> {
        if !message.is_ordered() {
            return None;
        }
        let name = (message.topic_shared(), message.key_shared()?);
        let mut inner = lock(&self.0);
        inner.next += 1;
        let ticket = inner.next;
        inner.lanes.entry(name.clone()).or_default().insert(ticket, None);
        drop(inner);
        Some(Turn { lanes: self.clone(), name, ticket })
    }
}

/// A place in a lane, until it is dropped.
pub(super) struct Turn {
    lanes: Arc<Lanes>,
    name: Name,
    ticket: u64,
}

impl Turn {
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// Waits until it is the first.
    pub(super) async fn come(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut inner = lock(&self.lanes.0);
        let Some(lane) = inner.lanes.get_mut(&self.name) else { return Poll::Ready(()) };
        if lane.first_key_value().is_none_or(|(first, _)| *first == self.ticket) {
            return Poll::Ready(());
        }
        let old = lane.insert(self.ticket, Some(waker)).flatten();
        drop(inner);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut inner = lock(&self.lanes.0);
        let Some(lane) = inner.lanes.get_mut(&self.name) else { return };
        let own = lane.remove(&self.ticket).flatten();
        let next = lane.first_entry().and_then(|mut first| first.get_mut().take());
        if lane.is_empty() {
            inner.lanes.remove(&self.name);
        }
        drop(inner);
        drop(own);
        if let Some(next) = next {
            next.wake();
        }
    }
}
