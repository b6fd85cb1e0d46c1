//! Sends that wait together go together: what has gathered for a topic by the time a batch is put together.
//!
//! Nothing waits for others to come. The first message of a topic has a job made for it; what comes before that job runs, or while it waits for
//! the broker's answer, is the next batch. Each message keeps its own time: who gives up takes its message back, if it has not gone yet.
//!
//! Invariants:
//! - B1. A topic with something waiting has a runner, or is about to be given one by who put it there.
//! - B2. Who waits gets its answer, or sees its sender gone: a runner that is dropped drops the senders with it.

use super::one_try;
use super::routes::RouteTable;
use crate::Cx;
use crate::messaging::{Broker, BrokerError, ErrorKind, Message, Route, SendReceipt};
use crate::sync::{Mutex, lock};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// So many batches of a topic are under way at most: enough to keep a broker busy while answers travel, few enough for batches to fill.
const RUNNERS: usize = 4;

type Answer = (Option<Route>, Result<SendReceipt, BrokerError>);

pub(super) struct Batcher {
    broker: Arc<dyn Broker>,
    routes: Arc<RouteTable>,
    /// So many messages at most.
    most: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    cx: Option<Cx>,
    topics: HashMap<Arc<str>, Topic>,
    next: u64,
}

#[derive(Default)]
struct Topic {
    waiting: VecDeque<Waiting>,
    runners: usize,
}

struct Waiting {
    number: u64,
    message: Message,
    last: Option<Route>,
    until: Instant,
    answer: oneshot::Sender<Answer>,
}

impl Batcher {
    pub(super) fn new(broker: Arc<dyn Broker>, routes: Arc<RouteTable>, most: usize) -> Arc<Batcher> {
        Arc::new(Batcher { broker, routes, most, inner: Mutex::default() })
    }

    pub(super) fn run_in(&self, cx: Option<Cx>) {
        let before = std::mem::replace(&mut lock(&self.inner).cx, cx);
        drop(before);
    }

    /// One try of one message, together with what waits beside it.
    pub(super) async fn send(self: &Arc<Batcher>, message: &Message, last: Option<&Route>, until: Instant) -> Answer {
        let (answer, mut answered) = oneshot::channel();
        let number = self.enqueue(message, last, until, answer);
        // Dropped or late: what has not gone yet does not go.
        let place = Place { batcher: self, topic: message.topic_shared(), number };
        match timeout_at(until, &mut answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_gone)) => (None, Err(one_try::unsure(&*self.broker, message, "its batch was dropped".into()))),
            Err(_late) if place.take_back() => {
                let text = "it waited for a batch before it until its time was over";
                let error = BrokerError::new(self.broker.name(), ErrorKind::TimedOut, text).with_class(crate::messaging::Class::RetryableSafe);
                (None, Err(error.about(message.topic_shared())))
            }
            Err(_late) => match answered.try_recv() {
                // The two at the same instant: the answer counts.
                Ok(answer) => answer,
                Err(_) => (None, Err(BrokerError::new(self.broker.name(), ErrorKind::TimedOut, "no answer in time").about(message.topic_shared()))),
            },
        }
    }

    fn enqueue(self: &Arc<Batcher>, message: &Message, last: Option<&Route>, until: Instant, answer: oneshot::Sender<Answer>) -> u64 {
        let mut inner = lock(&self.inner);
        inner.next += 1;
        let (number, cx) = (inner.next, inner.cx.clone());
        let topic = inner.topics.entry(message.topic_shared()).or_default();
        topic.waiting.push_back(Waiting { number, message: message.clone(), last: last.cloned(), until, answer });
        let another = topic.runners == 0 || (topic.runners < RUNNERS && topic.waiting.len() >= self.most);
        if another {
            topic.runners += 1;
        }
        drop(inner);
        if another {
            let runner = Runner { batcher: self.clone(), topic: message.topic_shared(), counts: true };
            match cx {
                Some(cx) => cx.spawn_job("batch", runner.run()),
                // The component is gone; its drop tells those who wait.
                None => drop(runner),
            }
        }
        number
    }

    /// The next batch of a topic. None: there is no more, and the runner that asked no longer counts.
    fn take(&self, name: &str) -> Option<Vec<Waiting>> {
        // A batch travels as one request, so together they are no larger than one message may be.
        let bytes = self.broker.limits().message_bytes;
        let mut inner = lock(&self.inner);
        let topic = inner.topics.get_mut(name)?;
        let (mut batch, mut sum) = (Vec::new(), 0usize);
        while let Some(next) = topic.waiting.front() {
            sum = sum.saturating_add(next.message.size());
            if !batch.is_empty() && (batch.len() == self.most || sum > bytes) {
                break;
            }
            batch.extend(topic.waiting.pop_front());
        }
        if batch.is_empty() {
            topic.runners -= 1;
            if topic.runners == 0 {
                inner.topics.remove(name);
            }
            return None;
        }
        Some(batch)
    }

    async fn send_together(&self, mut batch: Vec<Waiting>) {
        let now = Instant::now();
        let Some(first) = batch.first() else { return };
        // As long as the most patient one waits; the others take their leave themselves.
        let until = batch.iter().map(|one| one.until).max().unwrap_or(now);
        let last = batch.iter().find_map(|one| one.last.clone());
        let routes = self.broker.routes(first.message.topic());
        let route = self.routes.choose(&routes, &first.message, last.as_ref(), until.saturating_duration_since(now));
        let messages: Vec<Message> = batch.iter().map(|one| one.message.clone()).collect();
        let sending = async {
            if let [message] = &messages[..] {
                vec![one_try::send(&*self.broker, message, route.as_ref(), until).await]
            } else {
                one_try::send_batch(&*self.broker, &messages, route.as_ref(), until).await
            }
        };
        let all_gone = async {
            for one in &mut batch {
                one.answer.closed().await;
            }
        };
        let answers = tokio::select! {
            biased;
            answers = sending => answers,
            // Cancelled or out of time, all of them: the broker owes nobody an answer.
            () = all_gone => return self.routes.given_up(route.as_ref(), now.elapsed()),
        };
        // The worst answer says how the route is.
        let worst = answers.iter().filter_map(|answer| answer.as_ref().err()).find(|error| error.class().is_retryable());
        self.routes.went(route.as_ref(), now.elapsed(), worst);
        for (one, answer) in batch.into_iter().zip(answers) {
            let _ = one.answer.send((route.clone(), answer));
        }
    }
}

/// A message's place in the line, given up when its sender goes.
struct Place<'a> {
    batcher: &'a Batcher,
    topic: Arc<str>,
    number: u64,
}

impl Place<'_> {
    /// Had it not gone yet?
    fn take_back(&self) -> bool {
        let mut inner = lock(&self.batcher.inner);
        let Some(topic) = inner.topics.get_mut(&self.topic) else { return false };
        // Numbers rise along the line.
        let found = topic.waiting.binary_search_by_key(&self.number, |one| one.number);
        let taken = found.ok().and_then(|at| topic.waiting.remove(at));
        drop(inner);
        taken.is_some()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.take_back();
    }
}

/// Sends batches of one topic while there are any.
struct Runner {
    batcher: Arc<Batcher>,
    topic: Arc<str>,
    counts: bool,
}

impl Runner {
    async fn run(mut self) -> anyhow::Result<()> {
        while let Some(batch) = self.batcher.take(&self.topic) {
            self.batcher.send_together(batch).await;
        }
        self.counts = false;
        Ok(())
    }
}

impl Drop for Runner {
    /// By force, or never begun: those who wait are told rather than left (B1, B2).
    fn drop(&mut self) {
        if !self.counts {
            return;
        }
        let mut inner = lock(&self.batcher.inner);
        let Some(topic) = inner.topics.get_mut(&self.topic) else { return };
        topic.runners -= 1;
        let left = if topic.runners == 0 { inner.topics.remove(&self.topic) } else { None };
        drop(inner);
        drop(left);
    }
}
