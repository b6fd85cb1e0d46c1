//! A message as a row, and back.

use super::super::super::{Bytes, Message, MessageId, Properties};
use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};
use std::sync::Arc;
use std::time::Duration;

/// What [`decode`] reads, in this order, from `broker_messages` called `m`.
pub(in super::super) const COLUMNS: &str = "m.seq, m.tag, m.ordered, m.due, m.delay_ns, m.key, m.id, m.properties, m.body";

pub(super) const SEQ: usize = 0;
pub(super) const TAG: usize = 1;
pub(super) const ORDERED: usize = 2;
pub(super) const DUE: usize = 3;
pub(super) const DELAY: usize = 4;
pub(super) const KEY: usize = 5;
const ID: usize = 6;
const PROPERTIES: usize = 7;
const BODY: usize = 8;

/// The message in a row of [`COLUMNS`], equal to the one that was sent.
pub(in super::super) fn decode(topic: &Arc<str>, row: &Row<'_>) -> rusqlite::Result<Message> {
    let id: [u8; 16] = row.get(ID)?;
    let body = row.get_ref(BODY)?.as_blob()?;
    let mut message = Message::new(topic.clone(), Bytes::copy_from_slice(body)).with_id(MessageId::from_u128(u128::from_be_bytes(id)));
    if let Some(tag) = text(row, TAG)? {
        message = message.with_tag(tag);
    }
    if let Some(key) = text(row, KEY)? {
        message = if row.get(ORDERED)? { message.with_ordered_key(key) } else { message.with_key(key) };
    }
    if let Some(json) = text(row, PROPERTIES)? {
        message = message.with_properties(properties(json)?);
    }
    let delay: i64 = row.get(DELAY)?;
    Ok(message.with_delay(Duration::from_nanos(delay.unsigned_abs())))
}

/// A text that may be missing, without a copy.
pub(super) fn text<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<Option<&'r str>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        value => Ok(Some(value.as_str()?)),
    }
}

/// Properties as a JSON object: whoever looks into the file can read them.
pub(super) fn encode_properties(message: &Message) -> Option<String> {
    let all: Properties = message.properties().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (!all.is_empty()).then(|| serde_json::to_string(&all).expect("a map of texts has a JSON form"))
}

fn properties(json: &str) -> rusqlite::Result<Properties> {
    serde_json::from_str(json).map_err(|error| rusqlite::Error::FromSqlConversionFailure(PROPERTIES, Type::Text, Box::new(error)))
}
