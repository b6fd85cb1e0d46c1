//! How long after its deadline a process has left.
//!
//! A child puts one kind of load in place and says `ready`; the parent sends SIGTERM and waits for
//! the end of the process. By hand, an OS thread sleeps for exactly the grace period after the
//! signal and leaves: what that is late is the machine's own noise, with the same load.

mod by_hand;
mod load;
pub(crate) mod parent;
mod with_winddown;

use anyhow::{Result, bail};
use std::process::ExitCode;
use std::time::Duration;

/// What is in the way when the signal comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// So many components that hear neither token, but can be dropped.
    Hung(usize),
    /// One that holds a critical section for longer than the grace period: only the last deadline
    /// ends it. By hand it is one more hung task.
    Critical,
    /// So many of the two workers asleep in user code for 30 s.
    Blocked(usize),
    /// So many of the two workers busy in user code for 30 s.
    Spinning(usize),
    /// So many threads of the blocking pool asleep for 30 s.
    BlockingThreads(usize),
}

impl Kind {
    const ALL: [(&str, Kind, &str); 7] = [
        ("hung-1", Kind::Hung(1), "1 hung component"),
        ("hung-10k", Kind::Hung(10_000), "10k hung components"),
        ("critical", Kind::Critical, "a critical section past the deadline"),
        ("blocked-1", Kind::Blocked(1), "1 of 2 workers blocked"),
        ("blocked-2", Kind::Blocked(2), "both workers blocked"),
        ("spinning-2", Kind::Spinning(2), "both workers busy, on every core"),
        ("blocking-8", Kind::BlockingThreads(8), "8 blocking threads"),
    ];
}

pub(crate) fn child(side: &str, kind: &str, grace_ms: u64) -> Result<ExitCode> {
    let Some((_, kind, _)) = Kind::ALL.iter().find(|(name, ..)| *name == kind) else {
        let names: Vec<_> = Kind::ALL.iter().map(|(name, ..)| *name).collect();
        bail!("a kind is one of {}", names.join(", "));
    };
    let grace = Duration::from_millis(grace_ms);
    match side {
        "by-hand" => by_hand::run(*kind, grace),
        "winddown" => Ok(with_winddown::run(*kind, grace)),
        _ => bail!("a side is by-hand or winddown"),
    }
}
