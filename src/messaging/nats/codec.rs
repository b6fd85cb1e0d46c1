//! A message as NATS headers and back, so that clients in other languages can read it.
//!
//! | of a message | header |
//! |---|---|
//! | id | `Nats-Msg-Id`, perhaps followed by `:` and what makes it unique in its stream |
//! | id, of a message with a delay | `winddown.id` too, since the server takes the other one away |
//! | tag, key, ordered | `winddown.tag`, `winddown.key`, `winddown.ordered: 1` |
//! | a property | its own name |
//!
//! Headers know no control characters, and spaces at the ends of a value get lost. A message that has such texts, or names that are no names of
//! headers, has `winddown.escaped: 1`, and its names and values are percent-encoded. All others are as they are.

use super::super::{Message, MessageId, Properties};
use async_nats::header::{HeaderMap, HeaderName, HeaderValue, NATS_MESSAGE_ID};
use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

const ID: &str = "winddown.id";
const TAG: &str = "winddown.tag";
const KEY: &str = "winddown.key";
const ORDERED: &str = "winddown.ordered";
const ESCAPED: &str = "winddown.escaped";

/// Room for the headers that every message has, so that [`Message::size`] can be held against the server's limit.
pub(super) const OVERHEAD: usize = 4096;

/// The headers of a message that is known to the stream by this id.
pub(super) fn encode(message: &Message, stream_id: &str) -> HeaderMap {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    fields.extend(message.tag().map(|tag| (TAG, tag)));
    fields.extend(message.key().map(|key| (KEY, key)));
    let own = fields.len();
    fields.extend(message.properties());
    let plain = fields.iter().all(|(_, value)| is_plain(value)) && fields[own..].iter().all(|(name, _)| is_name(name));

    let mut headers = HeaderMap::new();
    set(&mut headers, NATS_MESSAGE_ID.as_ref(), stream_id);
    if message.delay().is_some() {
        set(&mut headers, ID, &message.id().to_string());
    }
    if message.is_ordered() {
        set(&mut headers, ORDERED, "1");
    }
    if !plain {
        set(&mut headers, ESCAPED, "1");
    }
    for (at, (name, value)) in fields.into_iter().enumerate() {
        match plain {
            true => set(&mut headers, name, value),
            false if at < own => set(&mut headers, name, &escape(value)),
            false => set(&mut headers, &escape_name(name), &escape(value)),
        }
    }
    headers
}

/// Both are known to be allowed; what is not would rather be left out than panic.
fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// The bytes that headers and body take of what the server allows.
pub(super) fn wire_size(headers: &HeaderMap, body: usize) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| values.iter().map(|value| AsRef::<str>::as_ref(name).len() + value.as_str().len() + 4));
    body + "NATS/1.0\r\n\r\n".len() + lines.sum::<usize>()
}

/// The message of these headers. `place` names it at the server, for want of an id.
pub(super) fn decode(topic: Arc<str>, headers: Option<&HeaderMap>, body: bytes::Bytes, place: impl FnOnce() -> String) -> Message {
    let mut message = Message::new(topic, body);
    let given =
        headers.and_then(|headers| headers.get_last(NATS_MESSAGE_ID).or_else(|| headers.get_last(ID))).and_then(|value| id_of(value.as_str()));
    message = message.with_id(given.unwrap_or_else(|| MessageId::of(place().as_bytes())));
    let Some(headers) = headers else { return message };
    let escaped = headers.get_last(ESCAPED).is_some();
    let ordered = headers.get_last(ORDERED).is_some();
    let mut properties = Properties::new();
    for (name, values) in headers.iter() {
        let (name, Some(value)) = (AsRef::<str>::as_ref(name), values.last()) else { continue };
        let value = if escaped { unescape(value.as_str()) } else { value.as_str().to_owned() };
        match name {
            TAG => message = message.with_tag(value),
            KEY if ordered => message = message.with_ordered_key(value),
            KEY => message = message.with_key(value),
            ID | ORDERED | ESCAPED => {}
            // The server's words about the message, not the sender's.
            name if is_reserved(name) => {}
            name if escaped => drop(properties.insert(unescape_name(name), value)),
            name => drop(properties.insert(name.to_owned(), value)),
        }
    }
    message.with_properties(properties)
}

/// Ours, if it begins with one.
fn id_of(stream_id: &str) -> Option<MessageId> {
    stream_id.split(':').next()?.parse().ok()
}

fn is_plain(value: &str) -> bool {
    value.trim().len() == value.len() && !value.chars().any(char::is_control)
}

fn is_name(name: &str) -> bool {
    let own = [ID, TAG, KEY, ORDERED, ESCAPED].iter().any(|own| name.eq_ignore_ascii_case(own));
    !name.is_empty() && !own && !is_reserved(name) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// Names that tell the server something.
fn is_reserved(name: &str) -> bool {
    name.as_bytes().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"nats-"))
}

fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len() + 8);
    for (at, c) in value.chars().enumerate() {
        if c == '%' || c.is_control() || (c.is_whitespace() && (at == 0 || at == last)) {
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|byte| percent(&mut text, byte));
        } else {
            text.push(c);
        }
    }
    text
}

/// `%` alone stands for no name at all.
fn escape_name(name: &str) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let special = !is_name(name);
    let mut text = String::with_capacity(name.len() + 8);
    for (at, byte) in name.bytes().enumerate() {
        if !byte.is_ascii_graphic() || matches!(byte, b':' | b'%') || (special && at == 0) {
            percent(&mut text, byte);
        } else {
            text.push(char::from(byte));
        }
    }
    text
}

fn percent(text: &mut String, byte: u8) {
    let _ = write!(text, "%{byte:02X}");
}

fn unescape_name(name: &str) -> String {
    if name == "%" { String::new() } else { unescape(name) }
}

/// Whatever is no escape stays as it is.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the wire does to headers: values are trimmed.
    fn carried(message: &Message) -> Message {
        let stream_id = message.id().to_string();
        let mut headers = HeaderMap::new();
        for (name, values) in encode(message, &stream_id).iter() {
            for value in values {
                assert!(!value.as_str().contains(|c: char| c.is_control()), "{value:?}");
                set(&mut headers, name.as_ref(), value.as_str().trim());
            }
        }
        decode(message.topic_shared(), Some(&headers), message.body().clone(), || unreachable!("it has an id"))
    }

    #[test]
    fn what_is_plain_travels_as_it_is() {
        let message = Message::new("t", "b").with_tag("100%").with_key("größe").with_property("tenant", "blue: %41").with_property("empty", "");
        let headers = encode(&message, "ID");
        let value = |name: &str| headers.get_last(name).map(|value| value.as_str().to_owned());
        assert_eq!(value("winddown.tag").as_deref(), Some("100%"));
        assert_eq!(value("winddown.key").as_deref(), Some("größe"));
        assert_eq!(value("tenant").as_deref(), Some("blue: %41"));
        assert_eq!(value("empty").as_deref(), Some(""));
        assert_eq!(value("Nats-Msg-Id").as_deref(), Some("ID"));
        assert_eq!(value("winddown.escaped"), None);
        assert_eq!(carried(&message), message);
    }

    #[test]
    fn what_headers_cannot_have_comes_back_all_the_same() {
        let nasty =
            ["", " ", "%", "%41", "a\r\nb: c", "\u{0}", " x ", "\u{a0}", "Nats-Msg-Id", "nats-ttl", "winddown.tag", "WINDDOWN.KEY", "名前", ":"];
        for (name, value) in nasty.iter().flat_map(|name| nasty.iter().map(move |value| (name, value))) {
            let message = Message::new("t", "b").with_tag(*value).with_ordered_key(*value).with_property(*name, *value).with_property("p", "%41");
            assert_eq!(carried(&message), message, "{name:?} = {value:?}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(name in ".*", value in "(?s).*", tag in "(?s).{0,3}") {
            let message = Message::new("t", "b").with_tag(tag).with_property(name, value);
            prop_assert_eq!(carried(&message), message);
        }

        #[test]
        fn foreign_texts_never_panic(text in "(?s)[%0-9A-Fa-f\\x00-\\x7f]*") {
            unescape(&text);
        }
    }

    #[test]
    fn foreign_messages_are_named_by_their_place() {
        let headers = |id: &str| encode(&Message::new("t", ""), id);
        let read = |id: &str| decode("t".into(), Some(&headers(id)), "x".into(), || "S/7".into()).id();
        assert_eq!(read("order-17"), MessageId::of(b"S/7"));
        let ours = MessageId::from_u128(7);
        assert_eq!(read(&ours.to_string()), ours);
        assert_eq!(read(&format!("{ours}:dead:S:7")), ours);
        assert_eq!(decode("t".into(), None, "x".into(), || "S/7".into()).id(), MessageId::of(b"S/7"));
    }

    #[test]
    fn the_size_is_that_of_the_wire() {
        // "NATS/1.0\r\n", "Nats-Msg-Id: ID\r\n", "\r\n".
        assert_eq!(wire_size(&encode(&Message::new("t", ""), "ID"), 3), 10 + 17 + 2 + 3);
    }
}
