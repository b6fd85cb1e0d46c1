//! The replay on SQLite: nothing lost, nothing stuck, whatever fails.

use super::super::scripted::{Scripted, until};
use super::{Scratch, numbered, own, text};
use crate::messaging::outbox::{Outbox, OutboxFilter, OutboxPick, Replayed, insert, replay};
use crate::messaging::{Backoff, ErrorKind, Message, MessageId};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn m3_what_a_transaction_handed_in_is_sent_when_woken_and_by_itself() {
    let scratch = Scratch::new("handed");
    let (outbox, broker, stop) = (Outbox::sqlite(scratch.file()).expect("it opens"), Scripted::well(Duration::ZERO), CancellationToken::new());
    let task = tokio::spawn(replay(outbox.clone(), broker.clone(), stop.clone().cancelled_owned()));
    let mut db = own(&scratch.file());
    let tx = db.transaction().expect("begun");
    insert(&tx, &Message::new("t", "first")).expect("handed in");
    tx.commit().expect("committed");
    outbox.wake();
    broker.until_taken(1).await;
    db.execute("INSERT INTO winddown_outbox (topic, body) VALUES ('t', 'second')", []).expect("by plain SQL, without a word");
    broker.until_taken(2).await;
    assert_eq!(broker.bodies(), ["first", "second"]);
    stop.cancel();
    assert_eq!(task.await.expect("it ends"), Replayed { sent: 2, ..Replayed::default() });
    assert_eq!(outbox.counts().await.expect("counted"), Default::default());
}

#[tokio::test]
async fn m3_a_replay_of_a_closed_outbox_waits_quietly_for_its_stop() {
    let scratch = Scratch::new("closed-replay");
    let (outbox, broker, stop) = (Outbox::sqlite(scratch.file()).expect("it opens"), Scripted::well(Duration::ZERO), CancellationToken::new());
    let task = tokio::spawn(replay(outbox.clone(), broker.clone(), stop.clone().cancelled_owned()));
    outbox.put(numbered("t", 5)).await.expect("stored");
    broker.until_taken(5).await;
    outbox.close().await.expect("closed");
    outbox.wake();
    tokio::time::sleep(30 * MS).await;
    assert!(!task.is_finished(), "a task that ends before anybody asked would be taken for a failure");
    stop.cancel();
    assert_eq!(task.await.expect("it ends").sent, 5);
}

#[tokio::test]
async fn m3_damaged_rows_stop_no_replay() {
    let scratch = Scratch::new("damaged-replay");
    let (outbox, broker, stop) = (Outbox::sqlite(scratch.file()).expect("it opens"), Scripted::well(Duration::ZERO), CancellationToken::new());
    let db = own(&scratch.file());
    db.execute_batch("PRAGMA ignore_check_constraints = ON").expect("set");
    for n in 0..200 {
        db.execute("INSERT INTO winddown_outbox (topic, body, properties) VALUES ('t', ?1, ?2)", (n.to_string(), (n % 2 == 0).then_some("{")))
            .expect("inserted");
    }
    let task = tokio::spawn(replay(outbox.clone(), broker.clone(), stop.clone().cancelled_owned()));
    broker.until_taken(100).await;
    until("all damaged ones to be set aside", || {
        db.query_row("SELECT count(*) FROM winddown_outbox WHERE state = 'damaged'", [], |row| row.get::<_, i64>(0)) == Ok(100)
    })
    .await;
    stop.cancel();
    task.await.expect("it ends");
}

/// What a run of the property below is made of.
#[derive(Clone, Debug)]
struct Case {
    /// For each message its key (the last is none), and how its tries go: so many failures of a kind, then well; or never.
    messages: Vec<(u8, u8, u8)>,
    /// After so many acknowledgements the replay is stopped, the outbox closed and opened again.
    stops: Vec<usize>,
    seed: u64,
}

fn any_case() -> impl Strategy<Value = Case> {
    let messages = proptest::collection::vec((0..5u8, 0..4u8, 0..6u8), 1..60);
    (messages, proptest::collection::vec(0..20usize, 0..4), any::<u64>()).prop_map(|(messages, stops, seed)| Case { messages, stops, seed })
}

/// Everything put is, in the end, acknowledged or dead, by the plainest of accounts: a set of ids. And each key's are in order.
async fn conserve(case: Case) {
    let scratch = Scratch::new("conserve");
    let mut plans = HashMap::new();
    let mut messages = Vec::new();
    for (n, (key, kind, failures)) in case.messages.iter().enumerate() {
        let message = Message::new("t", n.to_string());
        let message = if *key < 4 { message.with_ordered_key(format!("k{key}")) } else { message };
        plans.insert(message.id(), (*kind, u32::from(*failures)));
        messages.push(message);
    }
    let poison: BTreeSet<MessageId> = plans.iter().filter(|(_, (kind, failures))| *kind == 0 && *failures == 5).map(|(id, _)| *id).collect();
    let dies = poison.clone();
    let broker = Scripted::new(MS, move |message, turn| {
        let (kind, failures) = plans[&message.id()];
        let well = turn > failures && !dies.contains(&message.id());
        let error = match kind {
            0 => ErrorKind::Invalid,
            1 => ErrorKind::Busy,
            2 => ErrorKind::Disconnected,
            _ => ErrorKind::TimedOut,
        };
        if well { Ok(()) } else { Err(error) }
    });
    let open = || {
        Outbox::builder(scratch.file())
            .backoff(Backoff::new(MS, 8 * MS))
            .max_attempts(8)
            .concurrency(1 + (case.seed % 8) as usize)
            .open()
            .expect("it opens")
    };
    let mut outbox = open();
    let mut left = messages.clone();
    for (turn, acknowledged) in case.stops.iter().copied().chain([usize::MAX]).enumerate() {
        let stop = CancellationToken::new();
        let task = tokio::spawn(replay(outbox.clone(), broker.clone(), stop.clone().cancelled_owned()));
        let part = if turn == case.stops.len() { left.len() } else { left.len() / 2 };
        for message in left.drain(..part).collect::<Vec<_>>() {
            outbox.put(vec![message]).await.expect("stored");
        }
        let before = broker.taken().len();
        if acknowledged == usize::MAX {
            loop {
                let counts = outbox.counts().await.expect("counted");
                if counts.pending == 0 {
                    break;
                }
                tokio::time::sleep(2 * MS).await;
            }
        } else {
            // Perhaps there are not so many left.
            let enough = async { until("some to be taken", || broker.taken().len() >= before + acknowledged).await };
            let _ = tokio::time::timeout(30 * MS, enough).await;
        }
        stop.cancel();
        let did = task.await.expect("it ends");
        assert_eq!(did.unrecorded, 0);
        outbox.close().await.expect("closed");
        outbox = open();
    }
    let dead: BTreeSet<MessageId> =
        outbox.list(OutboxFilter::dead()).await.expect("listed").iter().filter_map(|entry| Some(entry.message.as_ref()?.id())).collect();
    assert_eq!(dead, poison);
    let taken: Vec<Message> = broker.taken();
    let sent: BTreeSet<MessageId> = taken.iter().map(Message::id).collect();
    assert_eq!(sent.len(), taken.len(), "nothing crashed, so nothing was sent twice");
    assert_eq!(sent.union(&dead).count(), messages.len(), "everything put is sent or dead");
    assert_eq!(outbox.counts().await.expect("counted").rows(), dead.len() as u64);
    for key in ["k0", "k1", "k2", "k3"] {
        let order: Vec<u32> =
            taken.iter().filter(|message| message.key() == Some(key)).map(|message| text(message).parse().expect("a number")).collect();
        assert!(order.is_sorted(), "{key}: {order:?}");
        assert!(!outbox.ordered_pending("t", key));
    }
    assert_eq!(outbox.purge(OutboxPick::Dead).await, Ok(dead.len() as u64));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn m3_everything_put_is_sent_or_dead_in_the_end(case in any_case()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(conserve(case));
    }
}
