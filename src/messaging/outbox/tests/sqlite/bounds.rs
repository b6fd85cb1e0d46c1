//! How much it holds, and what happens beyond.

use super::{Scratch, numbered, own};
use crate::messaging::Message;
use crate::messaging::outbox::{Outbox, OutboxBounds, OutboxErrorKind, OutboxFilter, OutboxPick, OutboxStore, SqliteOutbox};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::SystemTime;

#[tokio::test]
async fn m3_a_full_outbox_says_so_and_gives_the_messages_back() {
    let scratch = Scratch::new("full");
    let outbox = Outbox::builder(scratch.file()).max_messages(10).open().expect("it opens");
    outbox.put(numbered("t", 8)).await.expect("there is room");
    let batch = numbered("t", 3);
    let refused = outbox.put(batch.clone()).await.expect_err("for these there is none");
    assert_eq!((refused.kind(), refused.messages()), (OutboxErrorKind::Full, &batch[..]), "all of them, none stored");
    assert!(refused.to_string().contains("max_messages") && refused.to_string().contains("purge"), "{refused}");
    outbox.put(numbered("t", 2)).await.expect("but for two there is");
    assert_eq!(outbox.counts().await.expect("counted").rows(), 10);
    let refused = outbox.put(numbered("t", 11)).await.expect_err("never");
    assert_eq!(refused.kind(), OutboxErrorKind::TooLarge, "not even in an empty one");
    // Dead ones take room too.
    own(&scratch.file()).execute("UPDATE winddown_outbox SET state = 'dead'", []).expect("they died");
    assert_eq!(outbox.put(numbered("t", 1)).await.expect_err("no room").kind(), OutboxErrorKind::Full);
    assert_eq!(outbox.purge(OutboxPick::Dead).await, Ok(10));
    outbox.put(numbered("t", 10)).await.expect("room again");
}

#[tokio::test]
async fn m3_bytes_are_bounded_too() {
    let scratch = Scratch::new("bytes");
    let outbox = Outbox::builder(scratch.file()).max_bytes(1000).open().expect("it opens");
    let message = |size: usize| Message::new("topic", vec![0; size - 5]);
    outbox.put(vec![message(400), message(400)]).await.expect("there is room");
    assert_eq!(outbox.counts().await.expect("counted").bytes, 800);
    assert_eq!(outbox.put(vec![message(201)]).await.expect_err("no room").kind(), OutboxErrorKind::Full);
    assert_eq!(outbox.put(vec![message(1001)]).await.expect_err("never").kind(), OutboxErrorKind::TooLarge);
    outbox.put(vec![message(200)]).await.expect("to the last byte");
    let first = outbox.list(OutboxFilter::all().limit(1)).await.expect("listed")[0].row;
    assert_eq!(outbox.purge(OutboxPick::Row(first)).await, Ok(1));
    assert_eq!(outbox.counts().await.expect("counted").bytes, 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn m3_the_bound_holds_against_many_who_put_at_once() {
    let scratch = Scratch::new("crowd");
    // Two handles are two connections, as two processes would be.
    let one = Outbox::builder(scratch.file()).max_messages(100).open().expect("it opens");
    let other = Outbox::builder(scratch.file()).max_messages(100).open().expect("it opens twice");
    let puts = (0..150).map(|n| {
        let outbox = if n % 2 == 0 { one.clone() } else { other.clone() };
        tokio::spawn(async move { outbox.put(numbered("t", 1)).await })
    });
    let answers = join_all(puts).await;
    let stored = answers.iter().filter(|answer| matches!(answer, Ok(Ok(())))).count();
    let full = answers.iter().filter(|answer| matches!(answer, Ok(Err(refused)) if refused.kind() == OutboxErrorKind::Full)).count();
    assert_eq!((stored, full, one.counts().await.expect("counted").pending), (100, 50, 100));
}

/// How often something was committed to a log that was not yet copied back: each commit's last frame says how large the file is then.
fn commits(wal: &[u8]) -> usize {
    let page = u32::from_be_bytes(wal[8..12].try_into().expect("four bytes")) as usize;
    wal[32..].chunks_exact(24 + page).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn m3_puts_that_come_together_share_a_sync() {
    let scratch = Scratch::new("group");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    let wal = scratch.path("outbox.db-wal");
    let before = commits(&std::fs::read(&wal).expect("the log"));
    let messages = numbered("t", 300);
    let puts = messages.iter().map(|message| store.put(std::slice::from_ref(message), OutboxBounds::default()));
    assert!(join_all(puts).await.iter().all(Result::is_ok));
    let commits = commits(&std::fs::read(&wal).expect("the log")) - before;
    assert!((1..=60).contains(&commits), "300 puts in {commits} transactions");
    assert_eq!(store.counts().await.expect("counted").pending, 300);
}

#[tokio::test]
async fn m3_a_full_disk_is_said_and_loses_nothing() {
    let scratch = Scratch::new("disk");
    let pages = |db: &rusqlite::Connection| db.pragma_update(None, "max_page_count", 40);
    let (store, _) = SqliteOutbox::open_by(&scratch.file(), Arc::new(SystemTime::now), pages).expect("it opens");
    let mut stored = 0;
    let large = Message::new("t", vec![7; 20_000]);
    let error = loop {
        match store.put(std::slice::from_ref(&large), OutboxBounds::default()).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "the disk never gets full");
    };
    assert_eq!(error.kind(), OutboxErrorKind::DiskFull);
    assert!(error.to_string().contains("outbox.db") && error.to_string().contains("make some"), "{error}");
    // A large one that does not fit takes no small one with it that came at the same moment.
    let small = Message::new("t", "s");
    let (large, small) = (std::slice::from_ref(&large), std::slice::from_ref(&small));
    let bounds = OutboxBounds::default;
    let answers = tokio::join!(store.put(large, bounds()), store.put(small, bounds()), store.put(large, bounds()), store.put(small, bounds()));
    assert!(answers.0.is_err() && answers.2.is_err());
    let more = [answers.1, answers.3].iter().filter(|answer| answer.is_ok()).count() as u64;
    assert_eq!(more, 2);
    assert_eq!(store.counts().await.expect("counted").pending, stored + more);
    store.close().await.expect("closed");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    assert_eq!(store.list(OutboxFilter::all()).await.expect("listed").len() as u64, stored + more);
    store.put(large, bounds()).await.expect("there is room again");
}

#[tokio::test]
async fn m3_counts_are_right_whoever_writes() {
    let scratch = Scratch::new("counts");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    store.put(&numbered("t", 10), OutboxBounds::default()).await.expect("stored");
    let db = own(&scratch.file());
    db.execute_batch(
        "INSERT INTO winddown_outbox (topic, body, tag, key, properties) VALUES ('tö', 'wörd', 'x', 'y', '{}');
         UPDATE winddown_outbox SET state = 'dead' WHERE row IN (1, 2, 3);
         UPDATE winddown_outbox SET state = 'pending' WHERE row = 1;
         UPDATE winddown_outbox SET body = 'longer' WHERE row = 5;
         DELETE FROM winddown_outbox WHERE row IN (2, 6);",
    )
    .expect("written by hand");
    let counts = store.counts().await.expect("counted");
    assert_eq!((counts.pending, counts.dead), (8, 1));
    let bytes: i64 = db.query_row("SELECT sum(bytes) FROM winddown_outbox", [], |row| row.get(0)).expect("summed");
    assert_eq!(counts.bytes, bytes as u64);
    assert_eq!(bytes, 7 * 2 + 7 + (3 + 5 + 1 + 1 + 2));
}

#[tokio::test]
async fn m3_a_closed_outbox_gives_messages_back() {
    let scratch = Scratch::new("closed");
    let outbox = Outbox::sqlite(scratch.file()).expect("it opens");
    outbox.put(numbered("t", 3)).await.expect("stored");
    outbox.close().await.expect("closed");
    outbox.close().await.expect("closed twice");
    let refused = outbox.put(numbered("t", 1)).await.expect_err("closed");
    assert_eq!((refused.kind(), refused.messages().len()), (OutboxErrorKind::Closed, 1));
    assert_eq!(outbox.counts().await.expect_err("closed").kind(), OutboxErrorKind::Closed);
    assert!(!scratch.path("outbox.db-wal").exists(), "the log is copied back at the close");
}
