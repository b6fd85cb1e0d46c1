//! SQLite's answers as broker errors: what happened, to which file, whether it may be tried again, and what to do.

use super::super::{BrokerError, Class, ErrorKind};
use rusqlite::Error;
use rusqlite::ffi::ErrorCode;
use std::path::Path;

/// What the broker is called in errors.
pub(super) const NAME: &str = "sqlite";

/// How far a transaction had got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the commit: what was done is undone.
    Before,
    /// At the commit itself: where a write or a flush failed, nobody can say what a crash would leave.
    Commit,
}

/// A failed transaction.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) stage: Stage,
    pub(super) error: Error,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble { stage: Stage::Before, error }
    }
}

impl Trouble {
    pub(super) fn into_error(self, path: &Path) -> BrokerError {
        classed(path, &self.error, self.stage)
    }
    pub(super) fn is_full(&self) -> bool {
        self.error.sqlite_error_code() == Some(ErrorCode::DiskFull)
    }
}

/// An error before any commit.
pub(super) fn failed(path: &Path, error: &Error) -> BrokerError {
    classed(path, error, Stage::Before)
}

/// Is somebody else holding the lock?
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn classed(path: &Path, error: &Error, stage: Stage) -> BrokerError {
    let unknown = if stage == Stage::Commit { Class::RetryableAmbiguous } else { Class::RetryableSafe };
    let (kind, class, advice) = match error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                (ErrorKind::Busy, Class::RetryableSafe, "another process holds the file's lock; try again, and look for a program that keeps it")
            }
            ErrorCode::DiskFull => (ErrorKind::Full, Class::RetryableSafe, "nothing was stored; make room on the disk"),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => (
                ErrorKind::Corrupt,
                Class::Fatal,
                "nothing was changed; restore it from a backup, or move it away and salvage it with sqlite3's .recover",
            ),
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
                (ErrorKind::Unauthorised, Class::Fatal, "allow this user to write the file and its directory")
            }
            ErrorCode::CannotOpen => {
                (ErrorKind::Unavailable, Class::RetryableSafe, "look whether the file, its -wal and its -shm can be opened by this user")
            }
            ErrorCode::TooBig => (ErrorKind::TooLarge, Class::Fatal, "send a reference to where the rest is stored"),
            _ => (ErrorKind::Other, unknown, ""),
        },
        // A value of another type than the schema says: somebody else wrote into the file.
        Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..) | Error::IntegralValueOutOfRange(..) => {
            (ErrorKind::Corrupt, Class::Fatal, "a row is not as this broker writes it; nothing was changed; restore the file from a backup")
        }
        _ => (ErrorKind::Other, unknown, ""),
    };
    let pause = if advice.is_empty() { "" } else { ": " };
    let text = format!("`{}`: {error}{pause}{advice}", path.display());
    let made = BrokerError::new(NAME, kind, text).with_class(class);
    match error.sqlite_extended_error_code() {
        Some(code) => made.with_code(code.into()),
        None => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn of(code: i32, stage: Stage) -> BrokerError {
        Trouble { stage, error: Error::SqliteFailure(ffi::Error::new(code), None) }.into_error(Path::new("q.db"))
    }

    #[test]
    fn each_answer_has_its_kind_and_class() {
        use Class::{Fatal, RetryableAmbiguous as Ambiguous, RetryableSafe as Safe};
        let table = [
            (ffi::SQLITE_BUSY, ErrorKind::Busy, Safe, Safe),
            (ffi::SQLITE_BUSY_RECOVERY, ErrorKind::Busy, Safe, Safe),
            (ffi::SQLITE_LOCKED, ErrorKind::Busy, Safe, Safe),
            (ffi::SQLITE_FULL, ErrorKind::Full, Safe, Safe),
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt, Fatal, Fatal),
            (ffi::SQLITE_NOTADB, ErrorKind::Corrupt, Fatal, Fatal),
            (ffi::SQLITE_READONLY, ErrorKind::Unauthorised, Fatal, Fatal),
            (ffi::SQLITE_PERM, ErrorKind::Unauthorised, Fatal, Fatal),
            (ffi::SQLITE_CANTOPEN, ErrorKind::Unavailable, Safe, Safe),
            (ffi::SQLITE_TOOBIG, ErrorKind::TooLarge, Fatal, Fatal),
            // What a failed write or flush has left behind is known before the commit and not known after it.
            (ffi::SQLITE_IOERR_WRITE, ErrorKind::Other, Safe, Ambiguous),
            (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Other, Safe, Ambiguous),
            (ffi::SQLITE_NOMEM, ErrorKind::Other, Safe, Ambiguous),
        ];
        for (code, kind, before, at_commit) in table {
            let (first, second) = (of(code, Stage::Before), of(code, Stage::Commit));
            assert_eq!((first.kind(), first.class(), second.class()), (kind, before, at_commit), "code {code}");
            assert!(first.text().contains("`q.db`"), "{first}");
            assert_eq!(first.code(), Some(code.into()));
        }
    }
}
