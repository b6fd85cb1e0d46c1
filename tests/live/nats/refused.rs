//! What is refused, and as what.

use crate::kit::{self, Second, connect, within};
use crate::server::Server;
use std::time::Instant;
use winddown::messaging::nats::async_nats::{ConnectOptions, jetstream};
use winddown::messaging::{Broker, Class, ErrorKind, Interest, Message, NatsBroker};
use winddown::{millis, secs};

const USERS: &str = r#"
authorization {
  users = [
    { user: "orders", password: "s3:cret" }
    { user: "reader", password: "reader", permissions: { publish: { deny: ["forbidden", "$JS.API.CONSUMER.>"] } } }
  ]
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_unauthorised_and_right_ones_are_not() {
    let server = Server::up("nats");
    let second = Second::up(&server, USERS);
    let address = format!("127.0.0.1:{}", second.port());
    let wrong = ConnectOptions::with_user_and_password("orders".into(), "guess".into());
    for options in [wrong, ConnectOptions::new()] {
        let error = within(secs(4), "a refused login", NatsBroker::with(options, &second.url)).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (ErrorKind::Unauthorised, Class::Fatal), "{error}");
        assert!(error.to_string().contains(&address) && !error.to_string().contains("guess"), "{error}");
    }
    let right = ConnectOptions::with_user_and_password("orders".into(), "s3:cret".into());
    let broker = NatsBroker::with(right, &second.url).await.unwrap();
    broker.send(&Message::new("orders", "1"), None).await.unwrap();
    broker.close().await.unwrap();
    // Those in the address count too, percent-encoded.
    let broker = NatsBroker::connect(format!("nats://orders:s3%3Acret@{address}")).await.unwrap();
    assert!(!format!("{broker:?}").contains("cret"));
    broker.close().await.unwrap();

    // Allowed in, but not to do this: the server says so beside its answers, and nobody waits for one that never comes.
    let broker = NatsBroker::connect(format!("nats://reader:reader@{address}")).await.unwrap();
    let began = Instant::now();
    let error = broker.send(&Message::new("forbidden", "1"), None).await.unwrap_err();
    assert_eq!((error.kind(), error.class(), error.topic()), (ErrorKind::Unauthorised, Class::Fatal, Some("forbidden")), "{error}");
    let error = broker.subscribe(&Interest::new("g", "orders")).await.err().expect("not allowed");
    assert_eq!(error.kind(), ErrorKind::Unauthorised, "{error}");
    assert!(began.elapsed() < secs(4), "{:?}", began.elapsed());
    broker.send(&Message::new("orders", "2"), None).await.unwrap();
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_named_in_time() {
    let server = Server::up("nats");
    let error = within(secs(2), "a refused connection", NatsBroker::connect("nats://127.0.0.1:1")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (ErrorKind::Disconnected, Class::RetryableSafe));
    assert!(error.to_string().starts_with("nats: disconnected: nats://127.0.0.1:1: "), "{error}");

    let error = NatsBroker::connect("mail://127.0.0.1").await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (ErrorKind::Invalid, Class::Fatal), "{error}");

    // It takes connections, and says nothing.
    server.pause();
    let began = Instant::now();
    let error = NatsBroker::builder(server.url()).connect_timeout(millis(300)).connect().await.unwrap_err();
    server.resume();
    assert_eq!((error.kind(), error.class()), (ErrorKind::TimedOut, Class::RetryableSafe), "{error}");
    assert!(error.to_string().contains(server.url()) && began.elapsed() < secs(2), "{error} after {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_jetstream_it_says_what_to_do() {
    let server = Server::up("nats");
    let second = Second::up(&server, "accounts { A { users: [{ user: a, password: a }] } }");
    let error = NatsBroker::connect(format!("nats://a:a@127.0.0.1:{}", second.port())).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (ErrorKind::Unsupported, Class::Fatal), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_whoever_finds_it() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("large"));
    // By the limits, which leave room for headers; by the headers that were made; by the stream.
    let limit = broker.limits().message_bytes;
    assert_eq!(limit, (1 << 20) - 4096, "the server's default is 1 MiB");
    let many = (0..2_000).fold(Message::new(&*topic, vec![0; limit - 12_000]), |message, number| message.with_property(number.to_string(), "\n"));
    for message in [Message::new(&*topic, vec![0; limit]), many] {
        let error = broker.send(&message, None).await.unwrap_err();
        assert_eq!((error.kind(), error.class(), error.topic()), (ErrorKind::TooLarge, Class::Fatal, Some(&*topic)), "{error}");
    }
    let small = NatsBroker::builder(server.url()).stream(|stream| stream.max_message_size = 1000).connect().await.unwrap();
    let topic = kit::name("small");
    let error = small.send(&Message::new(&*topic, vec![0; 2000]), None).await.unwrap_err();
    assert_eq!((error.kind(), error.class(), error.code()), (ErrorKind::TooLarge, Class::Fatal, Some(10054)), "{error}");
    small.send(&Message::new(&*topic, vec![0; 100]), None).await.unwrap();
    small.close().await.unwrap();
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_full_says_so_and_takes_again_when_there_is_room() {
    let server = Server::up("nats");
    let broker = NatsBroker::builder(server.url()).stream(|stream| stream.max_messages = 2).connect().await.unwrap();
    let topic = kit::name("full");
    for number in 0..2 {
        broker.send(&Message::new(&*topic, number.to_string()), None).await.unwrap();
    }
    let third = Message::new(&*topic, "2");
    let error = broker.send(&third, None).await.unwrap_err();
    assert_eq!((error.kind(), error.class(), error.code()), (ErrorKind::Full, Class::RetryableSafe, Some(10077)), "{error}");
    kit::raw(server.url()).await.get_stream(&topic).await.unwrap().purge().await.unwrap();
    broker.send(&third, None).await.unwrap();
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_consumers_that_do_not_fit_are_refused_with_the_reason() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("names"));
    for bad in ["two words", "orders.*", "orders.>", "a..b", "$JS.API.INFO"] {
        let error = broker.send(&Message::new(bad, ""), None).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (ErrorKind::Invalid, Class::Fatal), "{error}");
    }
    broker.send(&Message::new(&*topic, "1"), None).await.unwrap();
    let context = kit::raw(server.url()).await;
    let stream = context.get_stream(&topic).await.unwrap();
    let push = jetstream::consumer::push::Config { durable_name: Some("push".into()), deliver_subject: "here".into(), ..Default::default() };
    stream.create_consumer(push).await.unwrap();
    let lax = jetstream::consumer::AckPolicy::None;
    let lax = jetstream::consumer::pull::Config { durable_name: Some("lax".into()), ack_policy: lax, ..Default::default() };
    stream.create_consumer(lax).await.unwrap();
    for (group, part) in [("push", "push consumer"), ("lax", "acknowledged")] {
        let error = broker.subscribe(&Interest::new(group, &*topic)).await.err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.text().contains(part) && error.topic() == Some(&*topic), "{error}");
    }
    let delayed = broker.send(&Message::new(&*topic, "").with_delay(secs(1)), None).await.unwrap_err();
    assert_eq!(delayed.kind(), ErrorKind::Unsupported, "{delayed}");
    broker.close().await.unwrap();
}
