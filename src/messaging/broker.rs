//! What a broker must be able to do. One file is enough for an adapter.

use super::subscription::{Interest, Subscription};
use super::{BrokerError, ErrorKind, Message};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;

/// One address that a topic can be sent to, where there are several: a broker of a cluster, say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route(Arc<str>);

impl Route {
    /// The route of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Route {
        Route(name.into())
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All routes of a topic; empty where there is no choice.
pub type Routes = Arc<[Route]>;

/// What a broker answers to a message that it holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendReceipt {
    /// Its own name for the message, such as an offset.
    pub broker_id: Option<Arc<str>>,
    /// Which route took it.
    pub route: Option<Route>,
}

/// What a broker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one message, by [`Message::size`]. Default: 4 MiB, as RocketMQ's broker.
    pub message_bytes: usize,
    /// Bytes of a topic's name. Default: 127.
    pub topic_bytes: usize,
    /// Messages that one [`Broker::send_batch`] takes. Default: 1, no batching.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { message_bytes: 4 << 20, topic_bytes: 127, batch: 1 }
    }
}

impl Limits {
    /// Would this message be taken? What is wrong with it is found before it takes anybody's time.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] or [`ErrorKind::Invalid`], both fatal.
    pub fn check(&self, broker: &str, message: &Message) -> Result<(), BrokerError> {
        let topic = message.topic();
        if topic.is_empty() || topic.len() > self.topic_bytes {
            let text = format!("a topic's name has 1 to {} bytes, this one {}", self.topic_bytes, topic.len());
            return Err(BrokerError::new(broker, ErrorKind::Invalid, text));
        }
        if message.size() > self.message_bytes {
            let text = format!("{} bytes, at most {} are taken: send a reference to where the rest is stored", message.size(), self.message_bytes);
            return Err(BrokerError::new(broker, ErrorKind::TooLarge, text).about(topic));
        }
        Ok(())
    }
}

/// What a group has left to do in a topic: for gauges, for scaling, for audits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait to be delivered, those that are delayed or were given back among them.
    pub waiting: u64,
    /// Messages that members hold and have not settled; `None` where the broker does not tell. What they give back is waiting then.
    pub held: Option<u64>,
}

impl Backlog {
    /// Both, as far as they are told.
    pub fn total(&self) -> u64 {
        self.waiting + self.held.unwrap_or(0)
    }
}

/// A broker, as producer, consumer and outbox see it.
///
/// # The contract
/// An adapter proves it with the numbered clauses of `testkit::contract`.
///
/// **Sending.** [`send`](Broker::send) answers `Ok` only when the broker holds the message as safely as it ever will. Every error has the
/// [`Class`](super::Class) that tells whether it may have been stored. It does not try again itself: who calls has the budget. Its future may be
/// dropped at any await; the message is then stored or not, and the connection stays usable.
///
/// **Receiving** is the [`Subscription`]'s.
///
/// **Close** ends what is under way with [`ErrorKind::Closed`], releases what is held of subscriptions that were not closed, and returns
/// when nothing of the client runs any more. A second close is harmless.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// What it is called in errors, spans and traces, such as `memory` or `rocketmq`.
    fn name(&self) -> &str;

    /// What it takes.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// The addresses that this topic can be sent to, as far as known: from memory, without waiting. Empty where there is no choice.
    fn routes(&self, topic: &str) -> Routes {
        let _ = topic;
        Routes::default()
    }

    /// Sends one message, by this route if one is given.
    ///
    /// # Errors
    /// See the contract.
    async fn send(&self, message: &Message, route: Option<&Route>) -> Result<SendReceipt, BrokerError>;

    /// Sends up to [`Limits::batch`] messages at once; an answer for each, in order. Default: one after the other.
    async fn send_batch(&self, messages: &[Message], route: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        let mut answers = Vec::with_capacity(messages.len());
        for message in messages {
            answers.push(self.send(message, route).await);
        }
        answers
    }

    /// Joins a group. Every group gets every message of the topic; the members of a group share them.
    ///
    /// # Errors
    /// No connection, no such topic, not allowed.
    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError>;

    /// How much a group has left to do in a topic, as the broker tells it at this moment. Of a group that never joined: what it would find.
    ///
    /// # Errors
    /// No connection, no such topic, not allowed; [`ErrorKind::Unsupported`] where the broker does not tell, as by default.
    async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        let _ = (group, topic);
        Err(BrokerError::new(self.name(), ErrorKind::Unsupported, "it does not tell how much is left to do").about(topic))
    }

    /// Ends it.
    ///
    /// # Errors
    /// What could not be ended in an orderly way; it is closed nevertheless.
    async fn close(&self) -> Result<(), BrokerError>;
}
