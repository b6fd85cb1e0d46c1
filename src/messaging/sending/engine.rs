//! Tries in a row until one is answered well or the budget is over (M2).

use super::batch::Batcher;
use super::routes::RouteTable;
use super::{Attempt, one_try};
use crate::messaging::random::Random;
use crate::messaging::{Backoff, Broker, BrokerError, Class, Message, Route, Routes, SendReceipt};
use crate::sync::{Mutex, lock};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Where there is another route to try, a try still gets this much of a short budget: longer than a busy RocketMQ broker takes to say so (200 ms).
const SHORTEST_TRY: Duration = Duration::from_millis(250);

pub(crate) struct Engine {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) backoff: Backoff,
    /// One budget for all tries of a message.
    pub(crate) timeout: Duration,
    /// A fixed bound for one try, in place of the rule of [`Engine::bound`].
    pub(crate) try_timeout: Option<Duration>,
    pub(crate) max_attempts: Option<u32>,
    routes: Arc<RouteTable>,
    batcher: Option<Arc<Batcher>>,
    random: Mutex<Random>,
}

/// What the tries of one message have come to.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    pub(crate) attempts: u32,
    /// Some answer was lost: it may have been stored.
    pub(crate) ambiguous: bool,
    pub(crate) last: Option<BrokerError>,
    last_route: Option<Route>,
}

/// Why the tries ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// The next try would be answered the same.
    Fatal,
    /// No time for another.
    BudgetOver,
    /// So many were allowed.
    AttemptsUsedUp,
}

/// Told while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    Retry,
    Ambiguous,
}

impl Engine {
    /// `batch` messages at most are sent at once; 1: each alone.
    pub(crate) fn new(broker: Arc<dyn Broker>, backoff: Backoff, timeout: Duration, batch: usize) -> Engine {
        let batch = batch.min(broker.limits().batch);
        let routes = Arc::new(RouteTable::default());
        let batcher = (batch > 1).then(|| Batcher::new(broker.clone(), routes.clone(), batch));
        let random = Mutex::new(Random::fresh());
        Engine { broker, backoff, timeout, try_timeout: None, max_attempts: None, routes, batcher, random }
    }

    /// Where batches are sent from: jobs of the component that runs now.
    pub(crate) fn run_in(&self, cx: Option<crate::Cx>) {
        if let Some(batcher) = &self.batcher {
            batcher.run_in(cx);
        }
    }

    /// Tries until the deadline, and not beyond it. It ends before the deadline when nothing more can be tried.
    pub(crate) async fn deliver(
        &self,
        message: &Message,
        deadline: Instant,
        tries: &mut Tries,
        note: &(dyn Fn(Noted) + Send + Sync),
    ) -> Result<SendReceipt, Undelivered> {
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(Undelivered::BudgetOver);
            }
            if tries.attempts > 0 {
                note(Noted::Retry);
            }
            tries.attempts += 1;
            let last_one = self.max_attempts.is_some_and(|max| tries.attempts >= max);
            let routes = self.broker.routes(message.topic());
            let until = self.bound(now, deadline, routes.len(), last_one);
            let (route, answer) = self.once(message, &routes, tries.last_route.as_ref(), until).await;
            let error = match answer {
                Ok(receipt) => return Ok(receipt),
                Err(error) => error,
            };
            let class = error.class();
            (tries.last, tries.last_route) = (Some(error), route);
            if class == Class::RetryableAmbiguous {
                tries.ambiguous = true;
                note(Noted::Ambiguous);
            }
            if class == Class::Fatal {
                return Err(Undelivered::Fatal);
            }
            if last_one {
                return Err(Undelivered::AttemptsUsedUp);
            }
            let Some(next) = self.next_try(tries.attempts, deadline) else { return Err(Undelivered::BudgetOver) };
            sleep_until(next).await;
        }
    }

    /// When to try again. A pause that would take all that is left is made half of that, so that the rest of the budget is not thrown away; when less
    /// than the first pause is left, it is over.
    fn next_try(&self, failed: u32, deadline: Instant) -> Option<Instant> {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let pause = self.backoff.pause(failed, &mut lock(&self.random));
        if pause < left {
            return Some(now + pause);
        }
        (left > self.backoff.first).then(|| now + left / 2)
    }

    /// Until when one try may take. Where there is another route, half of what is left: a route that hangs leaves time for it. Where
    /// there is none, or this is the last try, all of it: cut short, a slow answer would only become an unknown one.
    fn bound(&self, now: Instant, deadline: Instant, routes: usize, last_one: bool) -> Instant {
        let left = deadline.saturating_duration_since(now);
        let bound = match self.try_timeout {
            Some(bound) => bound,
            None if last_one || routes < 2 => left,
            None => (left / 2).max(SHORTEST_TRY),
        };
        now + bound.min(left)
    }

    async fn once(
        &self,
        message: &Message,
        routes: &Routes,
        last: Option<&Route>,
        until: Instant,
    ) -> (Option<Route>, Result<SendReceipt, BrokerError>) {
        // An ordered message has its own route, which others in a batch may not have.
        let alone = message.is_ordered() && routes.len() > 1;
        if let Some(batcher) = self.batcher.as_ref().filter(|_| !alone) {
            return batcher.send(message, last, until).await;
        }
        let began = Instant::now();
        let route = self.routes.choose(routes, message, last, until.saturating_duration_since(began));
        let answer = one_try::send(&*self.broker, message, route.as_ref(), until).await;
        self.routes.went(route.as_ref(), began.elapsed(), answer.as_ref().err());
        (route, answer)
    }
}

#[async_trait]
impl Attempt for Engine {
    async fn attempt(&self, message: &Message) -> Result<SendReceipt, BrokerError> {
        let now = Instant::now();
        let routes = self.broker.routes(message.topic());
        // Whoever calls tries again in its own time, so this try has a whole budget.
        let until = self.bound(now, now + self.timeout, routes.len(), true);
        self.once(message, &routes, None, until).await.1
    }
}
