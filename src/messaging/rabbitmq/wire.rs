//! A message as AMQP carries it.
//!
//! The id is `message-id`, the tag is `type`, the body is the body, each property is a header of its name; any client can read and write
//! those. Key, order and the attempts so far have no place in AMQP and are headers that begin with `winddown.`. What cannot be a header's name, or
//! means something to the server, goes into one header as an array of names and values.

use super::super::{BrokerError, ErrorKind, Message, MessageId, Properties};
use super::fault::error;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const KEY: &str = "winddown.key";
const ORDERED: &str = "winddown.ordered";
/// A tag that is too long for `type`.
const TAG: &str = "winddown.tag";
/// Attempts that copies carry on; the server adds its own count to them.
const ATTEMPTS: &str = "winddown.attempts";
/// Properties that cannot be headers: name, value, name, value.
const MORE: &str = "winddown.more";
const OURS: [&str; 5] = [KEY, ORDERED, TAG, ATTEMPTS, MORE];
/// What quorum queues count.
const DELIVERY_COUNT: &str = "x-delivery-count";
const PERSISTENT: u8 = 2;
/// Properties, tag and key travel in one frame, whose usual size is 128 KiB; the rest is for what the server adds, such as `x-death`.
const HEADER_BYTES: usize = 96 << 10;

/// What stands for the server, not for us: names of its own and those that route.
fn is_the_servers(name: &str) -> bool {
    name.starts_with("x-") || name == "CC" || name == "BCC"
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

/// The properties of a message.
///
/// # Errors
/// Too large for one frame.
pub(super) fn encode(message: &Message) -> Result<BasicProperties, BrokerError> {
    let mut headers = FieldTable::default();
    let mut more = Vec::new();
    for (name, value) in message.properties() {
        match short(name).filter(|_| !name.is_empty() && !is_the_servers(name) && !OURS.contains(&name)) {
            Some(name) => {
                headers.insert(name, text(value));
            }
            None => more.extend([text(name), text(value)]),
        }
    }
    let mut put = |name: &'static str, value| {
        headers.insert(name.into(), value);
    };
    if !more.is_empty() {
        put(MORE, AMQPValue::FieldArray(more.into()));
    }
    if let Some(key) = message.key() {
        put(KEY, text(key));
    }
    if message.is_ordered() {
        put(ORDERED, AMQPValue::Boolean(true));
    }
    let tag = message.tag().map(|tag| short(tag).ok_or(tag));
    if let Some(Err(long)) = tag {
        put(TAG, text(long));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(message.id().to_string().into())
        .with_timestamp(now)
        .with_headers(headers);
    if let Some(Ok(tag)) = tag {
        properties = properties.with_type(tag);
    }
    fits(&properties).map_err(|error| error.about(message.topic_shared()))?;
    Ok(properties)
}

/// Does it fit into one frame? A larger one ends the connection.
fn fits(properties: &BasicProperties) -> Result<(), BrokerError> {
    let bytes = properties.headers().as_ref().map_or(0, table_bytes);
    if bytes <= HEADER_BYTES {
        return Ok(());
    }
    let text = format!("{bytes} bytes of properties, tag and key, which travel in one frame of {HEADER_BYTES} bytes at most: put them into the body");
    Err(error(ErrorKind::TooLarge, text))
}

fn table_bytes(table: &FieldTable) -> usize {
    table.into_iter().map(|(name, value)| name.as_str().len() + value_bytes(value) + 2).sum()
}

fn value_bytes(value: &AMQPValue) -> usize {
    5 + match value {
        AMQPValue::LongString(text) => text.len(),
        AMQPValue::ByteArray(bytes) => bytes.len(),
        AMQPValue::FieldArray(all) => all.as_slice().iter().map(value_bytes).sum(),
        AMQPValue::FieldTable(table) => table_bytes(table),
        _ => 8,
    }
}

/// A message of a topic, whoever sent it.
pub(super) fn decode(topic: &Arc<str>, properties: &BasicProperties, body: Vec<u8>) -> Message {
    let id = id_of(topic, properties, &body);
    let mut named = Properties::new();
    let mut message = Message::new(topic.clone(), body).with_id(id);
    let (mut key, mut ordered) = (None, false);
    let mut tag = properties.kind().as_ref().map(ShortString::to_string);
    for (name, value) in properties.headers().iter().flatten() {
        match (name.as_str(), value) {
            (KEY, value) => key = words(value),
            (TAG, value) => tag = words(value),
            (ORDERED, AMQPValue::Boolean(yes)) => ordered = *yes,
            (MORE, AMQPValue::FieldArray(all)) => {
                for pair in all.as_slice().chunks_exact(2) {
                    if let (Some(name), Some(value)) = (words(&pair[0]), words(&pair[1])) {
                        named.insert(name, value);
                    }
                }
            }
            (ATTEMPTS, _) => {}
            (name, _) if is_the_servers(name) => {}
            (name, value) => {
                if let Some(value) = words(value) {
                    named.insert(name.to_owned(), value);
                }
            }
        }
    }
    if let Some(tag) = tag {
        message = message.with_tag(tag);
    }
    if let Some(key) = key {
        message = if ordered { message.with_ordered_key(key) } else { message.with_key(key) };
    }
    message.with_properties(named)
}

/// A header's value as a text, where it is one thing.
fn words(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        AMQPValue::Boolean(yes) => Some(yes.to_string()),
        AMQPValue::Float(number) => Some(number.to_string()),
        AMQPValue::Double(number) => Some(number.to_string()),
        AMQPValue::Timestamp(seconds) => Some(seconds.to_string()),
        number => whole(number).map(|number| number.to_string()),
    }
}

fn whole(value: &AMQPValue) -> Option<i128> {
    Some(match *value {
        AMQPValue::ShortShortInt(n) => n.into(),
        AMQPValue::ShortShortUInt(n) => n.into(),
        AMQPValue::ShortInt(n) => n.into(),
        AMQPValue::ShortUInt(n) => n.into(),
        AMQPValue::LongInt(n) => n.into(),
        AMQPValue::LongUInt(n) => n.into(),
        AMQPValue::LongLongInt(n) => n.into(),
        _ => return None,
    })
}

/// Ours, or one made of what the sender named it by; of what it is, where it has no name.
fn id_of(topic: &str, properties: &BasicProperties, body: &[u8]) -> MessageId {
    if let Some(id) = properties.message_id() {
        return id.as_str().parse().unwrap_or_else(|_| MessageId::of(id.as_str().as_bytes()));
    }
    let word = |word: &Option<ShortString>| word.as_ref().map(ShortString::to_string).unwrap_or_default();
    let when = properties.timestamp().unwrap_or_default();
    let known = format!("{topic}\0{}\0{}\0{when}\0", word(properties.correlation_id()), word(properties.kind()));
    MessageId::of(&[known.as_bytes(), body].concat())
}

/// How often it was delivered before: by the server's count, and by what copies carried on.
pub(super) fn attempts_before(properties: &BasicProperties) -> u32 {
    let count = |name| {
        let value = properties.headers().as_ref().and_then(|headers| headers.inner().get(name));
        value.and_then(whole).and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
    };
    count(ATTEMPTS).saturating_add(count(DELIVERY_COUNT))
}

/// The properties of a copy: as they came, less what the server would act upon again.
///
/// # Errors
/// Too large for one frame.
pub(super) fn copy(
    properties: &BasicProperties,
    id: MessageId,
    attempts: u32,
    added: &[(&'static str, &str)],
) -> Result<BasicProperties, BrokerError> {
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().iter().flatten() {
        if !is_the_servers(name.as_str()) && name.as_str() != ATTEMPTS {
            headers.insert(name.clone(), value.clone());
        }
    }
    if attempts > 0 {
        headers.insert(ATTEMPTS.into(), AMQPValue::LongLongInt(attempts.into()));
    }
    for (name, value) in added {
        headers.insert((*name).into(), text(value));
    }
    let mut copy = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers);
    // Not `expiration`, which would count anew, and not `user-id`, which is checked against the user of this connection.
    macro_rules! keep {
        ($($get:ident $set:ident),+) => {
            $(if let Some(value) = properties.$get() {
                copy = copy.$set(value.clone());
            })+
        };
    }
    keep!(content_type with_content_type, content_encoding with_content_encoding, priority with_priority, correlation_id with_correlation_id);
    keep!(reply_to with_reply_to, timestamp with_timestamp, kind with_type, app_id with_app_id);
    // So that a message that came without an id keeps the one that it was given.
    let id = properties.message_id().clone().unwrap_or_else(|| id.to_string().into());
    copy = copy.with_message_id(id);
    fits(&copy)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldArray;

    fn there_and_back(message: &Message) -> Message {
        let properties = encode(message).expect("small enough");
        decode(&message.topic_shared(), &properties, message.body().to_vec())
    }

    #[test]
    fn a_message_comes_as_it_was() {
        let long = "l".repeat(300);
        let messages = [
            Message::new("t", "plain"),
            Message::new("t", "").with_tag("").with_key(""),
            Message::new("t", vec![0, 159, 255]).with_tag("größe").with_ordered_key("ключ").with_property("名前", "a\n\u{1}"),
            Message::new("t", "x").with_tag(long.as_str()).with_property(long.as_str(), long.as_str()).with_property("", "nameless"),
            // Names that mean something to the server or to us.
            Message::new("t", "x").with_property("CC", "a").with_property("x-death", "b").with_property("winddown.key", "c").with_key("k"),
            Message::new("t", "x").with_property("winddown.dead-reason", "r"),
        ];
        for message in messages {
            assert_eq!(there_and_back(&message), message);
        }
    }

    #[test]
    fn what_does_not_fit_into_a_frame_is_refused() {
        let wide = Message::new("t", "x").with_property("wide", "x".repeat(HEADER_BYTES));
        assert_eq!(encode(&wide).map_err(|error| error.kind()), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn a_foreign_message_is_read_and_keeps_its_id() {
        let mut headers = FieldTable::default();
        headers.insert("count".into(), AMQPValue::LongInt(-7)).insert("flag".into(), AMQPValue::Boolean(true));
        headers.insert("x-death".into(), AMQPValue::FieldArray(FieldArray::default())).insert("x-delivery-count".into(), AMQPValue::LongLongInt(2));
        let foreign = BasicProperties::default().with_headers(headers).with_correlation_id("c".into()).with_expiration("1000".into());
        let read = decode(&"t".into(), &foreign, b"body".to_vec());
        assert_eq!(read.properties().collect::<Vec<_>>(), [("count", "-7"), ("flag", "true")]);
        assert_eq!(attempts_before(&foreign), 2);
        let copy = copy(&foreign, read.id(), 3, &[("winddown.dead-topic", "t")]).expect("small enough");
        let again = decode(&"t".into(), &copy, b"body".to_vec());
        assert_eq!((again.id(), again.property("winddown.dead-topic"), attempts_before(&copy)), (read.id(), Some("t"), 3));
        assert_eq!((copy.expiration(), copy.correlation_id().as_ref().map(ShortString::as_str)), (&None, Some("c")));
        let named = BasicProperties::default().with_message_id("order-17".into());
        assert_eq!(decode(&"t".into(), &named, vec![]).id(), MessageId::of(b"order-17"));
    }
}
