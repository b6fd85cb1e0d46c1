//! Which rows are due, and whose they are for a while.
//!
//! One statement picks and marks. `FOR UPDATE SKIP LOCKED` lets any number of claimers pick side by side: what another has picked is passed over
//! while it is locked, and once that is committed Postgres looks at the row again and finds it not due. Of an ordered key only the oldest
//! pending row may be picked; a row behind it is not, since the statement sees the older one as pending whether or not it is being sent.

use crate::record;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Row as _, query, query_scalar};
use std::time::Duration;
use winddown::messaging::{MessageId, OutboxClaim, OutboxClaimed, OutboxRow};

const PICK: &str = "
WITH picked AS MATERIALIZED (
    SELECT o.seq FROM winddown_outbox o
    WHERE o.state = 'pending'
      AND (o.due <= now() OR o.due > now() + $2 * interval '1 millisecond')
      AND o.topic <> ALL ($3)
      AND (NOT o.ordered OR NOT EXISTS (
          SELECT 1 FROM winddown_outbox b
          WHERE b.state = 'pending' AND b.ordered AND b.topic = o.topic AND b.key = o.key AND b.seq < o.seq))
    ORDER BY o.seq LIMIT $1
    FOR UPDATE OF o SKIP LOCKED)
UPDATE winddown_outbox w SET claim = $4, due = now() + $5 * interval '1 millisecond'
FROM picked WHERE w.seq = picked.seq
RETURNING w.seq, w.id, w.topic, w.tag, w.key, w.ordered, w.properties, w.delay_ms, w.body, w.attempts, w.failing_ms";

/// When the next row becomes due, in milliseconds: rows that wait behind another of their key are not looked at.
const NEXT: &str = "
SELECT ceil(extract(epoch FROM min(o.due) - clock_timestamp()) * 1000)::bigint FROM winddown_outbox o
WHERE o.state = 'pending' AND o.due > now()
  AND (NOT o.ordered OR NOT EXISTS (
      SELECT 1 FROM winddown_outbox b
      WHERE b.state = 'pending' AND b.ordered AND b.topic = o.topic AND b.key = o.key AND b.seq < o.seq))";

pub(crate) async fn claim(pool: &PgPool, claim: OutboxClaim) -> sqlx::Result<OutboxClaimed> {
    let limit = i64::try_from(claim.rows).unwrap_or(i64::MAX);
    // Any number will do that no other claim has: half of a new message's id.
    let number = (MessageId::new().as_u128() as i64) & i64::MAX;
    let skip: Vec<String> = claim.skip.iter().map(|topic| topic.to_string()).collect();
    let mut rows = query(PICK)
        .bind(limit)
        .bind(record::millis(claim.horizon) as f64)
        .bind(skip)
        .bind(number)
        .bind(record::millis(claim.lease) as f64)
        .fetch_all(pool)
        .await?;
    rows.sort_by_key(|row| row.get::<i64, _>("seq"));
    let mut claimed = OutboxClaimed::default();
    for row in &rows {
        match read(row, number)? {
            Ok(row) => claimed.rows.push(row),
            Err(why) => {
                set_aside(pool, row.try_get("seq")?, &why).await?;
                claimed.damaged += 1;
            }
        }
    }
    claimed.next = if rows.len() as i64 == limit { Some(Duration::ZERO) } else { next(pool).await? };
    Ok(claimed)
}

fn read(row: &PgRow, claim: i64) -> sqlx::Result<Result<OutboxRow, String>> {
    let attempts = u32::try_from(row.try_get::<i32, _>("attempts")?).unwrap_or(0);
    let failing = Duration::from_millis(u64::try_from(row.try_get::<i64, _>("failing_ms")?).unwrap_or(0));
    let number = row.try_get("seq")?;
    Ok(record::read(row)?.map(|message| OutboxRow { row: number, claim, message, attempts, failing }))
}

async fn set_aside(pool: &PgPool, row: i64, why: &str) -> sqlx::Result<()> {
    query("UPDATE winddown_outbox SET state = 'damaged', claim = NULL, due = '-infinity', error = $2 WHERE seq = $1")
        .bind(row)
        .bind(why)
        .execute(pool)
        .await?;
    Ok(())
}

async fn next(pool: &PgPool) -> sqlx::Result<Option<Duration>> {
    let wait: Option<i64> = query_scalar(NEXT).fetch_one(pool).await?;
    Ok(wait.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
}
