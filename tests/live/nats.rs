//! NATS JetStream: the contract against the real server. `scripts/live/up nats` starts it.

#[path = "nats/failing.rs"]
mod failing;
#[path = "nats/foreign.rs"]
mod foreign;
#[path = "nats/groups.rs"]
mod groups;
#[path = "nats/kit.rs"]
mod kit;
#[path = "nats/refused.rs"]
mod refused;
#[allow(unreachable_pub, reason = "a file that several tests share")]
mod server;

use kit::connect;
use server::Server;
use std::sync::Arc;
use std::time::Duration;
use winddown::messaging::nats::async_nats::{self, jetstream};
use winddown::messaging::{Broker, NatsBroker};
use winddown::testkit::contract::{self, Capabilities, Capability, Fixture};
use winddown::{async_trait, millis};

/// Clients of the running server.
struct Nats {
    url: String,
    /// Topics are made beforehand, by somebody else.
    declared: bool,
    /// Streams can keep messages back.
    delays: bool,
    /// The server delivers a message again now and then that was acknowledged, as if it were new.
    forgetful: bool,
}

#[async_trait]
impl Fixture for Nats {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(NatsBroker::builder(&self.url).declare(!self.declared).delays(self.delays).connect().await.expect("the server is up"))
    }
    async fn make_topic(&self, name: &str) {
        if self.declared {
            let client = async_nats::connect(&self.url).await.expect("the server is up");
            let config = jetstream::stream::Config { name: name.replace('.', "_"), subjects: vec![name.into()], ..Default::default() };
            jetstream::new(client).create_stream(config).await.expect("a stream");
        }
    }
    fn capabilities(&self) -> Capabilities {
        // Each delivery counts, a released one too.
        let can = Capabilities::all().without(Capability::ReleaseUncounted);
        let can = if self.declared { can } else { can.without(Capability::UnknownTopics) };
        let can = if self.forgetful { can.without(Capability::StaleCounted) } else { can };
        if self.delays { can } else { can.without(Capability::Delay) }
    }
    fn visibility(&self) -> Duration {
        millis(800)
    }
    fn durable(&self) -> bool {
        true
    }
}

#[allow(clippy::print_stdout, reason = "the report is for who reads the run")]
async fn keeps(declared: bool, delays: bool) {
    let server = Server::up("nats");
    let version = kit::version(server.url()).await;
    println!("the server is {version}");
    // Schedules came with 2.12; what an older server cannot, it has to refuse.
    let delays = delays && !["2.9.", "2.10.", "2.11."].iter().any(|old| version.starts_with(old));
    let forgetful = version.starts_with("2.9.");
    let report = contract::run(&Nats { url: server.url().to_owned(), declared, delays, forgetful }).await;
    println!("{report}");
    report.assert_ok();
    kit::no_connection_is_left(server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_clause_is_kept() {
    keeps(false, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_clause_is_kept_where_topics_are_made_by_others() {
    keeps(true, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_clause_is_kept_with_delays() {
    keeps(false, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sends_and_many_deliveries_are_in_flight_at_once() {
    const MANY: usize = 5_000;
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("many"));
    let (sent, unlike) = kit::send_at_once(&broker, &topic, MANY).await;
    assert_eq!((sent.len(), unlike), (MANY, Vec::new()));
    // More than the server's own default allows to be unsettled.
    let group = broker.subscribe(&kit::interest("g", &topic)).await.unwrap();
    let held = kit::collect(&group, MANY).await;
    let settled = group.ack(&kit::receipts(&held)).await.unwrap();
    assert_eq!((settled.done, settled.stale), (MANY, 0));
    assert!(group.pull(1, millis(100)).await.unwrap().is_empty());
    broker.close().await.unwrap();
}
