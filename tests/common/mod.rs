//! What the tests of whole processes share: children under watch, their reports, and the stories told in scenario files.
#![allow(dead_code, reason = "each test program uses its own part of it")]

pub(crate) mod child;
pub(crate) mod invariants;
pub(crate) mod lines;
pub(crate) mod report;
pub(crate) mod story;
pub(crate) mod verdict;

use std::time::Duration;

/// How long anything may take before a test gives up on it. No test waits this long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How late the process may be, past a deadline, as seen from outside on a loaded machine.
pub(crate) const SLACK: Duration = Duration::from_millis(100);

pub(crate) fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
