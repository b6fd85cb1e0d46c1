//! Exchanges and queues: who they are made for, with which arguments.
//!
//! A topic is a durable fanout exchange. A group is a durable queue bound to it. What waits for its time is in delay queues, whose messages
//! the server moves on when their time is over. With `declare(false)` nothing is made, and what is missing is an error.

use super::super::{BrokerError, ErrorKind, Interest};
use super::builder::{QueueKind, Settings};
use super::fault::{Stage, error, failed, late};
use super::names;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

/// Quorum queues of RabbitMQ 4 drop what was delivered twenty times, unless told otherwise: how often is enough, the consumer decides.
const DELIVERY_LIMIT: i64 = 1_000_000;
/// A delay queue that nobody has used for this long after its last message must have gone is deleted by the server.
pub(super) const UNUSED: Duration = Duration::from_secs(60);

/// One request about exchanges and queues, bounded. A refusal closes the channel: who asks has one to lose.
pub(super) async fn ask<T>(settings: &Settings, what: &str, request: impl Future<Output = lapin::Result<T>>) -> Result<T, BrokerError> {
    match timeout(settings.connect_timeout, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(fault)) => Err(failed(what, &fault, Stage::Before)),
        Err(_) => Err(late(what, Stage::Before)),
    }
}

fn short(name: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(name).map_err(|_| error(ErrorKind::Invalid, format!("a name of {} bytes, and RabbitMQ takes 255", name.len())))
}

/// The topic's exchange is there.
pub(super) async fn exchange(settings: &Settings, channel: &Channel, topic: &str) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions { durable: true, passive: !settings.declare, ..ExchangeDeclareOptions::default() };
    let request = channel.exchange_declare(short(topic)?, ExchangeKind::Fanout, options, FieldTable::default());
    ask(settings, &format!("declaring the exchange `{topic}`"), request).await.map_err(|error| error.about(topic))
}

/// The group's queue is there, bound to its topic.
pub(super) async fn group(settings: &Settings, channel: &Channel, interest: &Interest) -> Result<(), BrokerError> {
    let topic: &str = &interest.topic;
    let name = names::queue(topic, &interest.group);
    if !settings.declare {
        return match count(settings, channel, &name).await {
            Err(error) if error.kind() == ErrorKind::UnknownTopic => {
                let text = format!("there is no queue `{name}` for the group `{}`: make it and bind it to the exchange `{topic}`", interest.group);
                Err(super::fault::error(ErrorKind::UnknownGroup, text).with_code(404).about(topic))
            }
            counted => counted.map(drop).map_err(|error| error.about(topic)),
        };
    }
    exchange(settings, channel, topic).await?;
    queue(settings, channel, &name, group_arguments(settings.queue, interest.ordered)).await.map_err(|error| error.about(topic))?;
    let what = format!("binding the queue `{name}` to the exchange `{topic}`");
    let request = channel.queue_bind(short(&name)?, short(topic)?, "".into(), QueueBindOptions::default(), FieldTable::default());
    ask(settings, &what, request).await.map_err(|error| error.about(topic))?;
    let marker = names::marker(topic);
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let request = channel.exchange_declare(short(&marker)?, ExchangeKind::Fanout, options, FieldTable::default());
    ask(settings, &format!("declaring the exchange `{marker}`"), request).await.map_err(|error| error.about(topic))
}

/// A durable queue.
pub(super) async fn queue(settings: &Settings, channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), BrokerError> {
    let request = channel.queue_declare(short(name)?, QueueDeclareOptions::durable(), arguments);
    ask(settings, &format!("declaring the queue `{name}`"), request).await.map(drop)
}

/// How many messages wait in a queue.
///
/// # Errors
/// [`ErrorKind::UnknownTopic`] where there is none.
pub(super) async fn count(settings: &Settings, channel: &Channel, name: &str) -> Result<u64, BrokerError> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let request = channel.queue_declare(short(name)?, options, FieldTable::default());
    ask(settings, &format!("looking at the queue `{name}`"), request).await.map(|queue| queue.message_count().into())
}

/// Has a group ever joined this topic? A refusal closes the channel.
pub(super) async fn was_joined(settings: &Settings, channel: &Channel, topic: &str) -> Result<bool, BrokerError> {
    let marker = names::marker(topic);
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let request = channel.exchange_declare(short(&marker)?, ExchangeKind::Fanout, options, FieldTable::default());
    match ask(settings, &format!("looking for the exchange `{marker}`"), request).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnknownTopic => Ok(false),
        Err(error) => Err(error),
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn millis(span: Duration) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn group_arguments(kind: QueueKind, ordered: bool) -> FieldTable {
    let mut arguments = FieldTable::default();
    if kind == QueueKind::Quorum {
        arguments.insert("x-queue-type".into(), text("quorum")).insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    }
    if ordered {
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    }
    arguments
}

/// Where a message goes from a delay queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum Onward<'a> {
    /// To one queue.
    Queue(&'a str),
    /// To a topic's exchange.
    Topic(&'a str),
}

/// A queue in which messages wait for so long, and no longer.
pub(super) fn delay_arguments(kind: QueueKind, bucket: Duration, onward: Onward<'_>) -> FieldTable {
    let mut arguments = FieldTable::default();
    let (exchange, key) = match onward {
        Onward::Queue(queue) => ("", queue),
        Onward::Topic(topic) => (topic, ""),
    };
    arguments.insert("x-dead-letter-exchange".into(), text(exchange)).insert("x-dead-letter-routing-key".into(), text(key));
    arguments.insert("x-message-ttl".into(), millis(bucket)).insert("x-expires".into(), millis(bucket + UNUSED));
    if kind == QueueKind::Quorum {
        arguments.insert("x-queue-type".into(), text("quorum")).insert("x-overflow".into(), text("reject-publish"));
        // The message leaves when the queue that it goes to has confirmed it, not before.
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    }
    arguments
}
