//! One member of a group: the trait's face.

use super::super::{BrokerError, Delivery, ErrorKind, Receipt, Settled, Subscription};
use super::broker::Handle;
use super::fault::error;
use super::member::{Member, ticket};
use super::settle;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Its drop leaves the group, as [`close`](Subscription::close) does, but waits for nothing.
pub(super) struct RabbitMqSubscription {
    member: Arc<Member>,
    /// The client lives for as long as one of its subscriptions.
    _handle: Arc<Handle>,
}

impl RabbitMqSubscription {
    pub(super) fn new(handle: Arc<Handle>, member: Arc<Member>) -> RabbitMqSubscription {
        RabbitMqSubscription { member, _handle: handle }
    }
}

impl Drop for RabbitMqSubscription {
    fn drop(&mut self) {
        self.member.leave();
    }
}

#[async_trait]
impl Subscription for RabbitMqSubscription {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.member.pull(max, wait).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        let held: Vec<_> = {
            let mut state = self.member.open()?;
            receipts.iter().filter_map(|receipt| state.settle(ticket(receipt))).collect()
        };
        // Nothing is awaited before all of them are on their way.
        let done = self.member.acknowledge(&held).await?;
        // In the order of keys, the next of theirs may come now.
        self.member.bell.notify_waiters();
        Ok(Settled { done, stale: receipts.len() - done })
    }

    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        settle::nack(&self.member, receipts, delay).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        settle::release(&self.member, receipts).await
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        settle::bury(&self.member, delivery, reason).await
    }

    async fn extend(&self, _: &Receipt, _: Duration) -> Result<Receipt, BrokerError> {
        drop(self.member.open()?);
        let text = "a delivery is this member's until it is settled or the connection ends: there is nothing to extend";
        Err(self.member.about(error(ErrorKind::Unsupported, text)))
    }

    async fn commit(&self) -> Result<(), BrokerError> {
        self.member.flush().await
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.member.close().await
    }
}
