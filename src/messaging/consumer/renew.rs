//! Keeping messages ours while they are in our hands.
//!
//! What is with a handler is renewed at the half of its visibility, as often as need be. So is what waits in the queue: handing it back
//! instead would count as an attempt at brokers that know no release, and a slow group would bury messages that nobody ever handled. How
//! much one consumer can hoard that way is bounded by its prefetch.
//!
//! If the broker says that a message is no longer ours, one that waits is dropped from the queue, and a handler is told to end: another
//! consumer may have the message already. If the handler succeeds nevertheless, that is acknowledged, and counted as stale.

use super::held::Held;
use super::run::Run;
use super::settle::{CALL, Limit, hand_back, once};
use crate::messaging::{BrokerError, ErrorKind};
use futures_util::StreamExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// So many extensions are asked for at the same time: with 50 ms an answer, 1,000 messages are renewed in 3 s, well inside the half of 30 s.
const AT_ONCE: usize = 16;

/// The task that renews, until all is over.
pub(super) async fn renew(run: Arc<Run>) -> anyhow::Result<()> {
    run.over.run_until_cancelled(keep(&run)).await;
    Ok(())
}

async fn keep(run: &Arc<Run>) {
    loop {
        let mut bell = pin!(run.desk.renewer.notified());
        bell.as_mut().enable();
        let (due, next) = run.desk.lock().leases(Instant::now());
        if !due.is_empty() {
            futures_util::stream::iter(due).for_each_concurrent(AT_ONCE, |held| async move { renew_one(run, &held).await }).await;
            continue;
        }
        match next {
            Some(at) => {
                futures_util::future::select(bell, pin!(sleep_until(at))).await;
            }
            None => bell.await,
        }
    }
}

async fn renew_one(run: &Arc<Run>, held: &Arc<Held>) {
    let Some(lease) = held.lease() else { return held.renew_never() };
    let Err(error) = extend(run, held, lease).await else { return };
    match error.kind() {
        // Settled in the meantime, or being settled: whatever the answer, it means nothing.
        _ if held.is_over() => held.renew_never(),
        ErrorKind::Unsupported => held.renew_never(),
        ErrorKind::Stale => lost(run, held).await,
        // Five tries are left in the second half of the lease.
        _ => held.renew_after(lease / 10),
    }
}

/// It is no longer ours.
async fn lost(run: &Arc<Run>, held: &Arc<Held>) {
    held.renew_never();
    let behind = run.desk.lock().expire(held);
    match behind {
        None => held.fire(),
        Some(back) if back.is_empty() => {}
        Some(back) => drop(hand_back(run, back, Limit::tries()).await),
    }
    let id = held.delivery().message().id();
    tracing::warn!(consumer = run.cx.name(), message_id = %id, "winddown: the visibility of a message was over before it was handled");
}

/// Asks the broker for more time.
pub(super) async fn extend(run: &Run, held: &Held, by: Duration) -> Result<(), BrokerError> {
    let mut receipt = held.receipt.lock().await;
    let over = || BrokerError::new("consumer", ErrorKind::Stale, "its handling is over");
    let (false, Some(subscription)) = (held.is_over(), run.subscription()) else { return Err(over()) };
    let current = receipt.as_ref().unwrap_or(held.delivery().receipt());
    let next = once(Instant::now() + CALL, subscription.extend(current, by)).await?;
    if *current != next {
        *receipt = Some(next);
    }
    held.extended(by);
    Ok(())
}
