//! One sample: a program started, waited for, stopped, in this process.

use crate::{floor, same_work, with_winddown};
use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// What one process measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) program: String,
    pub(crate) n: usize,
    pub(crate) phases: usize,
    /// The part of `start_ms` that describes the components before any of them is started.
    pub(crate) registering_ms: f64,
    /// From the first registration to the moment every task has been polled.
    pub(crate) start_ms: f64,
    /// From asking to the moment the one who asked knows that everything has ended.
    pub(crate) stop_ms: f64,
    /// Processor time of all threads in these two spans: it hardly depends on what else runs on the machine.
    pub(crate) start_cpu_ms: f64,
    pub(crate) stop_cpu_ms: f64,
    /// Resident memory while everything runs, less what it was before, per component.
    pub(crate) rss_bytes: f64,
}

/// The figures, as the programs hand them over.
pub(crate) struct Figures {
    pub(crate) registering: Duration,
    pub(crate) start: Span,
    pub(crate) stop: Span,
    pub(crate) rss: f64,
}

/// How long something took, and how much processor time of the whole process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) wall: Duration,
    cpu: Duration,
}

/// Begins a [`Span`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    began: Instant,
    cpu: Duration,
}

impl Watch {
    pub(crate) fn start() -> Watch {
        Watch { began: Instant::now(), cpu: processor_time() }
    }

    pub(crate) fn elapsed(self) -> Span {
        Span { wall: self.began.elapsed(), cpu: processor_time().saturating_sub(self.cpu) }
    }
}

fn processor_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

pub(crate) fn take(program: &str, n: usize, phases: usize) -> Result<Sample> {
    let runtime = runtime(2)?;
    let figures = runtime.block_on(async {
        // The workers' own first allocations belong to nobody.
        for _ in 0..64 {
            tokio::spawn(tokio::task::yield_now()).await?;
        }
        match program {
            "floor" => floor::run(n, phases).await,
            "same-work" => same_work::run(n, phases).await,
            _ => with_winddown::run(n, phases).await,
        }
    })?;
    // Taking the runtime apart is nobody's cost either.
    runtime.shutdown_background();
    Ok(Sample {
        program: program.to_owned(),
        n,
        phases,
        registering_ms: millis(figures.registering),
        start_ms: millis(figures.start.wall),
        stop_ms: millis(figures.stop.wall),
        start_cpu_ms: millis(figures.start.cpu),
        stop_cpu_ms: millis(figures.stop.cpu),
        rss_bytes: figures.rss / n as f64,
    })
}

/// What `#[tokio::main]` would build, with a fixed number of workers.
pub(crate) fn runtime(workers: usize) -> Result<Runtime> {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().context("the runtime")
}

/// How many of `n` components fall to each phase; the first ones take the remainder.
pub(crate) fn shares(n: usize, phases: usize) -> impl Iterator<Item = usize> {
    (0..phases).map(move |phase| n / phases + usize::from(phase < n % phases))
}

/// Resident bytes of this process.
pub(crate) fn rss() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: f64 = kib.context("no VmRSS in /proc/self/status")?.parse()?;
    Ok(kib * 1024.0)
}

pub(crate) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
