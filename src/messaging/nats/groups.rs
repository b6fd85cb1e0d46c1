//! A group is a durable consumer: joining one, and asking what it has left to do.

use super::super::{Backlog, BrokerError, ErrorKind, Interest, StartFrom};
use super::fault::{CONSUMER_EXISTS, CONSUMER_NAME_TAKEN, CONSUMER_NOT_FOUND, NAME, STREAM_NOT_FOUND};
use super::held::margin;
use super::link::Link;
use super::names;
use super::streams::{Place, Streams};
use async_nats::jetstream::consumer::{self, AckPolicy, DeliverPolicy, ReplayPolicy};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Changes what a new consumer is made with.
pub(super) type Shape = Arc<dyn Fn(&mut consumer::Config) + Send + Sync>;

/// So many deliveries of a group may be unsettled, those that wait out a delay among them. The server's own default, 1,000, stops a group
/// in which as many wait for their next try.
const UNSETTLED: i64 = 20_000;

/// The consumer behind a group's interest in a topic.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) stream: Arc<str>,
    pub(super) consumer: Arc<str>,
    /// After how long without a word the server delivers again.
    pub(super) lease: Duration,
    /// It has one delivery at a time, so more are never asked for: the server would wait for them.
    pub(super) one_by_one: bool,
}

#[derive(Deserialize)]
struct Info {
    config: Config,
    #[serde(default)]
    num_pending: u64,
    #[serde(default)]
    num_ack_pending: u64,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    deliver_subject: Option<String>,
    #[serde(default)]
    ack_policy: String,
    #[serde(default)]
    ack_wait: u64,
    #[serde(default)]
    filter_subject: String,
    #[serde(default)]
    filter_subjects: Vec<String>,
    #[serde(default)]
    backoff: Vec<u64>,
    #[serde(default)]
    max_ack_pending: i64,
}

/// Joins the group, which is made if it is not there.
pub(super) async fn join(link: &Link, streams: &Streams, shape: Option<&Shape>, interest: &Interest) -> Result<Group, BrokerError> {
    let topic = &*interest.topic;
    let mut place = streams.place(topic).await?;
    // More than once: somebody else may make or delete it, or the stream, at the same time.
    for _ in 0..3 {
        let name = names::consumer(&interest.group, topic, &place.stream)?;
        let found = info(link, &place.stream, &name).await?;
        match found {
            Ok(found) => return fitting(link, &place, &name, interest, found).await,
            Err(refusal) if refusal.err_code == STREAM_NOT_FOUND => {
                streams.forget(topic);
                place = streams.place(topic).await?;
            }
            Err(refusal) if refusal.err_code == CONSUMER_NOT_FOUND => {
                let config = configured(&name, interest, shape);
                match create(link, &place.stream, &name, topic, "create", &json!(config)).await? {
                    Ok(found) => return fitting(link, &place, &name, interest, found).await,
                    Err(refusal) if matches!(refusal.err_code, CONSUMER_EXISTS | CONSUMER_NAME_TAKEN) => {}
                    Err(refusal) => return Err(refusal.into_error().about(topic)),
                }
            }
            Err(refusal) => return Err(refusal.into_error().about(topic)),
        }
    }
    Err(BrokerError::new(NAME, ErrorKind::Unavailable, "the group is made and deleted by somebody else at the same time").about(topic))
}

type Answer = Result<Info, super::fault::Refusal>;

async fn info(link: &Link, stream: &str, consumer: &str) -> Result<Answer, BrokerError> {
    link.ask(&format!("CONSUMER.INFO.{stream}.{consumer}"), &json!({})).await
}

async fn create(link: &Link, stream: &str, consumer: &str, topic: &str, action: &str, config: &Value) -> Result<Answer, BrokerError> {
    let question = json!({ "stream_name": stream, "config": config, "action": action });
    link.ask(&format!("CONSUMER.CREATE.{stream}.{consumer}.{topic}"), &question).await
}

fn configured(name: &str, interest: &Interest, shape: Option<&Shape>) -> consumer::Config {
    let mut config = consumer::Config {
        durable_name: Some(name.to_owned()),
        name: Some(name.to_owned()),
        deliver_policy: match interest.start {
            StartFrom::Earliest => DeliverPolicy::All,
            StartFrom::Latest => DeliverPolicy::New,
        },
        ack_policy: AckPolicy::Explicit,
        ack_wait: interest.visibility + margin(interest.visibility),
        // Who counts attempts is the consumer, which has dead letters for them.
        max_deliver: -1,
        filter_subject: interest.topic.to_string(),
        replay_policy: ReplayPolicy::Instant,
        max_ack_pending: if interest.ordered { 1 } else { UNSETTLED },
        ..consumer::Config::default()
    };
    if let Some(shape) = shape {
        shape(&mut config);
    }
    config
}

/// The consumer that is there can serve this interest, or is made to.
async fn fitting(link: &Link, place: &Place, name: &str, interest: &Interest, found: Info) -> Result<Group, BrokerError> {
    let config = &found.config;
    let other = |text: &str| {
        let text = format!("the consumer `{name}` of the stream `{}` {text}: choose another group, or delete the consumer", place.stream);
        Err(BrokerError::new(NAME, ErrorKind::Invalid, text).about(interest.topic.clone()))
    };
    if config.deliver_subject.as_ref().is_some_and(|subject| !subject.is_empty()) {
        return other("is a push consumer");
    }
    if config.ack_policy != "explicit" {
        return other("does not want each message acknowledged");
    }
    let another = !config.filter_subject.is_empty() && config.filter_subject != *interest.topic;
    let unfiltered = config.filter_subject.is_empty() && (!place.alone || place.delays);
    if another || unfiltered || !config.filter_subjects.is_empty() {
        return other("is for other subjects too");
    }
    if !config.backoff.is_empty() {
        return other("has a back-off of its own, which leaves nobody to say how long a delivery is whose");
    }
    let one_by_one = interest.ordered || config.max_ack_pending == 1;
    if interest.ordered && config.max_ack_pending != 1 {
        in_order(link, place, name, interest).await?;
    }
    // Zero is the server's default.
    let lease = if config.ack_wait == 0 { Duration::from_secs(30) } else { Duration::from_nanos(config.ack_wait) };
    Ok(Group { stream: place.stream.clone(), consumer: name.into(), lease, one_by_one })
}

/// From now on the group has one message at a time. Everything else stays, its place in the stream above all.
async fn in_order(link: &Link, place: &Place, name: &str, interest: &Interest) -> Result<(), BrokerError> {
    let about = |error: BrokerError| error.about(interest.topic.clone());
    let found: Result<Value, _> = link.ask(&format!("CONSUMER.INFO.{}.{name}", place.stream), &json!({})).await?;
    let mut config = found.map_err(|refusal| about(refusal.into_error()))?.get_mut("config").map(Value::take).unwrap_or_default();
    config["max_ack_pending"] = json!(1);
    let changed = create(link, &place.stream, name, &interest.topic, "update", &config).await?;
    changed.map(drop).map_err(|refusal| about(refusal.into_error()))
}

/// What the group has left to do.
pub(super) async fn backlog(link: &Link, streams: &Streams, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
    let Some(place) = streams.find(topic).await? else {
        return streams.count(topic).await.map(|waiting| Backlog { waiting, held: None });
    };
    match info(link, &place.stream, &names::consumer(group, topic, &place.stream)?).await? {
        // What is delivered and not settled may be held, or wait out a delay: the server counts them as one.
        Ok(info) => {
            let delayed = streams.delayed(topic, &place).await?;
            Ok(Backlog { waiting: info.num_pending + info.num_ack_pending + delayed, held: None })
        }
        Err(refusal) if refusal.err_code == CONSUMER_NOT_FOUND => streams.count(topic).await.map(|waiting| Backlog { waiting, held: None }),
        Err(refusal) => Err(refusal.into_error().about(topic)),
    }
}
