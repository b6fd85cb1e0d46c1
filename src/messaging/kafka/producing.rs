//! The producer, and what is known of topics.

use super::super::{BrokerError, Class, ErrorKind, Message, SendReceipt};
use super::broker::{KafkaBroker, Shared};
use super::context::Quiet;
use super::fault::{self, NAME, closed};
use super::{names, wire};
use crate::sync::lock;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::ToBytes;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _, PurgeConfig};
use std::sync::Arc;
use std::time::Duration;

pub(super) type Producer = FutureProducer<Quiet>;

/// A record's body: the message's own, without a copy until the library makes its own.
struct Body<'a>(&'a [u8]);

impl ToBytes for Body<'_> {
    fn to_bytes(&self) -> &[u8] {
        self.0
    }
}

/// A record that the client has, and that is not answered yet.
pub(super) struct Sending {
    producer: Arc<Producer>,
    delivery: DeliveryFuture,
}

impl Shared {
    pub(super) fn producer(&self) -> Result<Arc<Producer>, BrokerError> {
        lock(&self.producer).clone().ok_or_else(closed)
    }

    /// Everything that is wrong with a message and can be seen without the server.
    pub(super) fn check(&self, message: &Message) -> Result<(), BrokerError> {
        self.producer()?;
        self.limits.check(NAME, message)?;
        names::topic(message.topic())?;
        if message.delay().is_some() {
            let text = "it delivers no message later: keep it in the outbox until it is time, or send it through a broker that can";
            return Err(BrokerError::new(NAME, ErrorKind::Unsupported, text).about(message.topic_shared()));
        }
        Ok(())
    }

    /// Sends, whatever the size of it.
    pub(super) async fn produce(&self, message: &Message) -> Result<SendReceipt, BrokerError> {
        self.known(message.topic()).await?;
        let sending = self.begin(message)?;
        self.answer(message, sending).await
    }

    /// Hands a record to the client. What is refused here never left.
    pub(super) fn begin(&self, message: &Message) -> Result<Sending, BrokerError> {
        let headers = wire::headers(message)?;
        let body = Body(message.body());
        let mut record = FutureRecord::to(message.topic()).payload(&body).headers(headers);
        if let Some(key) = message.key() {
            record = record.key(key);
        }
        let producer = self.producer()?;
        match producer.send_result(record) {
            Ok(delivery) => Ok(Sending { producer, delivery }),
            Err((error, _)) => {
                self.look_at(&producer, &error, message);
                let error = fault::of(&error).about(message.topic_shared());
                // Refused by the client itself: whatever it was, nothing was sent.
                Err(if error.class() == Class::RetryableAmbiguous { error.with_class(Class::RetryableSafe) } else { error })
            }
        }
    }

    /// The server's word on it.
    pub(super) async fn answer(&self, message: &Message, sending: Sending) -> Result<SendReceipt, BrokerError> {
        let Sending { producer, delivery } = sending;
        match delivery.await {
            Ok(Ok(stored)) => Ok(SendReceipt { broker_id: Some(format!("{}/{}", stored.partition, stored.offset).into()), route: None }),
            Ok(Err((error, _))) => {
                self.look_at(&producer, &error, message);
                Err(fault::of(&error).about(message.topic_shared()))
            }
            Err(_) => Err(closed().with_class(Class::RetryableAmbiguous).about(message.topic_shared())),
        }
    }

    /// What an error means beyond this one message.
    fn look_at(&self, producer: &Arc<Producer>, error: &rdkafka::error::KafkaError, message: &Message) {
        let code = error.rdkafka_error_code();
        if matches!(code, Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition)) {
            lock(&self.topics).remove(message.topic());
        }
        if fault::ends_a_producer(error) {
            let mut current = lock(&self.producer);
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, producer))
                && let Ok(new) = self.settings.producer().create_with_context(Quiet(self.alarm.clone()))
            {
                let old = current.replace(Arc::new(new));
                drop(current);
                old.into_iter().for_each(retire);
            }
        }
    }

    /// This topic is there. Asked once for each: the client itself would wait long before it says that one is not.
    pub(super) async fn known(&self, topic: &str) -> Result<(), BrokerError> {
        if lock(&self.topics).contains(topic) {
            return Ok(());
        }
        let (producer, name, timeout) = (self.producer()?, topic.to_owned(), self.settings.connect_timeout);
        let asked = tokio::task::spawn_blocking(move || partitions(&producer, &name, timeout)).await;
        asked.unwrap_or_else(|_| Err(closed())).map_err(|error| error.about(topic))?;
        lock(&self.topics).insert(topic.into());
        Ok(())
    }

    /// Ends what is under way, and the producer.
    pub(super) async fn end_producer(&self) {
        let producer = lock(&self.producer).take();
        if let Some(producer) = producer {
            producer.purge(PurgeConfig::default().queue().inflight());
            let _ = tokio::task::spawn_blocking(move || drop(producer)).await;
        }
    }
}

/// Dropping a producer waits for it: on a thread that may.
pub(super) fn retire(producer: Arc<Producer>) {
    let _ = std::thread::Builder::new().name("winddown-kafka-end".into()).spawn(move || {
        producer.purge(PurgeConfig::default().queue().inflight());
        drop(producer);
    });
}

/// The partitions of a topic, each with a leader; on a thread that may wait.
pub(super) fn partitions(producer: &Producer, topic: &str, timeout: Duration) -> Result<Vec<i32>, BrokerError> {
    let metadata = producer.client().fetch_metadata(Some(topic), timeout);
    // Nothing was sent yet: whatever it was, it is safe to try again.
    let metadata = metadata.map_err(|error| safe(fault::of(&error)))?;
    let unknown = || fault::of_bare_code(RDKafkaErrorCode::UnknownTopicOrPartition);
    let found = metadata.topics().iter().find(|found| found.name() == topic).ok_or_else(unknown)?;
    if let Some(code) = found.error() {
        return Err(safe(fault::of_bare_code(code.into())));
    }
    if found.partitions().is_empty() {
        return Err(unknown());
    }
    Ok(found.partitions().iter().map(|partition| partition.id()).collect())
}

/// The lowest offset of a partition and the one that comes next; on a thread that may wait. Not by a member's client, which has a question to the
/// same server open most of the time that is answered first, half a second later.
pub(super) fn watermarks(producer: &Producer, topic: &str, partition: i32, timeout: Duration) -> Result<(i64, i64), BrokerError> {
    producer.client().fetch_watermarks(topic, partition, timeout).map_err(|error| safe(fault::of(&error)))
}

pub(super) fn safe(error: BrokerError) -> BrokerError {
    if error.class().is_retryable() { error.with_class(Class::RetryableSafe) } else { error }
}

impl KafkaBroker {
    /// Sends up to a batch: all are handed over before the first answer is waited for.
    pub(super) async fn send_all(&self, messages: &[Message]) -> Vec<Result<SendReceipt, BrokerError>> {
        let mut begun = Vec::with_capacity(messages.len());
        for message in messages {
            begun.push(match self.0.check(message) {
                Ok(()) => self.0.known(message.topic()).await.and_then(|()| self.0.begin(message)),
                Err(error) => Err(error),
            });
        }
        let mut answers = Vec::with_capacity(begun.len());
        for (message, sending) in messages.iter().zip(begun) {
            answers.push(match sending {
                Ok(sending) => self.0.answer(message, sending).await,
                Err(error) => Err(error),
            });
        }
        answers
    }
}
