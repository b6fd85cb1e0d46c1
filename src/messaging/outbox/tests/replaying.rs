//! The replay in virtual time, on the plainest store there is.

use super::naive::Naive;
use super::scripted::{Scripted, until};
use crate::messaging::outbox::{Outbox, OutboxBuilder, OutboxPick, OutboxState, OutboxStore, Replayed, replay};
use crate::messaging::{ErrorKind, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Running {
    outbox: Outbox,
    store: Arc<Naive>,
    stop: CancellationToken,
    task: JoinHandle<Replayed>,
}

impl Running {
    fn start(attempt: &Arc<Scripted>) -> Running {
        Running::with(Naive::in_virtual_time(), attempt, |builder| builder)
    }

    fn with(store: Arc<Naive>, attempt: &Arc<Scripted>, set: impl FnOnce(OutboxBuilder) -> OutboxBuilder) -> Running {
        let outbox = set(Outbox::builder_on(store.clone())).open().expect("a store of one's own opens");
        let stop = CancellationToken::new();
        let task = tokio::spawn(replay(outbox.clone(), attempt.clone(), stop.clone().cancelled_owned()));
        Running { outbox, store, stop, task }
    }

    async fn empty(&self) {
        until("an empty outbox", || self.store.rows().is_empty()).await;
    }

    async fn stop(self) -> Replayed {
        self.stop.cancel();
        self.task.await.expect("the replay ends")
    }
}

fn numbered(topic: &'static str, count: usize) -> Vec<Message> {
    (0..count).map(|n| Message::new(topic, n.to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn m3_what_is_put_is_sent_and_leaves() {
    let broker = Scripted::well(3 * MS);
    let run = Running::start(&broker);
    run.outbox.put(numbered("t", 500)).await.expect("stored");
    run.empty().await;
    let mut bodies = broker.bodies();
    assert_eq!(broker.most_at_once(), 16, "as many at once as are allowed");
    bodies.sort_by_key(|body| body.parse::<usize>().expect("a number"));
    assert_eq!(bodies, (0..500).map(|n| n.to_string()).collect::<Vec<_>>(), "each once");
    assert_eq!(run.stop().await, Replayed { sent: 500, ..Replayed::default() });
}

#[tokio::test(start_paused = true)]
async fn m3_a_put_wakes_the_replay_at_once() {
    let broker = Scripted::well(Duration::ZERO);
    let run = Running::start(&broker);
    tokio::time::sleep(Duration::from_millis(10_300)).await;
    let before = Instant::now();
    run.outbox.put(numbered("t", 1)).await.expect("stored");
    run.empty().await;
    assert!(before.elapsed() <= 10 * MS, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn m3_what_others_wrote_is_found_within_a_second_or_when_woken() {
    let broker = Scripted::well(Duration::ZERO);
    let run = Running::start(&broker);
    tokio::time::sleep(Duration::from_millis(10_300)).await;
    let before = Instant::now();
    run.store.put(&numbered("t", 1), Default::default()).await.expect("stored behind the outbox's back");
    run.empty().await;
    assert!(before.elapsed() <= 1010 * MS, "{:?}", before.elapsed());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = Instant::now();
    run.store.put(&numbered("t", 1), Default::default()).await.expect("stored behind the outbox's back");
    run.outbox.wake();
    run.empty().await;
    assert!(before.elapsed() <= 10 * MS, "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn m3_ordered_keys_keep_their_order_whatever_fails_on_the_way() {
    // Every third try fails, one way or another.
    let broker = Scripted::new(2 * MS, |message, turn| {
        let n: u32 = String::from_utf8_lossy(message.body()).parse().expect("a number");
        match (n + turn) % 5 {
            0 => Err(ErrorKind::Busy),
            1 => Err(ErrorKind::TooLarge),
            _ => Ok(()),
        }
    });
    let run = Running::start(&broker);
    let keys = ["a", "b", "c", "d", "e", "f", "g"];
    for n in 0..30 {
        let batch = keys.iter().map(|key| Message::new("t", n.to_string()).with_ordered_key(*key)).collect();
        run.outbox.put(batch).await.expect("stored");
    }
    assert!(run.outbox.ordered_pending("t", "a"));
    run.empty().await;
    for key in keys {
        let of_key: Vec<String> =
            broker.taken().iter().filter(|m| m.key() == Some(key)).map(|m| String::from_utf8_lossy(m.body()).into_owned()).collect();
        assert_eq!(of_key, (0..30).map(|n| n.to_string()).collect::<Vec<_>>(), "key {key}");
        until("the key to be free", || !run.outbox.ordered_pending("t", key)).await;
    }
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn m3_a_long_backlog_of_one_key_is_sent_without_pauses() {
    let broker = Scripted::well(MS);
    let run = Running::start(&broker);
    let backlog: Vec<Message> = (0..500).map(|n| Message::new("t", n.to_string()).with_ordered_key("a")).collect();
    run.outbox.put(backlog).await.expect("stored");
    let before = Instant::now();
    run.empty().await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(broker.bodies(), (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn m3_a_broker_that_is_down_for_a_day_makes_nothing_dead_and_is_asked_seldom() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = down.clone();
    let broker = Scripted::new(MS, move |_, turn| match (is_down.load(Ordering::SeqCst), turn % 3) {
        (true, 0) => Err(ErrorKind::Disconnected),
        (true, 1) => Err(ErrorKind::TimedOut),
        (true, _) => Err(ErrorKind::Unavailable),
        (false, _) => Ok(()),
    });
    let run = Running::start(&broker);
    run.outbox.put(numbered("t", 50)).await.expect("stored");
    tokio::time::sleep(DAY + DAY / 24).await;
    let tries = broker.tried().len() as u64;
    assert_eq!(run.outbox.counts().await.expect("counts").pending, 50);
    assert!(run.store.rows().iter().all(|row| row.attempts == 0), "none is counted against a message");
    let seconds = (DAY + DAY / 24).as_secs();
    assert!((seconds / 6..seconds / 2).contains(&tries), "one probe for each pause of up to five seconds, not {tries}");
    down.store(false, Ordering::SeqCst);
    let up = Instant::now();
    run.empty().await;
    assert!(up.elapsed() <= Duration::from_secs(12), "back within two pauses, not {:?}", up.elapsed());
    assert_eq!(run.stop().await.dead, 0);
}

#[tokio::test(start_paused = true)]
async fn m3_a_message_that_no_broker_takes_is_dead_after_its_attempts_and_can_be_retried_or_purged() {
    let cured = Arc::new(AtomicBool::new(false));
    let is_cured = cured.clone();
    let broker = Scripted::new(MS, move |message, _| match message.topic() {
        "bad" if !is_cured.load(Ordering::SeqCst) => Err(ErrorKind::Invalid),
        _ => Ok(()),
    });
    let run = Running::with(Naive::in_virtual_time(), &broker, |builder| builder.max_attempts(5));
    let (poison, other) = (Message::new("bad", "poison"), Message::new("bad", "too"));
    run.outbox.put(vec![poison.clone(), other.clone(), Message::new("good", "one")]).await.expect("stored");
    until("both to be dead", || run.store.ids(OutboxState::Dead).len() == 2).await;
    assert_eq!(broker.bodies(), ["one"], "the good one was not held up");
    for id in [poison.id(), other.id()] {
        assert_eq!(broker.tried().iter().filter(|(_, tried)| tried.id() == id).count(), 5);
    }
    assert!(run.store.rows().iter().all(|row| row.attempts == 5 && row.error.as_deref().is_some_and(|error| error.contains("invalid"))));
    assert_eq!(run.outbox.purge(other.id()).await, Ok(1));
    cured.store(true, Ordering::SeqCst);
    assert_eq!(run.outbox.retry(OutboxPick::Dead).await, Ok(1));
    run.empty().await;
    assert_eq!(broker.bodies(), ["one", "poison"]);
    assert_eq!(run.stop().await.dead, 2);
}

#[tokio::test(start_paused = true)]
async fn m3_an_unknown_topic_is_asked_for_seldom_and_given_up_only_after_a_day() {
    let broker = Scripted::new(MS, |message, _| if message.topic() == "typo" { Err(ErrorKind::UnknownTopic) } else { Ok(()) });
    let run = Running::start(&broker);
    run.outbox.put(numbered("typo", 1)).await.expect("stored");
    run.outbox.put(numbered("good", 300)).await.expect("stored");
    until("the good ones to be sent", || broker.taken().len() == 300).await;
    tokio::time::sleep(DAY - Duration::from_secs(60)).await;
    assert_eq!(run.store.ids(OutboxState::Pending).len(), 1, "not given up yet");
    let before = Instant::now();
    until("it to be given up", || !run.store.ids(OutboxState::Dead).is_empty()).await;
    assert!(before.elapsed() < Duration::from_secs(120));
    assert!(broker.tried().len() < 300 + 24 * 3600 / 2);
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn m3_many_messages_for_an_unknown_topic_are_probed_not_hammered() {
    let broker = Scripted::new(MS, |message, _| if message.topic() == "typo" { Err(ErrorKind::Unauthorised) } else { Ok(()) });
    let run = Running::start(&broker);
    run.outbox.put(numbered("typo", 1000)).await.expect("stored");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let tried = broker.tried().len();
    assert!(tried < 3600 / 2, "{tried} tries in an hour");
    // Beside them all others go their way.
    let before = Instant::now();
    run.outbox.put(numbered("good", 100)).await.expect("stored");
    until("the good ones to be sent", || broker.taken().len() == 100).await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn m3_a_message_that_breaks_every_connection_holds_up_no_other() {
    let broker = Scripted::new(MS, |message, _| if message.topic() == "cut" { Err(ErrorKind::Disconnected) } else { Ok(()) });
    let run = Running::with(Naive::in_virtual_time(), &broker, |builder| builder.patience(Duration::from_secs(3600)));
    run.outbox.put(numbered("cut", 1)).await.expect("stored");
    let before = Instant::now();
    run.outbox.put(numbered("good", 100)).await.expect("stored");
    until("the good ones to be sent", || broker.taken().len() == 100).await;
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    // While nothing else gets through it may be the broker: not given up.
    tokio::time::sleep(DAY).await;
    assert!(run.store.rows()[0].attempts <= 1, "only while the good ones were sent");
    // But while others do, it is the message.
    for n in 0.. {
        run.outbox.put(numbered("good", 1)).await.expect("stored");
        tokio::time::sleep(Duration::from_secs(10)).await;
        if !run.store.ids(OutboxState::Dead).is_empty() {
            assert!((295..400).contains(&n), "within its hour, of which the day before was ten minutes: {n}");
            break;
        }
        assert!(n < 1000, "it is never given up");
    }
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn m3_an_adapter_that_panics_loses_nothing() {
    let broker = Scripted::new(MS, |_, turn| if turn < 3 { panic!("as the test wants") } else { Ok(()) });
    let run = Running::start(&broker);
    run.outbox.put(numbered("t", 3)).await.expect("stored");
    run.empty().await;
    assert_eq!(run.stop().await.sent, 3);
}

#[tokio::test(start_paused = true)]
async fn m3_what_cannot_be_recorded_is_not_sent_again_and_is_recorded_later() {
    let broker = Scripted::well(MS);
    let run = Running::start(&broker);
    run.store.failing_settles.store(8, Ordering::SeqCst);
    run.outbox.put(numbered("t", 100)).await.expect("stored");
    run.empty().await;
    assert_eq!(broker.tried().len(), 100, "each once, though the store failed in between");
    assert!(run.store.failing_settles.load(Ordering::SeqCst) == 0);
    run.store.failing_claims.store(5, Ordering::SeqCst);
    run.outbox.put(numbered("t", 10)).await.expect("stored");
    run.empty().await;
    assert_eq!(run.stop().await, Replayed { sent: 110, ..Replayed::default() });
}

#[tokio::test(start_paused = true)]
async fn m3_a_stop_lets_tries_end_and_gives_the_rest_back() {
    let broker = Scripted::well(700 * MS);
    let run = Running::start(&broker);
    run.outbox.put(numbered("t", 100)).await.expect("stored");
    until("sixteen to be under way", || broker.tried().len() == 16).await;
    let (store, before) = (run.store.clone(), Instant::now());
    let did = run.stop().await;
    assert!(before.elapsed() <= 800 * MS, "{:?}", before.elapsed());
    assert_eq!((did.sent, did.unrecorded), (16, 0));
    assert_eq!((broker.taken().len(), store.rows().len()), (16, 84));
    assert!(store.rows().iter().all(|row| row.claim.is_none()), "nothing stays claimed");
}

#[tokio::test(start_paused = true)]
async fn m3_a_stop_does_not_wait_for_a_broker_that_hangs() {
    let broker = Scripted::well(3600 * 1000 * MS);
    let run = Running::start(&broker);
    run.outbox.put(numbered("t", 40)).await.expect("stored");
    until("sixteen to be under way", || broker.tried().len() == 16).await;
    let (store, before) = (run.store.clone(), Instant::now());
    let did = run.stop().await;
    assert!(before.elapsed() <= 1100 * MS, "{:?}", before.elapsed());
    assert_eq!((did.sent, did.unrecorded), (0, 0));
    assert!(store.rows().len() == 40 && store.rows().iter().all(|row| row.claim.is_none() && row.due <= 1_000_000));
}

#[tokio::test(start_paused = true)]
async fn m3_no_try_outlives_its_lease() {
    let broker = Scripted::well(3600 * 1000 * MS);
    let run = Running::with(Naive::in_virtual_time(), &broker, |builder| builder.lease(Duration::from_secs(10)).concurrency(1));
    run.outbox.put(numbered("t", 1)).await.expect("stored");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let tried = broker.tried();
    assert!((2..=6).contains(&tried.len()), "cut off and tried again, {} times", tried.len());
    assert!(tried.windows(2).all(|two| two[1].0 - two[0].0 >= Duration::from_secs(10)));
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn m3_two_replays_of_one_store_share_the_work() {
    let store = Naive::in_virtual_time();
    let (one, other) = (Scripted::well(5 * MS), Scripted::well(5 * MS));
    let (first, second) = (Running::with(store.clone(), &one, |builder| builder), Running::with(store.clone(), &other, |builder| builder));
    first.outbox.put(numbered("t", 1000)).await.expect("stored");
    second.outbox.wake();
    first.empty().await;
    let (did, too) = (first.stop().await, second.stop().await);
    assert_eq!(did.sent + too.sent, 1000, "none twice");
    assert!(did.sent > 0 && too.sent > 0, "{did:?} {too:?}");
}

#[tokio::test(start_paused = true)]
async fn m3_an_idle_replay_looks_seldom() {
    let broker = Scripted::well(MS);
    let run = Running::start(&broker);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let looks = run.store.claims.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(run.store.claims.load(Ordering::SeqCst) - looks <= 3600 / 30 + 1, "seldom, unless others wrote, or something is due");
    run.stop().await;
}
