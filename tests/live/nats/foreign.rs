//! Messages of other clients, and ours as others see them.

use crate::kit::{self, collect, connect, one, receipts};
use crate::server::Server;

use futures_util::StreamExt;
use winddown::messaging::nats::async_nats::{self, HeaderMap, jetstream};
use winddown::messaging::{Broker, Bytes, ErrorKind, Interest, Message, MessageId, NatsBroker};
use winddown::{millis, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_others_are_read_and_keep_their_name() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("foreign"));
    let group = broker.subscribe(&kit::interest("g", &topic)).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    client.publish(topic.clone(), "bare".into()).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Tenant", "blue");
    headers.insert("Discount", "10%25");
    headers.insert("Nats-Msg-Id", "order-17");
    client.publish_with_headers(topic.clone(), headers, vec![0, 255].into()).await.unwrap();
    client.flush().await.unwrap();

    let first = collect(&group, 2).await;
    let (bare, dressed) = (first[0].message(), first[1].message());
    assert_eq!((bare.body().as_ref(), bare.properties().count()), (&b"bare"[..], 0));
    assert_eq!(dressed.body().as_ref(), [0, 255]);
    assert_eq!(dressed.properties().collect::<Vec<_>>(), [("Discount", "10%25"), ("Tenant", "blue")]);
    assert_ne!(bare.id(), dressed.id());
    group.nack(&receipts(&first), millis(0)).await.unwrap();
    let second = collect(&group, 2).await;
    let ids = |all: &[winddown::messaging::Delivery]| all.iter().map(|delivery| delivery.message().id()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(ids(&first), ids(&second));
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_read_ours_in_plain_headers() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("ours"));
    let message = Message::new(&*topic, "two pumps").with_tag("created").with_ordered_key("order-17").with_property("tenant", "größe 100%");
    let receipt = broker.send(&message, None).await.unwrap();
    assert_eq!(receipt.broker_id.as_deref(), Some(&*format!("{topic}/1")));
    let stored = kit::raw(server.url()).await.get_stream(&topic).await.unwrap().get_raw_message(1).await.unwrap();
    assert_eq!((stored.subject.as_str(), stored.payload.as_ref()), (&*topic, &b"two pumps"[..]));
    let mut headers: Vec<_> = stored.headers.iter().map(|(name, values)| format!("{name}: {}", values[0])).collect();
    headers.sort();
    let id = format!("Nats-Msg-Id: {}", message.id());
    assert_eq!(headers, [&*id, "tenant: größe 100%", "winddown.key: order-17", "winddown.ordered: 1", "winddown.tag: created"]);
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_sent_again_is_stored_once() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("once"));
    let message = Message::new(&*topic, "1");
    let first = broker.send(&message, None).await.unwrap();
    assert_eq!(broker.send(&message, None).await.unwrap(), first);
    let backlog = broker.backlog("nobody", &topic).await.unwrap();
    assert_eq!((backlog.waiting, backlog.held), (1, None));
    broker.close().await.unwrap();
}

/// A stream of the operator's that keeps many subjects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_may_keep_several_topics() {
    let server = Server::up("nats");
    let broker = NatsBroker::builder(server.url()).declare(false).connect().await.unwrap();
    let stem = kit::name("shared");
    let (orders, bills, group) = (format!("{stem}.orders"), format!("{stem}.bills"), format!("{stem}.g"));
    let error = broker.send(&Message::new(&*orders, "1"), None).await.unwrap_err();
    assert_eq!((error.kind(), error.topic()), (ErrorKind::UnknownTopic, Some(&*orders)), "{error}");
    let config = jetstream::stream::Config { name: stem.clone(), subjects: vec![format!("{stem}.>")], ..Default::default() };
    kit::raw(server.url()).await.create_stream(config).await.unwrap();

    // The same id in two topics of one stream is two messages.
    let id = MessageId::new();
    for topic in [&orders, &bills] {
        broker.send(&Message::new(&**topic, topic.clone()).with_id(id), None).await.unwrap();
    }
    let members =
        [broker.subscribe(&Interest::new(&*group, &*orders)).await.unwrap(), broker.subscribe(&Interest::new(&*group, &*bills)).await.unwrap()];
    for (member, topic) in members.iter().zip([&orders, &bills]) {
        let delivery = one(member).await;
        assert_eq!((delivery.message().id(), delivery.message().topic()), (id, &**topic));
        // The dead letters are in the same stream, with the same id.
        assert_eq!(member.dead_letter(&delivery, "no").await.unwrap().done, 1);
        assert!(member.pull(1, millis(50)).await.unwrap().is_empty());
    }
    let watch = broker.subscribe(&Interest::new("watch", format!("{group}.dead"))).await.unwrap();
    let dead = collect(&watch, 2).await;
    assert!(dead.iter().all(|delivery| delivery.message().id() == id));
    assert!(watch.pull(1, millis(50)).await.unwrap().is_empty());
    broker.close().await.unwrap();
}

/// A dead letter that is sent again and dies again is a dead letter again, though its id was there a moment ago.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dies_twice_is_buried_twice() {
    let server = Server::up("nats");
    let broker = NatsBroker::builder(server.url()).stream(|stream| stream.duplicate_window = millis(200)).connect().await.unwrap();
    let topic = kit::name("twice");
    let interest = kit::interest("g", &topic);
    let group = broker.subscribe(&interest).await.unwrap();
    // The graveyard keeps its window, as others made it.
    let graves = jetstream::stream::Config { name: kit::name("graves"), subjects: vec![interest.dead_letter_topic()], ..Default::default() };
    kit::raw(server.url()).await.create_stream(graves).await.unwrap();
    let message = Message::new(&*topic, "1");
    for _ in 0..2 {
        broker.send(&message, None).await.unwrap();
        let delivery = one(&group).await;
        assert_eq!(group.dead_letter(&delivery, "no").await.unwrap().done, 1);
        tokio::time::sleep(millis(400)).await;
    }
    let watch = broker.subscribe(&Interest::new("watch", interest.dead_letter_topic())).await.unwrap();
    assert_eq!(collect(&watch, 2).await.len(), 2);
    broker.close().await.unwrap();
}

/// What a plain client of the library does with the same durable: a group is nothing but that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_a_durable_that_others_can_use() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("durable"));
    let interest = kit::interest("g", &topic);
    let group = broker.subscribe(&interest).await.unwrap();
    broker.send_batch(&[Message::new(&*topic, "1"), Message::new(&*topic, "2")], None).await;
    let ours = one(&group).await;
    let stream = kit::raw(server.url()).await.get_stream(&topic).await.unwrap();
    let durable: jetstream::consumer::PullConsumer = stream.get_consumer(&interest.group).await.unwrap();
    let mut theirs = durable.fetch().max_messages(5).expires(secs(1)).messages().await.unwrap();
    let message = theirs.next().await.unwrap().unwrap();
    assert_eq!((ours.message().body(), message.payload.clone()), (&Bytes::from("1"), Bytes::from("2")));
    message.double_ack().await.unwrap();
    group.ack(&receipts(&[ours])).await.unwrap();
    assert_eq!(broker.backlog(&interest.group, &topic).await.unwrap().total(), 0);
    broker.close().await.unwrap();
}

/// Kept back by the server: it counts as waiting, is sent on when nobody of the sender's is there any more, and keeps its id and its words.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delayed_message_waits_at_the_server() {
    let server = Server::up("nats");
    let topic = kit::name("later");
    let message = Message::new(&*topic, "later").with_tag("t").with_property("name", " %\n").with_delay(millis(700));
    let sender = NatsBroker::builder(server.url()).delays(true).connect().await.unwrap();
    let sent = sender.send(&message, None).await;
    if kit::version(server.url()).await.starts_with("2.9.") {
        // What it does not know it passes over: then nothing would ever come, so nothing may be taken.
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::Unsupported);
        return;
    }
    sent.unwrap();
    assert_eq!(sender.backlog("g", &topic).await.unwrap().waiting, 1);
    sender.close().await.unwrap();
    let (broker, interest) = (connect(&server).await, kit::interest("g", &topic));
    let group = broker.subscribe(&interest).await.unwrap();
    assert_eq!(broker.backlog(&interest.group, &topic).await.unwrap().waiting, 1);
    let came = one(&group).await;
    assert_eq!(came.message(), &message.clone().with_delay(millis(0)));
    group.ack(&receipts(&[came])).await.unwrap();
    assert_eq!(broker.backlog(&interest.group, &topic).await.unwrap().waiting, 0);
    broker.close().await.unwrap();
}
