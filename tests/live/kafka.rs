//! Apache Kafka: the contract against the real server. `scripts/live/up kafka` starts it.
#![allow(clippy::print_stdout, reason = "the contract's report is for whoever runs it")]
#![allow(unreachable_pub, reason = "what the tests share")]

mod server;

use server::Server;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use winddown::async_trait;
use winddown::messaging::kafka::rdkafka::message::{Header, Headers, Message as _, OwnedHeaders};
use winddown::messaging::kafka::rdkafka::producer::{FutureProducer, FutureRecord};
use winddown::messaging::kafka::rdkafka::{ClientConfig, consumer::Consumer, consumer::StreamConsumer};
use winddown::messaging::{Broker, Class, Delivery, ErrorKind, Interest, KafkaBroker, Message, MessageId, Receipt, Subscription};
use winddown::testkit::contract::{self, Capabilities, Capability, Fixture};

struct Kafka {
    url: String,
    admin: KafkaBroker,
}

impl Kafka {
    async fn at(server: &Server) -> Kafka {
        let admin = KafkaBroker::connect(server.url()).await.expect("the server is up");
        Kafka { url: server.url().to_owned(), admin }
    }

    /// A topic that is new, with four partitions.
    async fn topic(&self, label: &str) -> String {
        let name = format!("{label}-{}", MessageId::new());
        self.make_topic(&name).await;
        name
    }
}

#[async_trait]
impl Fixture for Kafka {
    async fn broker(&self) -> Arc<dyn Broker> {
        // The group protocol of newer servers: GROUP_PROTOCOL=consumer.
        let protocol = std::env::var("GROUP_PROTOCOL").unwrap_or("classic".into());
        Arc::new(KafkaBroker::builder(&self.url).set("group.protocol", protocol).connect().await.expect("the server is up"))
    }

    async fn make_topic(&self, name: &str) {
        self.admin.create_topic(name, 4).await.expect("a topic can be made");
    }

    fn capabilities(&self) -> Capabilities {
        let cannot = [Capability::Visibility, Capability::Extend, Capability::Delay, Capability::AnyMember];
        cannot.into_iter().fold(Capabilities::all(), Capabilities::without)
    }

    fn durable(&self) -> bool {
        true
    }

    fn slack(&self) -> Duration {
        // A handover between members takes two rounds of the group.
        Duration::from_secs(5)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    let server = Server::up("kafka");
    let fixture = Kafka::at(&server).await;
    // Some clauses only: CLAUSES=1,18.
    let wanted = std::env::var("CLAUSES").ok().map(|list| list.split(',').filter_map(|number| number.trim().parse().ok()).collect::<Vec<u32>>());
    let report = match wanted {
        Some(numbers) => contract::run_only(&fixture, &numbers).await,
        None => contract::run(&fixture).await,
    };
    println!("{report}");
    report.assert_ok();
}

const SECOND: Duration = Duration::from_secs(1);

/// Pulls until so many came, for at most half a minute.
async fn collect(member: &Arc<dyn Subscription>, count: usize) -> Vec<Delivery> {
    let (mut all, until) = (Vec::new(), Instant::now() + 30 * SECOND);
    while all.len() < count {
        assert!(Instant::now() < until, "{} of {count} came", all.len());
        // While the server is away, pulls say so.
        all.extend(member.pull(count - all.len(), SECOND).await.unwrap_or_default());
    }
    all
}

fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt().clone()).collect()
}

/// Where the server wants a password: two ports above its own.
fn guarded(url: &str) -> String {
    let (host, port) = url.rsplit_once(':').expect("an address");
    format!("{host}:{}", port.parse::<u16>().expect("a port") + 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_at_once() {
    let server = Server::up("kafka");
    let with = |password: &str| {
        let builder = KafkaBroker::builder(guarded(server.url())).set("security.protocol", "SASL_PLAINTEXT").set("sasl.mechanism", "PLAIN");
        builder.set("sasl.username", "orders").set("sasl.password", password)
    };
    let right = with("right").connect().await.expect("the password is right");
    right.create_topic(&format!("sasl-{}", MessageId::new()), 1).await.expect("with it, all goes");
    right.close().await.expect("it closes");
    let began = Instant::now();
    let error = with("wrong").connect().await.expect_err("the password is wrong");
    assert!(began.elapsed() < 3 * SECOND, "it took {:?}", began.elapsed());
    assert_eq!((error.kind(), error.class()), (ErrorKind::Unauthorised, Class::Fatal), "{error}");
    assert!(error.to_string().contains(&guarded(server.url())) && !error.to_string().contains("wrong\""), "{error}");
    assert!(error.code().is_some(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_server_is_it_is_said_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("an address").to_string();
    for address in ["127.0.0.1:1", &silent] {
        let began = Instant::now();
        let error = KafkaBroker::builder(address).connect_timeout(SECOND).connect().await.expect_err("nobody is there");
        assert!(began.elapsed() < 2 * SECOND, "it took {:?}", began.elapsed());
        assert!(matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::TimedOut), "{error}");
        assert_eq!(error.class(), Class::RetryableSafe, "{error}");
        assert!(error.to_string().starts_with("kafka") && error.to_string().contains(address), "{error}");
    }
    for (name, builder) in [("servers", KafkaBroker::builder("")), ("no.such", KafkaBroker::builder("127.0.0.1:1").set("no.such", "secret"))] {
        let error = builder.connect().await.expect_err("it cannot be");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_finds_too_large_is_too_large() {
    let server = Server::up("kafka");
    let kafka = Kafka::at(&server).await;
    let topic = kafka.topic("large").await;
    let generous = KafkaBroker::builder(server.url()).message_bytes(4 << 20).connect().await.expect("the server is up");
    let error = generous.send(&Message::new(topic.as_str(), vec![0; 2 << 20]), None).await.expect_err("more than it takes");
    assert_eq!((error.kind(), error.class(), error.code()), (ErrorKind::TooLarge, Class::Fatal, Some(10)), "{error}");
    assert_eq!(error.topic(), Some(topic.as_str()));
    generous.send(&Message::new(topic.as_str(), "small"), None).await.expect("the connection is as good as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_is_an_error_in_time_and_found_again() {
    let server = Server::up("kafka");
    let kafka = Kafka::at(&server).await;
    let topic = kafka.topic("killed").await;
    let broker = Arc::new(KafkaBroker::builder(server.url()).send_timeout(3 * SECOND).connect().await.expect("the server is up"));
    let member = broker.subscribe(&Interest::new("g", topic.as_str())).await.expect("it joins");
    let mut sends = JoinSet::new();
    for sender in 0..20 {
        let (broker, topic) = (broker.clone(), topic.clone());
        sends.spawn(async move {
            let mut stored = Vec::new();
            for number in 0..200 {
                let message = Message::new(topic.as_str(), format!("{sender}/{number}"));
                let began = Instant::now();
                let answer = broker.send(&message, None).await;
                assert!(began.elapsed() < 6 * SECOND, "a send took {:?}: {answer:?}", began.elapsed());
                match answer {
                    Ok(_) => stored.push(message.id()),
                    Err(error) => {
                        assert!(error.class() == Class::RetryableAmbiguous && error.topic() == Some(&topic), "{error}");
                        return (stored, true);
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (stored, false)
        });
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    tokio::task::block_in_place(|| server.kill());
    let (mut stored, mut failed) = (BTreeSet::new(), 0);
    while let Some(ended) = sends.join_next().await {
        let (ids, error) = ended.expect("no send hangs");
        stored.extend(ids);
        failed += u32::from(error);
    }
    assert!(failed > 0 && !stored.is_empty(), "it was killed in the middle: {failed} failed, {} were stored", stored.len());
    tokio::task::block_in_place(|| server.restart());
    // The same client: it finds the server by itself.
    let began = Instant::now();
    let last = loop {
        let message = Message::new(topic.as_str(), "again");
        match broker.send(&message, None).await {
            Ok(_) => break message.id(),
            Err(error) => assert!(error.class().is_retryable() && began.elapsed() < 30 * SECOND, "{error}"),
        }
    };
    stored.insert(last);
    let mut came = BTreeSet::new();
    while !stored.is_subset(&came) {
        let taken = collect(&member, 1).await;
        came.extend(taken.iter().map(|delivery| delivery.message().id()));
        assert_eq!(member.ack(&receipts(&taken)).await.expect("it is ours").done, 1);
    }
    member.commit().await.expect("the server is back");
    broker.close().await.expect("it closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_server_that_does_nothing_every_call_ends_in_time() {
    let server = Server::up("kafka");
    let kafka = Kafka::at(&server).await;
    let topic = kafka.topic("paused").await;
    let builder = KafkaBroker::builder(server.url()).send_timeout(SECOND).connect_timeout(SECOND).close_timeout(2 * SECOND);
    let broker = builder.join_timeout(2 * SECOND).connect().await.expect("the server is up");
    let member = broker.subscribe(&Interest::new("g", topic.as_str())).await.expect("it joins");
    broker.send(&Message::new(topic.as_str(), "x"), None).await.expect("it is up");
    let held = collect(&member, 1).await;
    assert_eq!(member.ack(&receipts(&held)).await.expect("it is ours").done, 1);
    tokio::task::block_in_place(|| server.pause());
    let message = Message::new(topic.as_str(), "y");
    let other = Interest::new("other", topic.as_str());
    let limit = 5 * SECOND;
    let (sent, committed, told, joined) = tokio::join!(
        tokio::time::timeout(limit, broker.send(&message, None)),
        tokio::time::timeout(limit, member.commit()),
        tokio::time::timeout(limit, broker.backlog("g", &topic)),
        tokio::time::timeout(limit, broker.subscribe(&other)),
    );
    let error = sent.expect("a send ends").expect_err("nobody answers");
    assert_eq!((error.kind(), error.class()), (ErrorKind::TimedOut, Class::RetryableAmbiguous), "{error}");
    let error = committed.expect("a commit ends").expect_err("nobody answers");
    assert!(error.class().is_retryable(), "{error}");
    assert!(told.expect("a question ends").is_err() && joined.expect("joining ends").is_err());
    let began = Instant::now();
    let closed = tokio::time::timeout(limit, broker.close()).await.expect("a close ends");
    assert!(closed.is_err(), "the server could not be told, {:?}", began.elapsed());
    tokio::task::block_in_place(|| server.resume());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_read_ours_and_we_read_theirs() {
    let server = Server::up("kafka");
    let kafka = Kafka::at(&server).await;
    let topic = kafka.topic("foreign").await;
    let theirs: FutureProducer = ClientConfig::new().set("bootstrap.servers", server.url()).create().expect("a producer");
    let headers = OwnedHeaders::new().insert(Header { key: "tenant", value: Some("blue") });
    theirs.send(FutureRecord::to(&topic).key("order-17").payload("theirs").headers(headers), SECOND).await.expect("it is stored");
    theirs.send(FutureRecord::<str, str>::to(&topic).payload("bare"), SECOND).await.expect("it is stored");
    let member = kafka.admin.subscribe(&Interest::new("g", topic.as_str())).await.expect("it joins");
    let first = collect(&member, 2).await;
    member.nack(&receipts(&first), Duration::ZERO).await.expect("they are ours");
    let again = collect(&member, 2).await;
    let ids = |all: &[Delivery]| all.iter().map(|delivery| delivery.message().id()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&first), ids(&again), "the same message has the same id each time");
    let keyed = again.iter().map(Delivery::message).find(|message| message.key().is_some()).expect("one has a key");
    assert_eq!((keyed.key(), keyed.is_ordered(), keyed.property("tenant")), (Some("order-17"), true, Some("blue")));
    assert_eq!((keyed.body().as_ref(), keyed.tag()), (b"theirs".as_ref(), None));
    member.close().await.expect("it leaves");

    let topic = kafka.topic("ours").await;
    let sent = Message::new(topic.as_str(), "ours").with_tag("created").with_ordered_key("k").with_property("tenant", "blue");
    kafka.admin.send(&sent, None).await.expect("it is stored");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server.url()).set("group.id", "others").set("auto.offset.reset", "earliest");
    let reader: StreamConsumer = config.create().expect("a consumer");
    reader.subscribe(&[&topic]).expect("it joins");
    let record = tokio::time::timeout(30 * SECOND, reader.recv()).await.expect("it comes").expect("a record");
    assert_eq!((record.key(), record.payload()), (Some(b"k".as_ref()), Some(b"ours".as_ref())));
    let headers: Vec<_> = record.headers().expect("headers").iter().map(|header| (header.key, header.value.unwrap_or_default())).collect();
    let id = sent.id().to_string();
    assert_eq!(headers, [("winddown.id", id.as_bytes()), ("winddown.tag", b"created"), ("winddown.ordered", b"1"), ("tenant", b"blue")]);
    drop(record);
    tokio::task::spawn_blocking(move || drop(reader)).await.expect("it leaves");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_flow_through_a_small_hold() {
    let server = Server::up("kafka");
    let kafka = Kafka::at(&server).await;
    let topic = kafka.topic("many").await;
    let broker = Arc::new(KafkaBroker::builder(server.url()).hold(20, 1 << 20).connect().await.expect("the server is up"));
    let mut sends = JoinSet::new();
    for number in 0..3000 {
        let (broker, message) = (broker.clone(), Message::new(topic.as_str(), format!("{number}")));
        sends.spawn(async move { broker.send(&message, None).await.map(|_| message.id()) });
    }
    let mut left = BTreeSet::new();
    while let Some(sent) = sends.join_next().await {
        left.insert(sent.expect("no panic").expect("it is stored"));
    }
    assert_eq!(left.len(), 3000);
    let member = broker.subscribe(&Interest::new("g", topic.as_str())).await.expect("it joins");
    // More than it may hold does not come; and when all of it is settled, it reads on.
    let first = collect(&member, 20).await;
    let more = member.pull(100, SECOND).await.expect("the server is well");
    assert!(more.is_empty(), "{} more came", more.len());
    assert_eq!(member.ack(&receipts(&first)).await.expect("they are ours").done, 20);
    first.iter().for_each(|delivery| assert!(left.remove(&delivery.message().id())));
    while !left.is_empty() {
        let taken = collect(&member, left.len().min(10)).await;
        assert_eq!(member.ack(&receipts(&taken)).await.expect("they are ours").done, taken.len());
        taken.iter().for_each(|delivery| assert!(left.remove(&delivery.message().id()), "it came twice"));
    }
    broker.close().await.expect("it closes");
}

/// Threads of the library and of the adapter in this process.
fn threads() -> Vec<String> {
    let all = std::fs::read_dir("/proc/self/task").expect("threads can be listed").flatten();
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    all.map(name).filter(|name| name.starts_with("rdk:") || name.starts_with("winddown-kafka") || name.starts_with("producer")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_close_nothing_runs_any_more() {
    let server = Server::up("kafka");
    let kafka = Kafka::at(&server).await;
    let topic = kafka.topic("threads").await;
    let before = threads();
    let broker = KafkaBroker::connect(server.url()).await.expect("the server is up");
    let mut members = Vec::new();
    // More than there are partitions, one of which is dropped without a close.
    for _ in 0..6 {
        members.push(broker.subscribe(&Interest::new("g", topic.as_str())).await.expect("it joins"));
    }
    members.pop();
    assert!(threads().len() > before.len());
    let began = Instant::now();
    broker.close().await.expect("it closes");
    assert!(began.elapsed() < 5 * SECOND, "it took {:?}", began.elapsed());
    // A thread that has said that it is over has yet to return. What other tests left behind may end in the meantime.
    while threads().len() > before.len() && began.elapsed() < 6 * SECOND {
        tokio::time::sleep(SECOND / 100).await;
    }
    assert!(threads().len() <= before.len(), "{:?} run, {before:?} did before", threads());
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_and_gaps_survive_and_members_that_close_together_do_so_at_once() {
    let server = Server::up("kafka");
    let kafka = Kafka::at(&server).await;
    let topic = kafka.topic("attempts").await;
    for number in 0..40 {
        kafka.admin.send(&Message::new(topic.as_str(), format!("{number}")).with_key(format!("{number}")), None).await.expect("it is stored");
    }
    let interest = Interest::new("g", topic.as_str());
    let member = kafka.admin.subscribe(&interest).await.expect("it joins");
    let held = collect(&member, 40).await;
    let failed: BTreeSet<_> = held[..10].iter().map(|delivery| delivery.message().id()).collect();
    member.nack(&receipts(&held[..10]), Duration::ZERO).await.expect("they are ours");
    let again = collect(&member, 10).await;
    member.nack(&receipts(&again), 3600 * SECOND).await.expect("they are ours");
    member.ack(&receipts(&held[20..])).await.expect("they are ours");
    // Ten failed twice, ten are held, twenty are done. Three members more, and all that was held moves about.
    let broker = KafkaBroker::connect(server.url()).await.expect("the server is up");
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(broker.subscribe(&interest).await.expect("it joins"));
    }
    let began = Instant::now();
    let closed = tokio::join!(member.close(), broker.close());
    assert!(closed.0.is_ok() && closed.1.is_ok(), "{closed:?}");
    assert!(began.elapsed() < 5 * SECOND, "it took {:?}", began.elapsed());
    let last = kafka.admin.subscribe(&interest).await.expect("it joins");
    let came = collect(&last, 20).await;
    for delivery in &came {
        let twice = failed.contains(&delivery.message().id());
        assert!(if twice { delivery.attempt() == 3 } else { delivery.attempt() <= 2 }, "{delivery:?}");
    }
    assert!(last.pull(10, SECOND).await.expect("it is well").is_empty(), "twenty were done with");
    last.ack(&receipts(&came)).await.expect("they are ours");
    last.commit().await.expect("the server is well");
    assert_eq!(kafka.admin.backlog("g", &topic).await.expect("it tells").total(), 0);
    last.close().await.expect("it leaves");
}
