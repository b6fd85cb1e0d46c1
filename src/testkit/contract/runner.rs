//! Tries clauses, each by itself: with clients of its own, for a bounded time, and whatever it may do.

use super::Fixture;
use super::bench::{Bench, Trouble, Verdict};
use super::clauses::TABLE;
use super::report::{ClauseOutcome, ClauseReport, ContractReport};
use futures_util::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use tokio::time::{Instant, timeout};

/// A machine that holds a clause up for this often, with ever longer times, is too slow to tell anything.
const TRIES: u32 = 5;

pub(super) async fn run(fixture: &dyn Fixture, wanted: &(dyn Fn(u32) -> bool + Sync)) -> ContractReport {
    let mut report = ContractReport { broker: String::new(), clauses: Vec::new() };
    for entry in TABLE.iter().filter(|entry| wanted(entry.clause.number)) {
        let began = Instant::now();
        let mut tries = 0;
        let outcome = loop {
            let bench = Bench::new(fixture, entry.clause.number, tries);
            let verdict = attempt(&bench, (entry.run)(&bench)).await;
            bench.finish(&mut report.broker).await;
            tries += 1;
            match verdict {
                Ok(None) => break ClauseOutcome::Passed,
                Ok(Some(why)) => break ClauseOutcome::Refused(why),
                Err(Trouble::TooSlow(_)) if tries < TRIES => {}
                Err(Trouble::TooSlow(why)) => break ClauseOutcome::Failed(format!("the machine was too slow {TRIES} times: {why}")),
                Err(Trouble::Broken(why)) => break ClauseOutcome::Failed(why),
            }
        };
        report.clauses.push(ClauseReport { clause: entry.clause, outcome, took: began.elapsed() });
    }
    report
}

async fn attempt(bench: &Bench<'_>, clause: impl Future<Output = Verdict>) -> Verdict {
    let limit = bench.limit();
    match timeout(limit, AssertUnwindSafe(clause).catch_unwind()).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(panic)) => Err(Trouble::Broken(format!("a panic: {}", text(&*panic)))),
        Err(_) => Err(Trouble::Broken(format!("no end within {} s", limit.as_secs()))),
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
