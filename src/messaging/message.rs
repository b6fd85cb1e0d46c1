//! A message, before and after its way through a broker.

use super::id::MessageId;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Named texts that travel with a message. Names that begin with `winddown.` are the crate's own.
pub type Properties = BTreeMap<String, String>;

/// A message: where it goes, what it is about, what it says. Cheap to clone; clones have the same [id](Message::id).
///
/// ```
/// use winddown::messaging::Message;
///
/// let message = Message::new("orders", "two pumps").with_tag("created").with_key("order-17").with_property("tenant", "blue");
/// assert_eq!(message.topic(), "orders");
/// assert_eq!(message.key(), Some("order-17"));
/// assert_eq!(message.body().as_ref(), b"two pumps");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    id: MessageId,
    topic: Arc<str>,
    tag: Option<Arc<str>>,
    key: Option<Arc<str>>,
    properties: Option<Arc<Properties>>,
    body: Bytes,
    delay: Option<Duration>,
    ordered: bool,
}

impl Message {
    /// A message with a new id, without tag, key and properties.
    pub fn new(topic: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Message {
        Message { id: MessageId::new(), topic: topic.into(), tag: None, key: None, properties: None, body: body.into(), delay: None, ordered: false }
    }

    /// Its kind, by which a consumer may choose.
    pub fn with_tag(mut self, tag: impl Into<Arc<str>>) -> Message {
        self.tag = Some(tag.into());
        self
    }

    /// What it is about, such as an order's number.
    pub fn with_key(mut self, key: impl Into<Arc<str>>) -> Message {
        self.key = Some(key.into());
        self
    }

    /// The same, and messages of this key are to stay in the order in which they were sent.
    pub fn with_ordered_key(mut self, key: impl Into<Arc<str>>) -> Message {
        self.key = Some(key.into());
        self.ordered = true;
        self
    }

    /// One more property; a second one of the same name replaces the first.
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Message {
        Arc::make_mut(self.properties.get_or_insert_default()).insert(name.into(), value.into());
        self
    }

    /// All properties at once.
    pub fn with_properties(mut self, properties: Properties) -> Message {
        self.properties = (!properties.is_empty()).then(|| Arc::new(properties));
        self
    }

    /// An id of its own, in place of the new one.
    pub fn with_id(mut self, id: MessageId) -> Message {
        self.id = id;
        self
    }

    /// It is to be delivered this much later. A broker that cannot says so when it is sent.
    pub fn with_delay(mut self, delay: Duration) -> Message {
        self.delay = (!delay.is_zero()).then_some(delay);
        self
    }

    /// The same message for another topic, with the same id: how dead letters are made.
    pub fn to_topic(mut self, topic: impl Into<Arc<str>>) -> Message {
        self.topic = topic.into();
        self
    }

    /// Its identity.
    pub fn id(&self) -> MessageId {
        self.id
    }
    /// Where it goes.
    pub fn topic(&self) -> &str {
        &self.topic
    }
    /// The topic, to be kept.
    pub fn topic_shared(&self) -> Arc<str> {
        self.topic.clone()
    }
    /// Its kind.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }
    /// The tag, to be kept.
    pub fn tag_shared(&self) -> Option<Arc<str>> {
        self.tag.clone()
    }
    /// What it is about.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
    /// The key, to be kept.
    pub fn key_shared(&self) -> Option<Arc<str>> {
        self.key.clone()
    }
    /// Are messages of its key to stay in order?
    pub fn is_ordered(&self) -> bool {
        self.ordered
    }
    /// One property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.as_ref()?.get(name).map(String::as_str)
    }
    /// All of them, by name.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().flat_map(|all| all.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
    /// What it says.
    pub fn body(&self) -> &Bytes {
        &self.body
    }
    /// How much later it is to be delivered.
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// What it weighs, in bytes: body, topic, tag, key, properties. Against this [`Limits`](super::Limits) and byte budgets are held.
    pub fn size(&self) -> usize {
        let texts = self.topic.len() + self.tag.as_ref().map_or(0, |t| t.len()) + self.key.as_ref().map_or(0, |k| k.len());
        texts + self.body.len() + self.properties().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}
