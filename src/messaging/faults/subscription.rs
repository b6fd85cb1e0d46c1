//! A subscription that fails as told.

use super::gate::Gate;
use super::{Fate, Faults};
use crate::messaging::{BrokerError, Delivery, Receipt, Settled, Subscription};
use crate::sync::{Mutex, lock};
use async_trait::async_trait;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(super) struct FaultySubscription {
    inner: Arc<dyn Subscription>,
    name: Arc<str>,
    faults: Faults,
    closed: CancellationToken,
    /// Second copies for which the pull had no room.
    again: Mutex<VecDeque<Delivery>>,
}

impl FaultySubscription {
    pub(super) fn new(inner: Arc<dyn Subscription>, name: Arc<str>, faults: Faults, closed: CancellationToken) -> FaultySubscription {
        FaultySubscription { inner, name, faults, closed, again: Mutex::default() }
    }

    fn gate(&self) -> Gate<'_> {
        Gate::new(&self.name, &self.closed, &self.faults, None)
    }

    /// Something that settles: half of what is lost was carried out.
    async fn settle<T>(&self, request: impl Future<Output = Result<T, BrokerError>>) -> Result<T, BrokerError> {
        let gate = self.gate();
        let fate = gate.draw(false);
        gate.through(async {
            if fate == Fate::Lost {
                return Err(gate.lost());
            }
            let answer = request.await;
            if fate == Fate::Fine { answer } else { answer.and_then(|_| Err(gate.lost())) }
        })
        .await?
    }

    /// Some of them twice, as far as there is room; the others next time.
    fn duplicate(&self, taken: Vec<Delivery>, max: usize) -> Vec<Delivery> {
        let mut room = max.saturating_sub(taken.len());
        let mut given = Vec::with_capacity(taken.len());
        for delivery in taken {
            if self.faults.draw_duplicate() {
                if room > 0 {
                    room -= 1;
                    given.push(delivery.clone());
                } else {
                    lock(&self.again).push_back(delivery.clone());
                }
            }
            given.push(delivery);
        }
        given
    }

    fn left_over(&self, max: usize) -> Vec<Delivery> {
        let mut again = lock(&self.again);
        let count = again.len().min(max);
        again.drain(..count).collect()
    }
}

#[async_trait]
impl Subscription for FaultySubscription {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        let gate = self.gate();
        let lost = gate.draw(false) != Fate::Fine;
        // Between taking and answering nothing is awaited: a dropped pull takes nothing.
        gate.through_again(|| async {
            if lost {
                return Err(gate.lost());
            }
            let copies = self.left_over(max);
            if !copies.is_empty() {
                return Ok(copies);
            }
            Ok(self.duplicate(self.inner.pull(max, wait).await?, max))
        })
        .await?
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.settle(self.inner.ack(receipts)).await
    }

    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        self.settle(self.inner.nack(receipts, delay)).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.settle(self.inner.release(receipts)).await
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        self.settle(self.inner.dead_letter(delivery, reason)).await
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<Receipt, BrokerError> {
        self.settle(self.inner.extend(receipt, by)).await
    }

    async fn commit(&self) -> Result<(), BrokerError> {
        self.settle(self.inner.commit()).await
    }

    async fn close(&self) -> Result<(), BrokerError> {
        if self.closed.is_cancelled() {
            // With its broker, or by itself: no harm.
            return self.inner.close().await;
        }
        let left = self.gate().through(self.inner.close()).await;
        self.closed.cancel();
        // If the broker could not be told, it learns of it when this is dropped, or by its own means.
        left?
    }
}
