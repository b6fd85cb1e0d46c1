//! Crowds, faults and dropped calls at once: nothing is lost, and nothing stays behind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use winddown::messaging::{Broker, Class, Delivery, Faults, FaultyBroker, Interest, MemoryBroker, Message, MessageId, Subscription};
use winddown::{millis, secs};

/// Numbers that repeat: a test's own, so that it says what it saw.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[derive(Default)]
struct Seen {
    /// What the broker said yes to, and what it may have stored.
    sure: Vec<MessageId>,
    unsure: Vec<MessageId>,
    acknowledged: BTreeMap<MessageId, u32>,
}

async fn send(broker: &FaultyBroker, mut dice: Dice, seen: &Mutex<Seen>, count: usize) {
    for _ in 0..count {
        let message = Message::new("t", "x").with_ordered_key(format!("k{}", dice.roll(5)));
        loop {
            let sending = timeout(millis(dice.roll(12)), broker.send(&message, None));
            let Ok(answer) = sending.await else {
                // Dropped in the middle, and not tried again: it may be there.
                seen.lock().unwrap().unsure.push(message.id());
                break;
            };
            match answer {
                Ok(_) => break seen.lock().unwrap().sure.push(message.id()),
                Err(error) => {
                    assert_ne!(error.class(), Class::Fatal, "{error}");
                    if error.class() == Class::RetryableAmbiguous {
                        seen.lock().unwrap().unsure.push(message.id());
                    }
                    sleep(millis(1 + dice.roll(5))).await;
                }
            }
        }
    }
}

/// Drops calls, fails, forgets and leaves, until it is told that all is over.
async fn consume(broker: &FaultyBroker, mut dice: Dice, seen: &Mutex<Seen>, over: &AtomicBool) {
    let interest = Interest { visibility: millis(400), ordered: true, ..Interest::new("g", "t") };
    while !over.load(Ordering::SeqCst) {
        sleep(millis(1)).await;
        let Ok(Ok(member)) = timeout(secs(1), broker.subscribe(&interest)).await else { continue };
        for _ in 0..20 {
            sleep(millis(dice.roll(2))).await;
            let patience = millis(dice.roll(60));
            let Ok(Ok(taken)) = timeout(patience, member.pull(1 + dice.roll(9) as usize, millis(50))).await else { continue };
            for delivery in taken {
                let patience = millis(1 + dice.roll(30));
                let _ = timeout(patience, settle(&member, &delivery, dice.roll(20), seen)).await;
            }
        }
        // Half of them just go.
        if dice.roll(2) == 0 {
            let _ = timeout(millis(20), member.close()).await;
        }
    }
}

async fn settle(member: &Arc<dyn Subscription>, delivery: &Delivery, how: u64, seen: &Mutex<Seen>) {
    let receipt = std::slice::from_ref(delivery.receipt());
    match how {
        0 => drop(member.nack(receipt, millis(5)).await),
        1 => drop(member.release(receipt).await),
        2 => drop(member.extend(delivery.receipt(), millis(100)).await),
        3 => {}
        _ => {
            // Handled, whatever becomes of the answer.
            *seen.lock().unwrap().acknowledged.entry(delivery.message().id()).or_default() += 1;
            let _ = member.ack(receipt).await;
        }
    }
}

/// Switches the broker off and on, and stalls it, until it is told that all is over.
async fn disturb(memory: &MemoryBroker, faults: &Faults, mut dice: Dice, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        sleep(millis(20 + dice.roll(100))).await;
        match dice.roll(3) {
            0 => drop(faults.down(true)),
            1 => drop(faults.stalled(true)),
            _ => memory.stall(true),
        }
        sleep(millis(dice.roll(60))).await;
        faults.down(false).stalled(false);
        memory.stall(false);
    }
}

async fn all_at_once(seed: u64, each: usize) {
    let memory = MemoryBroker::builder().service_time(Duration::from_micros(200)).queue(50).build();
    let faults = Faults::parse("busy=0.1,disconnect=0.05,ambiguous=0.05,duplicate=0.1").unwrap().seed(seed);
    let broker = FaultyBroker::new(Arc::new(memory.client()), faults.clone());
    let (seen, over): (Arc<Mutex<Seen>>, Arc<AtomicBool>) = Default::default();
    let (mut senders, mut others) = (JoinSet::new(), JoinSet::new());
    for number in 0..4 {
        let (broker, seen) = (broker.clone(), seen.clone());
        senders.spawn(async move { send(&broker, Dice(seed + number), &seen, each).await });
    }
    for number in 0..4 {
        let (broker, seen, over) = (broker.clone(), seen.clone(), over.clone());
        others.spawn(async move { consume(&broker, Dice(seed + 10 + number), &seen, &over).await });
    }
    let (disturbed, over_too) = (memory.clone(), over.clone());
    others.spawn({
        let faults = faults.clone();
        async move { disturb(&disturbed, &faults, Dice(seed + 20), &over_too).await }
    });
    while senders.join_next().await.transpose().unwrap().is_some() {}
    while memory.pending("t", "g") > 0 || memory.depth("t") > 0 {
        sleep(millis(10)).await;
    }
    over.store(true, Ordering::SeqCst);
    while others.join_next().await.transpose().unwrap().is_some() {}

    broker.close().await.unwrap();
    assert_eq!((memory.in_flight("t", "g"), memory.pending("t", "g"), memory.queued()), (0, 0, 0), "something stays behind");
    let seen = seen.lock().unwrap();
    let lost = seen.sure.iter().filter(|id| !seen.acknowledged.contains_key(id)).count();
    assert_eq!(lost, 0, "of {} messages that were acknowledged to the sender", seen.sure.len());
    let strange = seen.acknowledged.keys().filter(|id| !seen.sure.contains(id) && !seen.unsure.contains(id)).count();
    assert_eq!(strange, 0, "messages came that were certainly not stored");
    let struck = faults.counts();
    assert!(struck.busy > 0 && struck.disconnected > 0 && struck.ambiguous > 0 && struck.duplicated > 0, "{struck:?}");
}

#[tokio::test(start_paused = true)]
async fn m9_crowds_faults_and_dropped_calls_lose_nothing() {
    for seed in 0..10 {
        timeout(secs(3600), all_at_once(seed * 1000, 60)).await.unwrap_or_else(|_| panic!("seed {seed} never comes to an end"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn m9_crowds_faults_and_dropped_calls_lose_nothing_on_threads() {
    timeout(secs(120), all_at_once(7, 60)).await.expect("it comes to an end");
}

/// Polls so often at most, then drops.
async fn polled<T>(future: impl Future<Output = T>, times: u32) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = times;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => std::task::Poll::Pending,
        }
    })
    .await
}

/// Each call is dropped at each of its awaits, behind a slow connection to a slow server.
#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_await_leaves_nothing_behind() {
    let memory = MemoryBroker::builder().service_time(millis(3)).build();
    let broker = FaultyBroker::new(Arc::new(memory.clone()), Faults::new().slow(millis(2)));
    let member = broker.subscribe(&Interest { visibility: secs(10), ..Interest::new("g", "t") }).await.unwrap();
    let mut finished = [0; 8];
    for round in 0..160u32 {
        let times = round / 8;
        let message = Message::new("t", round.to_string());
        memory.send(&message, None).await.unwrap();
        let held = member.pull(1, secs(1)).await.unwrap();
        let receipt = std::slice::from_ref(held[0].receipt());
        let kind = (round % 8) as usize;
        finished[kind] += u32::from(match kind {
            0 => polled(broker.send(&message, None), times).await.is_some(),
            1 => polled(broker.send_batch(&[message.clone(), message.clone()], None), times).await.is_some(),
            2 => polled(member.pull(5, millis(20)), times).await.is_some(),
            3 => polled(member.ack(receipt), times).await.is_some(),
            4 => polled(member.nack(receipt, millis(1)), times).await.is_some(),
            5 => polled(member.release(receipt), times).await.is_some(),
            6 => polled(member.dead_letter(&held[0], "why"), times).await.is_some(),
            _ => polled(member.extend(&receipt[0], secs(20)), times).await.is_some(),
        });
        // However far it came: the message is stored, held, or settled, and the connection goes on.
        assert_eq!(memory.queued(), 0, "round {round}");
        assert!(memory.in_flight("t", "g") <= memory.pending("t", "g"));
    }
    assert!(finished.iter().all(|count| (1..20).contains(count)), "each was dropped early, and each came to its end: {finished:?}");
    member.close().await.unwrap();
    sleep(secs(60)).await;
    let last = memory.subscribe(&Interest::new("g", "t")).await.unwrap();
    let mut came = 0;
    while memory.pending("t", "g") > 0 {
        let taken = last.pull(50, secs(60)).await.unwrap();
        assert!(!taken.is_empty(), "{} are pending, and do not come", memory.pending("t", "g"));
        came += taken.len();
        last.ack(&taken.iter().map(|delivery| delivery.receipt().clone()).collect::<Vec<_>>()).await.unwrap();
    }
    assert!(came > 100, "{came}");
    assert_eq!((memory.depth("t"), memory.in_flight("t", "g")), (0, 0));
}
