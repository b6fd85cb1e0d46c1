//! What became of claimed rows, written down.

use super::clerk::Desk;
use super::fault::Trouble;
use crate::messaging::outbox::{OutboxOutcome, OutboxSettled, OutboxState};
use rusqlite::params;
use std::time::Duration;

pub(super) fn settle(desk: &mut Desk<'_>, settled: &[OutboxSettled]) -> Result<(), Trouble> {
    let now = desk.now;
    let millis = |span: &Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let due = |after: &Duration| if after.is_zero() { 0 } else { now.saturating_add(millis(after)) };
    // What was acknowledged goes, whoever has claimed it meanwhile. All else counts only for who has it.
    let mut sent = desk.db.prepare_cached("DELETE FROM winddown_outbox WHERE row = ?1")?;
    let mut waits =
        desk.db.prepare_cached("UPDATE winddown_outbox SET claim = NULL, due_ms = ?3, error = coalesce(?4, error) WHERE row = ?1 AND claim = ?2")?;
    let mut counts = desk.db.prepare_cached(
        "UPDATE winddown_outbox SET claim = NULL, due_ms = ?3, error = ?4, attempts = attempts + 1, failing_ms = ?5
         WHERE row = ?1 AND claim = ?2",
    )?;
    let mut dies = desk.db.prepare_cached(
        "UPDATE winddown_outbox SET claim = NULL, due_ms = 0, error = ?3, attempts = attempts + 1, state = ?4
         WHERE row = ?1 AND claim = ?2",
    )?;
    for OutboxSettled { row, claim, outcome } in settled {
        match outcome {
            OutboxOutcome::Sent => sent.execute(params![row])?,
            OutboxOutcome::Failed { error, after } => waits.execute(params![row, claim, due(after), Some(error)])?,
            OutboxOutcome::Released { after } => waits.execute(params![row, claim, due(after), None::<&str>])?,
            OutboxOutcome::Counted { error, after, failing } => counts.execute(params![row, claim, due(after), error, millis(failing)])?,
            OutboxOutcome::Dead { error } => dies.execute(params![row, claim, error, OutboxState::Dead.name()])?,
        };
    }
    Ok(())
}
