//! The puller: joins the group, fetches messages while there is room, and hands them back when it is paused.
//!
//! No error of the broker ends it, except one on joining that no waiting can cure.

use super::depart;
use super::dispatch::Advice;
use super::held::Held;
use super::run::{Desk, Run};
use super::settle::{CALL, Limit, hand_back, once};
use crate::messaging::{Backoff, BrokerError, Subscription};
use anyhow::Context;
use futures_util::future::{Either, select};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between pulls that fail, and tries to join.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// A try to join takes no longer: a first connection, with a route to look up.
const JOIN: Duration = Duration::from_secs(10);
/// A broker that says "nothing" sooner than this, again and again, is not asked more often than this.
const EMPTY: Duration = Duration::from_millis(10);

pub(super) type Joining = Pin<Box<dyn Future<Output = Result<Arc<dyn Subscription>, BrokerError>> + Send>>;

/// One try to join the group.
pub(super) fn join(run: &Run) -> Joining {
    let settings = run.settings.clone();
    Box::pin(async move { settings.broker.subscribe(&settings.interest).await })
}

/// Why joining is given up.
pub(super) fn cannot_join(run: &Run, error: BrokerError) -> anyhow::Error {
    let interest = &run.settings.interest;
    anyhow::Error::from(error).context(format!("it cannot join group `{}` on topic `{}`", interest.group, interest.topic))
}

/// The task: first joins, if that is not done, then pulls until the consumer stops.
pub(super) async fn pull(run: Arc<Run>, joining: Option<(u32, Option<Joining>)>) -> anyhow::Result<()> {
    let over = run.pull_over.clone().drop_guard();
    let ended = run.cx.until_cancelled(until_closed(&run, joining)).await;
    drop(over);
    if let Some(Err(error)) = ended {
        return Err(error);
    }
    if run.cx.cancelled().is_set() {
        // Without a stop before it: for a restart, or since the start was taken back.
        depart::depart(&run).await;
    }
    Ok(())
}

async fn until_closed(run: &Arc<Run>, joining: Option<(u32, Option<Joining>)>) -> anyhow::Result<()> {
    if let Some((failed, first)) = joining {
        match select(pin!(keep_joining(run, failed, first)), pin!(called_off(run, false))).await {
            Either::Left((joined, _)) => run.joined(joined?),
            Either::Right(_) => return Ok(()),
        }
    }
    let subscription = run.subscription().context("the group was not joined")?;
    fetch(run, &**subscription).await;
    Ok(())
}

async fn keep_joining(run: &Run, mut failed: u32, mut first: Option<Joining>) -> anyhow::Result<Arc<dyn Subscription>> {
    loop {
        if failed > 0 && first.is_none() {
            sleep(pause(run, failed)).await;
        }
        let joining = first.take().unwrap_or_else(|| join(run));
        match once(Instant::now() + JOIN, joining).await {
            Ok(subscription) => {
                tracing::info!(consumer = run.cx.name(), tries = failed + 1, "winddown: joined its group");
                return Ok(subscription);
            }
            Err(error) if error.class().is_retryable() => failed = note(run, failed, &error),
            Err(error) => return Err(cannot_join(run, error)),
        }
    }
}

fn pause(run: &Run, failed: u32) -> Duration {
    run.with_random(|random| BACKOFF.pause(failed, random))
}

/// Counts an error; said aloud the first time only, so that an outage does not fill the log.
pub(super) fn note(run: &Run, failed: u32, error: &BrokerError) -> u32 {
    run.desk.lock().stats.pull_errors += 1;
    if failed == 0 {
        tracing::warn!(consumer = run.cx.name(), %error, "winddown: the broker gives nothing; trying again until it does");
    }
    failed + 1
}

async fn fetch(run: &Arc<Run>, subscription: &dyn Subscription) {
    let mut failed = 0;
    loop {
        let room = match advised(&run.desk).await {
            Advice::Close => return,
            Advice::Pause => {
                paused(run).await;
                continue;
            }
            Advice::Pull(room) => room,
            Advice::Wait => continue,
        };
        let asked = Instant::now();
        // A broker that does not answer within its own wait, and some, is asked anew.
        let answer = once(asked + run.settings.poll + CALL, subscription.pull(room, run.settings.poll));
        let answer = match select(pin!(answer), pin!(called_off(run, true))).await {
            // What is there counts, also when it came at the last moment.
            Either::Left((answer, _)) => answer,
            Either::Right(_) => continue,
        };
        let pause = match answer {
            Ok(fetched) => {
                if failed > 0 {
                    tracing::info!(consumer = run.cx.name(), failed, "winddown: the broker gives again");
                }
                failed = 0;
                let early = fetched.is_empty() && asked.elapsed() < EMPTY;
                take_in(run, fetched);
                if early { EMPTY } else { continue }
            }
            Err(error) => {
                failed = note(run, failed, &error);
                pause(run, failed)
            }
        };
        select(pin!(sleep(pause)), pin!(called_off(run, true))).await;
    }
}

fn take_in(run: &Arc<Run>, fetched: Vec<crate::messaging::Delivery>) {
    if fetched.is_empty() {
        return;
    }
    let now = Instant::now();
    let fetched = fetched.into_iter().map(|delivery| Arc::new(Held::new(delivery, now))).collect();
    let rings = run.desk.lock().push(fetched);
    run.ring(rings);
}

/// What to do now, if there is anything.
async fn advised(desk: &Desk) -> Advice {
    loop {
        let mut bell = pin!(desk.puller.notified());
        bell.as_mut().enable();
        let advice = desk.lock().advise();
        match advice {
            Advice::Wait => bell.await,
            advice => return advice,
        }
    }
}

/// Returns when there is to be no pulling: because of the stop, or also because of a pause.
async fn called_off(run: &Run, also_paused: bool) {
    loop {
        let mut bell = pin!(run.desk.puller.notified());
        bell.as_mut().enable();
        let advice = run.desk.lock().advise();
        if advice == Advice::Close || (also_paused && advice == Advice::Pause) {
            return;
        }
        bell.await;
    }
}

/// Hands back what was not begun, so that others have it meanwhile, and waits for the end of the pause.
async fn paused(run: &Arc<Run>) {
    let mut fetched = Fetched { desk: &run.desk, held: run.desk.lock().take_fetched() };
    if !fetched.held.is_empty() {
        let handing = hand_back(run, fetched.held.clone(), Limit::tries());
        if let Either::Left(_) = select(pin!(handing), pin!(called_off(run, false))).await {
            fetched.held.clear();
        }
    }
    drop(fetched);
    loop {
        let mut bell = pin!(run.desk.puller.notified());
        bell.as_mut().enable();
        if run.desk.lock().advise() != Advice::Pause {
            return;
        }
        bell.await;
    }
}

/// What is on its way back: in the queue again if the way is cut short, for whoever does that to hand it back.
struct Fetched<'a> {
    desk: &'a Desk,
    held: Vec<Arc<Held>>,
}

impl Drop for Fetched<'_> {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            self.desk.lock().put_back(std::mem::take(&mut self.held));
        }
    }
}
