//! Brokers with one defect each, and which clauses find it.

use super::defects::{Broken, Defect};
use super::kept::Memory;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use winddown::messaging::{Broker, MemoryBroker};
use winddown::testkit::contract::{self, Capabilities, ClauseOutcome};

async fn broken_clauses(defect: Defect) -> BTreeMap<u32, String> {
    let front = move |broker: MemoryBroker| -> Arc<dyn Broker> { Arc::new(Broken::new(Arc::new(broker), defect)) };
    let mut fixture = Memory::new(MemoryBroker::new(), front);
    if defect == Defect::MakesUnknownTopics {
        fixture.capabilities = Capabilities::all();
    }
    let report = contract::run(&fixture).await;
    let failed = report.failed().map(|clause| match &clause.outcome {
        ClauseOutcome::Failed(why) => (clause.clause.number, why.clone()),
        other => (clause.clause.number, format!("{other:?}")),
    });
    failed.collect()
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_without_a_defect_keeps_everything() {
    assert_eq!(broken_clauses(Defect::None).await, BTreeMap::new());
}

/// Each defect is found by the clause that speaks of it, and each clause finds one.
#[tokio::test(start_paused = true)]
async fn every_defect_is_found_and_every_clause_can_fail() {
    let mut able: BTreeSet<u32> = BTreeSet::new();
    let mut missed = Vec::new();
    for (defect, clause) in Defect::ALL {
        let failed = broken_clauses(*defect).await;
        if !failed.contains_key(clause) {
            missed.push(format!("{defect:?} is not found by C{clause}, but by {:?}", failed.keys()));
        }
        able.extend(failed.keys());
    }
    let all: BTreeSet<u32> = contract::clauses().iter().map(|clause| clause.number).collect();
    assert_eq!(missed, [""; 0]);
    assert_eq!(all.difference(&able).collect::<Vec<_>>(), [&0; 0], "these clauses found nothing at all");
}
