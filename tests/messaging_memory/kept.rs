//! The reference keeps every clause, in virtual and in real time, behind a broker without faults too.

use std::sync::Arc;
use std::time::Duration;
use winddown::messaging::{Broker, Faults, FaultyBroker, MemoryBroker};
use winddown::testkit::contract::{self, Capabilities, Capability, ClauseOutcome, ContractReport, Fixture};
use winddown::{async_trait, millis};

/// Clients of one broker in memory, each behind whatever is put in front of it.
pub(crate) struct Memory<F> {
    pub(crate) broker: MemoryBroker,
    pub(crate) front: F,
    pub(crate) visibility: Duration,
    pub(crate) capabilities: Capabilities,
}

impl<F: Fn(MemoryBroker) -> Arc<dyn Broker> + Send + Sync> Memory<F> {
    /// Topics are made when they are used. In virtual time a second is nothing.
    pub(crate) fn new(broker: MemoryBroker, front: F) -> Memory<F> {
        Memory { broker, front, visibility: millis(1000), capabilities: Capabilities::all().without(Capability::UnknownTopics) }
    }
}

#[async_trait]
impl<F: Fn(MemoryBroker) -> Arc<dyn Broker> + Send + Sync> Fixture for Memory<F> {
    async fn broker(&self) -> Arc<dyn Broker> {
        (self.front)(self.broker.client())
    }
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }
    fn visibility(&self) -> Duration {
        self.visibility
    }
    fn durable(&self) -> bool {
        // It outlives its clients, if not the process.
        true
    }
}

fn plain(broker: MemoryBroker) -> Arc<dyn Broker> {
    Arc::new(broker)
}

fn refused(report: &ContractReport) -> Vec<u32> {
    let all = report.clauses().iter().filter(|clause| matches!(clause.outcome, ClauseOutcome::Refused(_)));
    all.map(|clause| clause.clause.number).collect()
}

#[tokio::test(start_paused = true)]
async fn every_clause_in_virtual_time() {
    let report = contract::run(&Memory::new(MemoryBroker::new(), plain)).await;
    report.assert_ok();
    assert_eq!(report.clauses().len(), contract::clauses().len());
    assert_eq!(refused(&report), [4], "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_clause_in_real_time() {
    contract::run(&Memory { visibility: millis(100), ..Memory::new(MemoryBroker::new(), plain) }).await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn every_clause_through_a_slow_server() {
    let broker = MemoryBroker::builder().service_time(millis(1)).build();
    contract::run(&Memory::new(broker, plain)).await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn every_clause_behind_faults_that_do_not_strike() {
    let front = |broker: MemoryBroker| -> Arc<dyn Broker> { Arc::new(FaultyBroker::new(Arc::new(broker), Faults::new())) };
    contract::run(&Memory::new(MemoryBroker::new(), front)).await.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn every_clause_behind_a_slow_connection() {
    let front = |broker: MemoryBroker| -> Arc<dyn Broker> { Arc::new(FaultyBroker::new(Arc::new(broker), Faults::new().slow(millis(2)))) };
    contract::run(&Memory::new(MemoryBroker::new(), front)).await.assert_ok();
}

/// So slow that clauses with short times prove nothing at first, and are tried again with longer ones.
#[tokio::test(start_paused = true)]
async fn every_clause_behind_a_very_slow_connection() {
    let front = |broker: MemoryBroker| -> Arc<dyn Broker> { Arc::new(FaultyBroker::new(Arc::new(broker), Faults::new().slow(millis(70)))) };
    contract::run(&Memory { visibility: millis(100), ..Memory::new(MemoryBroker::new(), front) }).await.assert_ok();
}

/// A broker on which topics have to be made.
struct Strict(MemoryBroker);

#[async_trait]
impl Fixture for Strict {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.0.client())
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_topics_are_refused_where_topics_have_to_be_made() {
    let report = contract::run_only(&Strict(MemoryBroker::builder().topics(["none"]).build()), &[4]).await;
    report.assert_ok();
    assert_eq!((report.clauses().len(), refused(&report).len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_report_without_clauses_proves_nothing() {
    let report = contract::run_only(&Strict(MemoryBroker::new()), &[]).await;
    assert!(!report.is_ok());
}

struct NoServer;

#[async_trait]
impl Fixture for NoServer {
    async fn broker(&self) -> Arc<dyn Broker> {
        panic!("nobody listens on port 1")
    }
}

#[tokio::test(start_paused = true)]
async fn a_fixture_that_cannot_open_a_client_breaks_every_clause_it_is_asked_for() {
    let report = contract::run_only(&NoServer, &[1, 20]).await;
    assert_eq!(report.failed().count(), 2);
    assert!(report.to_string().contains("a panic: nobody listens on port 1"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_nobody_breaks_the_clause_and_does_not_hold_the_others() {
    let front = |broker: MemoryBroker| -> Arc<dyn Broker> { Arc::new(FaultyBroker::new(Arc::new(broker), Faults::new().stalled(true))) };
    let report = contract::run_only(&Memory::new(MemoryBroker::new(), front), &[1, 3]).await;
    assert_eq!(report.failed().count(), 2);
    assert!(report.to_string().contains("FAILED  C1   a message arrives as it was sent (3 min): no end within 180 s"), "{report}");
}

#[test]
fn the_guide_lists_every_clause_and_every_capability() {
    let guide = include_str!("../../docs/testing-brokers.md");
    for clause in contract::clauses() {
        let line = format!("- **C{}** {}\n", clause.number, clause.text);
        assert!(guide.contains(&line), "docs/testing-brokers.md lacks the line {line}");
    }
    for capability in Capability::ALL {
        assert!(guide.contains(&format!("| `{capability:?}` |")), "docs/testing-brokers.md lacks {capability:?}");
    }
    let numbers: Vec<u32> = contract::clauses().iter().map(|clause| clause.number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
}
