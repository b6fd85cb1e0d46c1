//! The order database: opened so that a commit is durable when it returns, and written to in batches.

use crate::dead_letter::DeadLetter;
use crate::files;
use crate::order::Order;
use crate::tables::{self, Handled, Standing, TABLES};
use anyhow::{Context, ensure};
use rusqlite::{Connection, TransactionBehavior};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long another process may hold the file before a batch is refused. Short, since clients wait meanwhile and may retry, and
/// since nothing can interrupt it, not even a stop.
const BUSY: Duration = Duration::from_millis(200);

pub(crate) struct Database {
    connection: Connection,
}

/// What a batch made of its orders, in their order.
pub(crate) struct Committed {
    pub(crate) accepted: Vec<Standing>,
    pub(crate) handled: Vec<Handled>,
}

impl Database {
    /// Opens the database of a data directory, making both if they are not there yet.
    pub(crate) fn open(data: &Path) -> anyhow::Result<Database> {
        fs::create_dir_all(data).with_context(|| format!("cannot make the data directory {}", data.display()))?;
        let file = files::orders(data);
        let open = || {
            let connection = Connection::open(&file)?;
            connection.busy_timeout(BUSY)?;
            let journal: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
            ensure!(journal == "wal", "it cannot be switched to write-ahead logging, it stays at `{journal}`");
            // FULL: the log is synced at each commit, so a commit that has returned outlives a loss of power.
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT"))?;
            tables::prepare(&connection)?;
            Ok(Database { connection })
        };
        open().with_context(|| format!("cannot open the order database {}", file.display()))
    }

    /// Does all of it in one transaction. When this returns Ok it is durable; when it returns an error, nothing was done.
    pub(crate) fn commit<'a>(
        &mut self,
        accepted: impl IntoIterator<Item = &'a Order>,
        handled: impl IntoIterator<Item = &'a Order>,
        dead: impl IntoIterator<Item = &'a DeadLetter>,
    ) -> rusqlite::Result<Committed> {
        // Immediate: waiting for another writer happens here, once, and not in the middle.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let committed = Committed {
            accepted: accepted.into_iter().map(|order| tables::accept(&transaction, order)).collect::<Result<_, _>>()?,
            handled: handled.into_iter().map(|order| tables::handle(&transaction, order)).collect::<Result<_, _>>()?,
        };
        for letter in dead {
            tables::bury(&transaction, letter)?;
        }
        transaction.commit()?;
        Ok(committed)
    }

    pub(crate) fn standing(&self, order: &Order) -> rusqlite::Result<Standing> {
        tables::standing(&self.connection, order)
    }

    pub(crate) fn handled(&self, id: &str) -> rusqlite::Result<Option<Order>> {
        tables::handled(&self.connection, id)
    }

    pub(crate) fn close(self) -> rusqlite::Result<()> {
        self.connection.close().map_err(|(_, error)| error)
    }
}
