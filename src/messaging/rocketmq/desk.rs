//! Where pulls wait and pollers bring what they caught.
//!
//! Invariants:
//! 1. What was caught is in the stash until a pull takes it or a poller gives it back; between the stash and the pull's return nothing is awaited.
//! 2. A poller asks only for pulls that wait, and brings no more than they want: the stash is bounded by one answer for each broker.
//! 3. A pull answers "nothing" only after every poller has looked on its behalf, or is looking.

use super::codes::{closed, error};
use super::pop::{Catch, Caught};
use crate::messaging::{BrokerError, ErrorKind};
use crate::sync::{Mutex, lock};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A poll for less than this is no poll: brokers end one so much earlier than they were asked to.
const SHORTEST: Duration = Duration::from_millis(60);
/// What nobody has pulled for so long goes back: whoever waited for it has gone.
const LINGER: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Desk {
    inner: Mutex<Inner>,
    for_pulls: Notify,
    for_pollers: Notify,
}

#[derive(Default)]
struct Inner {
    stash: VecDeque<Caught>,
    /// Pulls by the number of their coming.
    waiting: BTreeMap<u64, Wait>,
    last: u64,
    /// By broker.
    looks: HashMap<Arc<str>, Look>,
    unreadable: Option<BrokerError>,
    closed: bool,
}

struct Wait {
    want: usize,
    until: Instant,
}

/// How far a poller is.
#[derive(Default)]
struct Look {
    /// It has looked for the pulls up to this one.
    upto: u64,
    /// At this moment the broker would tell it of a message.
    polling: bool,
    trouble: Option<BrokerError>,
}

/// What a poller is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) want: usize,
    pub(super) poll: Duration,
    upto: u64,
}

/// A pull's place in the line; its drop leaves it.
pub(super) struct Place<'a> {
    desk: &'a Desk,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inner = lock(&self.desk.inner);
        inner.waiting.remove(&self.number);
        if inner.waiting.is_empty() && !inner.stash.is_empty() {
            drop(inner);
            // From now on, what was brought too late is to be given back in time.
            self.desk.for_pollers.notify_waiters();
        }
    }
}

impl Desk {
    pub(super) fn add_broker(&self, broker: &Arc<str>) -> bool {
        let mut inner = lock(&self.inner);
        let is_new = !inner.looks.contains_key(broker);
        if is_new {
            inner.looks.insert(broker.clone(), Look::default());
        }
        is_new
    }

    pub(super) fn close(&self) {
        lock(&self.inner).closed = true;
        self.for_pulls.notify_waiters();
        self.for_pollers.notify_waiters();
    }

    /// What is left in the end.
    pub(super) fn drain(&self) -> Vec<Caught> {
        lock(&self.inner).stash.drain(..).collect()
    }

    /// Waits for something to be there, as `Subscription::pull` does. `take` turns it into what the caller gets, without an await.
    pub(super) async fn pull<T>(
        &self,
        max: usize,
        until: Instant,
        patience: Duration,
        take: impl Fn(Caught) -> Option<T>,
    ) -> Result<Vec<T>, BrokerError> {
        let place = self.enter(max, until);
        let latest = until + patience;
        let mut over = false;
        loop {
            let mut news = std::pin::pin!(self.for_pulls.notified());
            // From here on, what is told is not missed.
            news.as_mut().enable();
            if let Some(answer) = self.answer(place.number, max, over || Instant::now() >= until, &take) {
                return answer;
            }
            if over && Instant::now() >= latest {
                return Ok(Vec::new());
            }
            let timer = sleep_until(if Instant::now() < until { until } else { latest });
            tokio::select! {
                () = news => {}
                () = timer => over = true,
            }
        }
    }

    fn enter(&self, want: usize, until: Instant) -> Place<'_> {
        let mut inner = lock(&self.inner);
        inner.last += 1;
        let number = inner.last;
        inner.waiting.insert(number, Wait { want, until });
        drop(inner);
        self.for_pollers.notify_waiters();
        Place { desk: self, number }
    }

    fn answer<T>(&self, number: u64, max: usize, over: bool, take: &impl Fn(Caught) -> Option<T>) -> Option<Result<Vec<T>, BrokerError>> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Some(Err(closed()));
        }
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some(caught) = inner.stash.pop_front() else { break };
            taken.extend(take(caught));
        }
        if !taken.is_empty() {
            return Some(Ok(taken));
        }
        if let Some(error) = inner.unreadable.take() {
            return Some(Err(error));
        }
        let has_looked = |look: &Look| look.upto >= number;
        if inner.looks.values().all(|look| look.trouble.is_some() && (has_looked(look) || over)) {
            let trouble = inner.looks.values().find_map(|look| look.trouble.clone());
            let none =
                || error(ErrorKind::Unavailable, "no broker gives messages of this topic now: see whether its master runs and may be read from");
            // Where there is no broker at all, one may come.
            return if inner.looks.is_empty() && !over { None } else { Some(Err(trouble.unwrap_or_else(none))) };
        }
        (over && inner.looks.values().all(|look| has_looked(look) || look.polling || look.trouble.is_some())).then(|| Ok(Vec::new()))
    }

    /// Waits until there is something to do for a poller; `None` when it is to end. What is given back meanwhile goes to `back`.
    pub(super) async fn round(&self, broker: &str, longest: Duration, mut back: impl FnMut(Vec<Caught>)) -> Option<Round> {
        loop {
            let mut news = std::pin::pin!(self.for_pollers.notified());
            news.as_mut().enable();
            let (round, lingering, next) = {
                let mut inner = lock(&self.inner);
                if inner.closed {
                    return None;
                }
                let lingering = inner.lingering();
                let next = inner.stash.front().filter(|_| inner.waiting.is_empty()).map(|oldest| oldest.at + LINGER);
                (inner.round(broker, longest), lingering, next)
            };
            if !lingering.is_empty() {
                back(lingering);
            }
            if round.is_some() {
                return round;
            }
            tokio::select! {
                () = news => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// A round has ended, well or badly.
    pub(super) fn bring(&self, broker: &str, round: Round, caught: Result<Catch, BrokerError>) {
        let mut inner = lock(&self.inner);
        let trouble = match caught {
            Ok(catch) => {
                inner.stash.extend(catch.good);
                inner.unreadable = catch.unreadable.or(inner.unreadable.take());
                None
            }
            Err(error) => Some(error),
        };
        if let Some(look) = inner.looks.get_mut(broker) {
            *look = Look { upto: round.upto, polling: false, trouble };
        }
        drop(inner);
        self.for_pulls.notify_waiters();
        // What was brought may be too little, or for nobody.
        self.for_pollers.notify_waiters();
    }
}

impl Inner {
    fn lingering(&mut self) -> Vec<Caught> {
        let mut lingering = Vec::new();
        // Who waits takes it in a moment.
        while self.waiting.is_empty() && self.stash.front().is_some_and(|oldest| oldest.at.elapsed() >= LINGER) {
            lingering.extend(self.stash.pop_front());
        }
        lingering
    }

    fn round(&mut self, broker: &str, longest: Duration) -> Option<Round> {
        let (now, last) = (Instant::now(), self.last);
        let want = self.waiting.values().fold(0usize, |sum, wait| sum.saturating_add(wait.want)).saturating_sub(self.stash.len());
        let left = self.waiting.values().map(|wait| wait.until.saturating_duration_since(now)).max().unwrap_or_default();
        let newest = self.waiting.keys().next_back().copied().unwrap_or(0);
        let look = self.looks.get_mut(broker)?;
        if want > 0 && (left >= SHORTEST || newest > look.upto) {
            let poll = if left >= SHORTEST { left.min(longest) } else { Duration::ZERO };
            look.polling = !poll.is_zero();
            return Some(Round { want, poll, upto: last });
        }
        // Pulls that heard of trouble and left would otherwise never hear of its end.
        (look.trouble.is_some() && last > look.upto).then_some(Round { want: 1, poll: Duration::ZERO, upto: last })
    }
}
