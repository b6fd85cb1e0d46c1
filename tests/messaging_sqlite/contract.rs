//! The contract of every broker, clause by clause: each client is a broker of its own on the same file, as in another process.

use super::support::*;
use std::path::PathBuf;
use std::sync::Arc;
use winddown::messaging::{Broker, SqliteBroker};
use winddown::testkit::contract::{self, Capabilities, Capability, ClauseOutcome, Fixture};

struct File(PathBuf);

#[winddown::async_trait]
impl Fixture for File {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(SqliteBroker::open(&self.0).unwrap())
    }
    fn capabilities(&self) -> Capabilities {
        // Topics are made when they are used.
        Capabilities::all().without(Capability::UnknownTopics)
    }
    fn visibility(&self) -> std::time::Duration {
        ms(500)
    }
    fn durable(&self) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_clause_is_kept() {
    let scratch = Scratch::new();
    let report = contract::run(&File(scratch.file())).await;
    report.assert_ok();
    assert_eq!(report.clauses().len(), contract::clauses().len());
    let refused = report.clauses().iter().filter(|clause| matches!(clause.outcome, ClauseOutcome::Refused(_)));
    assert_eq!(refused.map(|clause| clause.clause.number).collect::<Vec<_>>(), [4], "{report}");
    assert_sound(&scratch.file());
}
