//! Apache Kafka: the contract and the ordeals against the real server. `scripts/live/up kafka` starts it.

mod server;

use server::Server;
use std::sync::Arc;
use std::time::Duration;
use winddown::async_trait;
use winddown::messaging::{Broker, KafkaBroker};
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
}

#[async_trait]
impl Fixture for Kafka {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(KafkaBroker::connect(&self.url).await.expect("the server is up"))
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
        Duration::from_secs(3)
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
