//! Settings of the broker in a file, and how it is opened.

use super::super::{BrokerError, ErrorKind, Limits};
use super::broker::{SqliteBroker, holders};
use super::clock::{Clock, MachineClock};
use super::closing::Closing;
use super::fault::{NAME, Trouble, failed};
use super::file;
use super::queue::Queue;
use super::store::Store;
use super::writer::Writer;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Settings of a [`SqliteBroker`].
///
/// ```
/// use winddown::{messaging::{Limits, SqliteBroker}, secs};
///
/// # let folder = std::env::temp_dir().join(format!("winddown-builder-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("orders.db");
/// let mut limits = Limits::default();
/// limits.batch = 100;
/// let broker = SqliteBroker::builder(&path).queue(1_000).lock_wait(secs(2)).limits(limits).open()?;
/// # drop(broker);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct SqliteBuilder {
    path: PathBuf,
    limits: Limits,
    queue: usize,
    lock_wait: Duration,
    close_timeout: Duration,
    pub(super) clock: Option<Arc<dyn Clock>>,
}

impl SqliteBuilder {
    pub(super) fn new(path: &Path) -> SqliteBuilder {
        SqliteBuilder {
            path: path.to_owned(),
            limits: Limits { batch: 1_000, ..Limits::default() },
            queue: 10_000,
            lock_wait: Duration::from_secs(5),
            close_timeout: Duration::from_secs(10),
            clock: None,
        }
    }

    /// What it takes. Default: 4 MiB a message, 127 bytes for a topic's name, 1,000 messages a batch.
    pub fn limits(mut self, limits: Limits) -> SqliteBuilder {
        self.limits = limits;
        self
    }

    /// So many sends may wait for the disk; more are refused with [`ErrorKind::Busy`]. Default: 10,000. Settling is never refused.
    pub fn queue(mut self, requests: usize) -> SqliteBuilder {
        self.queue = requests.max(1);
        self
    }

    /// For so long the writer waits when another process holds the file's lock; then it answers [`ErrorKind::Busy`]. Default: 5 s; at least 10 ms.
    pub fn lock_wait(mut self, wait: Duration) -> SqliteBuilder {
        self.lock_wait = wait.max(Duration::from_millis(10));
        self
    }

    /// For so long a close waits for the writer thread. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> SqliteBuilder {
        self.close_timeout = timeout;
        self
    }

    /// Opens the file, creates it if it is not there, and starts the writer thread. Reads and writes a little, on the calling thread.
    ///
    /// # Errors
    /// Whatever is refused is left as it is: nothing is deleted, renamed or repaired.
    /// - [`ErrorKind::Corrupt`]: damaged, no SQLite file, or another program's.
    /// - [`ErrorKind::Invalid`]: made by a later version, no such directory, or the path is a directory.
    /// - [`ErrorKind::Unauthorised`]: file or directory may not be written.
    /// - [`ErrorKind::Unsupported`]: a file system without shared memory, where there can be no write-ahead log.
    /// - [`ErrorKind::Busy`]: another process keeps it locked.
    pub fn open(self) -> Result<SqliteBroker, BrokerError> {
        let (path, conn) = file::open(&self.path)?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(MachineClock::new()));
        let mut store = Store::new(conn, clock, self.lock_wait).map_err(|error| failed(&path, &error))?;
        settle_times(&mut store).map_err(|trouble| trouble.into_error(&path))?;

        let queue = Arc::new(Queue::new(self.queue));
        let holders = holders();
        let writer = Writer::new(store, queue.clone(), path.clone(), holders);
        let (say, answer) = mpsc::channel();
        let run = move || {
            let _ = say.send(writer.run());
        };
        let thread = std::thread::Builder::new().name("winddown-sqlite".into()).spawn(run);
        let thread = thread.map_err(|error| BrokerError::new(NAME, ErrorKind::Other, format!("no thread for `{}`: {error}", path.display())))?;
        let closing = Closing::new(thread, answer, self.close_timeout);
        Ok(SqliteBroker::start(queue, path, self.limits, closing, holders.0))
    }
}

/// A clock may have been set while nobody had the file open.
fn settle_times(store: &mut Store) -> Result<(), Trouble> {
    store.begin()?;
    if let Err(error) = store.heal() {
        store.rollback();
        return Err(error.into());
    }
    store.commit()
}
