//! Telling the broker what became of messages: acknowledgements in batches, everything else as it comes.
//!
//! Nothing here fails: what the broker could not be told is counted, and comes again when its visibility is over.
//!
//! Acknowledgements are batched without delay: whatever has come together while the call before ran goes into the next one.

use super::held::Held;
use super::run::Run;
use crate::messaging::{Backoff, BrokerError, ErrorKind, Receipt, Settled};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// A broker that has not answered by then will not: as long as RocketMQ's `sendMsgTimeout`.
pub(super) const CALL: Duration = Duration::from_secs(3);
/// Tries for one settlement that holds up a worker, 20 + 40 + 80 ms apart: enough for a busy moment, and what cannot be told then comes again by itself.
const TRIES: u32 = 4;
/// Receipts in one call.
const BATCH: usize = 1_024;
/// Between tries. No longer than a second: at a stop the time is short.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));

/// How long a call is tried again.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    tries: u32,
    until: Option<Instant>,
}

impl Limit {
    /// A few times.
    pub(super) fn tries() -> Limit {
        Limit { tries: TRIES, until: None }
    }
    /// Until then.
    pub(super) fn until(at: Instant) -> Limit {
        Limit { tries: u32::MAX, until: Some(at) }
    }
    fn this_try(&self) -> Instant {
        let answered = Instant::now() + CALL;
        self.until.map_or(answered, |until| until.min(answered))
    }
}

/// One call, bounded in time.
pub(super) async fn once<T>(at: Instant, call: impl Future<Output = Result<T, BrokerError>>) -> Result<T, BrokerError> {
    // The call is looked at first: an answer that is there counts, also when the time is over.
    timeout_at(at, call).await.unwrap_or_else(|_| Err(BrokerError::new("consumer", ErrorKind::TimedOut, "the broker did not answer")))
}

/// A call, tried again after errors that may pass.
pub(super) async fn insist<T, Fut>(run: &Run, limit: Limit, mut call: impl FnMut() -> Fut) -> Result<T, BrokerError>
where
    Fut: Future<Output = Result<T, BrokerError>>,
{
    let mut failed = 0;
    loop {
        let error = match once(limit.this_try(), call()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        failed += 1;
        let pause = run.with_random(|random| BACKOFF.pause(failed, random));
        let late = limit.until.is_some_and(|until| Instant::now() + pause >= until);
        if !error.class().is_retryable() || failed >= limit.tries || late {
            return Err(error);
        }
        sleep(pause).await;
    }
}

async fn receipts(held: &[Arc<Held>], until: Instant) -> Vec<Receipt> {
    let mut receipts = Vec::with_capacity(held.len());
    for one in held {
        receipts.push(one.last_receipt(until).await);
    }
    receipts
}

/// Gives messages back, to come again after the delay. True if the broker knows.
pub(super) async fn nack(run: &Run, held: &[Arc<Held>], delay: Duration, limit: Limit) -> bool {
    let Some(subscription) = run.subscription() else { return true };
    let mut told = true;
    for batch in held.chunks(BATCH) {
        let receipts = receipts(batch, limit.this_try()).await;
        let answer = insist(run, limit, || subscription.nack(&receipts, delay)).await;
        told &= count(run, "nack", batch.len(), answer, |stats, done| stats.nacked += done);
    }
    told
}

/// Gives messages back that were not begun. So many the broker knows to be given back; and so many not.
pub(super) async fn hand_back(run: &Run, held: Vec<Arc<Held>>, limit: Limit) -> (u64, u64) {
    let Some(subscription) = run.subscription() else { return (0, 0) };
    let (mut done, mut unanswered) = (0, 0);
    for batch in held.chunks(BATCH) {
        let receipts = receipts(batch, limit.this_try()).await;
        let answer = insist(run, limit, || subscription.release(&receipts)).await;
        done += answer.as_ref().map_or(0, |settled| settled.done as u64);
        // Out of our hands in any case: counted here and not before, since this may be dropped in between.
        run.desk.lock().stats.handed_back += batch.len() as u64;
        if !count(run, "release", batch.len(), answer, |_, _| {}) {
            unanswered += batch.len() as u64;
        }
    }
    (done, unanswered)
}

/// Moves a message to the dead letters. True if that is done.
pub(super) async fn dead_letter(run: &Run, held: &Held, reason: &str) -> bool {
    let Some(subscription) = run.subscription() else { return false };
    let limit = Limit::tries();
    let delivery = held.last_delivery(limit.this_try()).await;
    let answer = insist(run, limit, || subscription.dead_letter(&delivery, reason)).await;
    let told = answer.is_ok();
    if let Err(error) = &answer {
        let id = held.delivery().message().id();
        tracing::warn!(consumer = run.cx.name(), message_id = %id, %error, "winddown: a dead letter could not be moved; it comes again");
    } else {
        count(run, "dead_letter", 1, answer, |stats, done| stats.dead_lettered += done);
    }
    told
}

/// Counts an answer. True if there was one.
fn count(run: &Run, call: &str, asked: usize, answer: Result<Settled, BrokerError>, done: impl FnOnce(&mut super::ConsumerStats, u64)) -> bool {
    match answer {
        Ok(settled) => {
            let stats = &mut run.desk.lock().stats;
            stats.stale += settled.stale as u64;
            done(stats, settled.done as u64);
            true
        }
        Err(error) => {
            run.desk.lock().stats.unanswered += asked as u64;
            tracing::warn!(consumer = run.cx.name(), call, messages = asked, %error, "winddown: the broker could not be told; they come again");
            false
        }
    }
}

/// The task that acknowledges, until all is over.
pub(super) async fn settle(run: Arc<Run>) -> anyhow::Result<()> {
    run.over.run_until_cancelled(acknowledge(&run)).await;
    Ok(())
}

async fn acknowledge(run: &Arc<Run>) {
    let Some(subscription) = run.subscription().cloned() else { return };
    let mut batch: Vec<Arc<Held>> = Vec::new();
    let mut failed = 0;
    loop {
        gather(run, &mut batch).await;
        let at = Instant::now() + CALL;
        let receipts = receipts(&batch, at).await;
        let error = match once(at, subscription.ack(&receipts)).await {
            Ok(settled) => {
                failed = 0;
                finish(run, std::mem::take(&mut batch), Some(settled)).await;
                continue;
            }
            Err(error) => error,
        };
        // What has lapsed is another's now; the rest is worth another try.
        let now = Instant::now();
        let fatal = !error.class().is_retryable();
        let given_up: Vec<Arc<Held>> = batch.extract_if(.., |held| fatal || held.lapses().is_some_and(|at| at <= now)).collect();
        if !given_up.is_empty() {
            let messages = given_up.len();
            tracing::warn!(consumer = run.cx.name(), messages, %error, "winddown: acknowledgements were not answered; they come again");
            finish(run, given_up, None).await;
        }
        failed += 1;
        let pause = run.with_random(|random| BACKOFF.pause(failed, random));
        // A stop is in a hurry: its last try must not be slept over.
        let pause = run.drain_until().map_or(pause, |_| pause.min(BACKOFF.first));
        sleep(pause).await;
    }
}

/// Adds what is to be acknowledged; waits only if there is nothing at all.
async fn gather(run: &Run, batch: &mut Vec<Arc<Held>>) {
    loop {
        let mut bell = pin!(run.desk.settler.notified());
        bell.as_mut().enable();
        batch.append(&mut run.desk.lock().take_acks(BATCH.saturating_sub(batch.len())));
        if !batch.is_empty() {
            return;
        }
        bell.await;
    }
}

async fn finish(run: &Arc<Run>, batch: Vec<Arc<Held>>, answer: Option<Settled>) {
    let (back, rings) = run.desk.lock().acked(&batch, answer);
    run.ring(rings);
    if !back.is_empty() {
        hand_back(run, back, Limit::tries()).await;
    }
}
