//! Several processes, one file.

use super::support::*;
use std::collections::BTreeMap;
use std::time::Instant;
use winddown::messaging::{Broker, ErrorKind, Message, SqliteBroker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m9_two_processes_share_a_group_and_take_over_from_one_that_was_killed() {
    const ALL: u32 = 1_500;
    let scratch = Scratch::new();
    let broker = scratch.open();
    // It exists before anybody pulls; the visibility is long enough that nothing comes twice by slowness alone.
    join(&broker, "g", "t").await;
    let consumer = || {
        let mut child = Role::start("consumer", &scratch.file(), &[("VISIBILITY", "3000")]);
        assert_eq!(child.line().unwrap(), "ready");
        child
    };
    let (first, second) = (consumer(), consumer());
    for n in (0..ALL).step_by(10) {
        send(&broker, "t", n..n + 10).await;
    }
    let victim = first.kill();
    let until = Instant::now() + LONG;
    while broker.counts("t", "g").await.unwrap().stored > 0 {
        assert!(Instant::now() < until, "{:?}", broker.counts("t", "g").await.unwrap());
        tokio::time::sleep(ms(20)).await;
    }
    let survivor = second.finish();
    assert!(!victim.is_empty() && !survivor.is_empty(), "{} and {}: not shared", victim.len(), survivor.len());
    let mut done: BTreeMap<u32, u32> = BTreeMap::new();
    for line in victim.iter().chain(&survivor) {
        let number = line.strip_prefix("done ").unwrap().split(' ').next().unwrap();
        *done.entry(number.parse().unwrap()).or_default() += 1;
    }
    assert!(done.values().all(|times| *times == 1), "handled and acknowledged twice");
    // Acknowledged by the victim, which was killed before it could say so: one for each of its members.
    assert!(done.len() >= ALL as usize - 4, "{} of {ALL}", done.len());
    broker.close().await.unwrap();
    assert_sound(&scratch.file());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_notices_soon_what_another_process_sends() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let member = join(&broker, "g", "t").await;
    // Another broker on the same file is as far away as another process: it has a connection and a thread of its own.
    let other = scratch.open();
    let mut delays = Vec::new();
    for n in 0..15 {
        let waiting = tokio::spawn({
            let member = member.clone();
            async move { (member.pull(1, LONG).await.unwrap(), Instant::now()) }
        });
        tokio::time::sleep(ms(7)).await;
        send(&other, "t", [n]).await;
        let since = Instant::now();
        let (got, at) = waiting.await.unwrap();
        assert_eq!(numbers(&got), [n]);
        delays.push(at.saturating_duration_since(since));
        ack(&member, &got).await;
    }
    delays.sort();
    // 25 ms, and a flush of the disk on a machine that may be busy. Without looking, it would be for ever.
    assert!(delays[delays.len() / 2] < ms(700), "{delays:?}");
    other.close().await.unwrap();
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_writes_without_a_pause_does_not_starve_another() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let mut hog = Role::start("writer", &scratch.file(), &[]);
    assert_eq!(hog.line().unwrap(), "ready");
    let mut longest = ms(0);
    for n in 0..40 {
        let since = Instant::now();
        send(&broker, "t", [n]).await;
        longest = longest.max(since.elapsed());
    }
    assert!(longest < ms(4_000), "one send waited {longest:?}");
    assert!(hog.finish().is_empty());
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m2_a_lock_that_is_not_let_go_is_busy_and_passes() {
    use winddown::messaging::Class;
    let scratch = Scratch::new();
    let broker = SqliteBroker::builder(scratch.file()).lock_wait(ms(50)).open().unwrap();
    let member = join(&broker, "g", "t").await;
    send(&broker, "t", 0..2).await;
    let got = member.pull(1, LONG).await.unwrap();
    let holder = rusqlite::Connection::open(scratch.file()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    for error in [
        broker.send(&Message::new("t", "9"), None).await.unwrap_err(),
        member.ack(&[got[0].receipt().clone()]).await.unwrap_err(),
        member.pull(1, ms(100)).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.class(), error.topic()), (ErrorKind::Busy, Class::RetryableSafe, Some("t")), "{error}");
        assert!(error.text().contains("queue.db"), "{error}");
    }
    // A pull that has time waits it out, and one that is dropped meanwhile loses nothing.
    let waiting = tokio::spawn({
        let member = member.clone();
        async move { member.pull(1, LONG).await.unwrap() }
    });
    tokio::time::sleep(ms(150)).await;
    holder.execute_batch("COMMIT").unwrap();
    ack(&member, &waiting.await.unwrap()).await;
    ack(&member, &got).await;
    assert_eq!(broker.counts("t", "g").await.unwrap(), Default::default());
    broker.close().await.unwrap();
}
