//! What can be said about a consumer before it is one.

use super::handler::Handler;
use super::hook::FailureHook;
use super::settings::{Settings, WhenUnavailable};
use super::verdict::Rules;
use super::{Consumer, ConsumerHandle};
use crate::messaging::trace::TraceDispatcher;
use crate::messaging::{Backoff, Broker, Interest, StartFrom, TagFilter};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`Consumer`]; made by [`Consumer::builder`]. Group and topic must be said; everything else has a default.
#[must_use = "it becomes a consumer with `handler`"]
pub struct ConsumerBuilder {
    broker: Arc<dyn Broker>,
    name: Option<String>,
    interest: Interest,
    concurrency: usize,
    prefetch: usize,
    handler_timeout: Option<Duration>,
    rules: Rules,
    hooks: Vec<Arc<dyn FailureHook>>,
    hook_timeout: Duration,
    when_unavailable: WhenUnavailable,
    poll: Duration,
    trace: Option<TraceDispatcher>,
}

impl ConsumerBuilder {
    pub(super) fn new(broker: Arc<dyn Broker>) -> ConsumerBuilder {
        ConsumerBuilder {
            broker,
            name: None,
            interest: Interest::new("", ""),
            concurrency: 16,
            prefetch: 64,
            handler_timeout: None,
            rules: Rules { max_attempts: 16, notify_after: 3, backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)) },
            hooks: Vec::new(),
            hook_timeout: Duration::from_secs(1),
            when_unavailable: WhenUnavailable::Retry,
            poll: Duration::from_secs(15),
            trace: None,
        }
    }

    /// The component's name. Default: `<group>-consumer`.
    pub fn name(mut self, name: impl Into<String>) -> ConsumerBuilder {
        self.name = Some(name.into());
        self
    }

    /// The group: every group gets every message, the members of a group share them.
    pub fn group(mut self, group: impl Into<Arc<str>>) -> ConsumerBuilder {
        self.interest.group = group.into();
        self
    }

    /// The topic.
    pub fn topic(mut self, topic: impl Into<Arc<str>>) -> ConsumerBuilder {
        self.interest.topic = topic.into();
        self
    }

    /// Which tags. Default: all messages.
    pub fn tags(mut self, tags: TagFilter) -> ConsumerBuilder {
        self.interest.tags = tags;
        self
    }

    /// How many messages are handled at the same time, at most. Default: 16; at least 1.
    pub fn concurrency(mut self, handlers: usize) -> ConsumerBuilder {
        self.concurrency = handlers.max(1);
        self
    }

    /// How many messages are fetched ahead, at most. Default: 64; at least 1. With handlers that take seconds choose few: what is fetched
    /// here cannot be handled elsewhere.
    pub fn prefetch(mut self, messages: usize) -> ConsumerBuilder {
        self.prefetch = messages.max(1);
        self
    }

    /// For how long a message is this consumer's alone; it is renewed while it is here, and comes again to the group that long after this process was
    /// killed. Default: 30 s.
    pub fn visibility(mut self, visibility: Duration) -> ConsumerBuilder {
        self.interest.visibility = visibility;
        self
    }

    /// How long a handler may take; then its future is dropped, and the message comes again. Default: no limit.
    pub fn handler_timeout(mut self, limit: Duration) -> ConsumerBuilder {
        self.handler_timeout = Some(limit);
        self
    }

    /// After so many failed attempts a message goes to the dead letters. Default: 16; at least 1.
    pub fn max_attempts(mut self, attempts: u32) -> ConsumerBuilder {
        self.rules.max_attempts = attempts.max(1);
        self
    }

    /// From which failed attempt on the failure hooks are run. Default: 3.
    pub fn notify_after(mut self, attempt: u32) -> ConsumerBuilder {
        self.rules.notify_after = attempt;
        self
    }

    /// The pauses between attempts. Default: from 100 ms, doubled each time, to 5 s; each with jitter.
    pub fn backoff(mut self, backoff: Backoff) -> ConsumerBuilder {
        self.rules.backoff = backoff;
        self
    }

    /// Messages with a key are handled one at a time per key, in order; after a failure the next of its key waits for it. That holds across the group's
    /// members where the broker keeps it ([`Interest::ordered`]). Default: no.
    pub fn ordered(mut self, ordered: bool) -> ConsumerBuilder {
        self.interest.ordered = ordered;
        self
    }

    /// Where a new group begins. Default: with the oldest message.
    pub fn start_from(mut self, start: StartFrom) -> ConsumerBuilder {
        self.interest.start = start;
        self
    }

    /// Tells this hook of failures, from attempt [`notify_after`](ConsumerBuilder::notify_after) on. May be said several times.
    pub fn on_failure(mut self, hook: impl FailureHook) -> ConsumerBuilder {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// How long a failure hook may take. Default: 1 s.
    pub fn hook_timeout(mut self, limit: Duration) -> ConsumerBuilder {
        self.hook_timeout = limit;
        self
    }

    /// What a start does when the broker cannot be reached. Default: [`WhenUnavailable::Retry`].
    pub fn when_unavailable(mut self, what: WhenUnavailable) -> ConsumerBuilder {
        self.when_unavailable = what;
        self
    }

    /// How long one pull waits for messages, an hour at most. Default: 15 s, as RocketMQ's long poll.
    pub fn poll(mut self, wait: Duration) -> ConsumerBuilder {
        self.poll = wait.min(Duration::from_secs(3600));
        self
    }

    /// Puts two records of each handling on this dispatcher, which then starts before the consumer and stops after it.
    pub fn trace(mut self, dispatcher: &TraceDispatcher) -> ConsumerBuilder {
        self.trace = Some(dispatcher.clone());
        self
    }

    /// What handles the messages: the consumer is complete. Without a group or a topic its start fails.
    pub fn handler(self, handler: impl Handler) -> Consumer {
        let settings = Settings {
            name: self.name.unwrap_or_else(|| format!("{}-consumer", self.interest.group)),
            broker: self.broker,
            handler: Arc::new(handler),
            interest: self.interest,
            concurrency: self.concurrency,
            prefetch: self.prefetch,
            handler_timeout: self.handler_timeout,
            rules: self.rules,
            hooks: self.hooks,
            hook_timeout: self.hook_timeout,
            when_unavailable: self.when_unavailable,
            poll: self.poll,
            trace: self.trace,
        };
        Consumer { handle: ConsumerHandle::new(&settings), settings: Arc::new(settings), run: None }
    }
}

impl fmt::Debug for ConsumerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder").field("name", &self.name).field("interest", &self.interest).finish_non_exhaustive()
    }
}
