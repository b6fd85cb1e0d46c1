//! One member of a group.

use super::super::{BrokerError, Delivery, ErrorKind, Receipt, Settled, Subscription};
use super::broker::Handle;
use super::fault::NAME;
use super::queue::{Work, closed, ended};
use super::store::{Member, Store};
use super::waiting::Pull;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A wait that is as good as for ever, and fits.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

/// Its drop leaves the group, as [`close`](Subscription::close) does, but waits for nothing.
pub(super) struct SqliteSubscription {
    handle: Arc<Handle>,
    member: Arc<Member>,
}

impl SqliteSubscription {
    pub(super) fn new(handle: Arc<Handle>, member: Member) -> SqliteSubscription {
        SqliteSubscription { handle, member: Arc::new(member) }
    }

    /// Asks for something about this member.
    async fn ask<T, F>(&self, mut run: F) -> Result<T, BrokerError>
    where
        T: Send + 'static,
        F: FnMut(&mut Store, &Member) -> rusqlite::Result<T> + Send + 'static,
    {
        if self.member.has_left() {
            return Err(self.about(closed()));
        }
        let member = self.member.clone();
        self.handle.ask(0, move |store| run(store, &member)).await.map_err(|error| self.about(error))
    }

    fn about(&self, error: BrokerError) -> BrokerError {
        error.about(self.member.interest.topic.clone())
    }
}

#[async_trait]
impl Subscription for SqliteSubscription {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        let until = Instant::now() + wait.min(LONG);
        let pull = Pull { member: self.member.clone(), max, until, reply };
        self.handle.queue.push(Work::Pull(pull)).map_err(|error| self.about(error))?;
        let parcel = answer.await.unwrap_or_else(|_| Err(ended())).map_err(|error| self.about(error))?;
        // Nothing is awaited from here: what is unpacked reaches the caller.
        Ok(parcel.open())
    }

    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        let receipts = receipts.to_vec();
        self.ask(move |store, member| store.ack(member, &receipts)).await
    }

    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        let receipts = receipts.to_vec();
        self.ask(move |store, member| store.nack(member, &receipts, delay)).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        let receipts = receipts.to_vec();
        self.ask(move |store, member| store.release(member, &receipts)).await
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        let (receipt, reason) = (delivery.receipt().clone(), reason.to_owned());
        self.ask(move |store, member| store.bury(member, &receipt, &reason)).await
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<Receipt, BrokerError> {
        let given = receipt.clone();
        if self.ask(move |store, member| store.extend(member, &given, by)).await? {
            return Ok(receipt.clone());
        }
        Err(self.about(BrokerError::new(NAME, ErrorKind::Stale, "its visibility is over or it is settled: let this delivery be")))
    }

    async fn commit(&self) -> Result<(), BrokerError> {
        // What was asked before is committed before, or with it.
        self.ask(|_, _| Ok(())).await
    }

    async fn close(&self) -> Result<(), BrokerError> {
        if !self.member.leave() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        match self.handle.queue.push(Work::Leave(self.member.clone(), Some(reply))) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(ended())).map_err(|error| self.about(error)),
            // The broker has released, or is about to release, what it holds.
            Err(error) if error.kind() == ErrorKind::Closed => Ok(()),
            Err(error) => Err(self.about(error)),
        }
    }
}

impl Drop for SqliteSubscription {
    fn drop(&mut self) {
        if self.member.leave() {
            self.handle.queue.push_return(Work::Leave(self.member.clone(), None));
        }
    }
}
