//! Several connections on one file, claims, and clocks that jump.

use super::{Hand, LEASE, Scratch, bodies, claim, claimed, numbered, own, text};
use crate::messaging::Message;
use crate::messaging::outbox::{
    Outbox, OutboxBounds, OutboxClaim, OutboxClaimed, OutboxErrorKind, OutboxOutcome, OutboxPick, OutboxSettled, OutboxStore, SqliteOutbox, insert,
};
use std::time::Duration;

const HOUR: i64 = 3_600_000;
const SECOND: i64 = 1000;

fn all(claimed: &OutboxClaimed, outcome: OutboxOutcome) -> Vec<OutboxSettled> {
    claimed.rows.iter().map(|row| OutboxSettled { row: row.row, claim: row.claim, outcome: outcome.clone() }).collect()
}

fn released() -> OutboxOutcome {
    OutboxOutcome::Released { after: Duration::ZERO }
}

fn ordered(key: &str, bodies: std::ops::Range<usize>) -> Vec<Message> {
    bodies.map(|n| Message::new("t", n.to_string()).with_ordered_key(key)).collect()
}

#[tokio::test]
async fn m3_a_claimed_row_is_one_claimers_until_its_lease_is_over() {
    let (scratch, hand) = (Scratch::new("lease"), Hand::at(HOUR));
    let (one, other) = (hand.open(&scratch.file()), hand.open(&scratch.file()));
    one.put(&numbered("t", 4), OutboxBounds::default()).await.expect("stored");
    let first = claimed(&one, 3).await;
    assert_eq!(bodies(&first), ["0", "1", "2"]);
    assert_eq!(first.next, Some(Duration::ZERO), "there is more");
    let second = claimed(&other, 3).await;
    assert_eq!((bodies(&second), second.next), (vec!["3".to_owned()], Some(LEASE)));
    assert!(claimed(&one, 3).await.rows.is_empty());
    hand.turn(LEASE.as_millis() as i64 - 1);
    assert!(claimed(&other, 3).await.rows.is_empty());
    hand.turn(1);
    let again = claimed(&other, 2).await;
    assert_eq!(bodies(&again), ["0", "1"], "the first claimer is thought dead");
    // It is not, and comes late: what it did not send is the other's business, what it sent is gone.
    one.settle(&all(&first, released())).await.expect("settled");
    assert_eq!(bodies(&claimed(&other, 9).await), ["2", "3"], "only the one that nobody had claimed since was given back");
    one.settle(&all(&first, OutboxOutcome::Sent)).await.expect("settled");
    other.settle(&all(&again, OutboxOutcome::Dead { error: "too late".to_owned() })).await.expect("settled");
    let counts = one.counts().await.expect("counted");
    assert_eq!((counts.pending, counts.dead), (1, 0), "sent is sent");
}

#[tokio::test]
async fn m3_a_killed_process_holds_a_key_up_no_longer_than_its_lease() {
    let (scratch, hand) = (Scratch::new("key-lease"), Hand::at(HOUR));
    let (one, other) = (hand.open(&scratch.file()), hand.open(&scratch.file()));
    one.put(&ordered("a", 0..5), OutboxBounds::default()).await.expect("stored");
    one.put(&ordered("b", 10..12), OutboxBounds::default()).await.expect("stored");
    let first = one.claim(OutboxClaim { run: 2, ..claim(2) }).await.expect("claimed");
    assert_eq!(bodies(&first), ["0", "1"]);
    drop(one);
    assert_eq!(bodies(&claimed(&other, 9).await), ["10", "11"], "the key that is under way elsewhere is left alone, what is behind it too");
    hand.turn(LEASE.as_millis() as i64);
    let mut all = bodies(&claimed(&other, 9).await);
    all.sort();
    assert_eq!(all, ["0", "1", "10", "11", "2", "3", "4"]);
}

#[tokio::test]
async fn m3_ordered_keys_share_the_room_and_none_is_always_last() {
    let (scratch, hand) = (Scratch::new("fair"), Hand::at(HOUR));
    let store = hand.open(&scratch.file());
    for key in ["a", "b", "c", "d", "e"] {
        store.put(&ordered(key, 0..20), OutboxBounds::default()).await.expect("stored");
    }
    store.put(&numbered("t", 100), OutboxBounds::default()).await.expect("stored");
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..10 {
        let claimed = store.claim(OutboxClaim { run: 2, ..claim(8) }).await.expect("claimed");
        assert_eq!(claimed.rows.len(), 8);
        assert_eq!(claimed.rows.iter().filter(|row| row.message.is_ordered()).count(), 4, "half of the room for either kind");
        for row in &claimed.rows {
            *seen.entry(row.message.key().unwrap_or("none").to_owned()).or_default() += 1;
        }
        store.settle(&all(&claimed, OutboxOutcome::Sent)).await.expect("settled");
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        ["a", "b", "c", "d", "e"].map(|key| (key.to_owned(), 8)).into_iter().chain([("none".to_owned(), 40)]).collect::<Vec<_>>()
    );
    // A probe is one row: now of one kind, now of the other.
    let mut kinds = Vec::new();
    for _ in 0..6 {
        let claimed = claimed(&store, 1).await;
        assert_eq!(claimed.rows.len(), 1);
        kinds.push(claimed.rows[0].message.is_ordered());
    }
    assert_eq!(kinds.iter().filter(|ordered| **ordered).count(), 3, "{kinds:?}");
}

#[tokio::test]
async fn m3_a_dead_one_holds_no_key_up_and_comes_back_to_its_place() {
    let (scratch, hand) = (Scratch::new("dead-key"), Hand::at(HOUR));
    let store = hand.open(&scratch.file());
    store.put(&ordered("a", 0..4), OutboxBounds::default()).await.expect("stored");
    let first = store.claim(OutboxClaim { run: 1, ..claim(9) }).await.expect("claimed");
    assert_eq!(bodies(&first), ["0"]);
    assert!(claimed(&store, 9).await.rows.is_empty(), "one at a time");
    store.settle(&all(&first, OutboxOutcome::Dead { error: "poison".to_owned() })).await.expect("settled");
    let second = store.claim(OutboxClaim { run: 1, ..claim(9) }).await.expect("claimed");
    assert_eq!(bodies(&second), ["1"]);
    store.settle(&all(&second, OutboxOutcome::Failed { error: "busy".to_owned(), after: Duration::from_secs(3) })).await.expect("settled");
    let none = claimed(&store, 9).await;
    assert_eq!((none.rows.len(), none.next), (0, Some(Duration::from_secs(3))), "what waits holds up what is behind it");
    assert_eq!(store.retry(OutboxPick::Dead).await, Ok(1));
    assert_eq!(bodies(&claimed(&store, 9).await), ["0"], "first in its key again");
}

#[tokio::test]
async fn m3_clocks_that_jump_strand_nothing() {
    for jump in [-30 * 24 * HOUR, -HOUR, -61 * SECOND, -30 * SECOND, -SECOND, SECOND, HOUR, 30 * 24 * HOUR] {
        let (scratch, hand) = (Scratch::new("clock"), Hand::at(40 * 24 * HOUR));
        let store = hand.open(&scratch.file());
        store.put(&numbered("t", 1), OutboxBounds::default()).await.expect("stored");
        store.put(&ordered("a", 1..3), OutboxBounds::default()).await.expect("stored");
        let (free, backs_off) = (claimed(&store, 9).await, OutboxOutcome::Failed { error: "down".to_owned(), after: Duration::from_secs(5) });
        assert_eq!(free.rows.len(), 3);
        // One of each kind backs off, one stays claimed by a process that died.
        let mut settled = all(&free, backs_off);
        settled.pop();
        store.settle(&settled).await.expect("settled");
        hand.turn(jump);
        let mut waited = 0;
        let mut taken = 0;
        while taken < 3 {
            let claimed = claimed(&store, 9).await;
            taken += claimed.rows.len();
            store.settle(&all(&claimed, OutboxOutcome::Sent)).await.expect("settled");
            if taken < 3 {
                let next = claimed.next.expect("something will be due").as_millis() as i64;
                waited += next;
                hand.turn(next);
            }
        }
        assert!(waited <= 2 * LEASE.as_millis() as i64, "after a jump of {jump} ms it took {waited} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m3_two_processes_worth_of_claimers_never_have_the_same_row() {
    let scratch = Scratch::new("two");
    let stores = [SqliteOutbox::open(scratch.file()).expect("it opens"), SqliteOutbox::open(scratch.file()).expect("it opens")];
    let mut messages = numbered("t", 300);
    for key in ["a", "b", "c"] {
        messages.extend(ordered(key, 0..100));
    }
    stores[0].put(&messages, OutboxBounds::default()).await.expect("stored");
    let mut tasks = Vec::new();
    for store in stores {
        tasks.push(tokio::spawn(async move {
            let mut had = Vec::new();
            loop {
                let claimed = store.claim(OutboxClaim { run: 3, ..claim(10) }).await.expect("claimed");
                if claimed.rows.is_empty() {
                    if store.counts().await.expect("counted").pending == 0 {
                        return had;
                    }
                    continue;
                }
                had.extend(claimed.rows.iter().map(|row| row.row));
                store.settle(&all(&claimed, OutboxOutcome::Sent)).await.expect("settled");
            }
        }));
    }
    let mut rows: Vec<i64> = Vec::new();
    for task in tasks {
        rows.extend(task.await.expect("it ends"));
    }
    rows.sort_unstable();
    assert_eq!(rows, (1..=600).collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn m3_a_lock_that_is_held_is_waited_for_and_given_up_in_time() {
    let scratch = Scratch::new("busy");
    let outbox = Outbox::sqlite(scratch.file()).expect("it opens");
    let db = own(&scratch.file());
    db.execute_batch("BEGIN IMMEDIATE").expect("the user's transaction");
    let holder = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        db.execute_batch("COMMIT").expect("committed");
        db
    });
    outbox.put(numbered("t", 1)).await.expect("it waits");
    let db = holder.join().expect("no panic");
    db.execute_batch("BEGIN IMMEDIATE").expect("the user's transaction, kept open");
    let before = std::time::Instant::now();
    let puts = tokio::join!(outbox.put(numbered("t", 1)), outbox.put(numbered("t", 1)), outbox.put(numbered("t", 1)));
    let took = before.elapsed();
    for answer in [puts.0, puts.1, puts.2] {
        let refused = answer.expect_err("the lock is not to be had");
        assert_eq!((refused.kind(), refused.messages().len()), (OutboxErrorKind::Busy, 1));
        assert!(refused.to_string().contains("transaction"), "{refused}");
    }
    // The first alone, the others together.
    assert!(took < Duration::from_secs(13), "{took:?}");
    assert_eq!(outbox.counts().await.expect("reading needs no lock").pending, 1);
    db.execute_batch("COMMIT").expect("committed");
    outbox.put(numbered("t", 1)).await.expect("it goes on");
}

#[tokio::test]
async fn m3_ordered_keys_are_known_right_after_opening_and_after_a_look() {
    let scratch = Scratch::new("known");
    let outbox = Outbox::sqlite(scratch.file()).expect("it opens");
    assert!(!outbox.ordered_pending("t", "a"));
    outbox.put(ordered("a", 0..1)).await.expect("stored");
    outbox.put(vec![Message::new("t", "b").with_key("loose")]).await.expect("stored");
    assert!(outbox.ordered_pending("t", "a") && !outbox.ordered_pending("t", "loose") && !outbox.ordered_pending("u", "a"));
    outbox.close().await.expect("closed");
    let outbox = Outbox::sqlite(scratch.file()).expect("it opens again");
    assert!(outbox.ordered_pending("t", "a") && !outbox.ordered_pending("t", "z"));
    let db = own(&scratch.file());
    insert(&db, &ordered("z", 0..1)[0]).expect("handed in");
    outbox.refresh().await.expect("looked");
    assert!(outbox.ordered_pending("t", "z"));
    db.execute("DELETE FROM winddown_outbox", []).expect("all gone");
    outbox.refresh().await.expect("looked");
    assert!(!outbox.ordered_pending("t", "a") && !outbox.ordered_pending("t", "z"));
    // What was refused is not pending either.
    let full = Outbox::builder(scratch.file()).max_messages(1).open().expect("it opens");
    full.put(ordered("x", 0..2)).await.expect_err("no room");
    assert!(!full.ordered_pending("t", "x"));
}

#[tokio::test]
async fn m3_only_what_others_wrote_counts_as_changed() {
    let scratch = Scratch::new("changed");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    assert_eq!(store.changed().await, Ok(true), "at first it is not known");
    store.put(&numbered("t", 1), OutboxBounds::default()).await.expect("stored");
    assert_eq!((store.changed().await, store.changed().await), (Ok(false), Ok(false)));
    insert(&own(&scratch.file()), &Message::new("t", "by hand")).expect("handed in");
    assert_eq!((store.changed().await, store.changed().await), (Ok(true), Ok(false)));
    assert_eq!(claimed(&store, 9).await.rows.iter().map(|row| text(&row.message)).collect::<Vec<_>>(), ["0", "by hand"]);
}
