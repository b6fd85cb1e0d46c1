//! Deliveries between two hands: on their way to the caller, or being settled. Dropped there, they are not lost.

use super::super::{BrokerError, Delivery};
use super::held::Entry;
use super::member::Member;
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

/// A delivery that is being settled. Dropped before it is done, it is held again.
pub(super) struct Settling {
    pub(super) member: Arc<Member>,
    pub(super) id: u64,
    pub(super) entry: Option<Entry>,
}

impl Settling {
    pub(super) fn sequence(&self) -> u64 {
        self.entry.as_ref().map_or(0, |entry| entry.sequence)
    }

    pub(super) async fn tell(mut self, word: Bytes) -> Result<(), BrokerError> {
        let reply = self.entry.as_ref().map(|entry| entry.reply.clone());
        if let Some(reply) = reply {
            self.member.tell(&reply, word).await?;
        }
        self.entry = None;
        Ok(())
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.member.accounts(|held| held.put_back(self.id, entry));
        }
    }
}

/// Deliveries on their way from the task that pulled to the caller.
pub(super) struct Parcel {
    pub(super) member: Arc<Member>,
    pub(super) items: Vec<(u64, Delivery)>,
}

impl Parcel {
    /// They are the caller's from here, for as long as their visibility.
    pub(super) fn open(mut self) -> Vec<Delivery> {
        let items = std::mem::take(&mut self.items);
        let now = Instant::now();
        let visibility = self.member.interest.visibility;
        self.member.accounts(|held| items.iter().for_each(|(id, _)| held.begin(*id, visibility, now)));
        items.into_iter().map(|(_, delivery)| delivery).collect()
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if !self.items.is_empty() {
            let now = Instant::now();
            self.member.accounts(|held| self.items.iter().for_each(|(id, _)| held.give_up(*id, now)));
        }
    }
}
