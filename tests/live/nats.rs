//! NATS JetStream: the contract and the ordeals against the real server. `scripts/live/up nats` starts it.

mod server;

use server::Server;
use std::sync::Arc;
use std::time::Duration;
use winddown::messaging::{Broker, NatsBroker};
use winddown::testkit::contract::{self, Capabilities, Capability, Fixture};
use winddown::{async_trait, millis};

/// Clients of the running server.
struct Nats(String);

#[async_trait]
impl Fixture for Nats {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(NatsBroker::connect(&self.0).await.expect("the server is up"))
    }
    fn capabilities(&self) -> Capabilities {
        // Topics are made when they are used; each delivery counts; schedules are the stream's matter.
        Capabilities::all().without(Capability::UnknownTopics).without(Capability::ReleaseUncounted).without(Capability::Delay)
    }
    fn visibility(&self) -> Duration {
        millis(800)
    }
    fn durable(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_keeps_the_contract() {
    let server = Server::up("nats");
    let nats = Nats(server.url().to_owned());
    let only = std::env::var("CLAUSES").unwrap_or_default();
    let only: Vec<u32> = only.split(',').filter_map(|number| number.parse().ok()).collect();
    let report = if only.is_empty() { contract::run(&nats).await } else { contract::run_only(&nats, &only).await };
    println!("{report}");
    report.assert_ok();
}
