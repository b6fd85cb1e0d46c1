//! With an outbox: what could not be sent is stored, in order, and replayed (M3).

use crate::kit::{Answer, Scripted, message, run, run_with_budget, shared, step};
use crate::store::Held;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;
use winddown::messaging::{ErrorKind, Outbox, Producer, ProducerBuilder, SendErrorKind, Sent};
use winddown::{Outcome, millis, secs};

fn with(broker: &Arc<Scripted>, store: &Arc<Held>) -> ProducerBuilder {
    Producer::builder(shared(broker)).outbox(Outbox::with_store(store.clone()))
}

#[tokio::test(start_paused = true)]
async fn m3_what_could_not_be_sent_in_time_is_stored_on_every_path() {
    let (broker, store) = (Scripted::always(Answer::No(ErrorKind::Busy)), Held::new(100));
    store.slow(millis(5));
    let producer = with(&broker, &store).timeout(secs(1)).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        assert_eq!(sender.send(message("send")).await, Ok(Sent::Stored));
        assert_eq!(sender.try_send(message("try")).unwrap().await, Ok(Sent::Stored));
        assert_eq!(sender.enqueue(message("enqueue")).await.unwrap().await, Ok(Sent::Stored));
        let (tell, told) = tokio::sync::oneshot::channel();
        sender.try_send_with(message("callback"), move |outcome| tell.send(outcome).unwrap()).unwrap();
        assert_eq!(told.await.unwrap(), Ok(Sent::Stored));
        drop(sender.try_send(message("forgotten")).unwrap());
    })
    .await;
    assert_eq!(store.bodies(), ["send", "try", "enqueue", "callback", "forgotten"]);
    let stats = producer.stats();
    assert_eq!((stats.accepted, stats.outboxed, stats.lost, stats.returned), (5, 5, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn m3_what_no_broker_would_take_comes_back_all_the_same() {
    for kind in [ErrorKind::Invalid, ErrorKind::UnknownTopic, ErrorKind::Unauthorised, ErrorKind::TooLarge] {
        let (broker, store) = (Scripted::always(Answer::No(kind)), Held::new(100));
        let producer = with(&broker, &store).build();
        let sender = producer.clone();
        let (_, error) = run(&producer, |_| async move { sender.send(message("x")).await.unwrap_err() }).await;
        assert_eq!(error.broker_error().unwrap().kind(), kind);
        assert!(store.ids().is_empty());
    }
}

/// A client that was closed says nothing against the message.
#[tokio::test(start_paused = true)]
async fn m3_a_closed_broker_is_no_fault_of_the_message() {
    let (broker, store) = (Scripted::always(Answer::No(ErrorKind::Closed)), Held::new(100));
    let producer = with(&broker, &store).build();
    let sender = producer.clone();
    let (_, outcome) = run(&producer, |_| async move { sender.send(message("x")).await }).await;
    assert_eq!(outcome, Ok(Sent::Stored));
}

#[tokio::test(start_paused = true)]
async fn m3_who_is_not_let_in_in_time_is_stored_untried() {
    let (broker, store) = (Scripted::always(Answer::Hang), Held::new(100));
    let producer = with(&broker, &store).max_in_flight(0).timeout(secs(2)).build();
    let sender = producer.clone();
    let (_, took) = run(&producer, |_| async move {
        let began = Instant::now();
        assert_eq!(sender.send(message("x")).await, Ok(Sent::Stored));
        began.elapsed()
    })
    .await;
    assert_eq!(took, secs(2));
    assert!(broker.calls().is_empty());
    assert_eq!(producer.stats().outboxed, 1);
}

#[tokio::test(start_paused = true)]
async fn m3_full_or_broken_the_message_comes_back_with_the_reason() {
    let (broker, store) = (Scripted::always(Answer::No(ErrorKind::Busy)), Held::new(1));
    let producer = with(&broker, &store).timeout(secs(1)).build();
    let sender = producer.clone();
    let held = store.clone();
    run(&producer, |_| async move {
        // Both are stored at once, and one fits.
        let (a, b) = (sender.try_send(message("a")).unwrap(), sender.try_send(message("b")).unwrap());
        let mut outcomes = [a.await, b.await].map(|outcome| outcome.map_err(|error| error.kind())).to_vec();
        outcomes.sort_by_key(|outcome| outcome.is_err());
        assert_eq!(outcomes, [Ok(Sent::Stored), Err(SendErrorKind::OutboxFull)]);
        held.broken();
        let error = sender.send(message("c")).await.unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::OutboxFailed);
        assert!(error.to_string().contains("outbox held: disk-full"), "{error}");
        assert_eq!(error.into_message().body(), "c");
    })
    .await;
    let stats = producer.stats();
    assert_eq!((stats.outboxed, stats.returned), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn m3_a_disk_that_does_not_answer_is_not_waited_for_for_ever() {
    let (broker, store) = (Scripted::always(Answer::No(ErrorKind::Busy)), Held::new(100));
    store.slow(secs(1_000_000));
    let producer = with(&broker, &store).timeout(secs(1)).build();
    let sender = producer.clone();
    let (_, (error, took)) = run(&producer, |_| async move {
        let began = Instant::now();
        (sender.send(message("x")).await.unwrap_err(), began.elapsed())
    })
    .await;
    assert_eq!(error.kind(), SendErrorKind::OutboxFailed);
    assert!(took <= secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn m3_a_send_dropped_in_the_middle_is_handed_over() {
    let (broker, store) = (Scripted::always(Answer::Hang), Held::new(100));
    store.slow(millis(50));
    let producer = with(&broker, &store).build();
    let (sender, held) = (producer.clone(), store.clone());
    run(&producer, |_| async move {
        assert!(tokio::time::timeout(millis(10), sender.send(message("x"))).await.is_err());
        assert_eq!((sender.stats().in_flight, sender.permits().in_flight().0), (1, 1), "until it is durable");
        tokio::time::sleep(millis(51)).await;
        assert_eq!((sender.stats().outboxed, sender.permits().in_flight().0), (1, 0));
        assert_eq!(held.bodies(), ["x"]);
    })
    .await;
    assert_eq!(producer.stats().lost, 0);
}

#[tokio::test(start_paused = true)]
async fn m4_what_a_stop_cancels_is_stored_together() {
    let (broker, store) = (Scripted::always(Answer::Hang), Held::new(1000));
    // As a disk that syncs.
    store.slow(millis(20));
    let producer = with(&broker, &store).timeout(secs(60)).build();
    let sender = producer.clone();
    let (report, sends) = run_with_budget(&producer, secs(5), |_| async move {
        // One key, so that each could wait for the one before.
        (0..500).map(|i| sender.try_send(message(&format!("{i:03}")).with_ordered_key("k")).unwrap()).collect::<Vec<_>>()
    })
    .await;
    for send in sends {
        assert_eq!(send.await, Ok(Sent::Stored));
    }
    assert_eq!(store.bodies(), (0..500).map(|i| format!("{i:03}")).collect::<Vec<_>>(), "in order");
    assert!(store.puts().len() < 10, "500 commits of 20 ms would take 10 s: {:?}", store.puts());
    assert_eq!((step(&report, "cancelled"), step(&report, "outboxed")), (500, 500));
    let component = report.component("producer").unwrap();
    assert_eq!((component.outcome, component.handed_back, component.lost), (Outcome::Stopped, 500, 0));
    let stop = component.stop.unwrap();
    assert!(stop.ended - stop.began < millis(4800));
}

/// An outage: what is stored first stays first, and nothing newer of its key overtakes it, also not when the broker is well again.
#[tokio::test(start_paused = true)]
async fn m3_an_ordered_key_stays_in_order_through_an_outage() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = up.clone();
    let broker = Scripted::new(move |_, _, _| if is_up.load(Ordering::SeqCst) { Answer::Yes } else { Answer::No(ErrorKind::Unavailable) });
    let store = Held::new(1000);
    let producer = with(&broker, &store).timeout(millis(500)).build();
    let (sender, held, now_up) = (producer.clone(), store.clone(), up.clone());
    run(&producer, |_| async move {
        for i in 0..10 {
            assert_eq!(sender.send(message(&format!("{i:02}")).with_ordered_key("k")).await, Ok(Sent::Stored));
        }
        now_up.store(true, Ordering::SeqCst);
        // The broker is well, but ten are before it.
        assert_eq!(sender.send(message("10").with_ordered_key("k")).await, Ok(Sent::Stored));
        assert!(matches!(sender.send(message("other").with_ordered_key("other")).await, Ok(Sent::Acknowledged(_))));
        held.replays();
        while !held.bodies().is_empty() {
            tokio::time::sleep(millis(100)).await;
        }
        tokio::time::sleep(secs(2)).await;
        assert!(matches!(sender.send(message("11").with_ordered_key("k")).await, Ok(Sent::Acknowledged(_))));
    })
    .await;
    // What was answered well, in order.
    let calls = broker.bodies();
    let first_up = calls.iter().position(|body| body == "other").unwrap();
    let sent: Vec<_> = calls[first_up + 1..].to_vec();
    assert_eq!(sent, (0..12).map(|i| format!("{i:02}")).collect::<Vec<_>>());
}

/// Two of a key in flight, the first goes to the outbox: the second follows it there, though its own try might have done.
#[tokio::test(start_paused = true)]
async fn m3_who_waits_behind_one_that_is_being_stored_goes_in_behind_it() {
    let broker = Scripted::new(|_, m, _| if m.body() == "1" { Answer::Hang } else { Answer::Yes });
    let store = Held::new(1000);
    store.slow(millis(300));
    let producer = with(&broker, &store).timeout(secs(1)).build();
    let (sender, held) = (producer.clone(), store.clone());
    run(&producer, |_| async move {
        // The store has been looked at: it holds nothing of any key.
        tokio::time::sleep(secs(2)).await;
        let sends: Vec<_> = ["1", "2", "3"].map(|body| sender.try_send(message(body).with_ordered_key("k")).unwrap()).into_iter().collect();
        for send in sends {
            assert_eq!(send.await, Ok(Sent::Stored));
        }
        assert_eq!(held.bodies(), ["1", "2", "3"]);
    })
    .await;
    assert_eq!(broker.bodies(), ["1"]);
}

/// The same while the disk is busy with others, so that the first is not even being stored yet.
#[tokio::test(start_paused = true)]
async fn m3_who_waits_behind_one_that_waits_to_be_stored_goes_in_behind_it() {
    let broker = Scripted::new(|_, m, _| if m.body() == "1" || m.body() == "other" { Answer::Hang } else { Answer::Yes });
    let store = Held::new(1000);
    store.slow(millis(300));
    let producer = with(&broker, &store).timeout(secs(1)).build();
    let (sender, held) = (producer.clone(), store.clone());
    run(&producer, |_| async move {
        tokio::time::sleep(secs(2)).await;
        drop(sender.try_send(message("other")).unwrap());
        tokio::time::sleep(millis(100)).await;
        let first = sender.try_send(message("1").with_ordered_key("k")).unwrap();
        tokio::time::sleep(millis(400)).await;
        let second = sender.try_send(message("2").with_ordered_key("k")).unwrap();
        assert_eq!((first.await, second.await), (Ok(Sent::Stored), Ok(Sent::Stored)));
        assert_eq!(held.bodies(), ["other", "1", "2"]);
    })
    .await;
}

/// A replay whose try hangs does not force the producer out.
#[tokio::test(start_paused = true)]
async fn m4_a_replay_that_hangs_ends_inside_the_budget() {
    let (broker, store) = (Scripted::always(Answer::Hang), Held::new(1000));
    store.replays();
    let producer = with(&broker, &store).timeout(secs(1)).build();
    let sender = producer.clone();
    let (report, ()) = run_with_budget(&producer, secs(1), |_| async move {
        assert_eq!(sender.send(message("x")).await, Ok(Sent::Stored));
        tokio::time::sleep(millis(100)).await;
    })
    .await;
    assert_eq!(report.component("producer").unwrap().outcome, Outcome::Stopped);
    assert_eq!(store.bodies(), ["x"], "it is still there");
}

/// What the replay is sending when the stop comes is waited for, so that it is not sent again after the restart.
#[tokio::test(start_paused = true)]
async fn m4_a_try_of_the_replay_is_drained_too() {
    let broker = Scripted::new(|n, _, _| if n == 0 { Answer::No(ErrorKind::Busy) } else { crate::kit::after(millis(300), Answer::Yes) });
    let store = Held::new(1000);
    store.replays();
    let producer = with(&broker, &store).max_attempts(1).build();
    let (sender, seen) = (producer.clone(), broker.clone());
    let (report, ()) = run(&producer, |_| async move {
        assert_eq!(sender.send(message("x")).await, Ok(Sent::Stored));
        while seen.calls().len() < 2 {
            tokio::time::sleep(millis(10)).await;
        }
    })
    .await;
    assert_eq!(store.bodies(), [""; 0]);
    assert_eq!((step(&report, "replayed"), broker.calls().len()), (1, 2));
}
