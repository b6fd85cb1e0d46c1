//! NATS JetStream: the contract and the ordeals against the real server. `scripts/live/up nats` starts it.

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
}

#[async_trait]
impl Fixture for Nats {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(NatsBroker::builder(&self.url).declare(!self.declared).connect().await.expect("the server is up"))
    }
    async fn make_topic(&self, name: &str) {
        if self.declared {
            let client = async_nats::connect(&self.url).await.expect("the server is up");
            let config = jetstream::stream::Config { name: name.replace('.', "_"), subjects: vec![name.into()], ..Default::default() };
            jetstream::new(client).create_stream(config).await.expect("a stream");
        }
    }
    fn capabilities(&self) -> Capabilities {
        // Each delivery counts, a released one too; schedules are the stream's matter.
        let can = Capabilities::all().without(Capability::ReleaseUncounted).without(Capability::Delay);
        if self.declared { can } else { can.without(Capability::UnknownTopics) }
    }
    fn visibility(&self) -> Duration {
        millis(800)
    }
    fn durable(&self) -> bool {
        true
    }
}

async fn keeps(declared: bool) {
    let server = Server::up("nats");
    println!("the server is {}", kit::version(server.url()).await);
    let report = contract::run(&Nats { url: server.url().to_owned(), declared }).await;
    println!("{report}");
    report.assert_ok();
    kit::no_connection_is_left(server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_clause_is_kept() {
    keeps(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_clause_is_kept_where_topics_are_made_by_others() {
    keeps(true).await;
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
