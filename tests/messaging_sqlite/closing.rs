//! The end: closed or dropped, at once or in the middle.

use super::support::*;
use std::time::Instant;
use winddown::messaging::{Broker, ErrorKind, Interest, Message};

/// The threads of this process that belong to a broker on this file cannot be told by name, but its connections can.
fn open_files(file: &std::path::Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    links.filter(|link| std::fs::read_link(link.as_ref().unwrap().path()).is_ok_and(|to| to == file)).count()
}

fn until(what: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !what() {
        assert!(Instant::now() < end, "never happened");
        std::thread::sleep(ms(2));
    }
}

#[tokio::test]
async fn a_close_releases_everything_and_ends_everything() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..4).await;
    let member = join(&broker, "g", "t").await;
    let got = member.pull(2, LONG).await.unwrap();
    let waiting = tokio::spawn({
        let idle = join(&broker, "g", "other").await;
        async move { idle.pull(1, LONG).await }
    });
    tokio::time::sleep(ms(10)).await;
    broker.close().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    // Nothing of it runs any more, the log is in the file, and nothing is left beside it.
    assert_eq!(open_files(&scratch.file()), 0);
    assert_eq!(std::fs::read_dir(&scratch.0).unwrap().count(), 1);
    broker.close().await.unwrap();
    for kind in [
        broker.send(&Message::new("t", "x"), None).await.unwrap_err().kind(),
        broker.subscribe(&Interest::new("g", "t")).await.err().unwrap().kind(),
        broker.counts("t", "g").await.unwrap_err().kind(),
        member.pull(1, LONG).await.unwrap_err().kind(),
        member.ack(&[got[0].receipt().clone()]).await.unwrap_err().kind(),
        member.commit().await.unwrap_err().kind(),
    ] {
        assert_eq!(kind, ErrorKind::Closed);
    }
    member.close().await.unwrap();
    // What was not settled is there for others at once, not after its visibility.
    let again = scratch.open();
    assert_eq!(take(&join(&again, "g", "t").await, 10, ms(0)).await, [0, 1, 2, 3]);
    again.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_lets_what_was_asked_before_happen() {
    let scratch = Scratch::new();
    let mut acknowledged_ever = false;
    for round in 0..5 {
        let broker = scratch.open();
        let topic = format!("t{round}");
        // More than one transaction takes.
        let sends: Vec<_> = (0..1_500)
            .map(|n: u32| {
                let (broker, topic) = (broker.clone(), topic.clone());
                tokio::spawn(async move { broker.send(&Message::new(topic, n.to_string()), None).await.map_err(|error| error.kind()) })
            })
            .collect();
        // Another moment each round: when few have asked, and when most have.
        let asked = broker.limits().batch * round / 4;
        let patience = Instant::now() + LONG;
        while sends.iter().filter(|send| send.is_finished()).count() < asked / 2 && Instant::now() < patience {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        broker.close().await.unwrap();
        let mut acknowledged = 0;
        for send in sends {
            match send.await.unwrap() {
                Ok(_) => acknowledged += 1,
                Err(kind) => assert_eq!(kind, ErrorKind::Closed),
            }
        }
        acknowledged_ever |= acknowledged > 0;
        // Exactly those: who was told Closed was not stored.
        assert_eq!(stored(&scratch.file(), &topic).len(), acknowledged);
    }
    assert!(acknowledged_ever);
}

#[tokio::test]
async fn the_last_handle_dropped_ends_it_too() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..4).await;
    let member = join(&broker, "g", "t").await;
    let clone = broker.clone();
    drop(broker);
    send(&clone, "t", 4..5).await;
    drop(clone);
    // A subscription is a handle as well.
    assert_eq!(member.pull(2, LONG).await.unwrap().len(), 2);
    assert!(open_files(&scratch.file()) > 0);
    drop(member);
    until(|| open_files(&scratch.file()) == 0);
    let again = scratch.open();
    assert_eq!(take(&join(&again, "g", "t").await, 10, ms(0)).await, [0, 1, 2, 3, 4]);
    again.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_subscription_gives_back_its_own_and_only_its_own() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..4).await;
    let (one, two, three) = (join(&broker, "g", "t").await, join(&broker, "g", "t").await, join(&broker, "g", "t").await);
    one.pull(1, LONG).await.unwrap();
    let kept = two.pull(1, LONG).await.unwrap();
    one.close().await.unwrap();
    one.close().await.unwrap();
    assert_eq!(one.pull(1, LONG).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(take(&three, 10, ms(0)).await, [0, 2, 3]);
    ack(&two, &kept).await;
    // Dropped is closed.
    send(&broker, "t", 4..5).await;
    two.pull(1, LONG).await.unwrap();
    drop(two);
    assert_eq!(take(&three, 10, LONG).await, [4]);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn commit_returns_when_everything_asked_before_is_on_the_disk() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..50).await;
    let member = join(&broker, "g", "t").await;
    let got = member.pull(50, LONG).await.unwrap();
    let acks: Vec<_> = got
        .iter()
        .map(|one| {
            let (member, receipt) = (member.clone(), one.receipt().clone());
            tokio::spawn(async move { member.ack(&[receipt]).await.unwrap() })
        })
        .collect();
    tokio::task::yield_now().await;
    member.commit().await.unwrap();
    assert!(stored(&scratch.file(), "t").is_empty());
    for ack in acks {
        assert_eq!(ack.await.unwrap().done, 1);
    }
    broker.close().await.unwrap();
}

/// Virtual time neither moves it nor hangs it: calls are answered in real time.
#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_hold_it() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..3).await;
    let member = join_for(&broker, "g", "t", ms(1_000)).await;
    let real = Instant::now();
    assert_eq!(member.pull(10, LONG).await.unwrap().len(), 3);
    tokio::time::advance(std::time::Duration::from_secs(3600)).await;
    assert!(member.pull(10, ms(0)).await.unwrap().is_empty(), "virtual time has ended a lease");
    assert_eq!(member.pull(10, LONG).await.unwrap().len(), 3);
    assert!(real.elapsed() >= ms(1_000));
    let real = Instant::now();
    assert!(join(&broker, "h", "none").await.pull(1, ms(200)).await.unwrap().is_empty());
    assert!(real.elapsed() >= ms(200));
    broker.close().await.unwrap();
}
