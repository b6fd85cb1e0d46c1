//! accepted = acknowledged + returned + outboxed + lost + in flight (M5).

use crate::kit::{Answer, Scripted, after, assert_balanced, message, run, shared};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use winddown::messaging::{ErrorKind, MemoryBroker, Producer, SendErrorKind};
use winddown::{millis, secs};

fn counting(broker: &Arc<Scripted>) -> (Producer, Arc<AtomicU32>) {
    let lost = Arc::new(AtomicU32::new(0));
    let told = lost.clone();
    let producer = Producer::builder(shared(broker))
        .on_lost(move |_| {
            told.fetch_add(1, Ordering::SeqCst);
            panic!("hooks may panic");
        })
        .build();
    (producer, lost)
}

#[tokio::test(start_paused = true)]
async fn m5_a_send_dropped_in_the_middle_is_lost_and_said_so() {
    let (producer, lost) = counting(&Scripted::always(Answer::Hang));
    let sender = producer.clone();
    run(&producer, |_| async move {
        assert!(tokio::time::timeout(millis(10), sender.send(message("x"))).await.is_err());
        let stats = sender.stats();
        assert_eq!((stats.accepted, stats.lost, stats.in_flight), (1, 1, 0));
        assert_eq!(sender.permits().in_flight(), (0, 0));
    })
    .await;
    assert_eq!(lost.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn m5_a_send_dropped_before_it_was_let_in_was_never_accepted() {
    let broker = Scripted::always(Answer::Hang);
    let producer = Producer::builder(shared(&broker)).max_in_flight(0).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        assert!(tokio::time::timeout(millis(10), sender.send(message("x"))).await.is_err());
        assert_eq!((sender.stats(), sender.permits().waiting()), (Default::default(), 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m5_an_error_that_nobody_reads_is_lost_however_late_the_handle_is_dropped() {
    let (producer, lost) = counting(&Scripted::always(after(millis(10), Answer::No(ErrorKind::Invalid))));
    let sender = producer.clone();
    run(&producer, |_| async move {
        let (early, late, read) =
            (sender.try_send(message("1")).unwrap(), sender.try_send(message("2")).unwrap(), sender.try_send(message("3")).unwrap());
        drop(early);
        assert_eq!(sender.stats().in_flight, 3, "it goes on by itself");
        tokio::time::sleep(millis(20)).await;
        assert_eq!((sender.stats().returned, sender.stats().lost), (2, 1));
        drop(late);
        assert_eq!((sender.stats().returned, sender.stats().lost), (1, 2));
        assert_balanced(sender.stats());
        assert_eq!(read.await.unwrap_err().kind(), SendErrorKind::Refused);
        assert_eq!((sender.stats().returned, sender.stats().lost), (1, 2));
    })
    .await;
    assert_eq!(lost.load(Ordering::SeqCst), 2);
}

/// Real threads: every snapshot balances, and the sum of all is what was sent.
#[test]
fn m5_every_snapshot_balances_while_many_threads_send() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = MemoryBroker::new();
        let producer = Producer::builder(broker.clone()).max_in_flight(64).build();
        let app = winddown::App::new("test").signals(winddown::Signals::Ignore).output(winddown::Output::Quiet);
        app.add(producer.component());
        let (handle, sender) = (app.handle(), producer.clone());
        let test = tokio::spawn(async move {
            handle.wait_ready().await;
            let senders: Vec<_> = (0..8)
                .map(|worker| {
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        for i in 0..300 {
                            let message = message(&format!("{worker}/{i}"));
                            match i % 4 {
                                0 => drop(sender.enqueue(message).await.unwrap()),
                                1 => drop(tokio::time::timeout(std::time::Duration::from_micros(50), sender.send(message)).await),
                                _ => drop(sender.send(message).await.unwrap()),
                            }
                            assert_balanced(sender.stats());
                        }
                    })
                })
                .collect();
            for sender in senders {
                sender.await.unwrap();
            }
            handle.request_shutdown("over");
        });
        let report = app.run().await;
        test.await.unwrap();
        assert_eq!(report.exit_code(), 0);
        let stats = producer.stats();
        assert_balanced(stats);
        assert_eq!((stats.in_flight, stats.returned), (0, 0), "{stats:?}");
        assert!(broker.messages("orders").len() as u64 >= stats.acknowledged);
        assert_eq!(producer.permits().in_flight(), (0, 0));
    });
}

#[tokio::test(start_paused = true)]
async fn m5_stats_and_permits_agree_when_a_send_has_ended() {
    let producer = Producer::new(shared(&Scripted::always(Answer::Yes)));
    let sender = producer.clone();
    run(&producer, |_| async move {
        for i in 1..=100 {
            sender.try_send(message("x")).unwrap().await.unwrap();
            assert_eq!((sender.stats().acknowledged, sender.stats().in_flight), (i, 0));
            assert_eq!(sender.permits().in_flight(), (0, 0));
        }
        tokio::time::timeout(secs(1), sender.permits().idle()).await.unwrap();
    })
    .await;
}
