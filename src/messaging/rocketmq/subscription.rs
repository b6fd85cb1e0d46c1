//! A member's face.

use super::broker::Face;
use super::codes::{closed, error};
use super::leases::Claim;
use super::member::{AT_ONCE, Member};
use super::pop::Caught;
use super::wire::Command;
use crate::messaging::{BrokerError, Delivery, ErrorKind, Receipt, Settled, Subscription};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A wait that is as good as for ever, and fits.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

/// Its drop leaves the group, as [`close`](Subscription::close) does, but waits for nothing.
pub(super) struct RocketMqSubscription {
    pub(super) face: Arc<Face>,
    pub(super) member: Arc<Member>,
}

/// What may pass between the broker's clock and ours counts against us.
fn margin(visibility: Duration) -> Duration {
    (visibility / 20).min(Duration::from_millis(100))
}

impl RocketMqSubscription {
    fn open(&self) -> Result<(), BrokerError> {
        if self.member.has_left() || self.face.client.is_closing() { Err(self.about(closed())) } else { Ok(()) }
    }

    fn about(&self, error: BrokerError) -> BrokerError {
        error.about(self.member.interest.topic.clone())
    }

    /// From here on it is the caller's, or it comes again; `None` if it is too late for that.
    fn hand_over(&self, caught: Caught) -> Option<Delivery> {
        let visibility = self.member.interest.visibility;
        let until = caught.at + visibility - margin(visibility);
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        let receipt = self.member.leases.add(caught.handle, until);
        let fresh = caught.at.elapsed() <= margin(visibility);
        Some(Delivery::new(caught.message, caught.attempt, receipt).with_visibility(if fresh { visibility } else { left }))
    }

    async fn settle(
        &self,
        receipts: &[Receipt],
        changes: bool,
        command: impl Fn(&super::handle::Handle) -> Command + Send + Sync,
    ) -> Result<Settled, BrokerError> {
        self.open()?;
        let claims: Vec<Claim<'_>> = receipts.iter().filter_map(|receipt| self.member.leases.claim(receipt)).collect();
        let mut settled = Settled { done: 0, stale: receipts.len() - claims.len() };
        let one = async |claim: Claim<'_>| {
            let Some(handle) = claim.handle() else { return Ok(false) };
            if changes {
                claim.ripe().await;
            }
            match self.member.settle(&self.face.client, handle, command(handle)).await {
                Ok(_) => {
                    claim.done();
                    Ok(true)
                }
                Err(error) if error.kind() == ErrorKind::Stale => {
                    claim.done();
                    Ok(false)
                }
                // The lease goes back to the table: the caller may try again.
                Err(error) => Err(error),
            }
        };
        let answers: Vec<Result<bool, BrokerError>> = stream::iter(claims.into_iter().map(one)).buffer_unordered(AT_ONCE).collect().await;
        let mut outcome = Ok(());
        for answer in answers {
            match answer {
                Ok(true) => settled.done += 1,
                Ok(false) => settled.stale += 1,
                Err(error) => outcome = Err(self.about(error)),
            }
        }
        outcome.map(|()| settled)
    }

    fn stale(&self) -> BrokerError {
        self.about(error(ErrorKind::Stale, "its visibility is over or it is settled: let this delivery be"))
    }
}

#[async_trait]
impl Subscription for RocketMqSubscription {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.open()?;
        if max == 0 {
            return Ok(Vec::new());
        }
        let until = Instant::now() + wait.min(LONG);
        let pulled = self.member.desk.pull(max, until, self.face.client.timeout(), |caught| self.hand_over(caught)).await;
        pulled.map_err(|error| self.about(error))
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.settle(receipts, false, |handle| handle.ack()).await
    }

    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        self.settle(receipts, true, move |handle| handle.change(delay)).await
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        self.open()?;
        let Some(claim) = self.member.leases.claim(delivery.receipt()) else { return Ok(Settled { done: 0, stale: 1 }) };
        let Some(handle) = claim.handle() else { return Ok(Settled { done: 0, stale: 1 }) };
        let interest = &self.member.interest;
        let letter = delivery.message().clone().to_topic(interest.dead_letter_topic());
        let letter = letter
            .with_property("winddown.dead-reason", reason)
            .with_property("winddown.dead-attempts", delivery.attempt().to_string())
            .with_property("winddown.dead-topic", &*interest.topic);
        self.face.client.bury(&letter).await?;
        // It is safe now. Should it come again nevertheless, there are two letters.
        match self.member.settle(&self.face.client, handle, handle.ack()).await {
            Ok(_) => {
                claim.done();
                Ok(Settled::all(1))
            }
            Err(error) if error.kind() == ErrorKind::Stale => {
                claim.done();
                Ok(Settled { done: 0, stale: 1 })
            }
            Err(error) => Err(self.about(error)),
        }
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<Receipt, BrokerError> {
        self.open()?;
        let Some(claim) = self.member.leases.claim(receipt) else { return Err(self.stale()) };
        let Some(handle) = claim.handle() else { return Err(self.stale()) };
        claim.ripe().await;
        let asked = Instant::now();
        let answer = match self.member.settle(&self.face.client, handle, handle.change(by)).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::Stale => {
                claim.done();
                return Err(self.stale());
            }
            Err(error) => return Err(self.about(error)),
        };
        match handle.renewed(&answer) {
            Ok(handle) => claim.keep(handle, asked + by.min(LONG) - margin(by)),
            // In order, a receipt of before the last one is answered with nothing.
            Err(_) => {
                claim.done();
                return Err(self.stale());
            }
        }
        Ok(receipt.clone())
    }

    async fn commit(&self) -> Result<(), BrokerError> {
        // Every settlement was answered before its call returned.
        self.open()
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.member.leave(&self.face.client);
        self.member.left().await
    }
}

impl Drop for RocketMqSubscription {
    fn drop(&mut self) {
        self.member.leave(&self.face.client);
    }
}
