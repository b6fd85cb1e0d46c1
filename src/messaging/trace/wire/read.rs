//! Text to records. Total: whatever the bytes are, there is an answer.

use super::{FIELD_END, NULL, RECORD_END};
use crate::messaging::trace::{ContextCode, MessageKind, PubTrace, SubAfter, SubBefore, TraceRecord};
use std::fmt;
use std::str::{FromStr, Split};
use std::sync::Arc;
use std::time::Duration;

/// All records of a message's body, or the first flaw.
///
/// Also reads what older and newer clients of RocketMQ write: a `Pub` without offset id or with a client host behind it, a `SubAfter` that
/// ends with its keys, its code or its timestamp. What is not there is zero, empty or [`ContextCode::Success`].
///
/// # Errors
/// The first record that is none. [`records`] goes on behind it.
pub fn decode(body: &[u8]) -> Result<Vec<TraceRecord>, DecodeError> {
    records(body).collect()
}

/// The records of a message's body, one by one: behind a record with a flaw the next one is read.
pub fn records(body: &[u8]) -> Records<'_> {
    Records { rest: body, number: 0 }
}

/// Made by [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    number: usize,
}

impl Iterator for Records<'_> {
    type Item = Result<TraceRecord, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        // The last record may lack its end, as RocketMQ's reader allows; an empty one in between is a flaw.
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|byte| char::from(*byte) == RECORD_END);
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        self.number += 1;
        let number = self.number;
        Some(record(line).map_err(|flaw| DecodeError { record: number, flaw }))
    }
}

/// A record that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The how-manieth record of the body, from 1.
    pub record: usize,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// It is not UTF-8.
    NotText,
    /// It is of a kind that is not read here, such as RocketMQ's `EndTransaction`.
    Kind(String),
    /// It ends before this field.
    Missing(&'static str),
    /// This field does not have such a value.
    Value(&'static str, String),
    /// It has more fields than its kind.
    TooLong,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trace record {}: ", self.record)?;
        match &self.flaw {
            Flaw::NotText => f.write_str("not UTF-8"),
            Flaw::Kind(kind) => write!(f, "kind {kind:?} is not known; Pub, SubBefore and SubAfter are"),
            Flaw::Missing(field) => write!(f, "it ends before the field `{field}`"),
            Flaw::Value(field, value) => write!(f, "the field `{field}` cannot be {value:?}"),
            Flaw::TooLong => f.write_str("more fields than its kind has"),
        }
    }
}

impl std::error::Error for DecodeError {}

fn record(line: &[u8]) -> Result<TraceRecord, Flaw> {
    let line = std::str::from_utf8(line).map_err(|_| Flaw::NotText)?;
    let mut fields = Fields(line.split(FIELD_END));
    match fields.0.next().unwrap_or_default() {
        "Pub" => published(fields),
        "SubBefore" => before(fields),
        "SubAfter" => after(fields),
        other => Err(Flaw::Kind(excerpt(other))),
    }
}

fn published(mut fields: Fields<'_>) -> Result<TraceRecord, Flaw> {
    let mut trace = PubTrace {
        timestamp: fields.timestamp()?,
        region: fields.maybe("region")?,
        group: fields.text("group")?,
        topic: fields.text("topic")?,
        message_id: fields.value("message id")?,
        tag: fields.maybe("tag")?,
        keys: fields.maybe("keys")?,
        store_host: fields.maybe("store host")?,
        body_len: fields.int("body length")?,
        cost: fields.cost()?,
        kind: fields.one_of("message kind", &MessageKind::ALL)?,
        offset_id: None,
        success: true,
    };
    // Thirteen fields: no offset id. Fourteen: both. From the fifteenth on: the client's host, which is in the message as well.
    let rest: Vec<&str> = fields.0.by_ref().take(4).collect();
    match *rest {
        [] => return Err(Flaw::Missing("success")),
        [success] => trace.success = truth(success)?,
        [offset, success] | [offset, success, _] => {
            trace.offset_id = optional(offset);
            trace.success = truth(success)?;
        }
        _ => return Err(Flaw::TooLong),
    }
    Ok(TraceRecord::Pub(trace))
}

fn before(mut fields: Fields<'_>) -> Result<TraceRecord, Flaw> {
    let trace = SubBefore {
        timestamp: fields.timestamp()?,
        region: fields.maybe("region")?,
        group: fields.text("group")?,
        request_id: fields.value("request id")?,
        message_id: fields.value("message id")?,
        retry_times: fields.int("retry times")?,
        keys: fields.maybe("keys")?,
    };
    fields.end()?;
    Ok(TraceRecord::SubBefore(trace))
}

fn after(mut fields: Fields<'_>) -> Result<TraceRecord, Flaw> {
    let mut trace = SubAfter {
        request_id: fields.value("request id")?,
        message_id: fields.value("message id")?,
        cost: fields.cost()?,
        success: truth(fields.next("success")?)?,
        keys: fields.maybe("keys")?,
        code: ContextCode::Success,
        timestamp: 0,
        group: Arc::default(),
    };
    // Each of these came with a version of its own; in the form for the cloud an empty one comes behind the code.
    if let Some(code) = fields.0.next() {
        trace.code = one_of("code", code, &ContextCode::ALL)?;
    }
    match fields.0.next() {
        None | Some("") => {}
        Some(timestamp) => trace.timestamp = time(timestamp)?,
    }
    if let Some(group) = fields.0.next() {
        trace.group = group.into();
    }
    fields.end()?;
    Ok(TraceRecord::SubAfter(trace))
}

struct Fields<'a>(Split<'a, char>);

impl<'a> Fields<'a> {
    fn next(&mut self, field: &'static str) -> Result<&'a str, Flaw> {
        self.0.next().ok_or(Flaw::Missing(field))
    }

    fn text(&mut self, field: &'static str) -> Result<Arc<str>, Flaw> {
        Ok(self.next(field)?.into())
    }

    fn maybe(&mut self, field: &'static str) -> Result<Option<Arc<str>>, Flaw> {
        Ok(optional(self.next(field)?))
    }

    fn value<T: FromStr>(&mut self, field: &'static str) -> Result<T, Flaw> {
        parse(field, self.next(field)?)
    }

    fn int(&mut self, field: &'static str) -> Result<u32, Flaw> {
        int(field, self.next(field)?)
    }

    fn timestamp(&mut self) -> Result<u64, Flaw> {
        time(self.next("timestamp")?)
    }

    fn cost(&mut self) -> Result<Duration, Flaw> {
        Ok(Duration::from_millis(self.int("cost")?.into()))
    }

    fn one_of<T: Copy>(&mut self, field: &'static str, all: &[T]) -> Result<T, Flaw> {
        one_of(field, self.next(field)?, all)
    }

    fn end(&mut self) -> Result<(), Flaw> {
        if self.0.next().is_none() { Ok(()) } else { Err(Flaw::TooLong) }
    }
}

fn optional(text: &str) -> Option<Arc<str>> {
    (text != NULL).then(|| text.into())
}

fn parse<T: FromStr>(field: &'static str, text: &str) -> Result<T, Flaw> {
    text.parse().map_err(|_| Flaw::Value(field, excerpt(text)))
}

/// A time that RocketMQ could write, and not from before 1970.
fn time(text: &str) -> Result<u64, Flaw> {
    parse::<u64>("timestamp", text).and_then(|time| if time <= i64::MAX as u64 { Ok(time) } else { Err(Flaw::Value("timestamp", excerpt(text))) })
}

fn int(field: &'static str, text: &str) -> Result<u32, Flaw> {
    // A clock that was set back gives a negative cost.
    let number: i32 = parse(field, text)?;
    Ok(u32::try_from(number).unwrap_or(0))
}

fn one_of<T: Copy>(field: &'static str, text: &str, all: &[T]) -> Result<T, Flaw> {
    let place: usize = parse(field, text)?;
    all.get(place).copied().ok_or_else(|| Flaw::Value(field, excerpt(text)))
}

fn truth(text: &str) -> Result<bool, Flaw> {
    parse("success", text)
}

/// Enough of a text to see what it is.
fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}
