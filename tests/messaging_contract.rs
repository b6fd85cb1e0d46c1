//! The durable broker keeps the same contract as the one in memory.
#![cfg(feature = "sqlite")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use winddown::messaging::{Broker, SqliteBroker};
use winddown::testkit::contract::{self, Capabilities, Capability, Fixture};
use winddown::{async_trait, millis};

/// Clients that open the same file anew.
struct File(PathBuf);

#[async_trait]
impl Fixture for File {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(SqliteBroker::open(&self.0).unwrap())
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::all().without(Capability::UnknownTopics)
    }
    fn visibility(&self) -> Duration {
        millis(400)
    }
    fn durable(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_every_clause() {
    let folder = std::env::temp_dir().join(format!("winddown-contract-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let report = contract::run(&File(folder.join("broker.db"))).await;
    std::fs::remove_dir_all(&folder).unwrap();
    report.assert_ok();
}
