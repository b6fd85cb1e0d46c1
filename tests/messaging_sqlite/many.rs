//! A backlog costs nothing: each step takes the same time however much is stored.

use super::support::*;
use std::time::{Duration, Instant};
use winddown::messaging::{Broker, Interest, Message, SqliteBroker};

/// The time of the fastest of several rounds of sending, pulling, giving back, extending and acknowledging.
async fn round(broker: &SqliteBroker, topic: &str) -> Duration {
    let member = broker.subscribe(&Interest { ordered: true, ..Interest::new("g", topic) }).await.unwrap();
    let mut best = LONG;
    for _ in 0..15 {
        let began = Instant::now();
        send(broker, topic, 0..20).await;
        let got = member.pull(20, LONG).await.unwrap();
        let receipts: Vec<_> = got.iter().map(|one| one.receipt().clone()).collect();
        member.extend(&receipts[0], LONG).await.unwrap();
        member.nack(&receipts[..5], ms(3_600_000)).await.unwrap();
        member.release(&receipts[5..10]).await.unwrap();
        member.ack(&receipts[10..]).await.unwrap();
        best = best.min(began.elapsed());
    }
    best
}

#[tokio::test]
async fn what_is_stored_does_not_slow_it_down() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let small = round(&broker, "small").await;
    let filler: Vec<Message> = (0..1_000).map(|n: u32| Message::new("large", n.to_string()).with_ordered_key(n.to_string())).collect();
    for part in 0..100u64 {
        // A third each: plain, delayed, and of another topic.
        let messages: Vec<Message> = filler
            .iter()
            .map(|message| match part % 3 {
                0 => message.clone(),
                1 => message.clone().with_delay(Duration::from_secs(3_600 + part)),
                _ => message.clone().to_topic("elsewhere"),
            })
            .collect();
        broker.send_batch(&messages, None).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
    // Move the delayed ones into the table of deliveries.
    let member = join(&broker, "g", "large").await;
    let mut seen = 0;
    while seen < 34_000 {
        let got = member.pull(1_000, ms(0)).await.unwrap();
        seen += got.len();
        let receipts: Vec<_> = got.iter().map(|one| one.receipt().clone()).collect();
        member.nack(&receipts, Duration::from_secs(7_200)).await.unwrap();
    }
    assert!(member.pull(1, ms(0)).await.unwrap().is_empty());
    assert_eq!(broker.counts("large", "g").await.unwrap().pending, 67_000);
    let large = round(&broker, "large").await;
    // Indexes have become a level or two deeper; a single scan of 67,000 rows would take tens of milliseconds, several times.
    assert!(large < small * 4 + ms(40), "{small:?} with nothing stored, {large:?} with 100,000 messages");
    broker.close().await.unwrap();
}
