//! What cannot be: it is said at once, and what to do.

use super::kit::{fresh, handle, joined, nothing, one, receipt};
use super::server::Server;
use std::time::Instant;
use winddown::messaging::rabbitmq::lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use winddown::messaging::rabbitmq::lapin::types::FieldTable;
use winddown::messaging::rabbitmq::lapin::{Connection, ConnectionProperties, ExchangeKind};
use winddown::messaging::rabbitmq::{QueueKind, RabbitMqBroker};
use winddown::messaging::{Broker, BrokerError, Class, ErrorKind, Interest, Limits, Message};
use winddown::{millis, secs};

fn kind<T>(answer: Result<T, BrokerError>) -> (ErrorKind, Class) {
    let error = answer.map(drop).expect_err("refused");
    (error.kind(), error.class())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_and_virtual_hosts_are_named() {
    let server = Server::up("rabbitmq");
    let began = Instant::now();
    let error = RabbitMqBroker::connect(&server.url().replace("guest:guest", "guest:wrong")).await.expect_err("refused");
    assert_eq!((error.kind(), error.class(), error.code()), (ErrorKind::Unauthorised, Class::Fatal, Some(403)), "{error}");
    assert!(!error.to_string().contains("wrong"), "the password is told: {error}");
    let error = RabbitMqBroker::connect(&server.url().replace("%2f", "elsewhere")).await.expect_err("refused");
    assert_eq!((error.kind(), error.class()), (ErrorKind::Invalid, Class::Fatal), "{error}");
    assert!(began.elapsed() < secs(5), "it took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_named_in_time() {
    let began = Instant::now();
    let error = RabbitMqBroker::connect("amqp://guest:guest@127.0.0.1:1/%2f").await.expect_err("nobody there");
    assert_eq!((error.kind(), error.class()), (ErrorKind::Disconnected, Class::RetryableSafe));
    assert!(error.to_string().starts_with("rabbitmq") && error.text().contains("127.0.0.1:1"), "{error}");
    // Somebody who takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("amqp://guest:guest@{}/%2f", silent.local_addr().expect("an address"));
    let error = RabbitMqBroker::builder(&url).connect_timeout(millis(500)).connect().await.expect_err("silent");
    assert_eq!((error.kind(), error.class()), (ErrorKind::TimedOut, Class::RetryableSafe));
    let error = RabbitMqBroker::connect(&url.replace("amqp:", "amqps:")).await.expect_err("no TLS");
    assert_eq!((error.kind(), error.class()), (ErrorKind::Unsupported, Class::Fatal), "{error}");
    assert!(began.elapsed() < secs(8), "it took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_finds_too_large_is_too_large() {
    let server = Server::up("rabbitmq");
    let mut limits = Limits::default();
    limits.message_bytes = 64 << 20;
    let broker = RabbitMqBroker::builder(server.url()).limits(limits).connect().await.expect("connected");
    let topic = fresh("large");
    let member = joined(&broker, "g", &topic).await;
    let error = broker.send(&Message::new(&*topic, vec![0u8; (8 << 20) + 1]), None).await.expect_err("too large");
    assert_eq!((error.kind(), error.class(), error.code(), error.topic()), (ErrorKind::TooLarge, Class::Fatal, Some(406), Some(&*topic)), "{error}");
    // The channel that this closed is not the last one.
    broker.send(&Message::new(&*topic, vec![1u8; 8 << 20]), None).await.expect("just small enough");
    assert_eq!(handle(&member, 1).await[0].body().len(), 8 << 20);
    broker.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_nobody_would_get_is_no_success() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::connect(server.url()).await.expect("connected");
    let (topic, other) = (fresh("nobody"), fresh("somebody"));
    let member = joined(&broker, "g", &other).await;
    for message in [Message::new(&*topic, "x"), Message::new(&*topic, "x").with_delay(secs(1))] {
        let error = broker.send(&message, None).await.expect_err("nobody has joined");
        assert_eq!((error.kind(), error.class(), error.code()), (ErrorKind::UnknownGroup, Class::RetryableSafe, Some(312)), "{error}");
        assert_eq!(error.topic(), Some(&*topic));
    }
    // Among others, each has its own answer.
    let batch: Vec<_> = (0..60).map(|n| Message::new(if n % 3 == 0 { &*topic } else { &*other }, n.to_string())).collect();
    for (n, answer) in broker.send_batch(&batch, None).await.into_iter().enumerate() {
        assert_eq!(answer.is_err(), n % 3 == 0, "{n}: {answer:?}");
    }
    handle(&member, 40).await;
    let late = joined(&broker, "g", &topic).await;
    broker.send(&Message::new(&*topic, "now"), None).await.expect("somebody has joined");
    handle(&late, 1).await;
    broker.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_was_made_otherwise_is_refused_with_the_difference() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::connect(server.url()).await.expect("connected");
    let topic = fresh("otherwise");
    joined(&broker, "g", &topic).await;
    let classic = RabbitMqBroker::builder(server.url()).queues(QueueKind::Classic).connect().await.expect("connected");
    let error = classic.subscribe(&Interest::new("g", &*topic)).await.map(drop).expect_err("made otherwise");
    assert_eq!((error.kind(), error.class(), error.code()), (ErrorKind::Invalid, Class::Fatal, Some(406)));
    assert!(error.text().contains("x-queue-type"), "{error}");
    let ordered = Interest { ordered: true, ..Interest::new("g", &*topic) };
    assert_eq!(kind(broker.subscribe(&ordered).await), (ErrorKind::Invalid, Class::Fatal));
    // The client is as good as before.
    joined(&classic, "other", &topic).await;
    broker.close().await.expect("closed");
    classic.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_operators_who_own_the_topology_nothing_is_made() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::builder(server.url()).declare(false).connect().await.expect("connected");
    let topic = fresh("owned");
    assert_eq!(kind(broker.send(&Message::new(&*topic, "x"), None).await), (ErrorKind::UnknownTopic, Class::Fatal));
    assert_eq!(kind(broker.subscribe(&Interest::new("g", &*topic)).await), (ErrorKind::UnknownGroup, Class::Fatal));
    assert_eq!(kind(broker.backlog("g", &topic).await), (ErrorKind::UnknownTopic, Class::Fatal));
    let operator = Connection::connect(server.url(), ConnectionProperties::default()).await.expect("connected");
    let channel = operator.create_channel().await.expect("a channel");
    let (exchange, queue) = (topic.as_str(), format!("{topic}.g"));
    channel
        .exchange_declare(exchange.into(), ExchangeKind::Fanout, ExchangeDeclareOptions::default(), FieldTable::default())
        .await
        .expect("an exchange");
    channel.queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default()).await.expect("a queue");
    channel.queue_bind(queue.as_str().into(), exchange.into(), "".into(), QueueBindOptions::default(), FieldTable::default()).await.expect("bound");
    let member = joined(&broker, "g", &topic).await;
    let delayed = Message::new(&*topic, "later").with_delay(secs(1));
    assert_eq!(kind(broker.send(&delayed, None).await), (ErrorKind::Unsupported, Class::Fatal));
    broker.send(&Message::new(&*topic, "x"), None).await.expect("sent");
    // There is no delay queue, so it waits in the client.
    let (first, began) = (one(&member).await, Instant::now());
    assert_eq!(member.nack(receipt(&first), millis(700)).await.expect("given back").done, 1);
    nothing(&member, millis(400)).await;
    let again = one(&member).await;
    assert!(began.elapsed() >= millis(700), "it came again after {:?}", began.elapsed());
    assert_eq!((again.message().id(), again.attempt()), (first.message().id(), 2));
    member.ack(receipt(&again)).await.expect("acknowledged");
    broker.close().await.expect("closed");
    operator.close(200, "".into()).await.expect("closed");
}
