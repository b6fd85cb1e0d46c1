//! Messages on their way to a broker.

use super::body;
use super::client::Settings;
use super::codes::{NAME, SEND_BATCH, SEND_V2, error};
use super::names;
use super::properties::Said;
use super::wire::Command;
use crate::messaging::{BrokerError, ErrorKind, Message};
use bytes::Bytes;
use std::time::{SystemTime, UNIX_EPOCH};

/// RocketMQ keeps the properties' length in 15 bits, and brokers add some of their own on the message's way.
const PROPERTIES_BYTES: usize = 30_000;

/// A message as it is to travel.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The topic's name at the broker.
    pub(super) topic: String,
    pub(super) properties: String,
    pub(super) body: Bytes,
    pub(super) flags: i32,
}

impl Outgoing {
    /// # Errors
    /// What is wrong with it is found before anything is sent: all fatal.
    pub(super) fn new(message: &Message, settings: &Settings) -> Result<Outgoing, BrokerError> {
        let topic = names::topic(message.topic())?;
        settings.limits.check(NAME, message)?;
        let said = Said {
            id: message.id().to_string(),
            tag: message.tag().map(str::to_owned),
            key: message.key().map(str::to_owned),
            ordered: message.is_ordered(),
            properties: message.properties().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            others: match message.delay() {
                None => Vec::new(),
                Some(delay) => {
                    let (name, value) = settings.delays.property(delay).map_err(|error| error.about(message.topic_shared()))?;
                    vec![(name.to_owned(), value)]
                }
            },
        };
        let properties = said.encode();
        if properties.len() > PROPERTIES_BYTES {
            let text =
                format!("tag, key and properties take {} bytes, at most {PROPERTIES_BYTES} are taken: put them into the body", properties.len());
            return Err(error(ErrorKind::TooLarge, text).about(message.topic_shared()));
        }
        Ok(Outgoing { topic, properties, body: message.body().clone(), flags: 0 })
    }

    pub(super) fn compressed(mut self, from: usize) -> Outgoing {
        (self.body, self.flags) = body::pack(&self.body, from);
        self
    }

    /// What it takes in a batch.
    pub(super) fn weight(&self) -> usize {
        self.body.len() + self.properties.len() + 22
    }

    /// The request that sends it to this queue.
    pub(super) fn command(&self, group: &str, broker: &str, queue: u32) -> Command {
        command(SEND_V2, group, &self.topic, broker, queue).with("f", self.flags).with("i", &self.properties).with("m", false).body(self.body.clone())
    }
}

/// The request that sends these to one queue: all are stored, or none.
pub(super) fn batch(all: &[Outgoing], group: &str, broker: &str, queue: u32) -> Command {
    let mut body = Vec::with_capacity(all.iter().map(Outgoing::weight).sum());
    for one in all {
        let mut put = |number: usize| body.extend_from_slice(&(number as u32).to_be_bytes());
        put(one.weight());
        // A magic number, a checksum and flags that nobody reads.
        [0, 0, 0].into_iter().for_each(&mut put);
        put(one.body.len());
        body.extend_from_slice(&one.body);
        body.extend_from_slice(&(one.properties.len() as u16).to_be_bytes());
        body.extend_from_slice(one.properties.as_bytes());
    }
    let topic = all.first().map_or("", |first| &first.topic);
    let properties = Said::default().encode();
    command(SEND_BATCH, group, topic, broker, queue).with("f", 0).with("i", properties).with("m", true).body(body)
}

fn command(code: i32, group: &str, topic: &str, broker: &str, queue: u32) -> Command {
    let born = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Command::new(code)
        .with("a", group)
        .with("b", topic)
        .with("c", "TBW102")
        .with("d", 4)
        .with("e", queue)
        .with("g", born)
        .with("h", 0)
        .with("j", 0)
        .with("k", false)
        .with("n", broker)
}
