//! The audit: what clients were promised against what the database holds.

use crate::database::file;
use crate::load::Tally;
use anyhow::Context;
use rusqlite::{Connection, OpenFlags};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

pub(crate) struct Audit {
    tally: Tally,
    saved: usize,
    /// Answered 202 and not in the database.
    missing: Vec<String>,
}

impl Audit {
    /// Opens the file afresh and compares the two lists by id.
    pub(crate) fn new(tally: Tally, data: &Path) -> anyhow::Result<Audit> {
        let saved = ids(&file(data), &tally.prefix).context("cannot read the database back")?;
        let missing = tally.accepted.iter().filter(|id| !saved.contains(*id)).cloned().collect();
        Ok(Audit { tally, saved: saved.len(), missing })
    }

    /// Whether every promise was kept.
    pub(crate) fn holds(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Those of this run, and not what the directory had before.
fn ids(file: &Path, prefix: &str) -> rusqlite::Result<HashSet<String>> {
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut select = database.prepare("SELECT id FROM orders WHERE substr(id, 1, length(?1)) = ?1")?;
    select.query_map([prefix], |row| row.get(0))?.collect()
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { sent, accepted, refused, other, unsent, .. } = &self.tally;
        writeln!(f, "audit")?;
        writeln!(f, "  sent            {sent:>8}")?;
        writeln!(f, "  accepted (202)  {:>8}", accepted.len())?;
        writeln!(f, "  refused (503)   {refused:>8}")?;
        writeln!(f, "  other           {:>8}", other.values().sum::<u64>())?;
        writeln!(f, "  in database     {:>8}", self.saved)?;
        writeln!(f, "  missing         {:>8}", self.missing.len())?;
        for (how, count) in other {
            writeln!(f, "among the others {count}: {how}")?;
        }
        if *unsent > 0 {
            writeln!(f, "{unsent} more were not sent, since no connection could be made")?;
        }
        match self.missing.len() {
            0 => writeln!(f, "every order answered 202 is in the database"),
            n => {
                let some: Vec<_> = self.missing.iter().take(10).map(String::as_str).collect();
                writeln!(f, "{n} orders answered 202 are not in the database, among them {}", some.join(", "))
            }
        }
    }
}
