//! Who gets what: groups, members, beginnings, filters, and what is deleted.

use super::support::*;
use winddown::messaging::{Broker, Interest, Message, Properties, SqliteBroker, StartFrom, TagFilter};

#[tokio::test]
async fn m9_a_message_arrives_as_it_was_sent() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let properties: Properties = [("tenant", "blue \"x\""), ("empty", "")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    let all = [
        Message::new("t", ""),
        Message::new("t", vec![0, 255, 10])
            .with_tag("tag")
            .with_key("key")
            .with_properties(properties)
            .with_delay(std::time::Duration::from_nanos(1)),
        Message::new("t", "ordered").with_ordered_key("key"),
    ];
    for message in &all {
        assert!(broker.send(message, None).await.unwrap().broker_id.is_some());
    }
    let member = join(&broker, "g", "t").await;
    let mut got = Vec::new();
    while got.len() < all.len() {
        let more = member.pull(10, LONG).await.unwrap();
        assert!(!more.is_empty());
        got.extend(more);
    }
    for message in &all {
        let delivery = got.iter().find(|delivery| delivery.message().id() == message.id()).unwrap();
        assert_eq!(delivery.message(), message);
        assert_eq!((delivery.attempt(), delivery.visibility()), (1, Some(std::time::Duration::from_secs(30))));
    }
    ack(&member, &got).await;
    broker.close().await.unwrap();
}

#[tokio::test]
async fn m9_each_group_gets_every_message_and_its_members_share() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..20).await;
    let (one, two, other) = (join(&broker, "g", "t").await, join(&broker, "g", "t").await, join(&broker, "h", "t").await);
    let first = take(&one, 7, LONG).await;
    let second = take(&two, 100, LONG).await;
    assert_eq!((first, second), ((0..7).collect(), (7..20).collect()));
    assert_eq!(broker.counts("t", "h").await.unwrap().pending, 20);
    assert_eq!(take(&other, 100, LONG).await, (0..20).collect::<Vec<_>>());
    assert!(one.pull(1, ms(0)).await.unwrap().is_empty());
    // All groups have settled everything: nothing is kept.
    assert_eq!(broker.counts("t", "g").await.unwrap(), Default::default());
    assert_eq!(broker.topics().await.unwrap(), ["t"]);
    assert_eq!(broker.groups("t").await.unwrap(), ["g", "h"]);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn a_message_is_kept_until_the_last_group_has_settled_it() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let groups = [join(&broker, "a", "t").await, join(&broker, "b", "t").await, join(&broker, "c", "t").await];
    send(&broker, "t", 0..3).await;
    for (settled, member) in groups.iter().enumerate() {
        assert_eq!(broker.counts("t", "a").await.unwrap().stored, 3, "after {settled} groups");
        let got = member.pull(10, LONG).await.unwrap();
        assert_eq!(broker.counts("t", "a").await.unwrap().stored, 3);
        ack(member, &got).await;
    }
    assert_eq!(broker.counts("t", "a").await.unwrap().stored, 0);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn what_one_group_has_given_back_is_not_deleted_by_anothers_ack() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let (one, two) = (join(&broker, "a", "t").await, join(&broker, "b", "t").await);
    send(&broker, "t", 0..3).await;
    let (first, second) = (one.pull(10, LONG).await.unwrap(), two.pull(10, LONG).await.unwrap());
    let receipts: Vec<_> = second.iter().map(|one| one.receipt().clone()).collect();
    two.nack(&receipts[..2], ms(0)).await.unwrap();
    ack(&one, &first).await;
    assert_eq!(broker.counts("t", "a").await.unwrap().stored, 3);
    two.ack(&receipts[2..]).await.unwrap();
    assert_eq!(broker.counts("t", "a").await.unwrap().stored, 2);
    assert_eq!(take(&two, 10, LONG).await, [0, 1]);
    assert_eq!(broker.counts("t", "a").await.unwrap().stored, 0);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn what_was_sent_before_any_group_waits_for_the_first_and_survives_a_restart() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    send(&broker, "t", 0..5).await;
    broker.close().await.unwrap();
    let broker = scratch.open();
    // A group that begins at the end does not take it away from one that comes later and begins at the beginning.
    let latest = broker.subscribe(&Interest { start: StartFrom::Latest, ..Interest::new("late", "t") }).await.unwrap();
    send(&broker, "t", 5..8).await;
    assert_eq!(take(&latest, 100, LONG).await, [5, 6, 7]);
    let first = join(&broker, "early", "t").await;
    // What every group that was there had settled is gone.
    assert_eq!(take(&first, 100, LONG).await, (0..5).collect::<Vec<_>>());
    assert_eq!(broker.counts("t", "late").await.unwrap().stored, 0);
    // A group that is known goes on where it was, whatever a later member asks for.
    send(&broker, "t", 8..9).await;
    broker.close().await.unwrap();
    let broker = scratch.open();
    let again = broker.subscribe(&Interest { start: StartFrom::Latest, ..Interest::new("early", "t") }).await.unwrap();
    assert_eq!(take(&again, 100, LONG).await, [8]);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn numbers_are_never_given_twice() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let member = join(&broker, "g", "t").await;
    let mut last = 0;
    for _ in 0..3 {
        let number: u64 = broker.send(&Message::new("t", "0"), None).await.unwrap().broker_id.unwrap().parse().unwrap();
        assert!(number > last, "{number} after {last}");
        last = number;
        // The highest row goes away; a cursor has passed it.
        assert_eq!(take(&member, 10, LONG).await, [0]);
        assert_eq!(broker.counts("t", "g").await.unwrap().stored, 0);
    }
    broker.close().await.unwrap();
}

#[tokio::test]
async fn what_a_filter_passes_over_is_settled_and_deleted_however_much_it_is() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    let mut all: Vec<Message> = (0..3_000).map(|n: u32| Message::new("t", n.to_string()).with_tag("noise")).collect();
    all.push(Message::new("t", "1").with_tag("wanted"));
    all.push(Message::new("t", "2"));
    all.push(Message::new("t", "3").with_tag("also"));
    for answer in broker.send_batch(&all, None).await {
        answer.unwrap();
    }
    let tags = TagFilter::any(["wanted", "also"]);
    let member = broker.subscribe(&Interest { tags, ..Interest::new("g", "t") }).await.unwrap();
    // Further away than one transaction looks; a pull that does not wait finds it nevertheless.
    let got = member.pull(10, ms(0)).await.unwrap();
    assert_eq!(numbers(&got), [1, 3]);
    assert_eq!(broker.counts("t", "g").await.unwrap().stored, 2);
    // A nacked one that a changed filter no longer wants is handled too.
    member.nack(&[got[0].receipt().clone()], ms(0)).await.unwrap();
    member.ack(&[got[1].receipt().clone()]).await.unwrap();
    let tags = TagFilter::any(["also"]);
    let changed = broker.subscribe(&Interest { tags, ..Interest::new("g", "t") }).await.unwrap();
    assert!(changed.pull(10, ms(0)).await.unwrap().is_empty());
    assert_eq!(broker.counts("t", "g").await.unwrap(), Default::default());
    broker.close().await.unwrap();
    assert_sound(&scratch.file());
}

#[tokio::test]
async fn m2_what_is_not_taken_is_said_before_it_costs_anything() {
    use winddown::messaging::{Class, ErrorKind, Limits};
    let scratch = Scratch::new();
    let mut limits = Limits::default();
    (limits.message_bytes, limits.batch) = (10, 2);
    let broker = SqliteBroker::builder(scratch.file()).limits(limits).open().unwrap();
    assert_eq!(broker.limits(), limits);
    let long = "n".repeat(128);
    for (message, kind) in [
        (Message::new("t", "0123456789"), ErrorKind::TooLarge),
        (Message::new("", "x"), ErrorKind::Invalid),
        (Message::new(long.as_str(), "x"), ErrorKind::Invalid),
    ] {
        let error = broker.send(&message, None).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (kind, Class::Fatal));
    }
    // In a batch each has its own answer, in order, across several transactions.
    let batch = ["a", "0123456789", "b", "c", "d"].map(|body| Message::new("t", body));
    let answers = broker.send_batch(&batch, None).await;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true, true]);
    assert_eq!(broker.counts("t", "g").await.unwrap().stored, 4);
    for (group, topic) in [("", "t"), ("g", ""), (&long[..123], "t"), ("g", &long)] {
        let error = broker.subscribe(&Interest::new(group, topic)).await.err().unwrap();
        assert_eq!((error.kind(), error.class()), (ErrorKind::Invalid, Class::Fatal));
    }
    let none = Interest { visibility: ms(0), ..Interest::new("g", "t") };
    assert_eq!(broker.subscribe(&none).await.err().unwrap().kind(), ErrorKind::Invalid);
    broker.close().await.unwrap();
}
