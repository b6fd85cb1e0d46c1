//! What an operator asks for: lists, counts, another try, an end.

use super::clerk::Desk;
use super::fault::Trouble;
use super::record;
use crate::messaging::outbox::{OrderedKey, OutboxCounts, OutboxEntry, OutboxFilter, OutboxPick, OutboxState};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params};
use std::time::{Duration, SystemTime};

/// As the index on ids has it.
const ID: &str = "CASE typeof(id) WHEN 'blob' THEN hex(id) ELSE upper(replace(id, '-', '')) END";

pub(super) fn list(desk: &Desk<'_>, filter: OutboxFilter) -> Result<Vec<OutboxEntry>, Trouble> {
    let columns = format!("SELECT {}, row, state, attempts, error, created_ms, claim, due_ms FROM winddown_outbox WHERE row > ?1", record::COLUMNS);
    let limit = i64::try_from(filter.limit_rows()).unwrap_or(i64::MAX);
    // Dead and damaged rows are few and have an index of their own, which the planner takes when the state is written out.
    let sql = match filter.state() {
        None => format!("{columns} ORDER BY row LIMIT ?2"),
        Some(OutboxState::Pending) => format!("{columns} AND state = 'pending' ORDER BY row LIMIT ?2"),
        Some(state) => format!("{columns} AND state = '{}' AND state <> 'pending' ORDER BY row LIMIT ?2", state.name()),
    };
    let mut statement = desk.db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![filter.after_row(), limit])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let message = record::read(row)?;
        let state = match lossy(row.get_ref(9)?).as_deref() {
            Some("pending") => OutboxState::Pending,
            Some("dead") => OutboxState::Dead,
            _ => OutboxState::Damaged,
        };
        let topic = lossy(row.get_ref(1)?).unwrap_or_default();
        let why = message.as_ref().err().cloned();
        let mut entry = OutboxEntry::new(row.get(8)?, state, topic, message.ok());
        entry.attempts = whole(&row.get(10)?).map_or(0, |attempts| u32::try_from(attempts.max(0)).unwrap_or(u32::MAX));
        entry.error = lossy(row.get_ref(11)?).or(why);
        entry.created = whole(&row.get(12)?).and_then(|ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(ms).ok()?)));
        entry.claimed = state == OutboxState::Pending && whole(&row.get(13)?).is_some() && whole(&row.get(14)?).is_some_and(|due| due > desk.now);
        entries.push(entry);
    }
    Ok(entries)
}

fn lossy(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Null => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    if let Value::Integer(number) = value { Some(*number) } else { None }
}

pub(super) fn counts(db: &Connection) -> Result<OutboxCounts, Trouble> {
    let mut statement = db.prepare_cached("SELECT state, rows, bytes FROM winddown_outbox_counts")?;
    let mut rows = statement.query([])?;
    let mut counts = OutboxCounts::default();
    while let Some(row) = rows.next()? {
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        let count = number(row.get(1)?);
        match row.get_ref(0)?.as_str() {
            Ok("pending") => counts.pending = count,
            Ok("dead") => counts.dead = count,
            _ => counts.damaged += count,
        }
        counts.bytes += number(row.get(2)?);
    }
    Ok(counts)
}

pub(super) fn retry(db: &Connection, pick: OutboxPick) -> Result<u64, Trouble> {
    let (which, value) = choose(pick);
    // A pending row that somebody has claimed is being tried anyway.
    let sql = format!(
        "UPDATE winddown_outbox SET state = 'pending', attempts = 0, failing_ms = 0, due_ms = 0, claim = NULL
         WHERE {which} AND (state <> 'pending' OR claim IS NULL)"
    );
    Ok(db.execute(&sql, [value])? as u64)
}

pub(super) fn purge(db: &Connection, pick: OutboxPick) -> Result<u64, Trouble> {
    let (which, value) = choose(pick);
    Ok(db.execute(&format!("DELETE FROM winddown_outbox WHERE {which}"), [value])? as u64)
}

fn choose(pick: OutboxPick) -> (String, Value) {
    match pick {
        OutboxPick::Id(id) => (format!("{ID} = ?1"), Value::Text(id.to_string())),
        OutboxPick::Row(row) => ("row = ?1".to_owned(), Value::Integer(row)),
        OutboxPick::Dead => ("state = ?1 AND state <> 'pending'".to_owned(), Value::Text(OutboxState::Dead.name().to_owned())),
        OutboxPick::Damaged => ("state = ?1 AND state <> 'pending'".to_owned(), Value::Text(OutboxState::Damaged.name().to_owned())),
    }
}

/// Ordered keys with a pending row: of these, or of all.
pub(super) fn ordered(db: &Connection, among: Option<&[OrderedKey]>) -> Result<Vec<OrderedKey>, Trouble> {
    const PENDING: &str = "FROM winddown_outbox INDEXED BY winddown_outbox_keys WHERE state = 'pending' AND ordered <> 0 AND key IS NOT NULL";
    let mut found = Vec::new();
    if let Some(keys) = among {
        let mut statement = db.prepare_cached(&format!("SELECT EXISTS (SELECT 1 {PENDING} AND topic = ?1 AND key = ?2)"))?;
        for (topic, key) in keys {
            if statement.query_row(params![topic, key], |row| row.get(0))? {
                found.push((topic.clone(), key.clone()));
            }
        }
        return Ok(found);
    }
    let mut statement = db.prepare_cached(&format!("SELECT DISTINCT topic, key {PENDING}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // What is no text is no key of a message; the claim will set it aside.
        if let (Ok(topic), Ok(key)) = (row.get_ref(0)?.as_str(), row.get_ref(1)?.as_str()) {
            found.push((topic.into(), key.into()));
        }
    }
    Ok(found)
}
