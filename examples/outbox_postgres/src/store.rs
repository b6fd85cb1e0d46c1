//! The store: a pool of connections, and the trait's methods as statements.

use crate::{claim, fault, record};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Row as _, query};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;
use tokio::time::Instant;
use winddown::async_trait;
use winddown::messaging::{
    Message, OrderedKey, OutboxBounds, OutboxClaim, OutboxClaimed, OutboxCounts, OutboxEntry, OutboxError, OutboxFilter, OutboxOutcome, OutboxPick,
    OutboxSettled, OutboxState, OutboxStore,
};

/// Counting reads the whole table, so a put believes a count of this age. What other processes put meanwhile may go beyond the bounds.
const COUNTED: Duration = Duration::from_secs(1);

/// An outbox's rows in Postgres. Give it to [`Outbox::with_store`](winddown::messaging::Outbox::with_store).
///
/// The pool may be the service's own; [`close`](OutboxStore::close) closes it. `synchronous_commit` must be as it is by default, `on`, for what was put to be
/// durable.
#[derive(Debug)]
pub struct PostgresOutbox {
    pool: PgPool,
    place: Arc<str>,
    counted: Mutex<Option<(Instant, OutboxCounts)>>,
}

impl PostgresOutbox {
    /// On this pool. The tables must be there: by your migrations, from `src/schema.sql`, or by [`create_tables`](PostgresOutbox::create_tables).
    pub fn new(pool: PgPool) -> PostgresOutbox {
        let options = pool.connect_options();
        let place = format!("postgres {}/{}", options.get_host(), options.get_database().unwrap_or_else(|| options.get_username()));
        PostgresOutbox { pool, place: place.into(), counted: Mutex::new(None) }
    }

    /// Makes the tables where they are missing.
    ///
    /// # Errors
    /// The role may not, or there is no connection.
    pub async fn create_tables(&self) -> Result<(), OutboxError> {
        let made = async {
            let mut tx = self.pool.begin().await?;
            record::create(&mut tx).await?;
            tx.commit().await
        };
        made.await.map_err(|error| self.error(error))
    }

    fn error(&self, error: sqlx::Error) -> OutboxError {
        fault::error(&self.place, error)
    }

    async fn count(&self) -> sqlx::Result<OutboxCounts> {
        let size = "octet_length(topic) + coalesce(octet_length(tag), 0) + coalesce(octet_length(key), 0) \
                    + coalesce(octet_length(properties::text), 0) + octet_length(body)";
        let rows = query(&format!("SELECT state, count(*) AS rows, coalesce(sum({size}), 0)::bigint AS bytes FROM winddown_outbox GROUP BY state"))
            .fetch_all(&self.pool)
            .await?;
        let mut counts = OutboxCounts::default();
        for row in rows {
            let count = row.try_get::<i64, _>("rows")? as u64;
            *match row.try_get::<&str, _>("state")? {
                "pending" => &mut counts.pending,
                "dead" => &mut counts.dead,
                _ => &mut counts.damaged,
            } += count;
            counts.bytes += row.try_get::<i64, _>("bytes")? as u64;
        }
        Ok(counts)
    }

    async fn insert_all(&self, messages: &[Message]) -> sqlx::Result<()> {
        let mut tx = self.pool.begin().await?;
        for message in messages {
            record::insert(&mut tx, message).await?;
        }
        tx.commit().await
    }

    async fn settle_all(&self, settled: &[OutboxSettled]) -> sqlx::Result<()> {
        let mut tx = self.pool.begin().await?;
        let sent: Vec<i64> = settled.iter().filter(|row| row.outcome == OutboxOutcome::Sent).map(|row| row.row).collect();
        query("DELETE FROM winddown_outbox WHERE seq = ANY ($1)").bind(sent).execute(&mut *tx).await?;
        for row in settled {
            settle(&mut tx, row).await?;
        }
        tx.commit().await
    }
}

/// What is not sent counts only for who has claimed it.
async fn settle(db: &mut PgConnection, OutboxSettled { row, claim, outcome }: &OutboxSettled) -> sqlx::Result<()> {
    const DUE: &str = "claim = NULL, due = now() + $3 * interval '1 millisecond'";
    let (changes, after, error, failing) = match outcome {
        OutboxOutcome::Sent => return Ok(()),
        OutboxOutcome::Released { after } => (DUE.to_owned(), *after, None, None),
        OutboxOutcome::Failed { error, after } => (format!("{DUE}, error = $4"), *after, Some(error), None),
        OutboxOutcome::Counted { error, after, failing } => {
            (format!("{DUE}, error = $4, attempts = attempts + 1, failing_ms = $5"), *after, Some(error), Some(*failing))
        }
        OutboxOutcome::Dead { error } => (format!("{DUE}, error = $4, attempts = attempts + 1, state = 'dead'"), Duration::ZERO, Some(error), None),
    };
    // Every statement has all five parameters, whether or not it looks at them.
    let sql =
        format!("UPDATE winddown_outbox SET {changes} WHERE seq = $1 AND claim = $2 AND ($4::text IS NULL OR true) AND ($5::bigint IS NULL OR true)");
    query(&sql).bind(row).bind(claim).bind(record::millis(after) as f64).bind(error).bind(failing.map(record::millis)).execute(db).await?;
    Ok(())
}

fn entry(row: &PgRow) -> sqlx::Result<OutboxEntry> {
    let state = match row.try_get::<&str, _>("state")? {
        "pending" => OutboxState::Pending,
        "dead" => OutboxState::Dead,
        _ => OutboxState::Damaged,
    };
    let message = record::read(row)?;
    let why = message.as_ref().err().cloned();
    let mut entry = OutboxEntry::new(row.try_get("seq")?, state, row.try_get::<String, _>("topic")?, message.ok());
    entry.attempts = u32::try_from(row.try_get::<i32, _>("attempts")?).unwrap_or(0);
    entry.error = row.try_get::<Option<String>, _>("error")?.or(why);
    let created = u64::try_from(row.try_get::<i64, _>("created_ms")?).unwrap_or(0);
    entry.created = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(created));
    entry.claimed = row.try_get("claimed")?;
    Ok(entry)
}

/// The rows that are meant, with `$1` an id, `$2` a row, of which one is there or none.
fn which(pick: OutboxPick) -> Option<(&'static str, Option<sqlx::types::Uuid>, Option<i64>)> {
    Some(match pick {
        OutboxPick::Id(id) => ("id = $1 AND $2::bigint IS NULL", Some(record::uuid(id)), None),
        OutboxPick::Row(row) => ("seq = $2 AND $1::uuid IS NULL", None, Some(row)),
        OutboxPick::Dead => ("state = 'dead' AND $1::uuid IS NULL AND $2::bigint IS NULL", None, None),
        OutboxPick::Damaged => ("state = 'damaged' AND $1::uuid IS NULL AND $2::bigint IS NULL", None, None),
        _ => return None, // A way of picking that is newer than this.
    })
}

#[async_trait]
impl OutboxStore for PostgresOutbox {
    fn place(&self) -> Arc<str> {
        self.place.clone()
    }

    async fn put(&self, messages: &[Message], bounds: OutboxBounds) -> Result<(), OutboxError> {
        let mut counted = self.counted.lock().await;
        let (at, held) = match *counted {
            Some((at, held)) if at.elapsed() < COUNTED => (at, held),
            _ => (Instant::now(), self.count().await.map_err(|error| self.error(error))?),
        };
        if let Err(refused) = bounds.check(&self.place, held, messages) {
            *counted = None; // Perhaps there is room already.
            return Err(refused);
        }
        let bytes = messages.iter().map(|message| message.size() as u64).sum::<u64>();
        *counted = Some((at, OutboxCounts { pending: held.pending + messages.len() as u64, bytes: held.bytes + bytes, ..held }));
        drop(counted);
        self.insert_all(messages).await.map_err(|error| self.error(error))
    }

    async fn claim(&self, claim: OutboxClaim) -> Result<OutboxClaimed, OutboxError> {
        claim::claim(&self.pool, claim).await.map_err(|error| self.error(error))
    }

    async fn settle(&self, settled: &[OutboxSettled]) -> Result<(), OutboxError> {
        self.settle_all(settled).await.map_err(|error| self.error(error))
    }

    async fn ordered(&self, among: Option<Vec<OrderedKey>>) -> Result<Vec<OrderedKey>, OutboxError> {
        let asked = match among {
            None => query("SELECT DISTINCT topic, key FROM winddown_outbox WHERE state = 'pending' AND ordered").fetch_all(&self.pool).await,
            Some(keys) => {
                let (topics, keys): (Vec<String>, Vec<String>) = keys.iter().map(|(topic, key)| (topic.to_string(), key.to_string())).unzip();
                let sql = "SELECT topic, key FROM unnest($1::text[], $2::text[]) AS asked (topic, key) WHERE EXISTS (
                               SELECT 1 FROM winddown_outbox o WHERE o.state = 'pending' AND o.ordered AND o.topic = asked.topic AND o.key = asked.key)";
                query(sql).bind(topics).bind(keys).fetch_all(&self.pool).await
            }
        };
        let rows = asked.map_err(|error| self.error(error))?;
        Ok(rows.iter().map(|row| (row.get::<&str, _>("topic").into(), row.get::<&str, _>("key").into())).collect())
    }

    async fn list(&self, filter: OutboxFilter) -> Result<Vec<OutboxEntry>, OutboxError> {
        let sql = "SELECT *, claim IS NOT NULL AND due > now() AS claimed, (extract(epoch FROM created) * 1000)::bigint AS created_ms
                   FROM winddown_outbox WHERE seq > $1 AND ($2::text IS NULL OR state = $2) ORDER BY seq LIMIT $3";
        let rows = query(sql)
            .bind(filter.after_row())
            .bind(filter.state().map(OutboxState::name))
            .bind(i64::try_from(filter.limit_rows()).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await;
        let entries = rows.and_then(|rows| rows.iter().map(entry).collect());
        entries.map_err(|error| self.error(error))
    }

    async fn retry(&self, pick: OutboxPick) -> Result<u64, OutboxError> {
        let Some((rows, id, row)) = which(pick) else { return Ok(0) };
        let sql = format!(
            "UPDATE winddown_outbox SET state = 'pending', attempts = 0, failing_ms = 0, due = '-infinity', claim = NULL
             WHERE {rows} AND (state <> 'pending' OR claim IS NULL)"
        );
        let done = query(&sql).bind(id).bind(row).execute(&self.pool).await.map_err(|error| self.error(error))?;
        Ok(done.rows_affected())
    }

    async fn purge(&self, pick: OutboxPick) -> Result<u64, OutboxError> {
        let Some((rows, id, row)) = which(pick) else { return Ok(0) };
        let sql = format!("DELETE FROM winddown_outbox WHERE {rows}");
        let done = query(&sql).bind(id).bind(row).execute(&self.pool).await.map_err(|error| self.error(error))?;
        *self.counted.lock().await = None;
        Ok(done.rows_affected())
    }

    async fn counts(&self) -> Result<OutboxCounts, OutboxError> {
        self.count().await.map_err(|error| self.error(error))
    }

    async fn close(&self) -> Result<(), OutboxError> {
        self.pool.close().await;
        Ok(())
    }
}
