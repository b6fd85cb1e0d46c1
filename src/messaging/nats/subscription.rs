//! The member's face.

use super::super::{BrokerError, Delivery, Receipt, Settled, Subscription};
use super::broker::Handle;
use super::member::{ACK, Member, NAK};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// No longer delay is meant, and longer ones do not fit the server's clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// More of a reason than this would not fit among a large message's headers.
const REASON: usize = 700;

/// Its drop leaves the group, as [`close`](Subscription::close) does, but waits for nothing.
pub(super) struct NatsSubscription {
    member: Arc<Member>,
    /// The connection lives as long as somebody can use it.
    _handle: Arc<Handle>,
}

impl NatsSubscription {
    pub(super) fn new(member: Arc<Member>, handle: Arc<Handle>) -> NatsSubscription {
        NatsSubscription { member, _handle: handle }
    }
}

/// What asks for a delivery again, after this delay.
fn again(delay: Duration) -> Bytes {
    if delay.is_zero() { NAK } else { format!("-NAK {{\"delay\": {}}}", delay.min(LONGEST).as_nanos()).into() }
}

fn shortened(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON)]
}

#[async_trait]
impl Subscription for NatsSubscription {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.member.pull(max, wait).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.member.settle(receipts, ACK).await
    }

    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        self.member.settle(receipts, again(delay)).await
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        let member = &self.member;
        member.open()?;
        let Some(settling) = member.take_one(delivery.receipt()) else { return Ok(Settled { done: 0, stale: 1 }) };
        let message = delivery.message();
        let dead = message.clone().to_topic(member.interest.dead_letter_topic()).with_delay(Duration::ZERO);
        let dead = dead
            .with_property("winddown.dead-reason", shortened(reason))
            .with_property("winddown.dead-attempts", delivery.attempt().to_string())
            .with_property("winddown.dead-topic", message.topic());
        // By its place, not by its id alone: if the move is tried again it is one dead letter, and if the message itself is sent again, and dies
        // again, it is another.
        let stream_id = format!("{}:dead:{}:{}", message.id(), member.group.stream, settling.sequence());
        member.core.publish(&dead, Some(stream_id)).await?;
        settling.tell(ACK).await.map_err(|error| member.about(error))?;
        Ok(Settled::all(1))
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<Receipt, BrokerError> {
        self.member.extend(receipt, by).await?;
        Ok(receipt.clone())
    }

    async fn commit(&self) -> Result<(), BrokerError> {
        // Each settlement waited for its own answer.
        self.member.open()
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.member.close().await
    }
}

impl Drop for NatsSubscription {
    fn drop(&mut self) {
        self.member.left.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_told_in_nanoseconds() {
        assert_eq!(again(Duration::ZERO), "-NAK");
        assert_eq!(again(Duration::from_millis(5)), "-NAK {\"delay\": 5000000}");
        assert_eq!(again(Duration::MAX), "-NAK {\"delay\": 315360000000000000}");
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"ü".repeat(500)).len(), 700);
        assert_eq!(shortened(&format!("x{}", "ü".repeat(500))).len(), 699);
    }
}
