//! The tables in an SQLite file, which may be the user's own: what they look like, and of which version they are.

use super::fault::{Trouble, place_of};
use crate::messaging::outbox::{OutboxError, OutboxErrorKind};
use rusqlite::Connection;

/// The version that this code reads and writes. Kept in a table of ours: `user_version` and `application_id` belong to the file's owner.
pub(super) const VERSION: i64 = 1;

/// Everything there is, made only where it is missing. `docs/outbox.md` says what each column is for.
///
/// The partial indexes hold pending rows only, each row in exactly one of them, and have all that a claim looks at. The counts are kept by
/// triggers, so that they are right whoever writes, and asking for them costs the same whatever there is.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS winddown_outbox_schema (version INTEGER NOT NULL);

CREATE TABLE IF NOT EXISTS winddown_outbox (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB NOT NULL DEFAULT (randomblob(16))
               CHECK (CASE typeof(id) WHEN 'blob' THEN length(id) = 16 WHEN 'text' THEN length(replace(id, '-', '')) = 32 ELSE 0 END),
    topic      TEXT NOT NULL CHECK (typeof(topic) = 'text'),
    tag        TEXT CHECK (typeof(tag) IN ('text', 'null')),
    key        TEXT CHECK (typeof(key) IN ('text', 'null')),
    ordered    INTEGER NOT NULL DEFAULT 0 CHECK (ordered IN (0, 1)),
    delay_ms   INTEGER CHECK (delay_ms IS NULL OR (typeof(delay_ms) = 'integer' AND delay_ms >= 0)),
    created_ms INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)),
    state      TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'dead', 'damaged')),
    due_ms     INTEGER NOT NULL DEFAULT 0,
    claim      INTEGER,
    attempts   INTEGER NOT NULL DEFAULT 0,
    failing_ms INTEGER NOT NULL DEFAULT 0,
    error      TEXT,
    bytes      INTEGER GENERATED ALWAYS AS (
                   length(CAST(topic AS BLOB)) + coalesce(length(CAST(tag AS BLOB)), 0) + coalesce(length(CAST(key AS BLOB)), 0)
                   + coalesce(length(CAST(properties AS BLOB)), 0) + length(CAST(body AS BLOB))) STORED,
    properties TEXT CHECK (typeof(properties) IN ('text', 'null')),
    body       BLOB NOT NULL CHECK (typeof(body) IN ('blob', 'text')),
    CHECK (ordered = 0 OR key IS NOT NULL)
);

CREATE INDEX IF NOT EXISTS winddown_outbox_free ON winddown_outbox (row, due_ms, topic)
    WHERE state = 'pending' AND (ordered = 0 OR key IS NULL);
CREATE INDEX IF NOT EXISTS winddown_outbox_keys ON winddown_outbox (topic, key, row, due_ms)
    WHERE state = 'pending' AND ordered <> 0 AND key IS NOT NULL;
CREATE INDEX IF NOT EXISTS winddown_outbox_aside ON winddown_outbox (state, row) WHERE state <> 'pending';
CREATE INDEX IF NOT EXISTS winddown_outbox_ids ON winddown_outbox
    (CASE typeof(id) WHEN 'blob' THEN hex(id) ELSE upper(replace(id, '-', '')) END);

CREATE TABLE IF NOT EXISTS winddown_outbox_counts (state TEXT PRIMARY KEY, rows INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO winddown_outbox_counts (state, rows, bytes) VALUES ('pending', 0, 0), ('dead', 0, 0), ('damaged', 0, 0);

CREATE TRIGGER IF NOT EXISTS winddown_outbox_comes AFTER INSERT ON winddown_outbox BEGIN
    UPDATE winddown_outbox_counts SET rows = rows + 1, bytes = bytes + NEW.bytes WHERE state = NEW.state;
END;
CREATE TRIGGER IF NOT EXISTS winddown_outbox_goes AFTER DELETE ON winddown_outbox BEGIN
    UPDATE winddown_outbox_counts SET rows = rows - 1, bytes = bytes - OLD.bytes WHERE state = OLD.state;
END;
CREATE TRIGGER IF NOT EXISTS winddown_outbox_changes AFTER UPDATE OF state, topic, tag, key, properties, body ON winddown_outbox BEGIN
    UPDATE winddown_outbox_counts SET rows = rows - 1, bytes = bytes - OLD.bytes WHERE state = OLD.state;
    UPDATE winddown_outbox_counts SET rows = rows + 1, bytes = bytes + NEW.bytes WHERE state = NEW.state;
END;
";

/// Makes the outbox's tables in the user's own database, where they are missing. In a transaction of yours, or in one of its own.
///
/// [`Outbox::sqlite`](crate::messaging::Outbox::sqlite) does it too; this is for a program that inserts without having an outbox open, and for
/// migrations. All names begin with `winddown_outbox`.
///
/// ```
/// use winddown::messaging::{Message, outbox, rusqlite};
///
/// let mut db = rusqlite::Connection::open_in_memory()?;
/// outbox::create_table(&db)?;
/// db.execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT NOT NULL)")?;
///
/// let tx = db.transaction()?;
/// tx.execute("INSERT INTO orders (item) VALUES ('two pumps')", [])?;
/// outbox::insert(&tx, &Message::new("orders", "two pumps"))?;
/// tx.commit()?;       // both, or neither
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A newer version made them; the file cannot be written; see [`OutboxErrorKind`].
pub fn create_table(db: &Connection) -> Result<(), OutboxError> {
    make(db).map_err(|trouble| trouble.at(&place_of(db)))
}

pub(super) fn make(db: &Connection) -> Result<(), Trouble> {
    if version(db)?.is_some_and(|version| version == VERSION) {
        return Ok(());
    }
    db.execute_batch("SAVEPOINT winddown_outbox")?;
    let made = (|| {
        // Asked again, under the lock: somebody may have been quicker.
        db.execute_batch(TABLES)?;
        match version(db)? {
            None => db.execute("INSERT INTO winddown_outbox_schema (version) VALUES (?1)", [VERSION])?,
            Some(_) => 0,
        };
        Ok(())
    })();
    match made {
        Ok(()) => db.execute_batch("RELEASE winddown_outbox")?,
        Err(_) if db.is_autocommit() => {} // Rolled back as a whole.
        Err(_) => db.execute_batch("ROLLBACK TO winddown_outbox; RELEASE winddown_outbox")?,
    }
    made
}

/// The tables' version, if there are any; a newer one is an error.
pub(super) fn version(db: &Connection) -> Result<Option<i64>, Trouble> {
    let known: bool =
        db.prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'winddown_outbox_schema')")?.query_row([], |row| row.get(0))?;
    if !known {
        return Ok(None);
    }
    let version = db.prepare_cached("SELECT max(version) FROM winddown_outbox_schema")?.query_row([], |row| row.get::<_, Option<i64>>(0))?;
    check(version)?;
    Ok(version)
}

/// In a transaction that reads or writes: are they still ours?
pub(super) fn still_ours(db: &Connection) -> Result<(), Trouble> {
    let version = db.prepare_cached("SELECT max(version) FROM winddown_outbox_schema")?.query_row([], |row| row.get::<_, Option<i64>>(0))?;
    if version.is_none() {
        return Err(Trouble::ours(OutboxErrorKind::WrongSchema, "its tables have no version: call outbox::create_table, or open it anew"));
    }
    check(version)
}

fn check(version: Option<i64>) -> Result<(), Trouble> {
    match version {
        Some(newer) if newer > VERSION => {
            let text = format!("its tables are of version {newer}, this program knows {VERSION}: use a newer winddown, or another file");
            Err(Trouble::ours(OutboxErrorKind::NewerSchema, text))
        }
        _ => Ok(()),
    }
}
