//! What the broker in memory does beyond the contract: its server's queue, its counts, what it frees, and that nobody sleeps over a message.

mod queue;
mod waiting;

use super::*;
use crate::messaging::{Class, Delivery, Receipt, StartFrom};
use crate::{millis, secs};
use tokio::time::Instant;

fn message(body: &str) -> Message {
    Message::new("t", body.to_owned())
}

fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt().clone()).collect()
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(delivery.message().body()).into_owned()).collect()
}

async fn join(broker: &MemoryBroker, group: &str) -> Arc<dyn Subscription> {
    broker.subscribe(&Interest::new(group, "t")).await.unwrap()
}

async fn send(broker: &MemoryBroker, bodies: impl IntoIterator<Item = &str>) {
    for body in bodies {
        broker.send(&message(body), None).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_all_groups_have_settled_is_freed() {
    let broker = MemoryBroker::new();
    send(&broker, ["1", "2"]).await;
    assert_eq!((broker.depth("t"), broker.pending("t", "a")), (2, 2), "kept for a group that comes later");
    let (a, b) = (join(&broker, "a").await, join(&broker, "b").await);
    let first = a.pull(10, secs(1)).await.unwrap();
    assert_eq!((broker.pending("t", "a"), broker.in_flight("t", "a"), broker.pending("t", "b")), (2, 2, 2));
    a.ack(&receipts(&first)).await.unwrap();
    assert_eq!((broker.depth("t"), broker.pending("t", "a"), broker.in_flight("t", "a")), (2, 0, 0), "b has not settled them");
    b.ack(&receipts(&b.pull(1, secs(1)).await.unwrap())).await.unwrap();
    assert_eq!((broker.depth("t"), broker.pending("t", "b")), (1, 1));
    assert_eq!(broker.messages("t")[0].body().as_ref(), b"2");
    let c = join(&broker, "c").await;
    assert_eq!(bodies(&c.pull(10, secs(1)).await.unwrap()), ["2"], "a late group gets what is there");
}

#[tokio::test(start_paused = true)]
async fn a_group_that_wants_what_comes_frees_nothing_as_the_first_and_holds_nothing_as_the_second() {
    let broker = MemoryBroker::new();
    send(&broker, ["1"]).await;
    let latest = Interest { start: StartFrom::Latest, ..Interest::new("late", "t") };
    let late = broker.subscribe(&latest).await.unwrap();
    send(&broker, ["2"]).await;
    assert_eq!(bodies(&late.pull(10, secs(1)).await.unwrap()), ["2"]);
    let all = join(&broker, "all").await;
    assert_eq!(bodies(&all.pull(10, secs(1)).await.unwrap()), ["1", "2"]);
    let second = broker.subscribe(&Interest { group: "later".into(), ..latest }).await.unwrap();
    assert_eq!(broker.pending("t", "later"), 0);
    assert!(second.pull(10, secs(1)).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_topic_takes_more_when_there_is_room() {
    let broker = MemoryBroker::builder().capacity(1).build();
    send(&broker, ["1"]).await;
    let error = broker.send(&message("2"), None).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (ErrorKind::Full, Class::RetryableSafe));
    let group = join(&broker, "a").await;
    group.ack(&receipts(&group.pull(1, secs(1)).await.unwrap())).await.unwrap();
    send(&broker, ["2"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_dead_letter_topic_loses_nothing() {
    let broker = MemoryBroker::builder().capacity(1).build();
    let group = join(&broker, "g").await;
    send(&broker, ["1"]).await;
    let first = group.pull(1, secs(1)).await.unwrap();
    group.dead_letter(&first[0], "bad").await.unwrap();
    send(&broker, ["2"]).await;
    let second = group.pull(1, secs(1)).await.unwrap();
    assert_eq!(group.dead_letter(&second[0], "bad").await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!((broker.dead_letters("g").len(), broker.in_flight("t", "g")), (1, 1), "it is still the member's");
}

#[tokio::test(start_paused = true)]
async fn only_the_topics_given_exist_and_those_of_dead_letters() {
    let broker = MemoryBroker::builder().topics(["t"]).build();
    send(&broker, ["1"]).await;
    let error = broker.send(&Message::new("u", ""), None).await.unwrap_err();
    assert_eq!((error.kind(), error.class(), error.topic()), (ErrorKind::UnknownTopic, Class::Fatal, Some("u")));
    assert!(broker.subscribe(&Interest::new("g", "u")).await.is_err());
    assert!(broker.subscribe(&Interest::new("watch", "g.dead")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn routes_take_turns_unless_one_is_named() {
    let broker = MemoryBroker::builder().routes(["a", "b"]).build();
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(broker.send(&message("x"), None).await.unwrap().route.unwrap().to_string());
    }
    assert_eq!(taken, ["a", "b", "a", "b"]);
    let b = Route::new("b");
    assert_eq!(broker.send(&message("x"), Some(&b)).await.unwrap().route, Some(b));
    assert_eq!(broker.send(&message("x"), Some(&Route::new("c"))).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(broker.routes("t").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_ends_alone() {
    let broker = MemoryBroker::new();
    let other = broker.client();
    let (mine, theirs) = (join(&broker, "g").await, join(&other, "g").await);
    send(&broker, ["1"]).await;
    assert_eq!(mine.pull(1, secs(1)).await.unwrap().len(), 1);
    let pulling = tokio::spawn({
        let mine = mine.clone();
        async move { mine.pull(1, secs(60)).await }
    });
    tokio::time::sleep(millis(1)).await;
    let began = Instant::now();
    broker.close().await.unwrap();
    assert_eq!(pulling.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(theirs.pull(1, secs(60)).await.unwrap()[0].attempt(), 2, "what was taken is there for others");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(broker.send(&message("2"), None).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(broker.subscribe(&Interest::new("g", "t")).await.err().unwrap().kind(), ErrorKind::Closed);
    send(&other, ["2"]).await;
    broker.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_dropped_leaves_the_group() {
    let broker = MemoryBroker::new();
    send(&broker, ["1"]).await;
    let (one, two) = (join(&broker, "g").await, join(&broker, "g").await);
    assert_eq!(one.pull(1, secs(1)).await.unwrap().len(), 1);
    drop(one);
    assert_eq!(two.pull(1, Duration::ZERO).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_in_time_is_very_late() {
    let broker = MemoryBroker::new();
    let member = broker.subscribe(&Interest { visibility: Duration::MAX, ..Interest::new("g", "t") }).await.unwrap();
    broker.send(&message("late").with_delay(Duration::MAX), None).await.unwrap();
    send(&broker, ["1"]).await;
    let taken = member.pull(9, Duration::MAX).await.unwrap();
    let receipt = member.extend(taken[0].receipt(), Duration::MAX).await.unwrap();
    assert_eq!(member.nack(&[receipt], Duration::MAX).await.unwrap().done, 1);
    assert!(member.pull(9, secs(86_400)).await.unwrap().is_empty());
}

#[test]
fn it_is_made_and_looked_at_without_a_runtime() {
    let broker = MemoryBroker::builder().service_time(millis(1)).build();
    assert_eq!((broker.depth("t"), broker.in_flight("t", "g"), broker.queued()), (0, 0, 0));
}
