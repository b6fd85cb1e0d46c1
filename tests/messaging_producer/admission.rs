//! Let in by count and bytes (M1), and what comes back when not.

use crate::kit::{Answer, Scripted, after, message, run, shared};
use std::sync::Arc;
use winddown::messaging::{Permits, Producer, SendErrorKind, Sent};
use winddown::{millis, secs};

/// The story behind the rule: the count is had, the bytes are not, and the wait times out. Ten thousand times.
#[tokio::test(start_paused = true)]
async fn m1_ten_thousand_time_outs_for_bytes_leak_no_count() {
    let broker = Scripted::always(Answer::Hang);
    let producer = Producer::builder(shared(&broker)).max_in_flight(100).max_in_flight_bytes(1000).timeout(secs(3)).build();
    let sender = producer.clone();
    let (_, ()) = run(&producer, |_| async move {
        let permits = sender.permits().clone();
        let mut blocker = Some(sender.enqueue(message(&"x".repeat(900))).await.unwrap());
        for round in 0..100 {
            let sends: Vec<_> = (0..100)
                .map(|_| {
                    let sender = sender.clone();
                    tokio::spawn(async move { sender.send(message(&"y".repeat(200))).await })
                })
                .collect();
            // What is in the way times out as well, at the same instant; the next takes its place before the others.
            tokio::time::sleep(millis(2999)).await;
            assert_eq!(permits.waiting(), 100, "round {round}");
            assert_eq!(permits.in_flight().0, 1, "who waits for bytes holds no count");
            permits.resize(100, 100);
            for send in sends {
                let error = send.await.unwrap().unwrap_err();
                assert!(matches!(error.kind(), SendErrorKind::TimedOut | SendErrorKind::TooLarge), "{error}");
                assert_eq!(error.into_message().body().len(), 200);
            }
            let _ = blocker.take().unwrap().await;
            assert_eq!((permits.in_flight(), permits.waiting()), ((0, 0), 0), "round {round}");
            permits.resize(100, 1000);
            blocker = Some(sender.enqueue(message(&"x".repeat(900))).await.unwrap());
        }
        assert_eq!(sender.stats().refused, 10_000);
    })
    .await;
    assert_eq!(producer.permits().in_flight(), (0, 0));
}

/// The same with the time-outs themselves, none of them helped.
#[tokio::test(start_paused = true)]
async fn m1_a_wait_for_bytes_that_times_out_gives_nothing_away() {
    let permits = Permits::new(20_000, 1000);
    let held = permits.try_acquire(900).unwrap();
    let waits: Vec<_> = (0..10_000)
        .map(|_| {
            let permits = permits.clone();
            tokio::spawn(async move { tokio::time::timeout(secs(3), permits.acquire(200)).await.is_err() })
        })
        .collect();
    tokio::time::sleep(secs(1)).await;
    assert_eq!((permits.in_flight(), permits.waiting()), ((1, 900), 10_000));
    for wait in waits {
        assert!(wait.await.unwrap());
    }
    assert_eq!((permits.in_flight(), permits.waiting()), ((1, 900), 0));
    drop(held);
    assert_eq!(permits.in_flight(), (0, 0));
    let all: Vec<_> = (0..20_000).map(|_| permits.try_acquire(0).unwrap()).collect();
    assert_eq!(all.len(), 20_000, "every count is there");
}

#[tokio::test(start_paused = true)]
async fn m1_before_the_start_and_after_the_stop_the_message_comes_back() {
    let broker = Scripted::always(Answer::Yes);
    let producer = Producer::new(shared(&broker));
    let early = producer.send(message("early")).await.unwrap_err();
    assert_eq!((early.kind(), early.attempts()), (SendErrorKind::NotStarted, 0));
    assert_eq!(early.into_message().body(), "early");
    let (_, ()) = run(&producer, |_| async {}).await;
    let late = producer.send(message("a")).await.unwrap_err();
    assert_eq!(late.kind(), SendErrorKind::Closed);
    assert_eq!(late.into_message().body(), "a");
    assert_eq!(producer.try_send(message("b")).unwrap_err().into_message().body(), "b");
    assert_eq!(producer.enqueue(message("c")).await.unwrap_err().into_message().body(), "c");
    let called = Arc::new(());
    let callback = called.clone();
    assert_eq!(producer.try_send_with(message("d"), move |_| drop(callback)).unwrap_err().into_message().body(), "d");
    assert_eq!(Arc::strong_count(&called), 1, "a callback that is not called is dropped");
    let stats = producer.stats();
    assert_eq!((stats.refused, stats.accepted), (5, 0));
    assert!(broker.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn m1_who_waits_for_admission_when_it_closes_gets_the_message_back() {
    let broker = Scripted::always(after(millis(100), Answer::Yes));
    let producer = Producer::builder(shared(&broker)).max_in_flight(1).build();
    let sender = producer.clone();
    let (_, (in_flight, waiting)) = run(&producer, |_| async move {
        let in_flight = sender.try_send(message("in")).unwrap();
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let sender = sender.clone();
                tokio::spawn(async move { sender.send(message("waiting")).await })
            })
            .collect();
        tokio::time::sleep(millis(10)).await;
        (in_flight, waiting)
    })
    .await;
    assert!(matches!(in_flight.await, Ok(Sent::Acknowledged(_))));
    for send in waiting {
        let error = send.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Closed);
        assert_eq!(error.into_message().body(), "waiting");
    }
    let stats = producer.stats();
    assert_eq!((stats.accepted, stats.acknowledged, stats.refused), (1, 1, 10));
}

#[tokio::test(start_paused = true)]
async fn m1_larger_than_the_budget_is_refused_at_once_on_every_path() {
    let broker = Scripted::always(Answer::Yes);
    let producer = Producer::builder(shared(&broker)).max_in_flight_bytes(100).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        let began = tokio::time::Instant::now();
        let large = || message(&"x".repeat(200));
        let errors = [
            sender.send(large()).await.unwrap_err(),
            sender.enqueue(large()).await.unwrap_err(),
            sender.try_send(large()).unwrap_err(),
            sender.try_send_with(large(), |_| {}).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), SendErrorKind::TooLarge);
            assert!(error.to_string().contains("206 bytes are more than the producer's whole budget of 100"), "{error}");
        }
        assert_eq!(began.elapsed(), secs(0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m1_what_the_broker_would_never_take_is_refused_before_it_waits() {
    let broker = Scripted::always(Answer::Hang);
    let producer = Producer::builder(shared(&broker)).max_in_flight(1).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        drop(sender.try_send(message("in the way")).unwrap());
        let error = sender.send(message(&"x".repeat(5 << 20))).await.unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::TooLarge);
        assert!(error.broker_error().is_some());
        let nameless = sender.send(winddown::messaging::Message::new("", "x")).await.unwrap_err();
        assert_eq!(nameless.kind(), SendErrorKind::Refused);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m1_try_send_is_full_and_its_permit_comes_back_in_every_ending() {
    let endings = [Answer::Yes, Answer::No(winddown::messaging::ErrorKind::Invalid), Answer::Panic, Answer::Hang, after(millis(10), Answer::Panic)];
    let broker = Scripted::new(move |n, _, _| endings[n % endings.len()].clone());
    let producer = Producer::builder(shared(&broker)).max_in_flight(5).max_attempts(1).timeout(secs(1)).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        let sends: Vec<_> = (0..5).map(|_| sender.try_send(message("x")).unwrap()).collect();
        assert_eq!(sender.try_send(message("x")).unwrap_err().kind(), SendErrorKind::Full);
        for send in sends {
            let _ = send.await;
        }
        assert_eq!(sender.permits().in_flight(), (0, 0));
        // And when the caller drops its future in the middle.
        let hanging = tokio::time::timeout(millis(1), sender.send(message("x")));
        let _ = hanging.await;
        assert_eq!(sender.permits().in_flight(), (0, 0));
    })
    .await;
}
