//! What stands in the file.
//!
//! - A message is one row of `broker_messages`. `seq` rises for good: AUTOINCREMENT never gives a number twice, and there is one writer at a
//!   time, so whoever has read up to a number misses nothing below it.
//! - A group is a row of `broker_groups`. Its `cursor` is the last message that was looked at for it. What lies behind the cursor and has no
//!   row in `broker_deliveries` is settled for this group. So a send writes one row, however many groups there are, and a backlog costs nothing.
//! - A row of `broker_deliveries` is a message on its way in one group:
//!
//! | state | means | due |
//! |---|---|---|
//! | 0 waiting | given back, delayed, or up next | from this moment on, wall time; 0 for at once |
//! | 1 leased | delivered | the lease ends, lease time |
//! | 2 behind | waits until an earlier message of its key is settled | as 0, once it is up |
//!
//! `span` is how far in the future `due` may lie, `lease` counts the leases and makes the receipt, `holder` is the subscription that has it,
//! `okey` the key when messages of this key stay in order. Invariant: where a row is behind, another one of its key and group is not.

use rusqlite::Connection;

/// `WDSB` in ASCII: a file with this in its header is a broker's.
pub(super) const APPLICATION_ID: i32 = 0x5744_5342;

/// The schema below. A file with a higher number is refused.
pub(super) const VERSION: i32 = 1;

pub(super) const WAITING: i64 = 0;
pub(super) const LEASED: i64 = 1;
pub(super) const BEHIND: i64 = 2;

/// Each table, with the columns that this version reads.
const TABLES: [(&str, &str); 5] = [
    ("broker_clock", "one, offset"),
    ("broker_topics", "topic, name"),
    ("broker_groups", "grp, topic, name, cursor"),
    ("broker_messages", "seq, topic, id, tag, key, ordered, properties, sent, due, delay_ns, body"),
    ("broker_deliveries", "seq, grp, state, due, span, attempt, lease, holder, okey"),
];

const CREATE: &str = "
CREATE TABLE broker_clock (one INTEGER PRIMARY KEY CHECK (one = 1), offset INTEGER NOT NULL) STRICT;
INSERT INTO broker_clock VALUES (1, 0);
CREATE TABLE broker_topics (topic INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE broker_groups (
    grp INTEGER PRIMARY KEY, topic INTEGER NOT NULL, name TEXT NOT NULL, cursor INTEGER NOT NULL, UNIQUE (topic, name)
) STRICT;
CREATE TABLE broker_messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, id BLOB NOT NULL, tag TEXT, key TEXT, ordered INTEGER NOT NULL,
    properties TEXT, sent INTEGER NOT NULL, due INTEGER NOT NULL, delay_ns INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX broker_messages_topic ON broker_messages (topic);
CREATE TABLE broker_deliveries (
    seq INTEGER NOT NULL, grp INTEGER NOT NULL, state INTEGER NOT NULL, due INTEGER NOT NULL, span INTEGER NOT NULL,
    attempt INTEGER NOT NULL, lease INTEGER NOT NULL, holder INTEGER NOT NULL, okey TEXT, PRIMARY KEY (seq, grp)
) STRICT, WITHOUT ROWID;
CREATE INDEX broker_deliveries_due ON broker_deliveries (grp, state, due);
CREATE INDEX broker_deliveries_key ON broker_deliveries (grp, okey, state, seq) WHERE okey IS NOT NULL;
";

/// What a file turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing in it yet.
    Empty,
    /// A broker's, of this version.
    Ours,
    /// A broker's, of this version, with something of the schema gone.
    Incomplete,
    /// A broker's, of a later version.
    Newer(i32),
    /// Somebody else's.
    Foreign,
}

/// Looks, without changing anything; at one moment, since somebody may be creating it just now.
pub(super) fn look(conn: &Connection) -> rusqlite::Result<Found> {
    conn.execute_batch("SAVEPOINT look")?;
    let found = look_within(conn);
    let released = conn.execute_batch("RELEASE look");
    let found = found?;
    released.map(|()| found)
}

fn look_within(conn: &Connection) -> rusqlite::Result<Found> {
    let application: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: i32 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let things: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version) {
        (APPLICATION_ID, version) if version > VERSION => Found::Newer(version),
        (APPLICATION_ID, VERSION) if complete(conn)? => Found::Ours,
        (APPLICATION_ID, _) => Found::Incomplete,
        (0, 0) if things == 0 => Found::Empty,
        _ => Found::Foreign,
    })
}

fn complete(conn: &Connection) -> rusqlite::Result<bool> {
    for (table, columns) in TABLES {
        match conn.prepare(&format!("SELECT {columns} FROM {table}")) {
            Ok(_) => {}
            // "No such table" and "no such column" are SQLITE_ERROR; damage has codes of its own.
            Err(error) if matches!(&error, rusqlite::Error::SqlInputError { .. }) => return Ok(false),
            Err(error) if error.sqlite_extended_error_code() == Some(rusqlite::ffi::SQLITE_ERROR) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Makes an empty file a broker's, in the transaction that the caller has begun.
pub(super) fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(CREATE)?;
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    conn.pragma_update(None, "user_version", VERSION)
}
