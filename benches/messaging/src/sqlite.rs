//! Messages produced and consumed through a file, each acknowledged durably, beside one transaction a message.

use crate::table::{Contender, compare};
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::tempdir;
use winddown::messaging::{Broker, Interest, Message, SqliteBroker};
use winddown::secs;

const SENDERS: u64 = 64;

/// By hand: insert, lease and delete, each in a transaction of its own.
fn by_hand(messages: u64) -> Duration {
    let place = tempdir().expect("a directory");
    let db = Connection::open(place.path().join("by-hand.db")).expect("a database");
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE message (id INTEGER PRIMARY KEY, body BLOB, leased INTEGER)",
    )
    .expect("a table");
    let began = Instant::now();
    for _ in 0..messages {
        db.execute("INSERT INTO message (body) VALUES (?1)", [b"two pumps".as_slice()]).expect("an insert");
    }
    for id in 1..=messages as i64 {
        db.execute("UPDATE message SET leased = 1 WHERE id = ?1", [id]).expect("a lease");
        db.execute("DELETE FROM message WHERE id = ?1", [id]).expect("an acknowledgement");
    }
    began.elapsed()
}

/// The broker, with 64 senders at once and one consumer that pulls and acknowledges in batches.
async fn broker(messages: u64) -> Duration {
    let place = tempdir().expect("a directory");
    let broker = SqliteBroker::open(place.path().join("broker.db")).expect("a broker");
    let subscription = broker.subscribe(&Interest::new("g", "orders")).await.expect("a subscription");
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    for _ in 0..SENDERS {
        let (broker, next) = (broker.clone(), next.clone());
        tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < messages {
                broker.send(&Message::new("orders", "two pumps"), None).await.expect("it is taken");
            }
        });
    }
    let mut acknowledged = 0;
    while acknowledged < messages {
        let receipts: Vec<_> = subscription.pull(256, secs(5)).await.expect("a pull").iter().map(|d| d.receipt().clone()).collect();
        acknowledged += subscription.ack(&receipts).await.expect("an acknowledgement").done as u64;
    }
    let took = began.elapsed();
    broker.close().await.expect("a close");
    took
}

pub(crate) fn run(rounds: usize, messages: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    compare(
        "messages sent, pulled and acknowledged durably",
        messages,
        rounds,
        vec![
            Contender { name: "by hand, a transaction for each step", sample: Box::new(move || by_hand(messages)) },
            Contender { name: "`SqliteBroker`, 64 senders, one puller", sample: Box::new(move || runtime.block_on(broker(messages))) },
        ],
    );
}
