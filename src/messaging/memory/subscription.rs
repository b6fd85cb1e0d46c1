//! A member's pulls and settlements.

use super::group::{Back, Wish};
use super::store::{Seat, Store, Taken};
use crate::messaging::{BrokerError, Delivery, ErrorKind, Interest, Receipt, Settled, Subscription};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

pub(super) struct MemorySubscription {
    pub(super) store: Arc<Store>,
    pub(super) seat: Seat,
    pub(super) interest: Interest,
    /// The group's: rings when there may be something.
    pub(super) bell: Arc<Notify>,
}

/// While a pull sleeps.
struct Asleep<'a>(&'a MemorySubscription);

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        self.0.store.wake(self.0.seat);
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        // A consumer that finds something each time must let others have their turn.
        tokio::task::consume_budget().await;
        // Nothing is awaited between taking and answering: a dropped pull has taken nothing.
        if max == 0 {
            return self.store.check(self.seat).map(|()| Vec::new());
        }
        let deadline = if wait.is_zero() { None } else { Some(super::later(Instant::now(), wait)) };
        loop {
            let mut rung = std::pin::pin!(self.bell.notified());
            // From here on a ring for all is heard.
            rung.as_mut().enable();
            match self.take(max, deadline)? {
                Taken::These(taken) => return Ok(taken),
                Taken::Nothing => return Ok(Vec::new()),
                Taken::LookOn => tokio::task::yield_now().await,
                Taken::Sleep(until) => {
                    let _asleep = Asleep(self);
                    tokio::select! { () = rung => {}, () = sleep_until(until) => {} }
                }
            }
        }
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.store.ack(self.seat, receipts)
    }

    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        self.store.give_back(self.seat, receipts, Back::After(delay))
    }

    async fn release(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.store.give_back(self.seat, receipts, Back::Released)
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        self.store.bury(self.seat, delivery.receipt(), |message| {
            let dead = message.clone().to_topic(self.interest.dead_letter_topic()).with_delay(Duration::ZERO);
            dead.with_property("winddown.dead-reason", reason)
                .with_property("winddown.dead-attempts", delivery.attempt().to_string())
                .with_property("winddown.dead-topic", message.topic())
        })
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<Receipt, BrokerError> {
        if self.store.extend(self.seat, receipt, by)? {
            return Ok(receipt.clone());
        }
        let text = "the delivery is no longer this member's: its visibility ran out, or it was settled";
        Err(self.store.error(ErrorKind::Stale, text).about(self.interest.topic.clone()))
    }

    async fn commit(&self) -> Result<(), BrokerError> {
        self.store.check(self.seat)
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.store.leave(self.seat);
        Ok(())
    }
}

impl MemorySubscription {
    fn take(&self, max: usize, deadline: Option<Instant>) -> Result<Taken, BrokerError> {
        let wish = Wish { member: self.seat.member, max, tags: &self.interest.tags, visibility: self.interest.visibility };
        self.store.take(self.seat, &wish, deadline)
    }
}

/// Who forgets to close leaves the group all the same.
impl Drop for MemorySubscription {
    fn drop(&mut self) {
        self.store.leave(self.seat);
    }
}
