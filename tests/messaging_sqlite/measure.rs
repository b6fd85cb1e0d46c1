//! Figures: not a test, but what the role `measure` does (the command is in `docs/sqlite-broker.md`).
#![allow(clippy::print_stdout)] // Figures are for whoever asked for them.

use super::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use winddown::messaging::{Broker, Message, SqliteBroker, Subscription};

const BODY: usize = 256;
const FOR: Duration = Duration::from_secs(5);

pub(crate) async fn run(broker: SqliteBroker) {
    let plain = plain(&broker.path().with_extension("plain"));
    println!("\nplain SQLite, one transaction a message: {plain:.0} messages/s");
    for senders in [1, 8, 64, 256] {
        let (sent, done) = both(&broker, &format!("t{senders}"), senders).await;
        println!("{senders} senders, each waiting for its answer: {sent:.0} sent/s, {done:.0} handled/s (acknowledged durably)");
    }
    broker.close().await.unwrap();
}

/// Insert, commit: with the same settings.
fn plain(file: &std::path::Path) -> f64 {
    let conn = rusqlite::Connection::open(file).unwrap();
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    conn.execute_batch("PRAGMA synchronous = FULL; CREATE TABLE messages (seq INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL)").unwrap();
    let (began, body, mut count) = (Instant::now(), vec![7u8; BODY], 0);
    while began.elapsed() < FOR {
        conn.execute("INSERT INTO messages (body) VALUES (?1)", [&body]).unwrap();
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

/// So many senders beside four members that pull 64 and acknowledge them.
async fn both(broker: &SqliteBroker, topic: &str, senders: u32) -> (f64, f64) {
    let (sent, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..senders {
        let (broker, sent, topic) = (broker.clone(), sent.clone(), topic.to_owned());
        tasks.push(tokio::spawn(async move {
            while began.elapsed() < FOR {
                broker.send(&Message::new(topic.as_str(), vec![7u8; BODY]), None).await.unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for _ in 0..4 {
        let (member, done) = (join(broker, "g", topic).await, done.clone());
        tasks.push(tokio::spawn(async move { handle(member, began, done).await }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let rate = |count: &AtomicU32| f64::from(count.load(Ordering::Relaxed)) / began.elapsed().as_secs_f64();
    (rate(&sent), rate(&done))
}

async fn handle(member: Arc<dyn Subscription>, began: Instant, done: Arc<AtomicU32>) {
    while began.elapsed() < FOR {
        let got = member.pull(64, ms(200)).await.unwrap();
        let receipts: Vec<_> = got.iter().map(|one| one.receipt().clone()).collect();
        done.fetch_add(member.ack(&receipts).await.unwrap().done as u32, Ordering::Relaxed);
    }
}
