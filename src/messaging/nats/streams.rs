//! Which stream keeps a topic, and the making of one where there is none.

use super::super::{BrokerError, ErrorKind};
use super::fault::{NAME, STREAM_EXISTS, STREAM_NOT_FOUND};
use super::link::Link;
use super::names;
use super::schedule;
use crate::sync::{Mutex, lock};
use async_nats::jetstream::stream;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Changes what a new stream is made with.
pub(super) type Shape = Arc<dyn Fn(&mut stream::Config) + Send + Sync>;

/// What keeps a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) stream: Arc<str>,
    /// It keeps this topic and no other, so a message's id is unique in it by itself.
    pub(super) alone: bool,
    /// It can keep messages back until they are due.
    pub(super) delays: bool,
}

pub(super) struct Streams {
    link: Arc<Link>,
    /// Are missing ones made?
    declare: bool,
    /// Are they made so that messages may be sent with a delay?
    delays: bool,
    shape: Option<Shape>,
    known: Mutex<HashMap<Arc<str>, Place>>,
}

#[derive(Deserialize)]
struct Names {
    /// `null` where there is none.
    streams: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Info {
    config: Subjects,
    #[serde(default)]
    state: Counts,
}

#[derive(Deserialize)]
struct Subjects {
    #[serde(default)]
    subjects: Vec<String>,
    #[serde(default)]
    allow_msg_schedules: bool,
}

impl Subjects {
    fn place(&self, topic: &str, stream: String) -> Place {
        let waiting = format!("{}.*", schedule::stem(topic));
        let alone = self.subjects.iter().all(|subject| subject == topic || *subject == waiting);
        Place { stream: stream.into(), alone, delays: self.allow_msg_schedules && self.subjects.contains(&waiting) }
    }
}

#[derive(Default, Deserialize)]
struct Counts {
    #[serde(default)]
    subjects: Option<HashMap<String, u64>>,
}

impl Streams {
    pub(super) fn new(link: Arc<Link>, declare: bool, delays: bool, shape: Option<Shape>) -> Streams {
        Streams { link, declare, delays, shape, known: Mutex::default() }
    }

    /// Are missing streams made?
    pub(super) fn declares(&self) -> bool {
        self.declare
    }

    /// The topic's place; made if there is none and that is wanted.
    pub(super) async fn place(&self, topic: &str) -> Result<Place, BrokerError> {
        let known = lock(&self.known).get(topic).cloned();
        if let Some(place) = known {
            return Ok(place);
        }
        let place = match self.find(topic).await? {
            Some(place) => place,
            None if self.declare => self.make(topic).await?,
            None => return Err(unknown(topic)),
        };
        lock(&self.known).insert(topic.into(), place.clone());
        Ok(place)
    }

    /// Nobody answered for this topic: what was known of it may be no longer so.
    pub(super) fn forget(&self, topic: &str) {
        lock(&self.known).remove(topic);
    }

    /// The stream that takes what is sent to this topic, as the server tells it now.
    pub(super) async fn find(&self, topic: &str) -> Result<Option<Place>, BrokerError> {
        let names: Names = match self.link.ask("STREAM.NAMES", &serde_json::json!({ "subject": topic })).await? {
            Ok(names) => names,
            Err(refusal) => return Err(refusal.into_error().about(topic)),
        };
        let Some(stream) = names.streams.unwrap_or_default().into_iter().next() else { return Ok(None) };
        let info: Info = match self.link.ask(&format!("STREAM.INFO.{stream}"), &serde_json::json!({})).await? {
            Ok(info) => info,
            // Deleted just now.
            Err(refusal) if refusal.err_code == STREAM_NOT_FOUND => return Ok(None),
            Err(refusal) => return Err(refusal.into_error().about(topic)),
        };
        Ok(Some(info.config.place(topic, stream)))
    }

    async fn make(&self, topic: &str) -> Result<Place, BrokerError> {
        let name = names::escaped(topic);
        let mut config = stream::Config {
            name: name.clone(),
            subjects: vec![topic.to_owned()],
            retention: stream::RetentionPolicy::Limits,
            storage: stream::StorageType::File,
            // A stream that is full says so, instead of forgetting what nobody has handled.
            discard: stream::DiscardPolicy::New,
            num_replicas: 1,
            duplicate_window: Duration::from_secs(120),
            ..stream::Config::default()
        };
        if let Some(shape) = &self.shape {
            shape(&mut config);
        }
        let stream = config.name.clone();
        let mut question = serde_json::json!(config);
        if self.delays {
            question["allow_msg_schedules"] = true.into();
            // The server has no schedules in streams that refuse what is too much.
            question["discard"] = "old".into();
            if let Some(subjects) = question["subjects"].as_array_mut() {
                subjects.push(format!("{}.*", schedule::stem(topic)).into());
            }
        }
        match self.link.ask::<Info>(&format!("STREAM.CREATE.{stream}"), &question).await? {
            // By the server's word: an older one passes over what it does not know.
            Ok(info) => Ok(info.config.place(topic, stream)),
            // Somebody was faster, or has one of this name for something else.
            Err(refusal) if refusal.err_code == STREAM_EXISTS => match self.find(topic).await? {
                Some(place) => Ok(place),
                None => {
                    let text =
                        format!("there is a stream `{name}` that does not take the subject `{topic}`: add it to the stream, or make one that does");
                    Err(BrokerError::new(NAME, ErrorKind::Invalid, text).with_code(refusal.err_code).about(topic))
                }
            },
            Err(refusal) => Err(refusal.into_error().about(topic)),
        }
    }

    /// How many messages of the topic there are.
    pub(super) async fn count(&self, topic: &str) -> Result<u64, BrokerError> {
        let Some(place) = self.find(topic).await? else {
            return if self.declare { Ok(0) } else { Err(unknown(topic)) };
        };
        Ok(self.under(topic, &place.stream, topic).await? + self.delayed(topic, &place).await?)
    }

    /// How many of them are not due yet.
    pub(super) async fn delayed(&self, topic: &str, place: &Place) -> Result<u64, BrokerError> {
        if place.delays { self.under(topic, &place.stream, &format!("{}.*", schedule::stem(topic))).await } else { Ok(0) }
    }

    async fn under(&self, topic: &str, stream: &str, subject: &str) -> Result<u64, BrokerError> {
        let question = serde_json::json!({ "subjects_filter": subject });
        match self.link.ask::<Info>(&format!("STREAM.INFO.{stream}"), &question).await? {
            Ok(info) => Ok(info.state.subjects.unwrap_or_default().values().sum()),
            Err(refusal) => Err(refusal.into_error().about(topic)),
        }
    }
}

pub(super) fn unknown(topic: &str) -> BrokerError {
    let text = "no stream takes this subject: make one (`nats stream add`), or let the adapter make it with `declare(true)`";
    BrokerError::new(NAME, ErrorKind::UnknownTopic, text).about(topic)
}
