//! What the broker and its members share, and sending.

use super::super::{BrokerError, Class, ErrorKind, Limits, Message, SendReceipt};
use super::codec;
use super::fault::{Lost, NAME, closed};
use super::groups;
use super::link::{Link, read};
use super::names;
use super::schedule;
use super::streams::{Place, Streams, unknown};
use crate::sync::{Mutex, lock};
use async_nats::HeaderMap;
use async_nats::jetstream::publish::PublishAck;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes of a topic's name.
const TOPIC: usize = 127;
/// Messages whose answers are awaited together.
const BATCH: usize = 256;

pub(super) struct Core {
    pub(super) link: Arc<Link>,
    pub(super) streams: Streams,
    pub(super) consumer_shape: Option<groups::Shape>,
    /// Nothing new is begun, and what is under way is called off.
    pub(super) shutting: CancellationToken,
    /// The members' keepers.
    pub(super) members: TaskTracker,
    /// For so long a member may take to leave, and the connection to end.
    pub(super) close_timeout: Duration,
    /// What a member could not do when it left.
    pub(super) trouble: Mutex<Option<BrokerError>>,
}

impl Core {
    pub(super) fn limits(&self) -> Limits {
        let most = self.link.max_payload();
        // Headers count too. Of a server that takes next to nothing, half is left for them.
        Limits { message_bytes: most.saturating_sub(codec::OVERHEAD).max(most / 2), topic_bytes: TOPIC, batch: BATCH }
    }

    /// Sees to it that these messages' topics have their streams. What fails here fails again when it is sent, and is told then.
    pub(super) async fn prepare(&self, messages: &[Message]) {
        for message in messages.iter().filter(|message| names::topic(message.topic(), TOPIC).is_ok()) {
            let placed = self.streams.place(message.topic()).await;
            // Nobody answers, and nobody is going to answer the next question.
            if placed.is_err_and(|error| error.class().is_retryable()) {
                return;
            }
        }
    }

    /// Stores one message and waits for the stream's word. With `stream_id`, the stream knows it by that instead of its own id.
    pub(super) async fn publish(&self, message: &Message, stream_id: Option<String>) -> Result<SendReceipt, BrokerError> {
        let about = |error: BrokerError| error.about(message.topic_shared());
        self.limits().check(NAME, message)?;
        names::topic(message.topic(), TOPIC).map_err(about)?;
        let sending = self.store(message, stream_id);
        let sent = tokio::select! {
            biased;
            () = self.shutting.cancelled() => Err(closed()),
            sent = sending => sent,
        };
        sent.map_err(about)
    }

    async fn store(&self, message: &Message, stream_id: Option<String>) -> Result<SendReceipt, BrokerError> {
        let topic = message.topic();
        // Twice: what is known of the topic's stream may be no longer so.
        for last in [false, true] {
            // Nothing of the message was sent: whatever goes wrong here is safe.
            let place = self.streams.place(topic).await.map_err(before_sending)?;
            let id = stream_id.clone().unwrap_or_else(|| if place.alone { message.id().to_string() } else { format!("{}:{topic}", message.id()) });
            let (subject, headers) = self.dressed(message, &place, &id)?;
            let (size, most) = (codec::wire_size(&headers, message.body().len()), self.link.max_payload());
            if size > most {
                let text = format!("{size} bytes with its headers, the server takes {most}: send a reference to where the rest is stored");
                return Err(BrokerError::new(NAME, ErrorKind::TooLarge, text));
            }
            match self.link.request(&subject, Some(headers), message.body().clone()).await {
                Ok(answer) => return receipt(&answer.payload),
                Err(Lost::NoResponders) => self.missing(topic, last).await?,
                Err(lost) => return Err(lost.into_error()),
            }
        }
        Err(Lost::NoResponders.into_error())
    }

    /// What it is sent to, and with which headers.
    fn dressed(&self, message: &Message, place: &Place, id: &str) -> Result<(String, HeaderMap), BrokerError> {
        let (topic, mut headers) = (message.topic(), codec::encode(message, id));
        let Some(delay) = message.delay() else { return Ok((topic.to_owned(), headers)) };
        if !place.delays {
            let text = "its stream delivers at once: let the adapter make streams with `delays(true)`, which takes a server from 2.12 on";
            return Err(BrokerError::new(NAME, ErrorKind::Unsupported, text));
        }
        schedule::set(&mut headers, topic, delay);
        Ok((format!("{}.{}", schedule::stem(topic), message.id()), headers))
    }

    /// Nobody took it. Is the stream gone, or only its leader?
    async fn missing(&self, topic: &str, last: bool) -> Result<(), BrokerError> {
        self.streams.forget(topic);
        match self.streams.find(topic).await.map_err(before_sending)? {
            // Deleted and made again meanwhile, or it has no leader at this moment.
            Some(_) if last => Err(Lost::NoResponders.into_error()),
            None if last || !self.streams.declares() => Err(unknown(topic)),
            _ => Ok(()),
        }
    }

    /// Takes the first trouble of a member that left.
    pub(super) fn take_trouble(&self) -> Result<(), BrokerError> {
        lock(&self.trouble).take().map_or(Ok(()), Err)
    }
}

/// An answer to a question about streams was lost; the message itself was not sent yet.
fn before_sending(error: BrokerError) -> BrokerError {
    if error.class() == Class::RetryableAmbiguous { error.with_class(Class::RetryableSafe) } else { error }
}

fn receipt(payload: &[u8]) -> Result<SendReceipt, BrokerError> {
    let ack: PublishAck = read(payload)?.map_err(super::fault::Refusal::into_error)?;
    Ok(SendReceipt { broker_id: Some(format!("{}/{}", ack.stream, ack.sequence).into()), route: None })
}
