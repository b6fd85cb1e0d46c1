//! Is there an outbox in this file? Asked without writing, so that a mistyped path makes no file and no tables.

use anyhow::{Context as _, bail};
use std::path::Path;
use winddown::messaging::rusqlite::{Connection, OpenFlags};

/// `create`: it may be made.
pub(crate) fn check(path: &Path, create: bool) -> anyhow::Result<()> {
    if create {
        return Ok(());
    }
    let shown = path.display();
    if !path.exists() {
        bail!("{shown} is not there: see whether the path is right (`put --create` makes a new one)");
    }
    let asked = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|db| db.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'winddown_outbox'", [], |row| row.get::<_, i64>(0)));
    match asked.with_context(|| format!("{shown} cannot be read as an SQLite database"))? {
        0 => bail!("{shown} is a database without an outbox: see whether the path is right (`put --create` adds one)"),
        _ => Ok(()),
    }
}
