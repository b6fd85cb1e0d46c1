//! One ordered key: one after the other (M2, M4).

use crate::kit::{Answer, Scripted, after, message, run, shared};
use winddown::messaging::{ErrorKind, Producer, SendErrorKind};
use winddown::{millis, secs};

#[tokio::test(start_paused = true)]
async fn m2_messages_of_one_key_are_sent_one_after_the_other_through_retries() {
    // Each second try fails; without lanes the later ones would overtake during the pause.
    let broker = Scripted::new(|n, _, _| if n % 2 == 0 { Answer::No(ErrorKind::Busy) } else { after(millis(3), Answer::Yes) });
    let producer = Producer::builder(shared(&broker)).timeout(secs(60)).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        let sends: Vec<_> = (0..20).map(|i| sender.try_send(message(&format!("{i:02}")).with_ordered_key("k")).unwrap()).collect();
        for send in sends {
            send.await.unwrap();
        }
    })
    .await;
    let bodies = broker.bodies();
    let mut sorted = bodies.clone();
    sorted.sort();
    assert_eq!(bodies, sorted);
    assert_eq!(bodies.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn m2_keys_do_not_wait_for_each_other() {
    let broker = Scripted::new(|_, m, _| if m.key() == Some("slow") { Answer::Hang } else { Answer::Yes });
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    run(&producer, |_| async move {
        drop(sender.try_send(message("x").with_ordered_key("slow")).unwrap());
        sender.send(message("y").with_ordered_key("quick")).await.unwrap();
        sender.send(message("z")).await.unwrap();
    })
    .await;
}

/// The order of the calls is the order of the messages, also while they wait to be let in.
#[tokio::test(start_paused = true)]
async fn m2_waiting_for_admission_does_not_change_the_order() {
    let broker = Scripted::always(after(millis(10), Answer::Yes));
    let producer = Producer::builder(shared(&broker)).max_in_flight(3).timeout(secs(60)).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        let mut sends = Vec::new();
        for i in 0..30 {
            let sender = sender.clone();
            sends.push(tokio::spawn(async move { sender.send(message(&format!("{i:02}")).with_ordered_key("k")).await }));
            tokio::task::yield_now().await;
        }
        for send in sends {
            send.await.unwrap().unwrap();
        }
    })
    .await;
    let bodies = broker.bodies();
    assert_eq!(bodies, (0..30).map(|i| format!("{i:02}")).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn m2_a_turn_that_does_not_come_in_time_is_a_time_out_and_the_next_has_its_turn() {
    let broker = Scripted::new(|_, m, _| if m.body() == "1" { Answer::Hang } else { Answer::Yes });
    let producer = Producer::builder(shared(&broker)).timeout(secs(3)).build();
    let sender = producer.clone();
    run(&producer, |_| async move {
        let first = sender.try_send(message("1").with_ordered_key("k")).unwrap();
        let second = sender.try_send(message("2").with_ordered_key("k")).unwrap();
        tokio::time::sleep(secs(2)).await;
        let third = sender.try_send(message("3").with_ordered_key("k")).unwrap();
        assert_eq!(first.await.unwrap_err().kind(), SendErrorKind::TimedOut);
        // Its turn and its time-out come at the same instant.
        let _either = second.await;
        third.await.unwrap();
    })
    .await;
    assert_eq!(producer.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn m2_a_sender_that_goes_away_does_not_block_its_key() {
    let broker = Scripted::new(|_, m, _| if m.body() == "hangs" { Answer::Hang } else { Answer::Yes });
    let producer = Producer::new(shared(&broker));
    let sender = producer.clone();
    run(&producer, |_| async move {
        let first = sender.clone();
        let first = tokio::spawn(async move { first.send(message("hangs").with_ordered_key("k")).await });
        tokio::time::sleep(millis(10)).await;
        let waits = sender.clone();
        let waits = tokio::spawn(async move { waits.send(message("waits").with_ordered_key("k")).await });
        tokio::time::sleep(millis(10)).await;
        let last = sender.try_send(message("last").with_ordered_key("k")).unwrap();
        waits.abort();
        first.abort();
        last.await.unwrap();
    })
    .await;
    assert_eq!(producer.stats().lost, 2);
    assert_eq!(producer.stats().acknowledged, 1);
}
