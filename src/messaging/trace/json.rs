//! A record as one line of JSON.

use super::TraceRecord;
use serde::ser::{SerializeMap, Serializer};
use std::time::Duration;

/// Appends the record and a line feed. What is not there is left out.
pub(super) fn line_to(text: &mut Vec<u8>, record: &TraceRecord) {
    // Nothing in it can fail: names are texts, numbers are integers, and memory takes all that is written.
    let _ = object(&mut serde_json::Serializer::new(&mut *text), record);
    text.push(b'\n');
}

fn object<S: Serializer>(serializer: S, record: &TraceRecord) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    match record {
        TraceRecord::Pub(t) => {
            map.serialize_entry("kind", "pub")?;
            map.serialize_entry("timestamp", &t.timestamp)?;
            maybe(&mut map, "region", t.region.as_deref())?;
            map.serialize_entry("group", &*t.group)?;
            map.serialize_entry("topic", &*t.topic)?;
            map.serialize_entry("message_id", &t.message_id.to_string())?;
            maybe(&mut map, "tag", t.tag.as_deref())?;
            maybe(&mut map, "keys", t.keys.as_deref())?;
            maybe(&mut map, "store_host", t.store_host.as_deref())?;
            map.serialize_entry("body_len", &t.body_len)?;
            map.serialize_entry("cost_us", &micros(t.cost))?;
            map.serialize_entry("message_kind", t.kind.name())?;
            maybe(&mut map, "offset_id", t.offset_id.as_deref())?;
            map.serialize_entry("success", &t.success)?;
        }
        TraceRecord::SubBefore(t) => {
            map.serialize_entry("kind", "sub_before")?;
            map.serialize_entry("timestamp", &t.timestamp)?;
            maybe(&mut map, "region", t.region.as_deref())?;
            map.serialize_entry("group", &*t.group)?;
            map.serialize_entry("request_id", &t.request_id.to_string())?;
            map.serialize_entry("message_id", &t.message_id.to_string())?;
            map.serialize_entry("retry_times", &t.retry_times)?;
            maybe(&mut map, "keys", t.keys.as_deref())?;
        }
        TraceRecord::SubAfter(t) => {
            map.serialize_entry("kind", "sub_after")?;
            map.serialize_entry("timestamp", &t.timestamp)?;
            map.serialize_entry("group", &*t.group)?;
            map.serialize_entry("request_id", &t.request_id.to_string())?;
            map.serialize_entry("message_id", &t.message_id.to_string())?;
            map.serialize_entry("cost_us", &micros(t.cost))?;
            map.serialize_entry("success", &t.success)?;
            maybe(&mut map, "keys", t.keys.as_deref())?;
            map.serialize_entry("code", t.code.name())?;
        }
    }
    map.end()
}

fn maybe<M: SerializeMap>(map: &mut M, name: &str, text: Option<&str>) -> Result<(), M::Error> {
    text.map_or(Ok(()), |text| map.serialize_entry(name, text))
}

/// What is longer than 500 000 years may be cut.
pub(super) fn micros(cost: Duration) -> u64 {
    u64::try_from(cost.as_micros()).unwrap_or(u64::MAX)
}
