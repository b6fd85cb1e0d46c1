//! Messages of one key, one after the other.

use super::support::*;
use std::collections::HashMap;
use std::sync::Arc;
use winddown::messaging::{Broker, Delivery, Interest, Message, SqliteBroker, Subscription};

async fn ordered(broker: &SqliteBroker) -> Arc<dyn Subscription> {
    broker.subscribe(&Interest { ordered: true, ..Interest::new("g", "t") }).await.unwrap()
}

async fn send_keys(broker: &SqliteBroker, keys: &str) {
    let all: Vec<Message> = keys.chars().enumerate().map(|(n, key)| Message::new("t", n.to_string()).with_ordered_key(key.to_string())).collect();
    for answer in broker.send_batch(&all, None).await {
        answer.unwrap();
    }
}

fn receipt(delivery: &Delivery) -> [winddown::messaging::Receipt; 1] {
    [delivery.receipt().clone()]
}

#[tokio::test]
async fn m7_the_next_of_a_key_comes_only_when_the_one_before_is_settled() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send_keys(&broker, "aababc").await; // a: 0 1 3, b: 2 4, c: 5
    send(&broker, "t", [6, 7]).await; // no key
    let (one, two) = (ordered(&broker).await, ordered(&broker).await);
    let got = one.pull(10, LONG).await.unwrap();
    assert_eq!(numbers(&got), [0, 2, 5, 6, 7]);
    assert!(two.pull(10, ms(0)).await.unwrap().is_empty());
    // Given back, it is still the first.
    one.nack(&receipt(&got[0]), ms(1_500)).await.unwrap();
    assert!(two.pull(10, ms(0)).await.unwrap().is_empty());
    one.ack(&receipt(&got[1])).await.unwrap();
    assert_eq!(take(&two, 10, LONG).await, [4]);
    let again = two.pull(10, LONG).await.unwrap();
    assert_eq!((numbers(&again), again[0].attempt()), (vec![0], 2));
    // Buried is settled too.
    two.dead_letter(&again[0], "bad").await.unwrap();
    let next = one.pull(10, LONG).await.unwrap();
    assert_eq!(numbers(&next), [1]);
    one.release(&receipt(&next[0])).await.unwrap();
    assert_eq!(take(&two, 10, LONG).await, [1]);
    assert_eq!(take(&one, 10, LONG).await, [3]);
    broker.close().await.unwrap();
    assert_sound(&scratch.file());
}

#[tokio::test]
async fn a_key_that_waits_waits_for_its_delayed_first_as_well() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    broker.send(&Message::new("t", "0").with_ordered_key("a").with_delay(ms(1_500)), None).await.unwrap();
    broker.send(&Message::new("t", "1").with_ordered_key("a"), None).await.unwrap();
    let member = ordered(&broker).await;
    assert!(member.pull(10, ms(50)).await.unwrap().is_empty());
    assert_eq!(take(&member, 10, LONG).await, [0]);
    assert_eq!(take(&member, 10, LONG).await, [1]);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn a_group_that_was_read_without_order_before_gets_into_order() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send_keys(&broker, "aaaa").await;
    let loose = join(&broker, "g", "t").await;
    let got = loose.pull(3, LONG).await.unwrap();
    assert_eq!(numbers(&got), [0, 1, 2]);
    let strict = ordered(&broker).await;
    loose.nack(&[got[2].receipt().clone(), got[1].receipt().clone()], ms(0)).await.unwrap();
    assert!(strict.pull(10, ms(50)).await.unwrap().is_empty());
    loose.close().await.unwrap();
    for expected in 0..4 {
        assert_eq!(take(&strict, 10, LONG).await, [expected]);
    }
    broker.close().await.unwrap();
    assert_sound(&scratch.file());
}

/// Many keys, several members, things given back at random: for each key the order of first handling is the order of sending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m7_order_holds_under_concurrency() {
    const KEYS: usize = 7;
    const ALL: u32 = 600;
    let scratch = Scratch::new();
    let broker = scratch.open();
    let letters: String = (0..ALL).map(|n| char::from(b'a' + (n as usize * n as usize % KEYS) as u8)).collect();
    let handled = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut members = Vec::new();
    for salt in 0..4u32 {
        let (member, handled) = (ordered(&broker).await, handled.clone());
        members.push(tokio::spawn(async move {
            loop {
                let got = member.pull(5, ms(300)).await.unwrap();
                for one in &got {
                    match (number(one) * 31 + salt * 7 + one.attempt()) % 6 {
                        0 => drop(member.nack(&receipt(one), ms(3)).await.unwrap()),
                        1 => drop(member.release(&receipt(one)).await.unwrap()),
                        _ => {
                            handled.lock().unwrap().push((one.message().key().unwrap().to_owned(), number(one)));
                            assert_eq!(member.ack(&receipt(one)).await.unwrap().done, 1);
                        }
                    }
                }
                if handled.lock().unwrap().len() == ALL as usize {
                    return;
                }
            }
        }));
    }
    send_keys(&broker, &letters).await;
    for member in members {
        tokio::time::timeout(LONG, member).await.unwrap().unwrap();
    }
    let mut by_key: HashMap<String, Vec<u32>> = HashMap::new();
    for (key, number) in handled.lock().unwrap().drain(..) {
        by_key.entry(key).or_default().push(number);
    }
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), ALL as usize);
    for (key, numbers) in by_key {
        assert!(numbers.is_sorted(), "{key}: {numbers:?}");
    }
    broker.close().await.unwrap();
    assert_sound(&scratch.file());
}
