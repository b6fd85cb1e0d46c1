//! The workers: they take orders from the queue in batches, do the work, and have the batch saved.

use crate::queue::{Fate, Outlet, Waiting};
use crate::store::{Saved, Store};
use std::time::Duration;
use tokio::sync::oneshot;
use winddown::{Resource, RunCx, Service, async_trait};

/// As many orders as one worker takes at once, so that a commit (and its fsync) is shared.
const BATCH: usize = 64;

/// One of them; all share the queue.
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) queue: Outlet,
    pub(crate) store: Resource<Store>,
    /// How long the work on a batch takes.
    pub(crate) delay: Duration,
}

#[async_trait]
impl Service for Worker {
    fn name(&self) -> String {
        format!("worker-{}", self.number)
    }

    async fn run(&mut self, cx: &RunCx) -> anyhow::Result<()> {
        let store = cx.lease(&self.store)?;
        loop {
            // Asked to stop, it takes what is left and waits for no more.
            let batch = match cx.until_stopping(self.queue.next(BATCH)).await {
                Some(batch) => batch,
                None => self.queue.rest(BATCH),
            };
            if batch.is_empty() {
                // The edge is gone, or has no more: nothing is left but to be asked.
                cx.stopping().await;
                return Ok(());
            }
            if !self.delay.is_zero() {
                // The work itself, here only the time that it takes. Asked to stop, what is left of it is cut short: the
                // edge is closed by then, so an order that is still here is one for which nobody could wait.
                cx.until_stopping(tokio::time::sleep(self.delay)).await;
            }
            let Some(saved) = cx.until_cancelled(save(&store, batch)).await else {
                return Ok(()); // the database may still commit it: an order that comes again is harmless
            };
            let saved = saved?;
            if cx.stopping().is_set() {
                cx.drained(saved);
            }
        }
    }
}

/// Saves what was not withdrawn, tells each order its fate, and says how many are saved.
///
/// A database that refuses a batch is not the end of the worker: the clients are told to come back, and the next batch may do
/// better. A store that is gone is.
async fn save(store: &Store, batch: Vec<Waiting>) -> anyhow::Result<u64> {
    let (orders, replies): (Vec<_>, Vec<_>) = batch.into_iter().filter_map(Waiting::take).unzip();
    if orders.is_empty() {
        return Ok(0);
    }
    match store.save(orders).await? {
        Ok(saved) => {
            let new = saved.iter().filter(|saved| **saved == Saved::Yes).count();
            tell(
                replies,
                saved.into_iter().map(|saved| match saved {
                    Saved::Yes => Fate::Saved,
                    Saved::IdTaken => Fate::IdTaken,
                }),
            );
            Ok(new as u64)
        }
        Err(why) => {
            tell(replies, std::iter::repeat_with(|| Fate::NotSaved(format!("the database refused it: {why}"))));
            Ok(0)
        }
    }
}

fn tell(replies: Vec<oneshot::Sender<Fate>>, fates: impl Iterator<Item = Fate>) {
    for (reply, fate) in replies.into_iter().zip(fates) {
        let _ = reply.send(fate); // the client may have gone: the order is saved all the same
    }
}
