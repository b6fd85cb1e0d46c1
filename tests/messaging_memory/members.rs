//! A member whose broker does one thing wrong.

use super::defects::Defect;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;
use winddown::async_trait;
use winddown::messaging::{Broker, BrokerError, Delivery, ErrorKind, Receipt, Settled, Subscription};

/// The latest delivery of each message, by group and number.
pub(crate) type Current = Mutex<BTreeMap<(Arc<str>, u64), Delivery>>;

pub(crate) struct BrokenMember {
    pub(crate) inner: Arc<dyn Subscription>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) defect: Defect,
    pub(crate) count: AtomicU32,
    pub(crate) closes: AtomicU32,
    pub(crate) group: Arc<str>,
    pub(crate) current: Arc<Current>,
    pub(crate) again: Mutex<Vec<Delivery>>,
}

impl BrokenMember {
    fn nth(&self) -> u32 {
        self.count.fetch_add(1, Ordering::SeqCst)
    }

    fn newest(&self, receipts: &[Receipt]) -> Vec<Delivery> {
        let current = self.current.lock().unwrap();
        receipts.iter().filter_map(|receipt| current.get(&(self.group.clone(), receipt.as_numbers().0)).cloned()).collect()
    }
}

pub(crate) fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt().clone()).collect()
}

#[async_trait]
impl Subscription for BrokenMember {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        match self.defect {
            Defect::AnswersEmptyAtOnce => return self.inner.pull(max, Duration::ZERO).await,
            Defect::MoreThanAskedFor if max > 0 => return self.inner.pull(max + 1, wait).await,
            Defect::WaitsInAnyCase => {
                let taken = self.inner.pull(max, Duration::ZERO).await?;
                if !taken.is_empty() {
                    return Ok(taken);
                }
                sleep(wait).await;
                return self.inner.pull(max, Duration::ZERO).await;
            }
            Defect::DroppedPullsLose => {
                let taken = self.inner.pull(max, wait).await?;
                // Gone for good if dropped here.
                for receipt in &receipts(&taken) {
                    self.inner.extend(receipt, Duration::from_secs(1 << 30)).await?;
                }
                sleep(Duration::from_micros(500)).await;
                return Ok(taken);
            }
            _ => {}
        }
        let taken = self.inner.pull(max, wait).await;
        for delivery in taken.iter().flatten() {
            self.current.lock().unwrap().insert((self.group.clone(), delivery.receipt().as_numbers().0), delivery.clone());
        }
        match (self.defect, taken) {
            (Defect::WorksAfterClose, Err(error)) if error.kind() == ErrorKind::Closed => Ok(Vec::new()),
            (Defect::DeliversTwice, Ok(mut taken)) => {
                let mut again = self.again.lock().unwrap();
                while taken.len() < max && !again.is_empty() {
                    taken.extend(again.pop());
                }
                if self.nth().is_multiple_of(4) {
                    again.extend(taken.first().cloned());
                }
                Ok(taken)
            }
            (Defect::DeadLettersStay, Ok(mut taken)) => {
                taken.extend(self.again.lock().unwrap().pop().filter(|_| taken.len() < max));
                Ok(taken)
            }
            (Defect::AttemptsStay, Ok(taken)) => Ok(taken
                .into_iter()
                .map(|d| Delivery::new(d.message().clone(), 1, d.receipt().clone()).with_visibility(d.visibility().unwrap()))
                .collect()),
            (_, taken) => taken,
        }
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        match self.defect {
            Defect::LosesAcks if self.nth() % 3 == 2 => Ok(Settled::all(receipts.len())),
            Defect::AckCountsWrong => Ok(self.inner.ack(receipts).await?.plus(Settled::all(1))),
            Defect::SettlesOnlyTheFirst => {
                self.inner.ack(&receipts[..receipts.len().min(1)]).await?;
                Ok(Settled::all(receipts.len()))
            }
            Defect::StaleIsAnError => match self.inner.ack(receipts).await? {
                Settled { stale: 0, done } => Ok(Settled::all(done)),
                _ => Err(BrokerError::new("broken", ErrorKind::Stale, "too late")),
            },
            Defect::StaleSettles => self.inner.ack(&self::receipts(&self.newest(receipts))).await,
            Defect::CommitsNothing => Ok(Settled::all(receipts.len())),
            _ => self.inner.ack(receipts).await,
        }
    }

    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        match self.defect {
            // Sent anew, behind all others.
            Defect::OrderLostOnRedelivery => {
                for delivery in self.newest(receipts) {
                    self.broker.send(delivery.message(), None).await?;
                }
                self.inner.ack(receipts).await
            }
            Defect::NackIsAck => self.inner.ack(receipts).await,
            Defect::NoNackDelay => self.inner.nack(receipts, Duration::ZERO).await,
            _ => self.inner.nack(receipts, delay).await,
        }
    }

    async fn release(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        match self.defect {
            Defect::ReleaseLate => self.inner.nack(receipts, Duration::from_secs(10)).await,
            Defect::ReleaseCounts => self.inner.nack(receipts, Duration::ZERO).await,
            Defect::LosesReleased if self.nth().is_multiple_of(3) => self.inner.ack(receipts).await,
            _ => self.inner.release(receipts).await,
        }
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        match self.defect {
            Defect::DeadLettersWithoutReason => self.inner.dead_letter(delivery, "").await,
            Defect::DeadLettersLost => self.inner.ack(std::slice::from_ref(delivery.receipt())).await,
            Defect::DeadLettersStay => {
                let settled = self.inner.dead_letter(delivery, reason).await?;
                self.again.lock().unwrap().push(delivery.clone());
                Ok(settled)
            }
            _ => self.inner.dead_letter(delivery, reason).await,
        }
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<Receipt, BrokerError> {
        match self.defect {
            Defect::ExtendsNothing => Ok(receipt.clone()),
            Defect::ExtendsStale => Ok(self.inner.extend(receipt, by).await.unwrap_or_else(|_| receipt.clone())),
            _ => self.inner.extend(receipt, by).await,
        }
    }

    async fn commit(&self) -> Result<(), BrokerError> {
        self.inner.commit().await
    }

    async fn close(&self) -> Result<(), BrokerError> {
        let closes = self.closes.fetch_add(1, Ordering::SeqCst);
        match self.defect {
            Defect::SecondCloseFails if closes > 0 => Err(BrokerError::new("broken", ErrorKind::Closed, "closed already")),
            Defect::LeavingKeepsHold => Ok(()),
            _ => self.inner.close().await,
        }
    }
}
