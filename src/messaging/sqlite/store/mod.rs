//! The file, from inside a transaction: everything that reads or writes rows.
//!
//! Invariants:
//! 1. Every method but [`begin`](Store::begin) and the looks outside runs between `begin` and `commit` or `rollback`.
//! 2. What is remembered from one transaction to the next (topic numbers, the timeline) is only what a commit has made true: `rollback`
//!    forgets the rest.
//! 3. The work of one call is bounded by what it was given (receipts, messages) or by [`SCAN`].

mod codec;
mod count;
mod heal;
mod send;
mod settle;
mod take;

pub(super) use codec::{COLUMNS, decode};
pub use count::SqliteCounts;
pub(super) use count::{count, group_names, topic_names};
pub(super) use take::Leased;

use super::super::Interest;
use super::super::random::Random;
use super::clock::{Clock, Now, Timeline};
use super::fault::{Stage, Trouble, is_busy};
use rusqlite::{Connection, OptionalExtension};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// So many messages are looked at in one transaction for one pull that finds nothing it may take.
const SCAN: usize = 1_000;

/// Where one group stands in one topic, and what a member of it wants.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) group: i64,
    pub(super) topic: i64,
    /// Which subscription, of all that ever had this file open.
    pub(super) holder: i64,
    pub(super) interest: Interest,
    left: AtomicBool,
}

impl Member {
    /// Leaves; false if it had before.
    pub(super) fn leave(&self) -> bool {
        // Only a flag: what follows from it goes through the queue.
        !self.left.swap(true, Relaxed)
    }
    pub(super) fn has_left(&self) -> bool {
        self.left.load(Relaxed)
    }
}

/// For whom this transaction may have made messages available.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) topics: HashSet<i64>,
    pub(super) groups: HashSet<i64>,
    /// Times were mended: for anybody.
    pub(super) all: bool,
}

impl Touched {
    pub(super) fn concerns(&self, topic: i64, group: i64) -> bool {
        self.all || self.topics.contains(&topic) || self.groups.contains(&group)
    }
}

/// How far the groups of a topic have all come.
#[derive(Clone, Copy)]
struct Floor {
    groups: i64,
    cursor: i64,
}

pub(super) struct Store {
    conn: Connection,
    clock: Arc<dyn Clock>,
    random: Random,
    lock_wait: Duration,
    now: Now,
    timeline: Timeline,
    /// The timeline as it was before this transaction.
    kept: Timeline,
    topics: HashMap<Arc<str>, i64>,
    floors: HashMap<i64, Floor>,
    pub(super) touched: Touched,
    last_commit: Duration,
    data_version: i64,
}

impl Store {
    pub(super) fn new(conn: Connection, clock: Arc<dyn Clock>, lock_wait: Duration) -> rusqlite::Result<Store> {
        let offset = conn.query_row("SELECT offset FROM broker_clock", [], |row| row.get(0))?;
        let timeline = Timeline::new(&*clock, offset);
        let mut store = Store {
            conn,
            clock,
            random: Random::fresh(),
            lock_wait,
            now: Now::default(),
            timeline,
            kept: timeline,
            topics: HashMap::new(),
            floors: HashMap::new(),
            touched: Touched::default(),
            last_commit: Duration::ZERO,
            data_version: 0,
        };
        store.others_wrote()?;
        // From here on the writer waits for the lock in its own way. Not before: somebody else may be recovering the log that these looks need.
        store.conn.busy_timeout(Duration::ZERO)?;
        Ok(store)
    }

    /// Begins to write. Waits for another process that is writing, up to the time that was set.
    pub(super) fn begin(&mut self) -> Result<(), Trouble> {
        self.begin_within(self.lock_wait)
    }

    pub(super) fn begin_within(&mut self, wait: Duration) -> Result<(), Trouble> {
        let since = Instant::now();
        loop {
            match self.conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])) {
                Ok(_) => break,
                // Short looks, so as to meet the gap between two commits of a busy process; uneven, so that two who wait do not stay in step.
                Err(error) if is_busy(&error) && since.elapsed() < wait => {
                    std::thread::sleep(Duration::from_micros(100).mul_f64(1.0 + 2.0 * self.random.unit()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.kept = self.timeline;
        self.floors.clear();
        self.touched = Touched::default();
        let looked = self.look_at_clocks();
        if looked.is_err() {
            self.rollback();
        }
        Ok(looked?)
    }

    fn look_at_clocks(&mut self) -> rusqlite::Result<()> {
        let offset = self.conn.prepare_cached("SELECT offset FROM broker_clock")?.query_row([], |row| row.get(0))?;
        let look = self.timeline.look(&*self.clock, offset);
        self.now = look.now;
        if let Some(offset) = look.correct {
            self.conn.prepare_cached("UPDATE broker_clock SET offset = ?1")?.execute([offset])?;
        }
        if look.jumped { self.heal() } else { Ok(()) }
    }

    /// Makes it so, on the disk. An error of stage [`Stage::Commit`] leaves it unknown whether it is.
    pub(super) fn commit(&mut self) -> Result<(), Trouble> {
        let since = Instant::now();
        let done = self.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        self.last_commit = since.elapsed();
        done.map(drop).map_err(|error| {
            self.rollback();
            Trouble { stage: Stage::Commit, error }
        })
    }

    /// As if it had not begun.
    pub(super) fn rollback(&mut self) {
        // Some errors have ended the transaction already.
        if !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        self.timeline = self.kept;
        self.topics.clear();
        self.floors.clear();
        self.touched = Touched::default();
    }

    /// Has anybody else committed since this was last asked? Reads a counter in shared memory.
    pub(super) fn others_wrote(&mut self) -> rusqlite::Result<bool> {
        let version = self.conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        Ok(std::mem::replace(&mut self.data_version, version) != version)
    }

    /// The moment as far as known without the file, and whether the clocks have jumped since the last transaction.
    pub(super) fn glance(&self) -> (Now, bool) {
        let look = self.timeline.glance(&*self.clock);
        (look.now, look.jumped)
    }

    /// Moves what is in the log into the file, as far as nobody stands in the way; with `all`, waits for nobody and empties the log too.
    pub(super) fn checkpoint(&self, all: bool) {
        let how = if all { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "PRAGMA wal_checkpoint(PASSIVE)" };
        // Whoever writes or opens next does it otherwise.
        let _ = self.conn.query_row(how, [], |_| Ok(()));
    }

    /// The number of a topic, which exists from now on.
    pub(super) fn topic(&mut self, name: &Arc<str>) -> rusqlite::Result<i64> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(*topic);
        }
        let known = self.topic_if_known(name)?;
        let topic = match known {
            Some(topic) => topic,
            None => self.conn.prepare_cached("INSERT INTO broker_topics (name) VALUES (?1)")?.insert([&**name])?,
        };
        // Names may be made up by the million; the file is the truth, this is a help.
        if self.topics.len() >= 10_000 {
            self.topics.clear();
        }
        self.topics.insert(name.clone(), topic);
        Ok(topic)
    }

    fn topic_if_known(&self, name: &str) -> rusqlite::Result<Option<i64>> {
        self.conn.prepare_cached("SELECT topic FROM broker_topics WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }

    pub(super) fn lease_now(&self) -> i64 {
        self.now.lease
    }
}
