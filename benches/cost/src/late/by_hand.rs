//! The watchdog by hand: a thread that sleeps for the grace period after the signal and leaves.

use super::Kind;
use super::load::{Gates, block, carry};
use crate::sample::runtime;
use anyhow::{Context, Result};
use signal_hook::{consts::SIGTERM, iterator::Signals, low_level};
use std::process::ExitCode;
use std::time::Duration;

pub(super) fn run(kind: Kind, grace: Duration) -> Result<ExitCode> {
    let mut signals = Signals::new([SIGTERM])?;
    let runtime = runtime(2)?;
    let gates = Gates::new(kind);
    for index in 0..kind.size() {
        match kind {
            Kind::BlockingThreads(_) => drop(runtime.spawn_blocking(block)),
            _ => drop(runtime.spawn(carry(kind, gates.gate(index)))),
        }
    }
    gates.open();
    println!("ready");
    signals.forever().next().context("no signal will come")?;
    std::thread::sleep(grace);
    low_level::exit(124);
}
