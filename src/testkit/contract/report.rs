//! What became of each clause.

use super::clauses::Clause;
use crate::span::Show;
use std::fmt;
use std::time::Duration;

/// What became of one clause.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClauseOutcome {
    /// It is kept.
    Passed,
    /// The broker cannot do it, and says so: by refusing it, or in its capabilities.
    Refused(String),
    /// It is broken, in this way.
    Failed(String),
}

/// One clause and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClauseReport {
    /// The clause.
    pub clause: Clause,
    /// What became of it.
    pub outcome: ClauseOutcome,
    /// How long it took, on tokio's clock.
    pub took: Duration,
}

/// What became of the clauses that were tried. Shown as text, a line for each.
#[derive(Clone, Debug)]
#[must_use = "a broken contract says so here only"]
pub struct ContractReport {
    pub(super) broker: String,
    pub(super) clauses: Vec<ClauseReport>,
}

impl ContractReport {
    /// The clauses in order.
    pub fn clauses(&self) -> &[ClauseReport] {
        &self.clauses
    }

    /// Those that are broken.
    pub fn failed(&self) -> impl Iterator<Item = &ClauseReport> {
        self.clauses.iter().filter(|clause| matches!(clause.outcome, ClauseOutcome::Failed(_)))
    }

    /// Were clauses tried, and none of them found broken?
    pub fn is_ok(&self) -> bool {
        !self.clauses.is_empty() && self.failed().next().is_none()
    }

    /// Panics with the whole report unless it [is ok](ContractReport::is_ok).
    ///
    /// # Panics
    /// When a clause is broken.
    #[track_caller]
    pub fn assert_ok(&self) {
        assert!(self.is_ok(), "the contract is broken\n{self}");
    }
}

impl fmt::Display for ContractReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failed().count();
        writeln!(f, "the contract of brokers, kept by `{}`: {} clauses, {failed} broken", self.broker, self.clauses.len())?;
        for report in &self.clauses {
            let (word, why) = match &report.outcome {
                ClauseOutcome::Passed => ("passed", ""),
                ClauseOutcome::Refused(why) => ("refused", why.as_str()),
                ClauseOutcome::Failed(why) => ("FAILED", why.as_str()),
            };
            let (number, text, took) = (format!("C{}", report.clause.number), report.clause.text, Show(report.took));
            writeln!(f, "{word:>8}  {number:<4} {text} ({took}){}{why}", if why.is_empty() { "" } else { ": " })?;
        }
        Ok(())
    }
}
