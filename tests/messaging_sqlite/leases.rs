//! A delivery's life: visibility, attempts, receipts that go stale, giving back, dead letters.

use super::support::*;
use std::sync::Arc;
use std::time::Instant;
use winddown::messaging::{Broker, Delivery, ErrorKind, Message, Receipt, Subscription};

#[tokio::test]
async fn m9_what_is_not_settled_comes_again_after_its_visibility_with_a_higher_attempt() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", [7]).await;
    let member = join_for(&broker, "g", "t", ms(300)).await;
    let began = Instant::now();
    let first = member.pull(1, LONG).await.unwrap();
    let second = member.pull(1, LONG).await.unwrap();
    assert!(began.elapsed() >= ms(300), "after {:?}", began.elapsed());
    assert_eq!((first[0].attempt(), second[0].attempt(), number(&second[0])), (1, 2, 7));
    // The first receipt is stale, for everything.
    let stale = [first[0].receipt().clone()];
    assert_eq!(member.ack(&stale).await.unwrap().stale, 1);
    assert_eq!(member.nack(&stale, ms(0)).await.unwrap().stale, 1);
    assert_eq!(member.release(&stale).await.unwrap().stale, 1);
    assert_eq!(member.dead_letter(&first[0], "no").await.unwrap().stale, 1);
    assert_eq!(member.extend(&stale[0], ms(100)).await.unwrap_err().kind(), ErrorKind::Stale);
    ack(&member, &second).await;
    // And what is settled is stale as well.
    assert_eq!(member.ack(&[second[0].receipt().clone()]).await.unwrap().stale, 1);
    assert_eq!(member.ack(&[Receipt::numbers(u64::MAX, u64::MAX), Receipt::text("made up")]).await.unwrap().stale, 2);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn a_lease_that_is_over_is_stale_even_if_nobody_else_has_it() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", [7]).await;
    let member = join_for(&broker, "g", "t", ms(50)).await;
    let got = member.pull(1, LONG).await.unwrap();
    std::thread::sleep(ms(80));
    assert_eq!(member.ack(&[got[0].receipt().clone()]).await.unwrap().stale, 1);
    assert_eq!(broker.counts("t", "g").await.unwrap().stored, 1);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn an_extended_delivery_is_kept() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", [7]).await;
    let member = join_for(&broker, "g", "t", ms(1_500)).await;
    let got = member.pull(1, LONG).await.unwrap();
    let mut receipt = got[0].receipt().clone();
    for _ in 0..5 {
        assert!(member.pull(1, ms(400)).await.unwrap().is_empty());
        receipt = member.extend(&receipt, ms(1_500)).await.unwrap();
    }
    assert_eq!(member.ack(&[receipt]).await.unwrap().done, 1);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn released_comes_at_once_uncounted_and_nacked_after_its_delay_counted() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..3).await;
    let member = join(&broker, "g", "t").await;
    let receipts = |got: &[Delivery]| got.iter().map(|one| one.receipt().clone()).collect::<Vec<_>>();
    let first = member.pull(3, LONG).await.unwrap();
    assert_eq!(member.release(&receipts(&first)).await.unwrap().done, 3);
    let second = member.pull(3, ms(0)).await.unwrap();
    assert_eq!((numbers(&second), second[0].attempt()), (vec![0, 1, 2], 1));
    // The receipt from before is not the one from now, though the attempt is the same.
    assert_eq!(member.ack(&receipts(&first)).await.unwrap().stale, 3);
    let began = Instant::now();
    assert_eq!(member.nack(&receipts(&second), ms(1_000)).await.unwrap().done, 3);
    assert!(member.pull(3, ms(0)).await.unwrap().is_empty());
    let third = member.pull(3, LONG).await.unwrap();
    assert!(began.elapsed() >= ms(1_000), "after {:?}", began.elapsed());
    assert_eq!((numbers(&third), third[0].attempt()), (vec![0, 1, 2], 2));
    ack(&member, &third).await;
    broker.close().await.unwrap();
}

#[tokio::test]
async fn a_delayed_message_comes_when_it_is_due_and_holds_nothing_up() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let began = Instant::now();
    broker.send(&Message::new("t", "1").with_delay(ms(1_500)), None).await.unwrap();
    send(&broker, "t", [2]).await;
    let member = join(&broker, "g", "t").await;
    assert_eq!(take(&member, 10, LONG).await, [2]);
    let late = member.pull(10, LONG).await.unwrap();
    assert!(began.elapsed() >= ms(1_500), "after {:?}", began.elapsed());
    assert_eq!((numbers(&late), late[0].attempt()), (vec![1], 1));
    ack(&member, &late).await;
    broker.close().await.unwrap();
}

#[tokio::test]
async fn m8_a_dead_letter_moves_as_one_with_its_story() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let message = Message::new("t", "bad").with_tag("tag").with_key("key").with_property("own", "kept").with_delay(ms(1));
    broker.send(&message, None).await.unwrap();
    let member = join(&broker, "g", "t").await;
    let got = member.pull(1, LONG).await.unwrap();
    member.nack(&[got[0].receipt().clone()], ms(0)).await.unwrap();
    let got = member.pull(1, LONG).await.unwrap();
    assert_eq!(member.dead_letter(&got[0], "cannot be parsed").await.unwrap().done, 1);
    let counts = broker.counts("t", "g").await.unwrap();
    assert_eq!((counts.stored, counts.pending, counts.dead), (0, 0, 1));
    assert_eq!(member.ack(&[got[0].receipt().clone()]).await.unwrap().stale, 1);
    let buried = join(&broker, "undertaker", "g.dead").await.pull(1, LONG).await.unwrap();
    let dead = buried[0].message();
    assert_eq!((dead.id(), dead.tag(), dead.key(), dead.delay()), (message.id(), Some("tag"), Some("key"), None));
    let property = |name| dead.property(name);
    assert_eq!(property("winddown.dead-reason"), Some("cannot be parsed"));
    assert_eq!((property("winddown.dead-attempts"), property("winddown.dead-topic"), property("own")), (Some("2"), Some("t"), Some("kept")));
    broker.close().await.unwrap();
    let inside = winddown::messaging::SqliteBroker::inspect(scratch.file()).unwrap();
    assert_eq!(inside.dead_letters("g").unwrap().count(), 1);
}

/// What wakes the pull is done in the transaction that serves it, so both are answered together; a pull that had to look by itself would come
/// up to 25 ms later. Both answers are taken by one thread, so that the machine's load delays them alike.
#[tokio::test]
async fn a_pull_wakes_at_once_for_what_is_sent_or_released_here() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let (one, two) = (join(&broker, "g", "t").await, join(&broker, "g", "t").await);
    let mut apart = Vec::new();
    for n in 0..20 {
        let waiting = wait_for_one(&two).await;
        send(&broker, "t", [n]).await;
        let answered = Instant::now();
        let (got, at) = waiting.await.unwrap();
        assert_eq!(numbers(&got), [n]);
        apart.push(at.max(answered) - at.min(answered));

        let waiting = wait_for_one(&one).await;
        two.release(&[got[0].receipt().clone()]).await.unwrap();
        let answered = Instant::now();
        let (got, at) = waiting.await.unwrap();
        assert_eq!(numbers(&got), [n]);
        apart.push(at.max(answered) - at.min(answered));
        ack(&one, &got).await;
    }
    apart.sort();
    assert!(apart[apart.len() / 2] < ms(5), "{apart:?}");
    broker.close().await.unwrap();
}

/// A pull that waits, and when it was answered.
async fn wait_for_one(member: &Arc<dyn Subscription>) -> tokio::task::JoinHandle<(Vec<Delivery>, Instant)> {
    let member = member.clone();
    let waiting = tokio::spawn(async move { (member.pull(1, LONG).await.unwrap(), Instant::now()) });
    tokio::time::sleep(ms(5)).await;
    waiting
}
