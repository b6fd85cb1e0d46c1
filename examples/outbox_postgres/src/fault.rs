//! What errors of sqlx and Postgres mean to an outbox.

use std::sync::Arc;
use winddown::messaging::{OutboxError, OutboxErrorKind};

pub(crate) fn error(place: &Arc<str>, error: sqlx::Error) -> OutboxError {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    let (kind, advice) = match (&error, &*code) {
        (sqlx::Error::PoolClosed, _) => (OutboxErrorKind::Closed, "it was closed: close it last"),
        (sqlx::Error::PoolTimedOut, _) => {
            (OutboxErrorKind::Busy, "no connection was free in time: give the pool more, or look for transactions kept open")
        }
        (_, "53100") => (OutboxErrorKind::DiskFull, "the server's disk has no room: make some; what was stored before is safe"),
        (_, "42P01" | "42703") => (OutboxErrorKind::WrongSchema, "the tables are not as expected: run src/schema.sql, or call create_tables"),
        (_, "42501" | "28000" | "28P01") => {
            (OutboxErrorKind::Denied, "this role may not: grant it SELECT, INSERT, UPDATE and DELETE on winddown_outbox")
        }
        (_, "25006") => (OutboxErrorKind::ReadOnly, "the server takes no writes, as a standby does: connect to the primary"),
        (_, "55P03" | "40001" | "40P01") => (OutboxErrorKind::Busy, "another transaction was in the way: it is tried again"),
        _ => (OutboxErrorKind::Other, "Postgres failed"),
    };
    OutboxError::new(kind, place.clone(), format!("{advice}: {error}"))
}
