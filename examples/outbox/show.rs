//! What is printed: tables for people, or one JSON object a line.

use serde_json::{Value, json};
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};
use winddown::messaging::{MessageId, OutboxCounts, OutboxEntry};

/// A reader that has gone away is no error of ours.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub(crate) fn counts(counts: &OutboxCounts, json: bool) {
    let OutboxCounts { pending, dead, damaged, bytes } = counts;
    if json {
        line(&json!({ "pending": pending, "dead": dead, "damaged": damaged, "bytes": bytes }).to_string());
    } else {
        line(&format!("pending {pending}\ndead    {dead}\ndamaged {damaged}\nbytes   {bytes}"));
    }
}

pub(crate) fn changed(what: &str, rows: u64, json: bool) -> u64 {
    line(&if json { json!({ what: rows }).to_string() } else { format!("{rows} {what}") });
    rows
}

pub(crate) fn stored(id: MessageId, json: bool) {
    line(&if json { json!({ "stored": id.to_string() }).to_string() } else { format!("stored {id}") });
}

pub(crate) fn entries(entries: &[OutboxEntry], bodies: bool, json: bool) {
    if !json && !entries.is_empty() {
        line("row      state    tries topic            key              id                               error");
    }
    for entry in entries {
        line(&if json { object(entry, bodies).to_string() } else { row(entry, bodies) });
    }
}

fn object(entry: &OutboxEntry, bodies: bool) -> Value {
    let message = entry.message.as_ref();
    let mut object = json!({
        "row": entry.row,
        "state": entry.state.name(),
        "topic": entry.topic,
        "id": message.map(|message| message.id().to_string()),
        "tag": message.and_then(|message| message.tag()),
        "key": message.and_then(|message| message.key()),
        "ordered": message.map(|message| message.is_ordered()),
        "properties": message.map(|message| message.properties().collect::<std::collections::BTreeMap<_, _>>()),
        "bytes": message.map(|message| message.size()),
        "attempts": entry.attempts,
        "error": entry.error,
        "claimed": entry.claimed,
        "created_ms": entry.created.map(millis),
    });
    if let (true, Some(message)) = (bodies, message) {
        // As text where it is text, else in hexadecimal digits.
        match std::str::from_utf8(message.body()) {
            Ok(text) => object["body"] = text.into(),
            Err(_) => object["body_hex"] = message.body().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
        }
    }
    object
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn row(entry: &OutboxEntry, bodies: bool) -> String {
    let message = entry.message.as_ref();
    let id = message.map_or_else(|| "-".to_owned(), |message| message.id().to_string());
    let key = message.and_then(|message| message.key()).unwrap_or("-");
    let error = shown(entry.error.as_deref().unwrap_or(if entry.claimed { "(being sent)" } else { "" }));
    let mut row =
        format!("{:<8} {:<8} {:<5} {:<16} {:<16} {:<32} {error}", entry.row, entry.state.name(), entry.attempts, shown(&entry.topic), shown(key), id);
    if let (true, Some(message)) = (bodies, message) {
        row = format!("{}\n         {}", row.trim_end(), shown(&String::from_utf8_lossy(message.body())));
    }
    row.trim_end().to_owned()
}

/// Without what would spoil a terminal.
fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}
