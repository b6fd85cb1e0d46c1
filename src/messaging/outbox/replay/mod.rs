//! The replay: claims what is due, sends it, settles it, until it is told to stop.
//!
//! One future, no tasks of its own: tries, one claim and one settlement run side by side in it, and [`Desk`] knows what each row is up to. So
//! dropping the future drops everything, and claims that are left end with their lease.
//!
//! Invariants:
//! 1. A claimed row is in exactly one place: ready, on its way, or with an outcome that is to be recorded.
//! 2. An outcome stays until the store has recorded it; the row is not tried again before that, here.
//! 3. Who waits is woken: by a put, by [`Outbox::wake`], by the next due time, or at the latest by the poll.

mod answer;
mod desk;
mod pause;
mod verdict;

use super::store::{OutboxClaim, OutboxClaimed};
use super::{Outbox, OutboxError, OutboxErrorKind, OutboxOutcome, OutboxSettled};
use crate::messaging::sending::Attempt;
use desk::{Batch, Desk, Landed};
use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt as _;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What other processes and other connections wrote is found this soon. One cheap look each time.
const POLL: Duration = Duration::from_secs(1);
/// When nothing is known to become due it is looked nevertheless, now and then: a net below everything that should have told.
const NET: Duration = Duration::from_secs(30);
/// At a stop, tries that are under way may take this much longer: most are over in a fraction of it, and what is dropped may be sent twice.
const GRACE: Duration = Duration::from_secs(1);
/// And the store this long to hear about it. What it does not hear, the leases settle.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a replay did, from start to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// Acknowledged by the broker, and recorded so or not.
    pub(crate) sent: u64,
    /// Tries that failed.
    pub(crate) failed: u64,
    /// Rows given up.
    pub(crate) dead: u64,
    /// Claimed rows that were given back untried or half tried at the stop.
    pub(crate) released: u64,
    /// Outcomes that the store could not be told at the stop: these rows are claimed until their lease is over, and may be sent twice.
    pub(crate) unrecorded: u64,
}

/// Sends what is in the outbox until `stopping` is over; then takes two seconds at most.
///
/// Any number of replays, in any number of processes, may run on one outbox. May be dropped: what it had claimed is free after the lease.
pub(crate) async fn replay<S>(outbox: Outbox, attempt: Arc<dyn Attempt>, stopping: S) -> Replayed
where
    S: Future<Output = ()> + Send,
{
    let mut run = Run::new(outbox, attempt);
    let mut stopping = pin!(stopping);
    while run.turn(&mut stopping).await {}
    if run.closed {
        stopping.await;
    }
    run.wind_down().await
}

type Settling = BoxFuture<'static, (Batch, Result<(), OutboxError>)>;
type Looking = BoxFuture<'static, Looked>;

/// What a look at the store brought.
struct Looked {
    begun: Instant,
    /// When it was to be looked next, before.
    before: Instant,
    claimed: Result<Option<OutboxClaimed>, OutboxError>,
}

struct Run {
    outbox: Outbox,
    desk: Desk,
    settling: Option<Settling>,
    looking: Option<Looking>,
    next_look: Instant,
    next_poll: Instant,
    closed: bool,
}

enum Happened {
    Stopping,
    Landed(Box<Landed>),
    Settled(Batch, Result<(), OutboxError>),
    Looked(Looked),
    Woken,
    Time,
}

impl Run {
    fn new(outbox: Outbox, attempt: Arc<dyn Attempt>) -> Run {
        let now = Instant::now();
        // The first look takes in the ordered keys of a store that was not looked at yet.
        outbox.wake();
        let desk = Desk::new(outbox.place(), *outbox.options(), attempt, now);
        Run { outbox, desk, settling: None, looking: None, next_look: now, next_poll: now + POLL, closed: false }
    }

    /// Starts what can be started, waits for one thing to happen, and deals with it. False at the end.
    async fn turn<S: Future<Output = ()>>(&mut self, stopping: &mut std::pin::Pin<&mut S>) -> bool {
        let now = Instant::now();
        self.desk.take_off(now);
        self.settle(now);
        self.look(now);
        let wake_at = self.wake_at(now);
        let Run { outbox, desk, settling, looking, .. } = self;
        let happened = tokio::select! {
            biased;
            () = stopping => Happened::Stopping,
            Some(landed) = desk.lanes.next(), if !desk.lanes.is_empty() => Happened::Landed(Box::new(landed)),
            (batch, answer) = there(settling) => Happened::Settled(batch, answer),
            looked = there(looking) => Happened::Looked(looked),
            () = outbox.woken() => Happened::Woken,
            () = tokio::time::sleep_until(wake_at) => Happened::Time,
        };
        self.deal_with(happened)
    }

    fn deal_with(&mut self, happened: Happened) -> bool {
        match happened {
            Happened::Stopping => return false,
            Happened::Landed(landed) => self.desk.landed(*landed, Instant::now()),
            Happened::Settled(batch, answer) => self.settled(batch, answer),
            Happened::Looked(looked) => self.looked(looked),
            Happened::Woken => self.next_look = Instant::now(),
            Happened::Time => {}
        }
        self.next_look = self.next_look.min(self.desk.take_sooner().unwrap_or(self.next_look));
        !self.closed
    }

    /// Records what is known, one batch at a time: while one is under way the next grows.
    fn settle(&mut self, now: Instant) {
        if self.settling.is_some() || self.desk.store.over_at(now).is_some() {
            return;
        }
        let Some(batch) = self.desk.take_batch() else { return };
        let outbox = self.outbox.clone();
        self.settling = Some(Box::pin(async move {
            let answer = record(&outbox, &batch).await;
            (batch, answer)
        }));
    }

    fn settled(&mut self, batch: Batch, answer: Result<(), OutboxError>) {
        self.settling = None;
        match answer {
            Ok(()) => {
                self.desk.recorded(&batch);
                // What was given back can be claimed again, and what is behind the last one of its key.
                let given_back = |row: &OutboxSettled| matches!(row.outcome, OutboxOutcome::Released { .. });
                if !batch.keys.is_empty() || batch.settled.iter().any(given_back) {
                    self.next_look = self.next_look.min(Instant::now());
                }
                self.store_answers();
            }
            Err(error) => {
                self.desk.not_recorded(batch);
                self.store_fails("what was sent could not be recorded; it is kept in memory and tried again", &error);
            }
        }
    }

    /// Looks whether others wrote, what ordered keys there are, and claims: as much of it as there is reason for.
    fn look(&mut self, now: Instant) {
        if self.looking.is_some() || self.desk.store.over_at(now).is_some() {
            return;
        }
        let polls = now >= self.next_poll;
        let rows = self.desk.wants(now);
        let due = now >= self.next_look && rows.is_some();
        let stale = self.outbox.take_stale();
        if !(polls || due || stale) {
            return;
        }
        self.next_poll = now + POLL;
        // Whoever wakes us from now on means another look.
        let before = std::mem::replace(&mut self.next_look, now + NET);
        let claim = rows.map(|rows| self.desk.claim(rows, now));
        let outbox = self.outbox.clone();
        self.looking = Some(Box::pin(async move {
            let claimed = look(&outbox, claim, polls, stale, due).await;
            if claimed.is_err() && stale {
                outbox.wake();
            }
            Looked { begun: now, before, claimed }
        }));
    }

    fn looked(&mut self, looked: Looked) {
        self.looking = None;
        let now = Instant::now();
        match looked.claimed {
            // Nothing was claimed, since nothing was due or nothing may be sent: what was to be looked at still is.
            Ok(None) => self.next_look = self.next_look.min(looked.before),
            Ok(Some(claimed)) => {
                if let Some(next) = claimed.next {
                    self.next_look = self.next_look.min(now + next);
                }
                self.desk.claimed(claimed, looked.begun, now);
                self.store_answers();
            }
            Err(error) => {
                self.next_look = now;
                self.store_fails("it could not be read or claimed from; tried again", &error);
            }
        }
    }

    fn store_answers(&mut self) {
        if self.desk.store.is_suspect() {
            self.desk.store.clear();
            tracing::info!(outbox = &*self.outbox.place(), "winddown: the outbox's store works again");
        }
    }

    fn store_fails(&mut self, what: &str, error: &OutboxError) {
        if error.kind() == OutboxErrorKind::Closed {
            self.closed = true;
            tracing::info!(outbox = &*self.outbox.place(), "winddown: the outbox was closed, its replay is over");
            return;
        }
        if !self.desk.store.is_suspect() {
            tracing::warn!(outbox = &*self.outbox.place(), error = error.text(), "winddown: the outbox's store fails: {what}");
        }
        self.desk.store_failed(Instant::now());
    }

    /// When to look at the clock again, if nothing happens before.
    fn wake_at(&self, now: Instant) -> Instant {
        let store = self.desk.store.over_at(now).unwrap_or(now);
        if self.looking.is_some() {
            // Its end is something that happens; but outcomes may wait for the store.
            return if self.desk.has_outcomes() && self.settling.is_none() { store } else { now + POLL };
        }
        let mut at = self.next_poll;
        if let Some(pause) = self.desk.may_want(now) {
            at = at.min(self.next_look.max(pause));
        }
        if self.desk.has_outcomes() && self.settling.is_none() {
            at = at.min(store);
        }
        at.max(store)
    }

    /// Lets tries end, gives back the rest, and tells the store, all within bounds.
    async fn wind_down(mut self) -> Replayed {
        self.desk.release_ready();
        let grace = Instant::now() + GRACE;
        while !self.desk.lanes.is_empty() {
            let Ok(Some(landed)) = tokio::time::timeout_at(grace, self.desk.lanes.next()).await else { break };
            self.desk.landed(landed, Instant::now());
            self.desk.release_ready();
        }
        self.desk.drop_lanes();
        if !self.closed && tokio::time::timeout(LAST_WORDS, self.tell()).await.is_err() {
            tracing::warn!(outbox = &*self.outbox.place(), "winddown: the outbox's store is slow; what it was not told is free after the lease");
        }
        self.desk.tally()
    }

    /// Waits for what the store is busy with, and tells it the rest.
    async fn tell(&mut self) {
        if let Some(looking) = self.looking.take() {
            self.looked(looking.await);
            self.desk.release_ready();
        }
        if let Some(settling) = self.settling.take() {
            let (batch, answer) = settling.await;
            self.settled(batch, answer);
        }
        while let Some(batch) = self.desk.take_batch() {
            match record(&self.outbox, &batch).await {
                Ok(()) => self.desk.recorded(&batch),
                Err(error) => {
                    tracing::warn!(outbox = &*self.outbox.place(), error = error.text(), "winddown: the outbox's store fails at the stop");
                    self.desk.not_recorded(batch);
                    return;
                }
            }
        }
    }
}

/// Records a batch, and looks at what it leaves of the ordered keys in it.
async fn record(outbox: &Outbox, batch: &Batch) -> Result<(), OutboxError> {
    outbox.the_store().settle(&batch.settled).await?;
    if !batch.keys.is_empty() && outbox.look(Some(batch.keys.clone())).await.is_err() {
        outbox.wake(); // They are looked at with all others, later.
    }
    Ok(())
}

async fn look(outbox: &Outbox, claim: Option<OutboxClaim>, polls: bool, stale: bool, due: bool) -> Result<Option<OutboxClaimed>, OutboxError> {
    let changed = polls && outbox.the_store().changed().await?;
    if changed || stale {
        outbox.look(None).await?;
    }
    match claim {
        Some(claim) if changed || stale || due => outbox.the_store().claim(claim).await.map(Some),
        _ => Ok(None),
    }
}

/// The output of a future that is there; never of one that is not. The future is to be taken away afterwards.
async fn there<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
