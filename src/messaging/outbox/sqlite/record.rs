//! A message as a row, and a row as a message. What is read is checked: anybody may have written it.

use super::fault::{Trouble, place_of};
use super::schema;
use crate::messaging::outbox::OutboxError;
use crate::messaging::{Message, MessageId, Properties};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use std::time::Duration;

/// Puts a message into the outbox's table in a transaction of your own, so that it is sent if and only if what else you write is committed.
/// Gives its row.
///
/// A [`Transaction`](rusqlite::Transaction) is a [`Connection`] as far as this is concerned. After the commit,
/// [`Outbox::wake`](crate::messaging::Outbox::wake) makes the replay look at once; without it, within a second. The outbox's bounds do not
/// refuse what comes this way, but it counts. An example is at [`create_table`](super::create_table).
///
/// # Errors
/// The tables are not there or newer, the file cannot be written. Then roll back, or go on without: nothing was inserted.
pub fn insert(db: &Connection, message: &Message) -> Result<i64, OutboxError> {
    let inserted = schema::still_ours(db).and_then(|()| write(db, message, None));
    inserted.map_err(|trouble| trouble.at(&place_of(db)))
}

/// `now`: the time to note, where the caller has a clock of its own.
pub(super) fn write(db: &Connection, message: &Message, now: Option<i64>) -> Result<i64, Trouble> {
    let properties = message.properties().collect::<std::collections::BTreeMap<_, _>>();
    let properties = if properties.is_empty() {
        None
    } else {
        Some(serde_json::to_string(&properties).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?)
    };
    // A delay below a millisecond is one: the store knows no less.
    let delay = message.delay().map(|delay| i64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX));
    db.prepare_cached(
        "INSERT INTO winddown_outbox (id, topic, tag, key, ordered, properties, body, delay_ms, created_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, coalesce(?9, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)))",
    )?
    .execute(params![
        message.id().as_u128().to_be_bytes(),
        message.topic(),
        message.tag(),
        message.key(),
        message.is_ordered(),
        properties,
        message.body().as_ref(),
        delay,
        now
    ])?;
    Ok(db.last_insert_rowid())
}

/// The columns that [`read`] reads, in its order.
pub(super) const COLUMNS: &str = "id, topic, tag, key, ordered, properties, body, delay_ms";

/// The message in a row whose first columns are [`COLUMNS`], or what is wrong with it.
pub(super) fn read(row: &Row<'_>) -> Result<Result<Message, String>, rusqlite::Error> {
    let mut values = [ValueRef::Null; 8];
    for (column, value) in values.iter_mut().enumerate() {
        *value = row.get_ref(column)?;
    }
    Ok(message(values))
}

fn message([id, topic, tag, key, ordered, properties, body, delay]: [ValueRef<'_>; 8]) -> Result<Message, String> {
    let topic = text("topic", topic)?.ok_or("topic is NULL")?;
    let body = match body {
        ValueRef::Blob(bytes) | ValueRef::Text(bytes) => bytes.to_vec(),
        other => return Err(format!("body is {}, neither BLOB nor TEXT", other.data_type())),
    };
    let mut message = Message::new(topic, body).with_id(identity(id)?);
    if let Some(tag) = text("tag", tag)? {
        message = message.with_tag(tag);
    }
    message = match (ordered, text("key", key)?) {
        (ValueRef::Integer(0), Some(key)) => message.with_key(key),
        (ValueRef::Integer(0), None) => message,
        (ValueRef::Integer(1), Some(key)) => message.with_ordered_key(key),
        (ValueRef::Integer(1), None) => return Err("ordered is 1, but there is no key".to_owned()),
        _ => return Err("ordered is neither 0 nor 1".to_owned()),
    };
    if let Some(properties) = text("properties", properties)? {
        let properties: Properties = serde_json::from_str(properties).map_err(|error| format!("properties is no JSON object of texts: {error}"))?;
        message = message.with_properties(properties);
    }
    match delay {
        ValueRef::Null => Ok(message),
        ValueRef::Integer(ms) if ms >= 0 => Ok(message.with_delay(Duration::from_millis(ms.unsigned_abs()))),
        _ => Err("delay_ms is no number of milliseconds".to_owned()),
    }
}

fn text<'a>(column: &str, value: ValueRef<'a>) -> Result<Option<&'a str>, String> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| format!("{column} is no UTF-8")),
        other => Err(format!("{column} is {}, not TEXT", other.data_type())),
    }
}

/// 16 bytes, or 32 hexadecimal digits, with hyphens or without.
fn identity(value: ValueRef<'_>) -> Result<MessageId, String> {
    let parsed = match value {
        ValueRef::Blob(bytes) => <[u8; 16]>::try_from(bytes).ok().map(|bytes| MessageId::from_u128(u128::from_be_bytes(bytes))),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.replace('-', "").parse().ok()),
        _ => None,
    };
    parsed.ok_or_else(|| "id is neither 16 bytes nor 32 hexadecimal digits".to_owned())
}
