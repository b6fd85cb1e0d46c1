//! Trace records as messages of a broker's topic, in RocketMQ's form.

use super::wire::{self, Keys};
use super::{Exporter, TraceRecord};
use crate::messaging::random::Random;
use crate::messaging::{Backoff, Broker, BrokerError, ErrorKind, IntoBroker, Message};
use crate::{Link, millis};
use anyhow::Context;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// RocketMQ's broker takes properties of 32 767 bytes, keys among them; some are its own.
const KEYS_BYTES: usize = 30_000;

/// Sends each batch as one message to the topic that RocketMQ's tools read, in [their form](wire). The message's key is made of the ids and
/// keys of the messages it is about, so that they can be found by either.
///
/// A batch becomes several messages where one would be larger than the [broker takes](Broker::limits), or its keys longer than 30 000
/// bytes; a record whose own keys have more than half of that is found by its id only. What the broker classes as retryable is tried again with back-off, within the
/// exporter's own timeout.
///
/// The broker is not closed: it may be the application's. It has to outlive the dispatcher: a resource does, and a component where its
/// link is said with [`needing`](BrokerExporter::needing).
#[derive(Clone)]
pub struct BrokerExporter {
    broker: Arc<dyn Broker>,
    topic: Arc<str>,
    timeout: Duration,
    backoff: Backoff,
    needs: Vec<Link>,
}

impl BrokerExporter {
    /// To the topic [`wire::TOPIC`] of this broker, which has to exist there or be made on first use.
    pub fn new(broker: impl IntoBroker) -> BrokerExporter {
        // Below the dispatcher's 3 s: so the broker's last answer is told and not only that time was up.
        BrokerExporter {
            broker: broker.into_broker(),
            topic: wire::TOPIC.into(),
            timeout: millis(2500),
            backoff: Backoff::default(),
            needs: Vec::new(),
        }
    }

    /// To another topic.
    pub fn topic(mut self, topic: impl Into<Arc<str>>) -> BrokerExporter {
        self.topic = topic.into();
        self
    }

    /// For how long one batch is tried. Default: 2.5 s, a little less than the dispatcher allows for an export.
    pub fn timeout(mut self, timeout: Duration) -> BrokerExporter {
        self.timeout = timeout;
        self
    }

    /// The pauses between tries. Default: [`Backoff::default`].
    pub fn backoff(mut self, backoff: Backoff) -> BrokerExporter {
        self.backoff = backoff;
        self
    }

    /// The broker is, or is reached through, the component of this link: the dispatcher stops before it.
    pub fn needing(mut self, link: Link) -> BrokerExporter {
        self.needs.push(link);
        self
    }

    fn messages(&self, batch: &[TraceRecord]) -> Vec<Message> {
        let room = self.broker.limits().message_bytes.saturating_sub(self.topic.len());
        let mut messages = Vec::new();
        let mut parcel = Parcel::default();
        for record in batch {
            let mut line = String::with_capacity(record.size());
            wire::encode_to(&mut line, record);
            if !parcel.add(&line, record, room) {
                messages.push(std::mem::take(&mut parcel).message(&self.topic));
                parcel.add(&line, record, room);
            }
        }
        messages.push(parcel.message(&self.topic));
        messages
    }

    async fn send(&self, message: &Message, until: Instant) -> anyhow::Result<()> {
        let (mut tries, mut random) = (0, Random::fresh());
        loop {
            let error = match tokio::time::timeout_at(until, self.broker.send(message, None)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => BrokerError::new(self.broker.name(), ErrorKind::TimedOut, "no answer in time").about(self.topic.clone()),
            };
            tries += 1;
            let again = Instant::now() + self.backoff.pause(tries, &mut random);
            if !error.class().is_retryable() || again >= until {
                return Err(error).with_context(|| format!("tried {tries} times"));
            }
            tokio::time::sleep_until(again).await;
        }
    }
}

#[async_trait]
impl Exporter for BrokerExporter {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        let until = Instant::now() + self.timeout;
        let mut result = Ok(());
        // One that cannot be sent keeps no other from being sent.
        for message in self.messages(batch) {
            result = result.and(self.send(&message, until).await);
        }
        result
    }

    fn needs(&self) -> Vec<Link> {
        self.needs.clone()
    }
}

impl fmt::Debug for BrokerExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerExporter").field("broker", &self.broker.name()).field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// A message in the making.
#[derive(Default)]
struct Parcel {
    body: String,
    keys: Keys,
}

impl Parcel {
    /// Puts a record in; false if it does not fit behind what is there already.
    fn add(&mut self, line: &str, record: &TraceRecord, room: usize) -> bool {
        // Half of what may be, so that an id fits beside it.
        let new = self.keys.missing(record, KEYS_BYTES / 2);
        let keys = self.keys.text.len() + new.iter().map(|key| key.len() + 1).sum::<usize>();
        if !self.body.is_empty() && (self.body.len() + line.len() + keys > room || keys > KEYS_BYTES) {
            return false;
        }
        self.body.push_str(line);
        self.keys.add(new);
        true
    }

    fn message(self, topic: &Arc<str>) -> Message {
        Message::new(topic.clone(), self.body).with_key(self.keys.text)
    }
}
