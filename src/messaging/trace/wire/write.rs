//! Records to text.

use super::{FIELD_END, NULL, RECORD_END};
use crate::messaging::MessageId;
use crate::messaging::trace::{ContextCode, MessageKind, TraceRecord};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// The body of a message that carries these records.
///
/// ```
/// use winddown::messaging::{MessageId, trace::{SubBefore, TraceRecord, wire}};
///
/// let before = SubBefore {
///     timestamp: 1_700_000_000_000, region: None, group: "billing".into(), request_id: MessageId::from_u128(1),
///     message_id: MessageId::from_u128(2), retry_times: 0, keys: Some("order-17".into()),
/// };
/// let records = [TraceRecord::from(before)];
/// let text = wire::encode(&records);
/// assert_eq!(
///     text.replace('\u{1}', "|"),
///     "SubBefore|1700000000000|null|billing|00000000000000000000000000000001|00000000000000000000000000000002|0|order-17\u{2}",
/// );
/// assert_eq!(wire::decode(text.as_bytes()).unwrap(), records);
/// ```
pub fn encode(records: &[TraceRecord]) -> String {
    let mut text = String::with_capacity(records.iter().map(TraceRecord::size).sum());
    records.iter().for_each(|record| encode_to(&mut text, record));
    text
}

/// The key of that message, by which RocketMQ's tools find it: the ids and keys of all the messages it is about, each once, in the order in
/// which they come, with spaces in between.
pub fn message_keys(records: &[TraceRecord]) -> String {
    let mut keys = Keys::default();
    for record in records {
        let new = keys.missing(record, usize::MAX);
        keys.add(new);
    }
    keys.text
}

/// Such a key in the making.
#[derive(Default)]
pub(in crate::messaging::trace) struct Keys {
    pub(in crate::messaging::trace) text: String,
    seen: BTreeSet<String>,
}

impl Keys {
    /// What this record would add to it, without what is longer than `longest`.
    pub(in crate::messaging::trace) fn missing(&self, record: &TraceRecord, longest: usize) -> Vec<String> {
        let keys = record.keys().filter(|keys| !keys.is_empty()).map(str::to_owned);
        let mut new: Vec<String> = std::iter::once(record.message_id().to_string()).chain(keys).collect();
        new.retain(|key| key.len() <= longest && !self.seen.contains(key));
        new.dedup();
        new
    }

    pub(in crate::messaging::trace) fn add(&mut self, new: Vec<String>) {
        for key in new {
            if !self.text.is_empty() {
                self.text.push(' ');
            }
            self.text.push_str(&key);
            self.seen.insert(key);
        }
    }
}

pub(in crate::messaging::trace) fn encode_to(text: &mut String, record: &TraceRecord) {
    let mut line = Line { text, first: true };
    match record {
        TraceRecord::Pub(t) => {
            line.word("Pub");
            line.number(millis_since_1970(t.timestamp));
            line.maybe(&t.region);
            line.text(&t.group);
            line.text(&t.topic);
            line.id(t.message_id);
            line.maybe(&t.tag);
            line.maybe(&t.keys);
            line.maybe(&t.store_host);
            line.number(int(t.body_len));
            line.number(cost(t.cost));
            line.number(place(&MessageKind::ALL, &t.kind));
            line.maybe(&t.offset_id);
            line.word(truth(t.success));
        }
        TraceRecord::SubBefore(t) => {
            line.word("SubBefore");
            line.number(millis_since_1970(t.timestamp));
            line.maybe(&t.region);
            line.text(&t.group);
            line.id(t.request_id);
            line.id(t.message_id);
            line.number(int(t.retry_times));
            match &t.keys {
                Some(keys) if !keys.is_empty() => line.text(keys),
                _ => line.word(NULL),
            }
        }
        TraceRecord::SubAfter(t) => {
            line.word("SubAfter");
            line.id(t.request_id);
            line.id(t.message_id);
            line.number(cost(t.cost));
            line.word(truth(t.success));
            line.maybe(&t.keys);
            line.number(place(&ContextCode::ALL, &t.code));
            line.number(millis_since_1970(t.timestamp));
            line.text(&t.group);
        }
    }
    text.push(RECORD_END);
}

struct Line<'a> {
    text: &'a mut String,
    first: bool,
}

impl Line<'_> {
    fn word(&mut self, word: &str) {
        if !std::mem::take(&mut self.first) {
            self.text.push(FIELD_END);
        }
        self.text.push_str(word);
    }

    fn text(&mut self, text: &str) {
        if text.contains([FIELD_END, RECORD_END]) {
            self.word(&text.replace([FIELD_END, RECORD_END], " "));
        } else {
            self.word(text);
        }
    }

    fn maybe(&mut self, text: &Option<Arc<str>>) {
        self.text(text.as_deref().unwrap_or(NULL));
    }

    fn number(&mut self, number: u64) {
        self.word("");
        let _ = write!(self.text, "{number}");
    }

    fn id(&mut self, id: MessageId) {
        self.word("");
        let _ = write!(self.text, "{id}");
    }
}

/// RocketMQ reads times as `long`.
fn millis_since_1970(time: u64) -> u64 {
    time.min(i64::MAX as u64)
}

/// And all other numbers as `int`.
fn int(number: u32) -> u64 {
    u64::from(number.min(i32::MAX as u32))
}

fn cost(cost: Duration) -> u64 {
    int(u32::try_from(cost.as_millis()).unwrap_or(u32::MAX))
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u64 {
    all.iter().position(|other| other == one).unwrap_or(0) as u64
}

fn truth(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}
