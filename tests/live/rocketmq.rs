//! Apache RocketMQ: the contract and the ordeals against the real server. `scripts/live/up rocketmq` starts it.

mod server;

use server::Server;
use std::sync::Arc;
use std::time::Duration;
use winddown::async_trait;
use winddown::messaging::{Broker, RocketMqBroker};
use winddown::testkit::contract::{self, Capabilities, Capability, Fixture};

struct Live {
    url: String,
    /// For what the clauses have made beforehand.
    admin: RocketMqBroker,
}

impl Live {
    async fn new(server: &Server) -> Live {
        let admin = RocketMqBroker::connect(server.url()).await.expect("the server is up");
        Live { url: server.url().to_owned(), admin }
    }
}

#[async_trait]
impl Fixture for Live {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(RocketMqBroker::connect(&self.url).await.expect("the server is up"))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all().without(Capability::ReleaseUncounted).without(Capability::Backlog)
    }

    async fn make_topic(&self, name: &str) {
        self.admin.create_topic(name, 4).await.expect("a topic can be made");
    }

    /// What is given back at once comes two seconds later, what ran out as well.
    fn slack(&self) -> Duration {
        Duration::from_secs(6)
    }

    fn visibility(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn durable(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() {
    let server = Server::up("rocketmq");
    let live = Live::new(&server).await;
    let only: Vec<u32> = std::env::var("CLAUSES").map(|list| list.split(',').filter_map(|number| number.parse().ok()).collect()).unwrap_or_default();
    let report = if only.is_empty() { contract::run(&live).await } else { contract::run_only(&live, &only).await };
    println!("{report}");
    report.assert_ok();
}
