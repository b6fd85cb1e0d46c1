//! After the storm: a run without faults until nothing waits, and the reckoning.

use crate::args::Args;
use crate::audit::{self, Counts};
use crate::heard::Heard;
use crate::service::Service;
use anyhow::{Context, ensure};
use std::thread;
use std::time::{Duration, Instant};

/// What the service promises: leases that a killed process held run out, and pauses between tries are bounded.
const SETTLED: Duration = Duration::from_secs(40);

/// On a server: besides that, Kafka misses a killed member only when its session is over (45 s), and gives nobody else its share before;
/// RocketMQ takes up to 15 s to give out again what a lease no longer holds.
const SETTLED_ON_A_SERVER: Duration = Duration::from_secs(100);

pub(crate) struct Settled {
    pub(crate) counts: Counts,
    pub(crate) took: Duration,
}

/// Runs the service until nothing waits, asks it to leave, and compares what its files say with what the clients heard.
pub(crate) fn settle(args: &Args, heard: &Heard) -> anyhow::Result<Settled> {
    let bound = if args.server.is_file() { SETTLED } else { SETTLED_ON_A_SERVER };
    let service =
        Service::start(&args.service, &args.data, Duration::from_secs(25), &[&["--handler-poison", "0.01"], &args.server.flags()[..]].concat())?;
    let began = Instant::now();
    service.address()?;
    while audit::counts(&args.audited())?.pending > 0 {
        ensure!(began.elapsed() < bound, "after {bound:?} without faults still: {:?}", audit::counts(&args.audited())?);
        thread::sleep(Duration::from_millis(100));
    }
    let took = began.elapsed();
    service.signal("TERM")?;
    let code = service.leave().context("after a quiet run")?;
    ensure!(code == 0, "a quiet run left with {code}");
    let counts = audit::counts(&args.audited())?;
    ensure!(counts.pending == 0, "some wait again: {counts:?}");
    compare(args, heard)?;
    Ok(Settled { counts, took })
}

fn compare(args: &Args, heard: &Heard) -> anyhow::Result<()> {
    let states = audit::states(&args.audited())?;
    let not_kept: Vec<_> = heard.ids().into_iter().filter(|id| !matches!(states.get(id).map(String::as_str), Some("handled" | "dead"))).collect();
    let some: Vec<_> = not_kept.iter().take(10).map(|id| (id, states.get(id))).collect();
    ensure!(not_kept.is_empty(), "{} orders were answered 202 and not handled, among them {some:?}", not_kept.len());
    Ok(())
}
