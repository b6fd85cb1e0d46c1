//! Other clients of the same server, and what the server itself does to messages.

use super::kit::{fresh, handle, joined, nothing, one, receipt};
use super::server::Server;
use winddown::messaging::rabbitmq::RabbitMqBroker;
use winddown::messaging::rabbitmq::lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use winddown::messaging::rabbitmq::lapin::types::{AMQPValue, FieldTable, ShortString};
use winddown::messaging::rabbitmq::lapin::{BasicProperties, Connection, ConnectionProperties};
use winddown::messaging::{Broker, Interest, Message};
use winddown::{millis, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_message_is_read_and_keeps_its_identity() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::connect(server.url()).await.expect("connected");
    let topic = fresh("foreign");
    let member = joined(&broker, "g", &topic).await;
    let foreign = Connection::connect(server.url(), ConnectionProperties::default()).await.expect("connected");
    let channel = foreign.create_channel().await.expect("a channel");
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("blue".into())).insert("number".into(), AMQPValue::LongInt(17));
    let properties = BasicProperties::default().with_headers(headers).with_type("created".into()).with_content_type("text/plain".into());
    let publishing = channel.basic_publish(topic.as_str().into(), "".into(), BasicPublishOptions::default(), b"from elsewhere", properties);
    publishing.await.expect("published");
    let first = one(&member).await;
    let message = first.message().clone();
    assert_eq!((message.body().as_ref(), message.tag()), (&b"from elsewhere"[..], Some("created")));
    assert_eq!((message.property("tenant"), message.property("number"), first.attempt()), (Some("blue"), Some("17"), 1));
    // Given back at once, then by a copy, then released: the same message each time.
    member.nack(receipt(&first), millis(0)).await.expect("given back");
    let second = one(&member).await;
    member.nack(receipt(&second), millis(200)).await.expect("given back");
    let third = one(&member).await;
    assert_eq!((second.message(), third.message(), second.attempt(), third.attempt()), (&message, &message, 2, 3));
    member.ack(receipt(&third)).await.expect("acknowledged");
    broker.close().await.expect("closed");
    foreign.close(200, "".into()).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_finds_everything_in_its_place() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::connect(server.url()).await.expect("connected");
    let topic = fresh("ours");
    joined(&broker, "g", &topic).await;
    let message = Message::new(&*topic, "body").with_tag("created").with_ordered_key("k").with_property("tenant", "blue");
    broker.send(&message, None).await.expect("sent");
    let foreign = Connection::connect(server.url(), ConnectionProperties::default()).await.expect("connected");
    let channel = foreign.create_channel().await.expect("a channel");
    let consumer = channel.basic_consume(format!("{topic}.g").into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = consumer.await.expect("consuming");
    let next = tokio::time::timeout(secs(10), std::future::poll_fn(|cx| futures_util::Stream::poll_next(std::pin::Pin::new(&mut consumer), cx)));
    let delivery = next.await.expect("in time").expect("a delivery").expect("no error");
    let text = |field: &Option<ShortString>| field.as_ref().map(ShortString::to_string);
    assert_eq!(text(delivery.properties.message_id()), Some(message.id().to_string()));
    assert_eq!((text(delivery.properties.kind()), *delivery.properties.delivery_mode()), (Some("created".into()), Some(2)));
    let headers = delivery.properties.headers().clone().unwrap_or_default();
    for (name, value) in [("tenant", "blue"), ("winddown.key", "k")] {
        assert_eq!(headers.inner().get(name), Some(&AMQPValue::LongString(value.into())));
    }
    broker.close().await.expect("closed");
    foreign.close(200, "".into()).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_wait_for_the_first_who_joins() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::connect(server.url()).await.expect("connected");
    let (topic, group) = (fresh("letters"), fresh("g"));
    let member = joined(&broker, &group, &topic).await;
    for body in ["1", "2"] {
        broker.send(&Message::new(&*topic, body), None).await.expect("sent");
        let delivery = one(&member).await;
        assert_eq!(member.dead_letter(&delivery, "unreadable").await.expect("moved").done, 1);
    }
    let watch = joined(&broker, "watch", &format!("{group}.dead")).await;
    let letters = handle(&watch, 2).await;
    for (letter, body) in letters.iter().zip(["1", "2"]) {
        assert_eq!((letter.body().as_ref(), letter.property("winddown.dead-topic")), (body.as_bytes(), Some(&*topic)));
    }
    nothing(&watch, millis(300)).await;
    nothing(&member, millis(300)).await;
    broker.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_order_of_keys_the_next_member_goes_on_where_one_left() {
    let server = Server::up("rabbitmq");
    let (one_client, two_client) = (RabbitMqBroker::connect(server.url()).await.expect("a"), RabbitMqBroker::connect(server.url()).await.expect("b"));
    let topic = fresh("keys");
    let interest = Interest { ordered: true, ..Interest::new("g", &*topic) };
    let first = one_client.subscribe(&interest).await.expect("joined");
    let heir = two_client.subscribe(&interest).await.expect("joined");
    for number in 0..60 {
        one_client.send(&Message::new(&*topic, number.to_string()).with_ordered_key(format!("k{}", number % 3)), None).await.expect("sent");
    }
    let mut handled = handle(&first, 10).await;
    let held = one(&first).await;
    // It dies with one in its hands and the rest fetched ahead.
    drop(first);
    one_client.close().await.expect("closed");
    let rest = handle(&heir, 50).await;
    assert!(rest.iter().any(|message| message.id() == held.message().id()));
    handled.extend(rest);
    for key in ["k0", "k1", "k2"] {
        let of_key = handled.iter().filter(|message| message.key() == Some(key));
        let numbers: Vec<usize> = of_key.map(|message| String::from_utf8_lossy(message.body()).parse().expect("a number")).collect();
        assert!(numbers.is_sorted() && numbers.len() == 20, "{key} came as {numbers:?}");
    }
    two_client.close().await.expect("closed");
}
