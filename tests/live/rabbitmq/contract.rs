//! The contract of every broker, on queues of both kinds.

use super::server::Server;
use std::sync::Arc;
use std::time::Duration;
use winddown::messaging::Broker;
use winddown::messaging::rabbitmq::{QueueKind, RabbitMqBroker};
use winddown::testkit::contract::{self, Capabilities, Capability, ContractReport, Fixture};

struct Rabbit {
    url: String,
    queues: QueueKind,
}

#[winddown::async_trait]
impl Fixture for Rabbit {
    async fn broker(&self) -> Arc<dyn Broker> {
        let broker = RabbitMqBroker::builder(&self.url).queues(self.queues).connect().await;
        Arc::new(broker.expect("the server is up"))
    }

    fn capabilities(&self) -> Capabilities {
        let all = Capabilities::all()
            // A delivery is its member's until the channel ends.
            .without(Capability::Visibility)
            .without(Capability::Extend)
            // A queue holds what is sent after it was made.
            .without(Capability::StartEarliest)
            // Exchanges are declared when they are used.
            .without(Capability::UnknownTopics);
        // Quorum queues count every return.
        if self.queues == QueueKind::Quorum { all.without(Capability::ReleaseUncounted) } else { all }
    }

    fn durable(&self) -> bool {
        true
    }
}

async fn report(queues: QueueKind) -> ContractReport {
    let server = Server::up("rabbitmq");
    let rabbit = Rabbit { url: server.url().to_owned(), queues };
    // `CLAUSES=13,21` tries these alone.
    let only: Option<Vec<u32>> = std::env::var("CLAUSES").ok().map(|list| list.split(',').filter_map(|number| number.parse().ok()).collect());
    let began = std::time::Instant::now();
    let report = match only {
        Some(only) => contract::run_only(&rabbit, &only).await,
        None => contract::run(&rabbit).await,
    };
    println!("{queues:?} queues, {:?}\n{report}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(600), "it took too long to be of use");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quorum_queues_keep_every_clause() {
    report(QueueKind::Quorum).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_queues_keep_every_clause() {
    report(QueueKind::Classic).await.assert_ok();
}
