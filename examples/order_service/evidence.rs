//! What data directories say, read without writing to them, and what a server says that they share.
//!
//! Services may be running: then orders move while we look. They move one way only, from the outbox to the broker to the tables of orders and
//! of dead letters, and within the broker from the orders to the dead letters; and they are written there before they are deleted here. So we look
//! in that order, and an order that has left one place is found in a later one. What was accepted is read first of all.

use crate::assemble::{GRAVEYARD, GROUP};
use crate::files;
use crate::inquiry::Inquiry;
use crate::order::TOPIC;
use anyhow::{Context, ensure};
use rusqlite::ffi::SQLITE_READONLY_ROLLBACK;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;
use winddown::messaging::{GroupState, SqliteBroker, StoredMessage};

/// How long a writer may keep us from reading.
const BUSY: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Evidence {
    /// Sorted, each once.
    pub(crate) accepted: Vec<String>,
    pub(crate) pending: HashSet<String>,
    pub(crate) dead: HashSet<String>,
    pub(crate) handled: HashSet<String>,
    /// How often an order was handled once more.
    pub(crate) duplicates: u64,
    /// What the server has left to do; nothing where the brokers are files, which have been read.
    pub(crate) left: Option<u64>,
}

impl Evidence {
    /// # Errors
    /// There is no such directory, no service has run on it, a file is not what it should be, or the server does not answer.
    pub(crate) fn read(data: &[PathBuf], server: Option<&Inquiry>) -> anyhow::Result<Evidence> {
        let files: Vec<_> = data.iter().map(|data| orders_of(data)).collect::<Result<_, _>>()?;
        let mut databases = Vec::new();
        for file in &files {
            databases.extend(Database::open(file, "orders")?);
        }
        let mut evidence = Evidence::default();
        for orders in &databases {
            evidence.accepted.extend(orders.column::<Vec<_>, _>("accepted", "SELECT id FROM accepted")?);
        }
        evidence.accepted.sort_unstable();
        evidence.accepted.dedup();

        let Evidence { pending, dead, handled, duplicates, left, .. } = &mut evidence;
        for data in data {
            read_outbox(&files::outbox(data), pending, dead)?;
        }
        match server {
            Some(server) => *left = Some(server.left()?),
            None => data.iter().try_for_each(|data| read_broker(&files::broker(data), pending, dead))?,
        }
        let mut times: HashMap<String, u64> = HashMap::new();
        for orders in &databases {
            dead.extend(orders.column::<Vec<_>, _>("dead", "SELECT id FROM dead")?);
            for id in orders.column::<Vec<String>, _>("orders", "SELECT id FROM orders")? {
                *times.entry(id).or_default() += 1;
            }
            *duplicates += orders.column::<Vec<u32>, _>("repeats", "SELECT times FROM repeats")?.into_iter().map(u64::from).sum::<u64>();
        }
        // Handled by two instances is handled again too.
        *duplicates += times.values().map(|times| times - 1).sum::<u64>();
        handled.extend(times.into_keys());
        Ok(evidence)
    }
}

fn orders_of(data: &Path) -> anyhow::Result<PathBuf> {
    ensure!(data.is_dir(), "{} is no directory", data.display());
    let orders = files::orders(data);
    ensure!(orders.is_file(), "{} is not there: no service has run on this directory", orders.display());
    Ok(orders)
}

fn read_outbox(path: &Path, pending: &mut HashSet<String>, dead: &mut HashSet<String>) -> anyhow::Result<()> {
    // One statement, for one moment: what is given up while we read is not missed.
    const KEYS: &str = "SELECT (CASE state WHEN 'pending' THEN 'p' ELSE 'd' END) || key FROM winddown_outbox WHERE key IS NOT NULL";
    let Some(outbox) = Database::open(path, "winddown_outbox")? else { return Ok(()) };
    for row in outbox.column::<Vec<String>, _>("winddown_outbox", KEYS)? {
        match row.split_at(1) {
            ("p", id) => pending.insert(id.to_owned()),
            (_, id) => dead.insert(id.to_owned()),
        };
    }
    Ok(())
}

fn read_broker(path: &Path, pending: &mut HashSet<String>, dead: &mut HashSet<String>) -> anyhow::Result<()> {
    if Database::open(path, "broker_messages")?.is_none() {
        return Ok(());
    }
    // A snapshot: both looks show the same moment.
    let broker = SqliteBroker::inspect(path)?;
    for stored in broker.messages(TOPIC)? {
        let stored = stored?;
        if waits(&stored, GROUP) {
            pending.extend(key(&stored));
        }
    }
    for stored in broker.dead_letters(GROUP)? {
        let stored = stored?;
        if waits(&stored, GRAVEYARD) {
            dead.extend(key(&stored));
        }
    }
    Ok(())
}

/// Not settled by the group, or the group has not come to it yet.
fn waits(stored: &StoredMessage, group: &str) -> bool {
    let group = stored.groups.iter().find(|(name, _)| **name == *group);
    group.is_none_or(|(_, state)| *state != GroupState::Settled)
}

fn key(stored: &StoredMessage) -> Option<String> {
    stored.message.key().map(str::to_owned)
}

/// A database that is only read. Errors name its file.
struct Database<'a> {
    path: &'a Path,
    connection: Connection,
}

impl<'a> Database<'a> {
    /// Opens the file if there is anything in it, and checks that it is whole and, by one of its tables, that it is the one we mean.
    ///
    /// There is nothing in it if a service was killed before it had made its tables: nothing was accepted then.
    fn open(path: &'a Path, table: &str) -> anyhow::Result<Option<Database<'a>>> {
        if path.metadata().map_or(true, |file| file.len() == 0) {
            return Ok(None);
        }
        let shown = || format!("cannot read {}", path.display());
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).with_context(shown)?;
        connection.busy_timeout(BUSY).with_context(shown)?;
        let said: String = match connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)) {
            // Half of the transaction that makes the tables, to be undone. It is the last that has a journal of this kind.
            Err(error) if error.sqlite_extended_error_code() == Some(SQLITE_READONLY_ROLLBACK) => return Ok(None),
            said => said.with_context(shown)?,
        };
        ensure!(said == "ok", "{} is damaged: {}", path.display(), said.trim());
        let database = Database { path, connection };
        let tables: u32 = database.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).with_context(shown)?;
        ensure!(tables == 0 || database.has(table)?, "{} has no table `{table}`: it is another program's", path.display());
        Ok((tables > 0).then_some(database))
    }

    fn has(&self, table: &str) -> rusqlite::Result<bool> {
        self.connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1")?.exists([table])
    }

    /// What a query's one column has; nothing if the table was not made yet.
    fn column<C: FromIterator<T> + Default, T: FromSql>(&self, table: &str, select: &str) -> anyhow::Result<C> {
        let read = || {
            if !self.has(table)? {
                return Ok(C::default());
            }
            self.connection.prepare(select)?.query_map([], |row| row.get(0))?.collect()
        };
        read().with_context(|| format!("cannot read {}", self.path.display()))
    }
}
