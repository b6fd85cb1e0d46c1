//! The outbox in an SQLite file: its own, or one that it shares with the user's tables.
//!
//! One connection on a thread of its own ([`clerk`]); the tables ([`schema`]), a row ([`record`]), and what is done with rows ([`claim`],
//! [`settle`], [`look`]). WAL mode; what was put is synced before it is answered. Other processes, and other connections of this one, may
//! use the file at the same time: SQLite's locks, waited for at most five seconds, keep them apart.

mod claim;
mod clerk;
mod fault;
mod look;
mod record;
mod schema;
mod settle;

use super::store::{OrderedKey, OutboxBounds, OutboxClaim, OutboxClaimed, OutboxSettled, OutboxStore};
use super::{OutboxCounts, OutboxEntry, OutboxError, OutboxErrorKind, OutboxFilter, OutboxPick};
use crate::messaging::Message;
use async_trait::async_trait;
use clerk::{Clerk, Clock, Needs};
use fault::Trouble;
use rusqlite::{Connection, MAIN_DB, OpenFlags};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use record::insert;
pub use schema::create_table;

/// For so long another connection's write lock is waited for: longer than any transaction should be open, shorter than a usual grace period.
const BUSY: Duration = Duration::from_secs(5);

/// An outbox's rows in an SQLite file. What [`Outbox::sqlite`](super::Outbox::sqlite) opens; of use by itself where the store is wrapped.
#[derive(Debug)]
pub struct SqliteOutbox {
    clerk: Clerk,
    place: Arc<str>,
}

impl SqliteOutbox {
    /// Opens the file, and makes file and tables if they are not there.
    ///
    /// Reads the file, and may wait for locks, on the calling thread; later work is done on a thread of its own.
    ///
    /// # Errors
    /// See [`Outbox::sqlite`](super::Outbox::sqlite).
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteOutbox, OutboxError> {
        SqliteOutbox::open_with_keys(path.as_ref()).map(|(store, _)| store)
    }

    pub(super) fn open_with_keys(path: &Path) -> Result<(SqliteOutbox, Vec<OrderedKey>), OutboxError> {
        SqliteOutbox::open_by(path, Arc::new(SystemTime::now), |_| Ok(()))
    }

    /// With a clock and with settings of the connection that tests need.
    pub(super) fn open_by(
        path: &Path,
        clock: Clock,
        set_up: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(SqliteOutbox, Vec<OrderedKey>), OutboxError> {
        let place: Arc<str> = path.to_string_lossy().into();
        let opened = suitable(path).and_then(|()| {
            let db = connect(path)?;
            set_up(&db)?;
            let keys = look::ordered(&db, None)?;
            Ok((db, keys))
        });
        let (db, keys) = opened.map_err(|trouble: Trouble| trouble.at(&place))?;
        let clerk = Clerk::hire(db, place.clone(), clock)?;
        Ok((SqliteOutbox { clerk, place }, keys))
    }
}

/// What SQLite would tell less clearly.
fn suitable(path: &Path) -> Result<(), Trouble> {
    let ours = |kind, text: String| Err(Trouble::ours(kind, text));
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return ours(OutboxErrorKind::NotFound, "an outbox is a file that outlives the process: give it a path".to_owned());
    }
    if path.is_dir() {
        return ours(OutboxErrorKind::NotADatabase, "it is a directory: give it the path of a file".to_owned());
    }
    // SQLite would take a file of one byte for an empty one. Asked by name: opening and closing it here would end the locks that other
    // connections of this process have on it.
    if std::fs::metadata(path).is_ok_and(|file| (1..512).contains(&file.len())) {
        return ours(
            OutboxErrorKind::NotADatabase,
            "the file is too short for an SQLite database and was left as it is: use another path".to_owned(),
        );
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            ours(OutboxErrorKind::NotFound, format!("the directory {} is not there: create it", parent.display()))
        }
        _ => Ok(()),
    }
}

/// Looks before it writes: a file that is not for us stays as it is.
fn connect(path: &Path) -> Result<Connection, Trouble> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    db.set_prepared_statement_cache_capacity(64);
    schema::version(&db)?;
    if db.is_readonly(MAIN_DB)? {
        let text = "the file may only be read: give this user the right to write it and its directory, or use another file";
        return Err(Trouble::ours(OutboxErrorKind::ReadOnly, text));
    }
    // Where the file system has no shared memory another mode stays: slower, and durable all the same.
    let _mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    schema::make(&db)?;
    Ok(db)
}

#[async_trait]
impl OutboxStore for SqliteOutbox {
    fn place(&self) -> Arc<str> {
        self.place.clone()
    }

    async fn put(&self, messages: &[Message], bounds: OutboxBounds) -> Result<(), OutboxError> {
        let messages = messages.to_vec();
        self.clerk
            .ask(Needs::Durable, move |desk| {
                if let Err(refused) = bounds.check(desk.place, look::counts(desk.db)?, &messages) {
                    return Ok(Err(refused));
                }
                for message in &messages {
                    record::write(desk.db, message, Some(desk.now))?;
                }
                Ok(Ok(()))
            })
            .await?
    }

    async fn claim(&self, claim: OutboxClaim) -> Result<OutboxClaimed, OutboxError> {
        // Looking needs no lock that others wait for, and most looks find nothing.
        let first = claim.clone();
        let found = self.clerk.ask(Needs::Read, move |desk| claim::peek(desk, &first)).await?;
        if found.rows.is_empty() {
            return Ok(OutboxClaimed { rows: Vec::new(), next: found.next, damaged: 0 });
        }
        self.clerk.ask(Needs::Write, move |desk| claim::take(desk, &claim)).await
    }

    async fn settle(&self, settled: &[OutboxSettled]) -> Result<(), OutboxError> {
        let settled = settled.to_vec();
        self.clerk.ask(Needs::Write, move |desk| settle::settle(desk, &settled)).await
    }

    async fn ordered(&self, among: Option<Vec<OrderedKey>>) -> Result<Vec<OrderedKey>, OutboxError> {
        self.clerk.ask(Needs::Read, move |desk| look::ordered(desk.db, among.as_deref())).await
    }

    async fn changed(&self) -> Result<bool, OutboxError> {
        self.clerk
            .ask(Needs::Read, |desk| {
                let version = desk.db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
                Ok(desk.memory.version.replace(version) != Some(version))
            })
            .await
    }

    async fn list(&self, filter: OutboxFilter) -> Result<Vec<OutboxEntry>, OutboxError> {
        self.clerk.ask(Needs::Read, move |desk| look::list(desk, filter)).await
    }

    async fn retry(&self, pick: OutboxPick) -> Result<u64, OutboxError> {
        self.clerk.ask(Needs::Durable, move |desk| look::retry(desk.db, pick)).await
    }

    async fn purge(&self, pick: OutboxPick) -> Result<u64, OutboxError> {
        self.clerk.ask(Needs::Durable, move |desk| look::purge(desk.db, pick)).await
    }

    async fn counts(&self) -> Result<OutboxCounts, OutboxError> {
        self.clerk.ask(Needs::Read, |desk| look::counts(desk.db)).await
    }

    async fn close(&self) -> Result<(), OutboxError> {
        self.clerk.close().await
    }
}
