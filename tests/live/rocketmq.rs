//! Apache RocketMQ: the contract against the real server. `scripts/live/up rocketmq` starts it.
#![allow(clippy::print_stdout, reason = "the report, and how long things took")]

#[path = "rocketmq/foreign.rs"]
mod foreign;
#[path = "rocketmq/ordeals.rs"]
mod ordeals;
#[path = "rocketmq/refusals.rs"]
mod refusals;
#[allow(unreachable_pub, reason = "shared with the other servers' tests")]
mod server;
#[path = "rocketmq/traces.rs"]
mod traces;

use server::Server;
use std::sync::Arc;
use std::time::Duration;
use winddown::async_trait;
use winddown::messaging::rocketmq::RocketMqBuilder;
use winddown::messaging::{Broker, Delivery, Interest, Message, RocketMqBroker, Subscription};
use winddown::testkit::contract::{self, Capabilities, Capability, Fixture};
use winddown::{millis, secs};

struct Live {
    url: String,
    /// For what the clauses have made beforehand.
    admin: RocketMqBroker,
}

#[async_trait]
impl Fixture for Live {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(RocketMqBroker::builder(&self.url).request_timeout(secs(10)).connect().await.expect("the server is up"))
    }

    fn capabilities(&self) -> Capabilities {
        // The reasons are in docs/rocketmq.md.
        Capabilities::all().without(Capability::ReleaseUncounted).without(Capability::Backlog)
    }

    async fn make_topic(&self, name: &str) {
        self.admin.create_topic(name, 4).await.expect("a topic can be made");
    }

    /// What is given back at once comes two seconds later, what ran out as well.
    fn slack(&self) -> Duration {
        secs(6)
    }

    fn visibility(&self) -> Duration {
        secs(3)
    }

    fn durable(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    let server = Server::up("rocketmq");
    let live = Live { url: server.url().to_owned(), admin: connect(&server).await };
    let report = contract::run(&live).await;
    println!("{report}");
    report.assert_ok();
}

/// Patient: a machine that is busy with other things is not what is tested.
async fn connect(server: &Server) -> RocketMqBroker {
    RocketMqBroker::builder(server.url()).request_timeout(secs(10)).connect().await.expect("the server is up")
}

/// A client with a patience of its own on a topic that another one made, and its member of a new group.
async fn hasty(server: &Server, builder: RocketMqBuilder, label: &str) -> (RocketMqBroker, Arc<str>, Arc<dyn Subscription>) {
    let patient = connect(server).await;
    let (topic, member) = topic(&patient, label).await;
    member.close().await.expect("a group can be left");
    patient.close().await.expect("a client can be closed");
    let broker = builder.connect().await.expect("the server is up");
    let interest = Interest::new(format!("h-{topic}"), topic.clone());
    let began = std::time::Instant::now();
    loop {
        match broker.subscribe(&interest).await {
            Ok(member) => return (broker, topic, member),
            Err(error) => assert!(error.class().is_retryable() && began.elapsed() < secs(30), "{error}"),
        }
    }
}

/// A new topic of four queues, and a member of a new group that pops it.
async fn topic(broker: &RocketMqBroker, label: &str) -> (Arc<str>, Arc<dyn Subscription>) {
    let name: Arc<str> = format!("{label}-{}", winddown::messaging::MessageId::new()).into();
    broker.create_topic(&name, 4).await.expect("a topic can be made");
    let member = broker.subscribe(&Interest::new(format!("g-{name}"), name.clone())).await.expect("a group can be joined");
    (name, member)
}

/// So many deliveries, acknowledged; no error of a pull is final.
async fn collect(member: &Arc<dyn Subscription>, count: usize) -> Vec<Delivery> {
    let mut all = Vec::new();
    let began = std::time::Instant::now();
    while all.len() < count {
        assert!(began.elapsed() < secs(60), "{} of {count} came within a minute", all.len());
        match member.pull(count - all.len(), secs(2)).await {
            Ok(taken) => {
                let receipts: Vec<_> = taken.iter().map(|delivery| delivery.receipt().clone()).collect();
                member.ack(&receipts).await.expect("what came is acknowledged");
                all.extend(taken);
            }
            Err(_) => tokio::time::sleep(millis(50)).await,
        }
    }
    all
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    let mut bodies: Vec<_> = deliveries.iter().map(|delivery| String::from_utf8_lossy(delivery.message().body()).into_owned()).collect();
    bodies.sort();
    bodies
}

fn numbered(topic: &Arc<str>, number: usize) -> Message {
    Message::new(topic.clone(), format!("{number:06}"))
}
