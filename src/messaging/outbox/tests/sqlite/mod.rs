//! Tests of the outbox in an SQLite file.

mod bounds;
mod files;
mod kill;
mod model;
mod replayed;
mod rows;
mod sharing;

use crate::messaging::Message;
use crate::messaging::outbox::{OutboxClaim, OutboxClaimed, OutboxStore, SqliteOutbox};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// A directory of its own, removed in the end unless the test fails.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("winddown-outbox-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.path("outbox.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A clock that a test sets.
#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

impl Hand {
    fn at(ms: i64) -> Hand {
        Hand(Arc::new(AtomicI64::new(ms)))
    }
    fn turn(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
    fn millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
    fn open(&self, path: &Path) -> SqliteOutbox {
        let hand = self.clone();
        let clock = Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_millis(hand.millis() as u64));
        SqliteOutbox::open_by(path, clock, |_| Ok(())).expect("it opens").0
    }
}

const LEASE: Duration = Duration::from_secs(30);

/// As the replay claims.
fn claim(rows: usize) -> OutboxClaim {
    OutboxClaim { rows, bytes: usize::MAX, run: rows, lease: LEASE, horizon: LEASE * 2, skip: Vec::new() }
}

async fn claimed(store: &dyn OutboxStore, rows: usize) -> OutboxClaimed {
    store.claim(claim(rows)).await.expect("it claims")
}

fn bodies(claimed: &OutboxClaimed) -> Vec<String> {
    claimed.rows.iter().map(|row| text(&row.message)).collect()
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

fn numbered(topic: &'static str, count: usize) -> Vec<Message> {
    (0..count).map(|n| Message::new(topic, n.to_string())).collect()
}

/// A user's own connection to the same file.
fn own(path: &Path) -> Connection {
    let db = Connection::open(path).expect("it opens");
    db.busy_timeout(Duration::from_secs(10)).expect("set");
    db
}
