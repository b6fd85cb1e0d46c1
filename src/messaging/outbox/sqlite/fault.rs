//! What SQLite's errors mean here, and what to do about them.

use crate::messaging::outbox::{OutboxError, OutboxErrorKind};
use rusqlite::{Connection, ErrorCode};
use std::sync::Arc;

/// Something went wrong, before it is said where.
#[derive(Debug)]
pub(super) enum Trouble {
    Sqlite(rusqlite::Error),
    Ours(OutboxErrorKind, String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Sqlite(error)
    }
}

impl Trouble {
    pub(super) fn ours(kind: OutboxErrorKind, text: impl Into<String>) -> Trouble {
        Trouble::Ours(kind, text.into())
    }

    pub(super) fn kind(&self) -> OutboxErrorKind {
        match self {
            Trouble::Ours(kind, _) => *kind,
            Trouble::Sqlite(error) => kind_of(error),
        }
    }

    /// With the place it happened at, and what to do.
    pub(super) fn at(self, place: &Arc<str>) -> OutboxError {
        let kind = self.kind();
        let text = match self {
            Trouble::Ours(_, text) => text,
            Trouble::Sqlite(error) => format!("{}: {error}", advice(kind)),
        };
        OutboxError::new(kind, place.clone(), text)
    }
}

/// The path of a connection's main file.
pub(super) fn place_of(db: &Connection) -> Arc<str> {
    match db.path() {
        Some(path) if !path.is_empty() => path.into(),
        _ => "in memory".into(),
    }
}

fn kind_of(error: &rusqlite::Error) -> OutboxErrorKind {
    let rusqlite::Error::SqliteFailure(failure, text) = error else { return OutboxErrorKind::Other };
    match failure.code {
        ErrorCode::DiskFull => OutboxErrorKind::DiskFull,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => OutboxErrorKind::Busy,
        ErrorCode::ReadOnly => OutboxErrorKind::ReadOnly,
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => OutboxErrorKind::Denied,
        ErrorCode::NotADatabase => OutboxErrorKind::NotADatabase,
        ErrorCode::DatabaseCorrupt => OutboxErrorKind::Corrupt,
        ErrorCode::TooBig => OutboxErrorKind::TooLarge,
        _ if text.as_ref().is_some_and(|text| text.contains("winddown_outbox") && text.contains("no such")) => OutboxErrorKind::WrongSchema,
        _ => OutboxErrorKind::Other,
    }
}

fn advice(kind: OutboxErrorKind) -> &'static str {
    match kind {
        OutboxErrorKind::DiskFull => "the disk has no room: make some; what was stored before is safe",
        OutboxErrorKind::Busy => "another connection has held the write lock for more than five seconds: look for a transaction that is kept open",
        OutboxErrorKind::ReadOnly => "the file may only be read: give this user the right to write it and its directory, or use another file",
        OutboxErrorKind::Denied => {
            "it cannot be opened: see that this user may write the file and its directory (SQLite keeps -wal and -shm beside it)"
        }
        OutboxErrorKind::NotADatabase => "the file is no SQLite database and was left as it is: use another path",
        OutboxErrorKind::Corrupt => {
            "the file is damaged and was left as it is: keep a copy, save what can be read with `sqlite3 FILE .recover`, and begin with a new file"
        }
        OutboxErrorKind::TooLarge => "larger than SQLite takes: send a reference to where the body is stored",
        OutboxErrorKind::WrongSchema => "the outbox's tables are not as expected: call outbox::create_table, or use another file",
        _ => "SQLite failed",
    }
}
