//! Looking into the file from outside, without writing.

use super::super::{BrokerError, Message};
use super::clock::{Clock, MachineClock};
use super::fault::failed;
use super::file;
use super::schema::{BEHIND, LEASED};
use super::store::{COLUMNS, SqliteCounts, count, decode, group_names, topic_names};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A snapshot of a broker's file, opened for reading only: what it shows is how things stood when it was made.
///
/// It disturbs nobody; but while it lives, the file's log cannot begin anew and grows, so keep it no longer than you read. It reads on the
/// calling thread. A file whose broker was closed needs a directory that may be written, since SQLite makes its `-shm` there.
pub struct SqliteInspection {
    conn: Connection,
    path: PathBuf,
    lease_now: i64,
}

/// A message in the file, and where each group of its topic stands with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredMessage {
    /// Its number, as in [`SendReceipt::broker_id`](super::super::SendReceipt::broker_id).
    pub number: u64,
    /// When it was stored, by the wall clock.
    pub stored_at: SystemTime,
    /// The message.
    pub message: Message,
    /// Each group, by name.
    pub groups: Vec<(Arc<str>, GroupState)>,
}

/// What a group has to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupState {
    /// It has not come to it yet.
    Ahead,
    /// It waits to be delivered: given back, put off, delayed, or its lease is over.
    Waiting {
        /// So often it was tried.
        attempts: u32,
    },
    /// Somebody has it.
    InFlight {
        /// The how-manieth try this is.
        attempt: u32,
    },
    /// It waits until an earlier message of its key is settled.
    Behind,
    /// Handled, passed over, or from before the group's beginning.
    Settled,
}

impl SqliteInspection {
    pub(super) fn open(path: &Path) -> Result<SqliteInspection, BrokerError> {
        let (path, conn) = file::open_read_only(path)?;
        // The first look fixes what all others see.
        let begun = conn.execute_batch("BEGIN").and_then(|()| conn.query_row("SELECT offset FROM broker_clock", [], |row| row.get::<_, i64>(0)));
        let offset = begun.map_err(|error| failed(&path, &error))?;
        Ok(SqliteInspection { conn, path, lease_now: MachineClock::new().wall() + offset })
    }

    /// Counts of a topic and one of its groups, as [`SqliteBroker::counts`](super::SqliteBroker::counts).
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn counts(&self, topic: &str, group: &str) -> Result<SqliteCounts, BrokerError> {
        self.read(|conn| count(conn, topic, group, self.lease_now))
    }

    /// The topics, by name.
    ///
    /// # Errors
    /// As [`counts`](SqliteInspection::counts).
    pub fn topics(&self) -> Result<Vec<String>, BrokerError> {
        self.read(topic_names)
    }

    /// The groups of a topic, by name.
    ///
    /// # Errors
    /// As [`counts`](SqliteInspection::counts).
    pub fn groups(&self, topic: &str) -> Result<Vec<String>, BrokerError> {
        self.read(|conn| group_names(conn, topic))
    }

    /// All messages of a topic, oldest first, a few at a time in memory.
    ///
    /// # Errors
    /// The topic's groups cannot be read. An item is an error where a message cannot be; it is the last then.
    pub fn messages(&self, topic: &str) -> Result<StoredMessages<'_>, BrokerError> {
        let find = "SELECT topic FROM broker_topics WHERE name = ?1";
        let number = self.read(|conn| conn.query_row(find, [topic], |row| row.get(0)).optional())?;
        let groups = match number {
            Some(topic) => self.read(|conn| groups(conn, topic))?,
            None => Vec::new(),
        };
        let (topic, done) = (topic.into(), number.is_none());
        Ok(StoredMessages { of: self, topic, number: number.unwrap_or(0), groups, read: VecDeque::new(), last: 0, done })
    }

    /// A group's dead letters, oldest first.
    ///
    /// # Errors
    /// As [`messages`](SqliteInspection::messages).
    pub fn dead_letters(&self, group: &str) -> Result<StoredMessages<'_>, BrokerError> {
        self.messages(&format!("{group}.dead"))
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, BrokerError> {
        read(&self.conn).map_err(|error| failed(&self.path, &error))
    }
}

impl std::fmt::Debug for SqliteInspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteInspection").field("path", &self.path).finish_non_exhaustive()
    }
}

struct Group {
    number: i64,
    name: Arc<str>,
    cursor: i64,
}

fn groups(conn: &Connection, topic: i64) -> rusqlite::Result<Vec<Group>> {
    let mut find = conn.prepare_cached("SELECT grp, name, cursor FROM broker_groups WHERE topic = ?1 ORDER BY name")?;
    let rows = find.query_map([topic], |row| Ok(Group { number: row.get(0)?, name: row.get::<_, String>(1)?.into(), cursor: row.get(2)? }))?;
    rows.collect()
}

/// The messages of a topic; see [`SqliteInspection::messages`].
pub struct StoredMessages<'a> {
    of: &'a SqliteInspection,
    topic: Arc<str>,
    number: i64,
    groups: Vec<Group>,
    read: VecDeque<StoredMessage>,
    last: i64,
    done: bool,
}

/// So many messages are read at a time.
const PAGE: i64 = 100;

impl Iterator for StoredMessages<'_> {
    type Item = Result<StoredMessage, BrokerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() && !self.done {
            match self.of.read(|conn| self.page(conn)) {
                Ok(page) => {
                    self.done = page.len() < PAGE as usize;
                    self.last = page.back().map_or(self.last, |stored| stored.number as i64);
                    self.read = page;
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        self.read.pop_front().map(Ok)
    }
}

impl StoredMessages<'_> {
    fn page(&self, conn: &Connection) -> rusqlite::Result<VecDeque<StoredMessage>> {
        let find = format!("SELECT {COLUMNS}, m.sent FROM broker_messages m WHERE m.topic = ?1 AND m.seq > ?2 ORDER BY m.seq LIMIT ?3");
        let mut find = conn.prepare_cached(&find)?;
        let mut rows = find.query([self.number, self.last, PAGE])?;
        let mut page = VecDeque::new();
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get("seq")?;
            let groups = self.groups.iter().map(|group| Ok((group.name.clone(), self.state(conn, group, seq)?)));
            page.push_back(StoredMessage {
                number: seq.unsigned_abs(),
                stored_at: UNIX_EPOCH + Duration::from_millis(row.get::<_, i64>("sent")?.unsigned_abs()),
                message: decode(&self.topic, row)?,
                groups: groups.collect::<rusqlite::Result<_>>()?,
            });
        }
        Ok(page)
    }

    fn state(&self, conn: &Connection, group: &Group, seq: i64) -> rusqlite::Result<GroupState> {
        if seq > group.cursor {
            return Ok(GroupState::Ahead);
        }
        let find = "SELECT state, due, attempt FROM broker_deliveries WHERE seq = ?1 AND grp = ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, u32>(2)?));
        let row = conn.prepare_cached(find)?.query_row(params![seq, group.number], read).optional()?;
        Ok(match row {
            None => GroupState::Settled,
            Some((LEASED, due, attempt)) if due > self.of.lease_now => GroupState::InFlight { attempt },
            Some((BEHIND, ..)) => GroupState::Behind,
            Some((_, _, attempts)) => GroupState::Waiting { attempts },
        })
    }
}
