//! One member of a group.

use super::super::{BrokerError, Delivery, ErrorKind, Receipt, Settled, Subscription};
use super::broker::Shared;
use super::fault::{NAME, closed};
use super::hold::Hold;
use super::member::Member;
use crate::sync::lock;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep_until, timeout};

/// A wait that is as good as for ever, and fits.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

/// Its drop leaves the group, as [`close`](Subscription::close) does, but waits for nothing.
pub(super) struct KafkaSubscription {
    shared: Arc<Shared>,
    member: Arc<Member>,
}

impl KafkaSubscription {
    pub(super) fn new(shared: Arc<Shared>, member: Arc<Member>) -> KafkaSubscription {
        KafkaSubscription { shared, member }
    }

    /// Until the group has said what is ours.
    pub(super) async fn joined(&self) -> Result<(), BrokerError> {
        let member = &self.member;
        let joining = async {
            loop {
                let changed = member.changed.notified();
                {
                    let mut state = lock(&member.state);
                    if state.joined {
                        return Ok(());
                    }
                    if state.closed {
                        return Err(member.about(closed()));
                    }
                    // What may pass is waited for.
                    let error = state.broken.clone().or_else(|| state.error.take());
                    if let Some(error) = error.filter(|error| !error.class().is_retryable()) {
                        return Err(member.about(error));
                    }
                }
                changed.await;
            }
        };
        let limit = member.settings.join_timeout;
        tokio::select! {
            joined = timeout(limit, joining) => joined.unwrap_or_else(|_| Err(self.not_joined(limit))),
            error = member.alarm.refused() => Err(member.about(error)),
        }
    }

    fn not_joined(&self, limit: Duration) -> BrokerError {
        let why = self.member.alarm.last().map_or_else(String::new, |last| format!("; last heard: {}", last.text()));
        let text = format!("the group `{}` did not let us in within {} ms{why}", self.member.interest.group, limit.as_millis());
        self.member.about(BrokerError::new(NAME, ErrorKind::TimedOut, text))
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let until = Instant::now() + wait.min(LONG);
        loop {
            // Before the look, so that nothing that comes after it goes unnoticed.
            let mut changed = std::pin::pin!(self.member.changed.notified());
            changed.as_mut().enable();
            let now = Instant::now();
            // What is taken reaches the caller: nothing is awaited after it.
            let due = match self.member.take(max, now)? {
                Ok(taken) => return Ok(taken),
                Err(due) => due,
            };
            if now >= until {
                return Ok(Vec::new());
            }
            let next = due.map_or(until, |due| due.min(until));
            tokio::select! {
                () = changed => {}
                () = sleep_until(next.into()) => {}
            }
        }
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.member.settle(receipts, Hold::ack)
    }

    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        let due = (!delay.is_zero()).then(|| Instant::now() + delay.min(LONG));
        self.member.settle(receipts, |hold, ticket| hold.nack(ticket, due))
    }

    async fn release(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.member.settle(receipts, Hold::release)
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        let receipt = std::slice::from_ref(delivery.receipt());
        // Another member has what is stale here, and buries it or not.
        let ours = self.member.settle(receipt, |hold, ticket| hold.has(ticket))?;
        if ours.done == 0 {
            return Ok(ours);
        }
        let letter = delivery
            .message()
            .clone()
            .to_topic(self.member.interest.dead_letter_topic())
            .with_property("winddown.dead-reason", reason)
            .with_property("winddown.dead-attempts", delivery.attempt().to_string())
            .with_property("winddown.dead-topic", &*self.member.interest.topic);
        self.shared.produce(&letter).await?;
        self.member.settle(receipt, Hold::ack)
    }

    async fn extend(&self, _: &Receipt, _: Duration) -> Result<Receipt, BrokerError> {
        let text = "a delivery is its member's for as long as that has the partition: it needs no extension";
        Err(self.member.about(BrokerError::new(NAME, ErrorKind::Unsupported, text)))
    }

    async fn commit(&self) -> Result<(), BrokerError> {
        let client = lock(&self.member.client).clone();
        let Some(client) = client.filter(|_| !self.member.leaving.is_cancelled()) else { return Err(self.member.about(closed())) };
        let (member, limit) = (self.member.clone(), self.member.settings.close_timeout);
        let until = Instant::now() + limit;
        let committing = tokio::task::spawn_blocking(move || member.commit(&client, until));
        let answer = match timeout(limit, committing).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(closed())),
            Err(_) => Err(BrokerError::new(NAME, ErrorKind::TimedOut, format!("no answer to a commit within {} ms", limit.as_millis()))),
        };
        answer.map_err(|error| self.member.about(error))
    }

    async fn close(&self) -> Result<(), BrokerError> {
        let first = !self.member.leaving.is_cancelled();
        self.member.close();
        let answer = ended(&self.member).await;
        if first { answer } else { Ok(()) }
    }
}

/// Until a member that is to leave has left, or time is up.
pub(super) async fn ended(member: &Member) -> Result<(), BrokerError> {
    let limit = member.settings.close_timeout;
    match timeout(limit, member.ended.cancelled()).await {
        Ok(()) => lock(&member.state).left.clone(),
        Err(_) => {
            let text = format!("the group `{}` did not let us go within {} ms", member.interest.group, limit.as_millis());
            Err(member.about(BrokerError::new(NAME, ErrorKind::TimedOut, text)))
        }
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.member.close();
    }
}
