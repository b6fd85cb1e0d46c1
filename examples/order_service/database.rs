//! The SQL: one table, opened so that a commit is durable when it returns.

use crate::order::Order;
use anyhow::{Context, ensure};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another process may hold the file before a batch is refused. Short, since clients wait meanwhile and may retry, and
/// since nothing can interrupt it, not even a stop.
const BUSY: Duration = Duration::from_millis(200);

const TABLE: &str = "CREATE TABLE IF NOT EXISTS orders (
    id       TEXT PRIMARY KEY NOT NULL,
    item     TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 1)
) WITHOUT ROWID";
const INSERT: &str = "INSERT INTO orders (id, item, quantity) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";
const SELECT: &str = "SELECT id, item, quantity FROM orders WHERE id = ?1";

/// What a commit made of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// It is in; perhaps it was already, all the same.
    Yes,
    /// A different order has its id, and stays as it is.
    IdTaken,
}

pub(crate) struct Database {
    connection: Connection,
}

/// Where the database of a data directory is.
pub(crate) fn file(directory: &Path) -> PathBuf {
    directory.join("orders.sqlite")
}

impl Database {
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Database> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make the data directory {}", directory.display()))?;
        let file = file(directory);
        let open = || {
            let connection = Connection::open(&file)?;
            connection.busy_timeout(BUSY)?;
            let journal: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
            ensure!(journal == "wal", "it cannot be switched to write-ahead logging, it stays at `{journal}`");
            // FULL: the log is synced at each commit, so a commit that has returned outlives a loss of power.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute(TABLE, [])?;
            // Prepared now, so that a table of another shape is an error at once and not at the first order.
            connection.prepare_cached(INSERT)?;
            connection.prepare_cached(SELECT)?;
            Ok(Database { connection })
        };
        open().with_context(|| format!("cannot open the order database {}", file.display()))
    }

    /// Saves all in one transaction. When this returns Ok they are durable; when it returns an error, none is in.
    pub(crate) fn save<'a>(&mut self, orders: impl IntoIterator<Item = &'a Order>) -> rusqlite::Result<Vec<Saved>> {
        // Immediate: waiting for another writer happens here, once, and not in the middle.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let saved = orders.into_iter().map(|order| insert(&transaction, order)).collect::<Result<_, _>>()?;
        transaction.commit()?;
        Ok(saved)
    }

    pub(crate) fn find(&self, id: &str) -> rusqlite::Result<Option<Order>> {
        find(&self.connection, id)
    }

    pub(crate) fn close(self) -> rusqlite::Result<()> {
        self.connection.close().map_err(|(_, error)| error)
    }
}

fn insert(transaction: &Transaction<'_>, order: &Order) -> rusqlite::Result<Saved> {
    let rows = transaction.prepare_cached(INSERT)?.execute((&order.id, &order.item, order.quantity))?;
    if rows == 1 || find(transaction, &order.id)?.as_ref() == Some(order) {
        return Ok(Saved::Yes);
    }
    Ok(Saved::IdTaken)
}

fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<Order>> {
    connection.prepare_cached(SELECT)?.query_row([id], |row| Ok(Order { id: row.get(0)?, item: row.get(1)?, quantity: row.get(2)? })).optional()
}
