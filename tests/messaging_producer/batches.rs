//! Sends that wait together go together, and each keeps its own result (M2).

use crate::kit::{Answer, Scripted, after, message, run, shared};
use winddown::messaging::{ErrorKind, Limits, Message, Producer, SendErrorKind};
use winddown::{millis, secs};

fn limits(batch: usize) -> Limits {
    let mut limits = Limits::default();
    limits.batch = batch;
    limits
}

#[tokio::test(start_paused = true)]
async fn m2_what_waits_together_goes_together() {
    let broker = Scripted::with(&[], limits(10), |_, _, _| after(millis(1), Answer::Yes));
    let producer = Producer::builder(shared(&broker)).batch(32).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        let sends: Vec<_> = (0..100).map(|i| sender.try_send(message(&i.to_string())).unwrap()).collect();
        for send in sends {
            send.await.unwrap();
        }
    })
    .await;
    let sizes: Vec<_> = broker.calls().iter().map(|call| call.ids.len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 100);
    assert!(sizes.len() <= 13 && sizes.iter().all(|size| *size <= 10), "{sizes:?}");
    assert_eq!(producer.stats().acknowledged, 100);
}

#[tokio::test(start_paused = true)]
async fn m2_without_a_batch_size_or_a_broker_that_takes_batches_each_goes_alone() {
    for (batch, taken) in [(1, 10), (32, 1)] {
        let broker = Scripted::with(&[], limits(taken), |_, _, _| Answer::Yes);
        let producer = Producer::builder(shared(&broker)).batch(batch).build();
        let sender = producer.clone();
        run(&producer, |_| async move {
            for _ in 0..20 {
                drop(sender.try_send(message("x")).unwrap());
            }
        })
        .await;
        assert!(broker.calls().iter().all(|call| call.ids.len() == 1));
        assert_eq!(producer.stats().acknowledged, 20);
    }
}

#[tokio::test(start_paused = true)]
async fn m2_each_message_of_a_batch_has_its_own_result() {
    let broker = Scripted::with(&[], limits(10), |_, m, _| match m.body()[0] {
        b'b' => Answer::No(ErrorKind::Invalid),
        b'c' => Answer::No(ErrorKind::Busy),
        _ => Answer::Yes,
    });
    let producer = Producer::builder(shared(&broker)).batch(10).max_attempts(2).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        let sends: Vec<_> = ["a", "b", "c", "d"].map(|body| sender.try_send(message(body)).unwrap()).into_iter().collect();
        let mut kinds = Vec::new();
        for send in sends {
            kinds.push(send.await.err().map(|error| error.kind()));
        }
        assert_eq!(kinds, [None, Some(SendErrorKind::Refused), Some(SendErrorKind::AttemptsUsedUp), None]);
        assert_eq!(sender.permits().in_flight(), (0, 0));
    })
    .await;
    assert_eq!(broker.calls()[0].ids.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn m2_topics_do_not_share_a_batch_and_bytes_are_bounded() {
    let mut limits = limits(100);
    limits.message_bytes = 1000;
    let broker = Scripted::with(&[], limits, |_, _, _| Answer::Yes);
    let producer = Producer::builder(shared(&broker)).batch(100).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        for i in 0..12 {
            let topic = if i % 2 == 0 { "a" } else { "b" };
            drop(sender.try_send(Message::new(topic, vec![topic.as_bytes()[0]; 300])).unwrap());
        }
    })
    .await;
    for call in broker.calls() {
        assert!(call.bodies.len() <= 3, "{}", call.bodies.len());
        assert!(call.bodies.windows(2).all(|two| two[0] == two[1]));
    }
    assert_eq!(producer.stats().acknowledged, 12);
}

/// One is more patient than the others: they give up in their own time.
#[tokio::test(start_paused = true)]
async fn m2_a_batch_that_hangs_holds_nobody_longer_than_its_own_budget() {
    let broker = Scripted::with(&[], limits(10), |_, _, _| Answer::Hang);
    let producer = Producer::builder(shared(&broker)).batch(10).timeout(secs(2)).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        let first = sender.try_send(message("first")).unwrap();
        tokio::time::sleep(secs(1)).await;
        let second = sender.try_send(message("second")).unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(first.await.unwrap_err().kind(), SendErrorKind::TimedOut);
        assert_eq!(began.elapsed(), secs(1));
        assert_eq!(second.await.unwrap_err().kind(), SendErrorKind::TimedOut);
        assert_eq!(began.elapsed(), secs(2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m4_a_stop_cuts_batches_off_and_everybody_is_told() {
    let broker = Scripted::with(&[], limits(4), |_, _, _| Answer::Hang);
    let producer = Producer::builder(shared(&broker)).batch(4).timeout(secs(60)).build();
    let sender = producer.clone();
    let (report, sends) = run(&producer, |_| async move { (0..50).map(|_| sender.try_send(message("x")).unwrap()).collect::<Vec<_>>() }).await;
    for send in sends {
        assert_eq!(send.await.unwrap_err().kind(), SendErrorKind::Cancelled);
    }
    assert_eq!((producer.stats().returned, producer.stats().in_flight), (50, 0));
    assert_eq!(report.exit_code(), 0, "inside its budget, so nothing was forced");
}
