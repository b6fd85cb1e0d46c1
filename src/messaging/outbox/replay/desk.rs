//! What each claimed row is up to: ready, on its way, or with an outcome.

use super::pause::Pause;
use super::{OutboxClaim, OutboxClaimed, OutboxOutcome, Replayed};
use crate::messaging::outbox::handle::Options;
use crate::messaging::outbox::store::{OrderedKey, OutboxRow, OutboxSettled};
use crate::messaging::random::Random;
use crate::messaging::sending::Attempt;
use crate::messaging::{BrokerError, ErrorKind, SendReceipt};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// So many rows of one ordered key are claimed together: enough that a round trip to the store is not paid for each, few enough that other keys
/// have room beside it and the lease is long enough for the last.
const RUN: usize = 4;
/// A claim brings at most so many bytes into memory (and one row).
const CLAIM_BYTES: usize = 8 << 20;
/// With more than this unrecorded, nothing new is claimed: each of them would be sent twice after a crash.
const UNRECORDED: usize = 1024;

/// Rows that go one after the other: one row, or some of an ordered key, oldest first.
pub(super) struct Run {
    pub(super) rows: VecDeque<OutboxRow>,
    /// Their claims' end.
    pub(super) until: Instant,
}

impl Run {
    fn topic(&self) -> Option<&str> {
        self.rows.front().map(|row| row.message.topic())
    }
}

/// A try that is over. The rest of its run goes on or back.
pub(super) struct Landed {
    pub(super) row: OutboxRow,
    pub(super) rest: Run,
    pub(super) begun: Instant,
    pub(super) answer: Result<SendReceipt, BrokerError>,
}

/// Where the row before one of the same ordered key is.
#[derive(Clone, Copy)]
enum Place {
    Ready(usize),
    Held,
}

/// What was when a row failed last.
#[derive(Clone, Copy)]
pub(super) struct LastFailure {
    /// So many acknowledgements there had been.
    pub(super) acknowledged: u64,
    /// When it was counted last, or failed first.
    pub(super) counted: Instant,
}

/// What is to be recorded together.
pub(super) struct Batch {
    pub(super) settled: Vec<OutboxSettled>,
    /// Ordered keys that may have nothing left after it.
    pub(super) keys: Vec<OrderedKey>,
}

pub(super) struct Desk {
    pub(super) place: Arc<str>,
    pub(super) options: Options,
    attempt: Arc<dyn Attempt>,
    pub(super) random: Random,
    pub(super) ready: VecDeque<Run>,
    pub(super) lanes: FuturesUnordered<BoxFuture<'static, Landed>>,
    /// How many lanes each topic has.
    pub(super) lanes_of: HashMap<Arc<str>, usize>,
    /// Rows without an outcome, ready or on their way, and the claim each belongs to.
    claimed: HashMap<i64, i64>,
    /// Outcomes that the store was not told yet; it may be busy with some before these.
    outcomes: Vec<OutboxSettled>,
    telling: usize,
    /// Of both, the rows that were sent: never to be tried again here.
    sent: HashSet<i64>,
    /// Ordered keys that may have nothing left once the outcomes are recorded.
    pub(super) touched: Vec<OrderedKey>,
    pub(super) broker: Pause,
    pub(super) topics: HashMap<Arc<str>, Pause>,
    pub(super) store: Pause,
    /// Acknowledgements so far, and what was when a row failed last.
    pub(super) acknowledged: u64,
    pub(super) failed_at: HashMap<i64, LastFailure>,
    /// A look is worth while at this time.
    sooner: Option<Instant>,
    pub(super) tally: Replayed,
}

impl Desk {
    pub(super) fn new(place: Arc<str>, options: Options, attempt: Arc<dyn Attempt>, now: Instant) -> Desk {
        Desk {
            place,
            options,
            attempt,
            random: Random::fresh(),
            ready: VecDeque::new(),
            lanes: FuturesUnordered::new(),
            lanes_of: HashMap::new(),
            claimed: HashMap::new(),
            outcomes: Vec::new(),
            telling: 0,
            sent: HashSet::new(),
            touched: Vec::new(),
            broker: Pause::none(now),
            topics: HashMap::new(),
            store: Pause::none(now),
            acknowledged: 0,
            failed_at: HashMap::new(),
            sooner: None,
            tally: Replayed::default(),
        }
    }

    /// May rows be claimed when the broker's pause is over, and when is that? Only one as a probe, and only when all else is back.
    pub(super) fn may_want(&self, now: Instant) -> Option<Instant> {
        let busy = self.ready.len() + self.lanes.len();
        let room = if self.broker.is_suspect() { busy == 0 } else { busy < self.options.concurrency * 2 };
        (room && self.outcomes.len() + self.telling < UNRECORDED).then(|| self.broker.over_at(now).unwrap_or(now))
    }

    /// How many rows to claim now; `None` if none.
    pub(super) fn wants(&self, now: Instant) -> Option<usize> {
        let now_at_once = self.may_want(now).is_some_and(|at| at <= now);
        now_at_once.then_some(if self.broker.is_suspect() { 1 } else { self.options.concurrency * 4 })
    }

    pub(super) fn claim(&self, rows: usize, now: Instant) -> OutboxClaim {
        let skip = self.topics.iter().filter(|(_, pause)| pause.over_at(now).is_some()).map(|(topic, _)| topic.clone()).collect();
        let Options { lease, backoff, .. } = self.options;
        // Twice what is ever written, so that a clock that is set back a little does not end claims that are good.
        OutboxClaim { rows, bytes: CLAIM_BYTES, run: rows.min(RUN), lease, horizon: lease.max(backoff.max) * 2, skip }
    }

    /// Takes in what was claimed by a look that began at `begun`.
    pub(super) fn claimed(&mut self, claimed: OutboxClaimed, begun: Instant, now: Instant) {
        if claimed.damaged > 0 {
            let count = claimed.damaged;
            tracing::warn!(outbox = &*self.place, count, "winddown: rows of the outbox are damaged and were set aside; list them and retry or purge");
        }
        let until = begun + self.options.lease;
        let mut places: HashMap<OrderedKey, Place> = HashMap::new();
        for row in claimed.rows {
            let key = row.message.key_shared().filter(|_| row.message.is_ordered()).map(|key| (row.message.topic_shared(), key));
            let before = key.as_ref().and_then(|key| places.get(key)).copied();
            if self.is_held(&row) {
                key.into_iter().for_each(|key| _ = places.insert(key, Place::Held));
                continue;
            }
            let number = row.row;
            self.claimed.insert(number, row.claim);
            match before {
                Some(Place::Ready(at)) => self.ready[at].rows.push_back(row),
                // It would overtake the one that is held.
                Some(Place::Held) => self.outcome(number, OutboxOutcome::Released { after: Duration::ZERO }),
                None => {
                    self.ready.push_back(Run { rows: VecDeque::from([row]), until });
                    key.into_iter().for_each(|key| _ = places.insert(key, Place::Ready(self.ready.len() - 1)));
                }
            }
        }
        if self.broker.over_at(now).is_some() {
            self.release_ready(); // It went down while we looked.
        }
        for (topic, left) in self.topics.iter().filter_map(|(topic, pause)| Some((topic.clone(), pause.over_at(now)? - now))).collect::<Vec<_>>() {
            self.release_topic(&topic, left);
        }
        // Topics that were skipped are looked at when their pauses are over.
        let next = self.topics.values().filter_map(|pause| pause.over_at(now)).min();
        self.look_at(next);
    }

    /// Begins as many tries as may be under way.
    pub(super) fn take_off(&mut self, now: Instant) {
        let mut place = 0;
        while self.lanes.len() < self.options.concurrency && place < self.ready.len() && !self.store.is_suspect() {
            if self.broker.is_suspect() && (self.broker.over_at(now).is_some() || !self.lanes.is_empty()) {
                return;
            }
            let topic = self.ready[place].topic().unwrap_or_default();
            let suspect = self.topics.get(topic).is_some_and(Pause::is_suspect);
            if suspect && self.lanes_of.contains_key(topic) {
                place += 1;
                continue;
            }
            let Some(run) = self.ready.remove(place) else { return };
            // Too late to begin: whoever claims it next has the whole lease for it.
            if now + self.options.lease / 4 > run.until { self.release(run, Duration::ZERO) } else { self.fly(run, now) }
        }
    }

    fn fly(&mut self, mut run: Run, begun: Instant) {
        let Some(row) = run.rows.pop_front() else { return };
        let (attempt, message, until) = (self.attempt.clone(), row.message.clone(), run.until);
        *self.lanes_of.entry(row.message.topic_shared()).or_default() += 1;
        self.lanes.push(Box::pin(async move {
            let try_it = AssertUnwindSafe(attempt.attempt(&message)).catch_unwind();
            let answer = match tokio::time::timeout_at(until, try_it).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(BrokerError::new("outbox", ErrorKind::Other, "the broker's adapter panicked: see its message on stderr")),
                Err(_) => Err(BrokerError::new("outbox", ErrorKind::TimedOut, "no answer before the claim's lease was over")),
            };
            Landed { row, rest: run, begun, answer }
        }));
    }

    pub(super) fn release(&mut self, run: Run, after: Duration) {
        for row in run.rows {
            self.tally.released += 1;
            self.outcome(row.row, OutboxOutcome::Released { after });
        }
    }

    /// Gives back all that is not on its way.
    pub(super) fn release_ready(&mut self) {
        for run in std::mem::take(&mut self.ready) {
            self.release(run, Duration::ZERO);
        }
    }

    pub(super) fn release_topic(&mut self, topic: &str, after: Duration) {
        let (out, kept) = std::mem::take(&mut self.ready).into_iter().partition::<Vec<_>, _>(|run| run.topic() == Some(topic));
        self.ready = kept.into();
        out.into_iter().for_each(|run| self.release(run, after));
    }

    /// Drops the tries that are under way, at the end; their rows are given back.
    pub(super) fn drop_lanes(&mut self) {
        self.lanes = FuturesUnordered::new();
        self.release_ready();
        let left: Vec<i64> = self.claimed.keys().copied().collect();
        self.tally.released += left.len() as u64;
        left.into_iter().for_each(|row| self.outcome(row, OutboxOutcome::Released { after: Duration::ZERO }));
    }

    /// Have we got this row already? A clock that jumped makes a claim of ours look over, and the store gives us what we have. The new claim
    /// takes the place of the old one.
    fn is_held(&mut self, row: &OutboxRow) -> bool {
        if let Some(claim) = self.claimed.get_mut(&row.row) {
            *claim = row.claim;
            return true;
        }
        if let Some(waiting) = self.outcomes.iter_mut().find(|settled| settled.row == row.row) {
            waiting.claim = row.claim;
            return true;
        }
        // Of what the store is busy with, only this is ours for good. Anything else it gave us anew, before or after it heard of the outcome,
        // which counts for the older claim only.
        self.sent.contains(&row.row)
    }

    pub(super) fn outcome(&mut self, row: i64, outcome: OutboxOutcome) {
        let Some(claim) = self.claimed.remove(&row) else { return };
        if outcome == OutboxOutcome::Sent {
            self.sent.insert(row);
        }
        self.outcomes.push(OutboxSettled { row, claim, outcome });
    }

    pub(super) fn has_outcomes(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// What is to be recorded; the next only when this was answered.
    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        let batch = self.has_outcomes().then(|| Batch { settled: std::mem::take(&mut self.outcomes), keys: std::mem::take(&mut self.touched) })?;
        self.telling = batch.settled.len();
        Some(batch)
    }

    pub(super) fn recorded(&mut self, batch: &Batch) {
        self.telling = 0;
        for settled in &batch.settled {
            self.sent.remove(&settled.row);
        }
    }

    /// Back to where it was, before what came since.
    pub(super) fn not_recorded(&mut self, mut batch: Batch) {
        self.telling = 0;
        batch.settled.append(&mut self.outcomes);
        batch.keys.append(&mut self.touched);
        (self.outcomes, self.touched) = (batch.settled, batch.keys);
    }

    pub(super) fn store_failed(&mut self, now: Instant) {
        self.store.failed(now, now, &self.options.backoff, &mut self.random);
    }

    pub(super) fn look_at(&mut self, at: Option<Instant>) {
        self.sooner = match (self.sooner, at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    /// When a look is worth while, if that is sooner than was thought. Asked once, answered once.
    pub(super) fn take_sooner(&mut self) -> Option<Instant> {
        self.sooner.take()
    }

    pub(super) fn tally(&self) -> Replayed {
        Replayed { unrecorded: (self.outcomes.len() + self.telling) as u64, ..self.tally }
    }
}
