//! Futures dropped at every moment: a send is whole or not at all, a pull gives back what it took.

use super::support::*;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};
use winddown::messaging::{Broker, Message, Subscription};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Polls once; if it is not ready, waits until it was woken or the time is over; drops it without another poll.
fn poll_once_then_drop<F: Future>(future: F, wait: Option<Duration>) -> Option<F::Output> {
    let woken = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => {
            let until = Instant::now() + wait.unwrap_or(LONG);
            while woken.0.load(Ordering::Acquire) == 0 && Instant::now() < until {
                std::thread::sleep(Duration::from_micros(50));
            }
            assert!(wait.is_some() || woken.0.load(Ordering::Acquire) > 0, "never woken");
            None
        }
    }
}

async fn all_there(member: &Arc<dyn Subscription>, expected: u32) {
    let got = member.pull(100, LONG).await.unwrap();
    assert_eq!(numbers(&got), (0..expected).collect::<Vec<_>>());
    assert!(got.iter().all(|one| one.attempt() == 1), "a dropped pull was counted");
    let receipts: Vec<_> = got.iter().map(|one| one.receipt().clone()).collect();
    assert_eq!(member.release(&receipts).await.unwrap().done, got.len());
}

#[tokio::test]
async fn a_dropped_pull_gives_back_at_once_whenever_it_is_dropped() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..5).await;
    let (member, other) = (join(&broker, "g", "t").await, join(&broker, "g", "t").await);
    // Never polled.
    drop(member.pull(10, LONG));
    all_there(&other, 5).await;
    // The answer is in the channel and nobody takes it out.
    for _ in 0..20 {
        assert!(poll_once_then_drop(member.pull(10, LONG), None).is_none());
        all_there(&other, 5).await;
    }
    // At any moment in between.
    for micros in (0..3_000).step_by(50) {
        poll_once_then_drop(member.pull(10, LONG), Some(Duration::from_micros(micros)));
        all_there(&other, 5).await;
    }
    assert_eq!(broker.counts("t", "g").await.unwrap().in_flight, 0);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_wait_takes_nothing_that_comes_later() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let (member, other) = (join(&broker, "g", "t").await, join(&broker, "g", "t").await);
    for n in 0..20 {
        assert!(poll_once_then_drop(member.pull(10, LONG), Some(ms(n % 4))).is_none());
        send(&broker, "t", [0]).await;
        assert_eq!(take(&other, 10, LONG).await, [0]);
    }
    broker.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_send_is_stored_whole_or_not_at_all() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let batch: Vec<_> = (0..10).map(|n: u32| Message::new("t", n.to_string())).collect();
    let mut before = 0;
    let mut stored_any = 0;
    for micros in (0..4_000).step_by(100) {
        poll_once_then_drop(broker.send_batch(&batch, None), Some(Duration::from_micros(micros)));
        poll_once_then_drop(broker.send(&Message::new("u", "x"), None), Some(Duration::from_micros(micros)));
        // The connection goes on working.
        let stored = broker.counts("t", "g").await.unwrap().stored;
        assert!(stored == before || stored == before + 10, "{before} -> {stored}");
        stored_any += stored - before;
        before = stored;
    }
    assert!(stored_any > 0);
    assert!(poll_once_then_drop(broker.send(&Message::new("v", "x"), None), None).is_none());
    assert_eq!(broker.counts("v", "g").await.unwrap().stored, 1);
    broker.close().await.unwrap();
}

/// Senders, and members whose pulls and acks are dropped at random: every message is acknowledged in the end, and each once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m9_nothing_is_lost_and_nothing_comes_after_its_ack_under_cancellation() {
    const ALL: u32 = 800;
    let scratch = Scratch::new();
    let broker = scratch.open();
    let done = Arc::new(std::sync::Mutex::new(std::collections::BTreeMap::<u32, u32>::new()));
    let mut members = Vec::new();
    for salt in 0..6u64 {
        let member = join(&broker, "g", "t").await;
        let done = done.clone();
        members.push(tokio::spawn(async move {
            let mut turn = salt;
            while done.lock().unwrap().len() < ALL as usize {
                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(salt + 1);
                let patience = Duration::from_micros(turn >> 52);
                // `select!` drops the pull, wherever it is.
                let got = tokio::select! {
                    biased;
                    got = member.pull(4, ms(100)) => got.unwrap(),
                    () = tokio::time::sleep(patience) => continue,
                };
                for one in &got {
                    if member.ack(&[one.receipt().clone()]).await.unwrap().done == 1 {
                        *done.lock().unwrap().entry(number(one)).or_default() += 1;
                    }
                }
            }
        }));
    }
    let senders: Vec<_> = (0..8)
        .map(|task| {
            let broker = broker.clone();
            tokio::spawn(async move {
                for n in (task..ALL).step_by(8) {
                    broker.send(&Message::new("t", n.to_string()), None).await.unwrap();
                }
            })
        })
        .collect();
    for task in senders.into_iter().chain(members) {
        tokio::time::timeout(LONG, task).await.unwrap().unwrap();
    }
    assert!(done.lock().unwrap().values().all(|times| *times == 1));
    let counts = broker.counts("t", "g").await.unwrap();
    assert_eq!(counts, Default::default());
    broker.close().await.unwrap();
    assert_sound(&scratch.file());
}
