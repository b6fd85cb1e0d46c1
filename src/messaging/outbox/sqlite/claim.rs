//! Which rows are due, and whose they are for a while.
//!
//! Rows without order are looked through oldest first. Of ordered keys only the oldest pending row counts; the keys are looked through in turn,
//! going on where the last claim stopped, so that none is always last.

use super::clerk::{Desk, Memory};
use super::fault::Trouble;
use super::record;
use crate::messaging::outbox::{OutboxClaim, OutboxClaimed, OutboxRow, OutboxState};
use crate::messaging::random::Random;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::sync::Arc;
use std::time::Duration;

/// What a look found: rows to claim, and when the next becomes due.
#[derive(Default)]
pub(super) struct Found {
    pub(super) rows: Vec<i64>,
    pub(super) next: Option<Duration>,
}

impl Found {
    fn later(&mut self, wait: Duration) {
        self.next = Some(self.next.map_or(wait, |next| next.min(wait)));
    }
}

/// When is a row due that says it is due then? `None`: now. Times that no writer could mean are a jump of the clock, or somebody's mistake.
fn wait(due: &Value, now: i64, claim: &OutboxClaim) -> Option<Duration> {
    let Value::Integer(due) = *due else { return None };
    let wait = Duration::from_millis(u64::try_from(due.saturating_sub(now)).ok().filter(|wait| *wait > 0)?);
    (wait <= claim.horizon).then_some(wait)
}

fn skipped(topic: &Value, skip: &[Arc<str>]) -> bool {
    matches!(topic, Value::Text(topic) if skip.iter().any(|skipped| **skipped == **topic))
}

/// Looks, and changes nothing. Either kind of rows has half of the room, and what the other leaves.
pub(super) fn find(db: &Connection, memory: &mut Memory, now: i64, claim: &OutboxClaim) -> Result<Found, Trouble> {
    let mut found = Found::default();
    let free = free(db, now, claim, &mut found)?;
    // A probe is one row: of one kind, then of the other.
    memory.turn = !memory.turn;
    let half = if claim.rows > 1 { claim.rows.div_ceil(2) } else { usize::from(memory.turn) };
    keys(db, memory, now, claim, claim.rows - half.min(free.len()), &mut found)?;
    let room = claim.rows.saturating_sub(found.rows.len());
    if room < free.len() {
        found.later(Duration::ZERO);
    }
    found.rows.extend(free.into_iter().take(room));
    Ok(found)
}

fn free(db: &Connection, now: i64, claim: &OutboxClaim, found: &mut Found) -> Result<Vec<i64>, Trouble> {
    let mut statement = db.prepare_cached(
        "SELECT row, due_ms, topic FROM winddown_outbox INDEXED BY winddown_outbox_free
         WHERE state = 'pending' AND (ordered = 0 OR key IS NULL) ORDER BY row",
    )?;
    let mut rows = statement.query([])?;
    let mut free = Vec::new();
    while let Some(row) = rows.next()? {
        if free.len() >= claim.rows {
            found.later(Duration::ZERO);
            break;
        }
        match wait(&row.get(1)?, now, claim) {
            Some(wait) => found.later(wait),
            None if !claim.skip.is_empty() && skipped(&row.get(2)?, &claim.skip) => {}
            None => free.push(row.get(0)?),
        }
    }
    Ok(free)
}

fn keys(db: &Connection, memory: &mut Memory, now: i64, claim: &OutboxClaim, limit: usize, found: &mut Found) -> Result<(), Trouble> {
    const HEADS: &str = "SELECT topic, key, row, due_ms FROM winddown_outbox INDEXED BY winddown_outbox_keys
         WHERE state = 'pending' AND ordered <> 0 AND key IS NOT NULL";
    type Head = (Value, Value, i64, Value);
    let head = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Head> { Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)) };
    let first = format!("{HEADS} ORDER BY topic, key, row LIMIT 1");
    let next = format!("{HEADS} AND (topic, key) > (?1, ?2) ORDER BY topic, key, row LIMIT 1");
    let first_again = format!("{HEADS} AND (topic, key) <= (?1, ?2) ORDER BY topic, key, row LIMIT 1");
    let next_again = format!("{HEADS} AND (topic, key) > (?1, ?2) AND (topic, key) <= (?3, ?4) ORDER BY topic, key, row LIMIT 1");
    // Once around: from behind the key that was looked at last, which may have gone since, to the end; then from the beginning up to it.
    let (start, mut at) = (memory.cursor.clone(), memory.cursor.clone());
    let mut again = false;
    loop {
        let here = match (&at, again.then_some(start.as_ref()).flatten()) {
            (None, None) => db.prepare_cached(&first)?.query_row([], head),
            (Some((topic, key)), None) => db.prepare_cached(&next)?.query_row(params![topic, key], head),
            (None, Some((last, its_key))) => db.prepare_cached(&first_again)?.query_row(params![last, its_key], head),
            (Some((topic, key)), Some((last, its_key))) => db.prepare_cached(&next_again)?.query_row(params![topic, key, last, its_key], head),
        };
        let Some((topic, key, row, due)) = here.optional()? else {
            if again || start.is_none() {
                return Ok(());
            }
            (again, at) = (true, None);
            continue;
        };
        if found.rows.len() >= limit {
            found.later(Duration::ZERO);
            return Ok(());
        }
        let here = (topic, key);
        match wait(&due, now, claim) {
            Some(wait) => found.later(wait),
            None if skipped(&here.0, &claim.skip) => {}
            None => {
                found.rows.push(row);
                behind(db, &here, row, now, claim, limit, found)?;
                memory.cursor = Some(here.clone());
            }
        }
        at = Some(here);
    }
}

/// More rows of a key whose oldest is claimed: as many as follow it and are due.
fn behind(db: &Connection, key: &(Value, Value), head: i64, now: i64, claim: &OutboxClaim, limit: usize, found: &mut Found) -> Result<(), Trouble> {
    let room = limit.saturating_sub(found.rows.len()).min(claim.run.saturating_sub(1));
    if room == 0 {
        found.later(Duration::ZERO);
        return Ok(());
    }
    let mut statement = db.prepare_cached(
        "SELECT row, due_ms FROM winddown_outbox INDEXED BY winddown_outbox_keys
         WHERE state = 'pending' AND ordered <> 0 AND key IS NOT NULL AND topic = ?1 AND key = ?2 AND row > ?3 ORDER BY row LIMIT ?4",
    )?;
    let mut rows = statement.query(params![key.0, key.1, head, (room + 1) as i64])?;
    let mut taken = 0;
    while let Some(row) = rows.next()? {
        if taken == room || wait(&row.get(1)?, now, claim).is_some() {
            // What is left of the key is looked at when this much of it is settled.
            break;
        }
        found.rows.push(row.get(0)?);
        taken += 1;
    }
    Ok(())
}

/// Is there anything? Where the next claim begins stays as it is.
pub(super) fn peek(desk: &mut Desk<'_>, claim: &OutboxClaim) -> Result<Found, Trouble> {
    let mut memory = Memory { cursor: desk.memory.cursor.clone(), ..*desk.memory };
    find(desk.db, &mut memory, desk.now, claim)
}

/// Claims what is due; sets aside what is no message.
pub(super) fn take(desk: &mut Desk<'_>, claim: &OutboxClaim) -> Result<OutboxClaimed, Trouble> {
    let found = find(desk.db, desk.memory, desk.now, claim)?;
    // Another number than any other claim's, in whatever process, with all the likelihood there is.
    let number = (Random::fresh().next() >> 1) as i64;
    let until = desk.now.saturating_add(i64::try_from(claim.lease.as_millis()).unwrap_or(i64::MAX));
    let mut claimed = OutboxClaimed { rows: Vec::with_capacity(found.rows.len()), next: found.next, damaged: 0 };
    let mut select = desk.db.prepare_cached(&format!("SELECT {}, attempts, failing_ms FROM winddown_outbox WHERE row = ?1", record::COLUMNS))?;
    let mut mark = desk.db.prepare_cached("UPDATE winddown_outbox SET claim = ?2, due_ms = ?3 WHERE row = ?1")?;
    let mut bytes = 0;
    for row in found.rows {
        if bytes >= claim.bytes {
            claimed.next = Some(Duration::ZERO);
            break;
        }
        let (message, attempts, failing) = select.query_row([row], |columns| {
            let attempts = columns.get::<_, Value>(8)?;
            Ok((record::read(columns)?, attempts, columns.get::<_, Value>(9)?))
        })?;
        match message {
            Ok(message) => {
                mark.execute(params![row, number, until])?;
                bytes += message.size();
                let attempts = if let Value::Integer(attempts) = attempts { u32::try_from(attempts.max(0)).unwrap_or(u32::MAX) } else { 0 };
                let failing = if let Value::Integer(ms) = failing { u64::try_from(ms).unwrap_or(0) } else { 0 };
                claimed.rows.push(OutboxRow { row, claim: number, message, attempts, failing: Duration::from_millis(failing) });
            }
            Err(why) => {
                set_aside(desk.db, row, &why)?;
                claimed.damaged += 1;
            }
        }
    }
    Ok(claimed)
}

fn set_aside(db: &Connection, row: i64, why: &str) -> Result<(), Trouble> {
    let mut statement = db.prepare_cached("UPDATE winddown_outbox SET state = ?2, claim = NULL, due_ms = 0, error = ?3 WHERE row = ?1")?;
    statement.execute(params![row, OutboxState::Damaged.name(), why])?;
    Ok(())
}
