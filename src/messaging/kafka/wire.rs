//! A message as a record: the key is the record's key, everything else a header of its own, as text that any client reads.

use super::super::{BrokerError, Bytes, ErrorKind, Message, MessageId, Properties};
use super::fault::NAME;
use rdkafka::message::{Header, Headers, Message as Record, OwnedHeaders};
use std::sync::Arc;

const ID: &str = "winddown.id";
const TAG: &str = "winddown.tag";
const ORDERED: &str = "winddown.ordered";

/// What records and their headers weigh beyond a message's own size: id, names, lengths.
pub(super) const OVERHEAD: usize = 40_000;

/// The record's headers.
///
/// # Errors
/// A property's name that cannot be a header's.
pub(super) fn headers(message: &Message) -> Result<OwnedHeaders, BrokerError> {
    let id = message.id().to_string();
    let mut headers = OwnedHeaders::new_with_capacity(3 + message.properties().count());
    headers = headers.insert(Header { key: ID, value: Some(&id) });
    if let Some(tag) = message.tag() {
        headers = headers.insert(Header { key: TAG, value: Some(tag) });
    }
    if message.is_ordered() {
        headers = headers.insert(Header { key: ORDERED, value: Some("1") });
    }
    for (name, value) in message.properties() {
        // In the library a header's name ends with the first zero.
        if name.is_empty() || name.contains('\0') || [ID, TAG, ORDERED].contains(&name) {
            let text = format!("the property {name:?} cannot be a header: give it another name");
            return Err(BrokerError::new(NAME, ErrorKind::Invalid, text).about(message.topic_shared()));
        }
        headers = headers.insert(Header { key: name, value: Some(value) });
    }
    Ok(headers)
}

/// The message that a record is. What another client sent has the id of its place in the log, and its key is taken to order it, as Kafka does.
pub(super) fn read(record: &impl Record, topic: &Arc<str>) -> Message {
    let mut properties = Properties::new();
    let (mut id, mut tag, mut ordered) = (None, None, false);
    for header in record.headers().into_iter().flat_map(Headers::iter) {
        // Ours are texts; what is none is shown as far as it is one.
        let value = String::from_utf8_lossy(header.value.unwrap_or_default());
        match header.key {
            ID => id = value.parse().ok(),
            TAG => tag = Some(value.into_owned()),
            ORDERED => ordered = true,
            name => drop(properties.insert(name.to_owned(), value.into_owned())),
        }
    }
    let foreign = id.is_none();
    let id = id.unwrap_or_else(|| MessageId::of(format!("{topic}/{}/{}", record.partition(), record.offset()).as_bytes()));
    let body = Bytes::copy_from_slice(record.payload().unwrap_or_default());
    let mut message = Message::new(topic.clone(), body).with_id(id).with_properties(properties);
    if let Some(tag) = tag {
        message = message.with_tag(tag);
    }
    match record.key().map(String::from_utf8_lossy) {
        Some(key) if ordered || foreign => message.with_ordered_key(&*key),
        Some(key) => message.with_key(&*key),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    fn record(message: &Message, headers: Option<OwnedHeaders>) -> OwnedMessage {
        let (body, key) = (message.body().to_vec(), message.key().map(|key| key.as_bytes().to_vec()));
        OwnedMessage::new(Some(body), key, message.topic().to_owned(), Timestamp::NotAvailable, 3, 17, headers)
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let topic: Arc<str> = "orders".into();
        for message in [
            Message::new(topic.clone(), ""),
            Message::new(topic.clone(), vec![0, 159, 146, 150])
                .with_tag("größe")
                .with_key("ключ")
                .with_property("名前", "a\n\u{1}")
                .with_property("empty", ""),
            Message::new(topic.clone(), "x").with_tag("").with_ordered_key(""),
        ] {
            let headers = headers(&message).expect("they can be headers");
            assert_eq!(read(&record(&message, Some(headers)), &topic), message);
        }
    }

    #[test]
    fn what_others_send_is_read_as_far_as_it_can_be() {
        let topic: Arc<str> = "orders".into();
        let sent = Message::new(topic.clone(), "two pumps").with_key("k");
        let headers = OwnedHeaders::new()
            .insert(Header { key: "trace", value: Some(&[0xff_u8, b'x'][..]) })
            .insert(Header { key: "none", value: None::<&str> })
            .insert(Header { key: ID, value: Some("not an id") });
        let got = read(&record(&sent, Some(headers)), &topic);
        assert_eq!(got.id(), MessageId::of(b"orders/3/17"), "the same place in the log is the same message");
        assert_eq!((got.body(), got.key(), got.is_ordered(), got.tag()), (sent.body(), Some("k"), true, None));
        assert_eq!(got.properties().collect::<Vec<_>>(), [("none", ""), ("trace", "\u{fffd}x")]);
        let bare = read(&record(&Message::new(topic.clone(), "x"), None), &topic);
        assert_eq!((bare.id(), bare.key()), (got.id(), None));
    }

    #[test]
    fn names_that_would_come_as_others_are_refused() {
        for name in ["", "a\0b", ID, TAG, ORDERED] {
            let error = headers(&Message::new("t", "x").with_property(name, "v")).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name:?}");
        }
    }
}
