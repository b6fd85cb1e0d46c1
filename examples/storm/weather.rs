//! The storm: start, kill, start, kill, …

use crate::args::Args;
use crate::clients::Clients;
use crate::dice::Dice;
use crate::kill::{Kill, Struck};
use crate::outage::Outage;
use crate::service::{Service, beside};
use crate::settle::{Settled, settle};
use crate::{audit, say};
use anyhow::{Context, ensure};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// An audit after so many kills, while nothing runs.
const AUDITED: u32 = 5;

/// The same on a server, where an audit may have to wait until a killed service's leases are over.
const AUDITED_ON_A_SERVER: u32 = 10;

/// For so long the service is started again and again while its server is away: longer than scripts/live waits for one to come back (90 s).
const BACK: Duration = Duration::from_secs(150);

/// An orchestrator's pause before it starts something again.
const AGAIN: Duration = Duration::from_millis(500);

/// Every so many kills audits are made all the time before it, while everything runs.
const WATCHED: u32 = 3;

/// Grace periods, from one that hardly leaves time to the usual one.
const GRACES: [u64; 3] = [1_000, 3_000, 25_000];

pub(crate) fn storm(args: &Args) -> anyhow::Result<()> {
    say(&format!("storm: {} kills on {}, seed {}, in {}", args.kills, args.server.name(), args.seed, args.data.display()));
    let (began, dice) = (Instant::now(), Dice::seeded(args.seed));
    let mut clients = Clients::begin(args.seed)?;
    let (mut outage, mut losses) = (Outage::default(), Losses::default());
    for n in 0..args.kills {
        let kill = Kill::number(n, !args.server.is_file(), &dice);
        let grace = Duration::from_millis(GRACES[(dice.next() % 3) as usize]);
        if is_due(n, args.restarts) {
            outage.over()?;
            let millis = |below| Duration::from_millis(dice.next() % below);
            outage = Outage::begin(&args.server, millis(800), millis(1500));
            losses.outages += 1;
        }
        let killed = || until_killed(args, &kill, grace, &clients);
        let killed = if args.server.is_file() && is_due(n, WATCHED) { watched(args, &clients, killed) } else { killed() };
        losses.turned_away += killed.with_context(|| format!("kill {}, {kill}, grace {grace:?}", n + 1))?;
        if is_due(n, if args.server.is_file() { AUDITED } else { AUDITED_ON_A_SERVER }) {
            outage.over()?;
            look(args, &clients).with_context(|| format!("after kill {}, {kill}", n + 1))?;
            say(&format!("storm: {} kills, {} orders answered 202, {} s", n + 1, clients.heard.count(), began.elapsed().as_secs()));
        }
    }
    outage.over()?;
    clients.end()?;
    let heard = &clients.heard;
    ensure!(heard.wrongs().is_empty(), "answers that no valid order should get: {:?}", heard.wrongs());
    let settled = settle(args, heard)?;
    summary(args, &clients, &settled, &losses, began.elapsed());
    if args.tidy {
        let _ = fs::remove_dir_all(&args.data);
        for what in ["report.json", "log"] {
            let _ = fs::remove_file(beside(&args.data, what));
        }
    }
    Ok(())
}

/// What the service had to live with, apart from its own deaths.
#[derive(Default)]
struct Losses {
    outages: u64,
    /// Starts that found no broker.
    turned_away: u64,
}

/// Is it the last of so many?
fn is_due(n: u32, every: u32) -> bool {
    every > 0 && n % every == every - 1
}

/// Starts the service and kills it. Where it left before that, since its broker was away, it is started again, as an orchestrator would.
/// Returns how often that was.
fn until_killed(args: &Args, kill: &Kill, grace: Duration, clients: &Clients) -> anyhow::Result<u64> {
    let more = ["--faults", &args.faults, "--handler-delay", "2ms", "--handler-fail", "0.05", "--handler-poison", "0.01"];
    let began = Instant::now();
    for turned_away in 0.. {
        let service = Service::start(&args.service, &args.data, grace, &[&more[..], &args.server.flags()].concat())?;
        if kill.carry_out(service, clients)? == Struck::Killed {
            return Ok(turned_away);
        }
        ensure!(args.restarts > 0, "it found no broker, and nobody had touched that");
        ensure!(began.elapsed() < BACK, "it was started {} times within {BACK:?} and never found its broker", turned_away + 1);
        thread::sleep(AGAIN);
    }
    unreachable!("no limit to the tries but that of time")
}

/// Audits again and again while something else is done.
fn watched<T>(args: &Args, clients: &Clients, done: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let audits = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                look(args, clients).context("audited while it ran")?;
            }
            anyhow::Ok(())
        });
        let done = done();
        over.store(true, Ordering::Relaxed);
        audits.join().map_err(|_| anyhow::anyhow!("the auditor panicked"))??;
        done
    })
}

/// The promises known so far must be in the log, and none of those in the log may be lost.
fn look(args: &Args, clients: &Clients) -> anyhow::Result<()> {
    let known = clients.heard.count();
    if known == 0 {
        thread::sleep(Duration::from_millis(20)); // there may not even be files yet
        return Ok(());
    }
    let counts = audit::counts(&args.audited())?;
    ensure!(counts.accepted >= known, "clients know of {known} accepted orders, the log of {}", counts.accepted);
    Ok(())
}

fn summary(args: &Args, clients: &Clients, settled: &Settled, losses: &Losses, took: Duration) {
    let (refused, silent) = clients.heard.troubles();
    let Settled { counts, took: settling } = settled;
    let lines = [
        ("kills", u64::from(args.kills)),
        ("server killed", losses.outages),
        ("starts without it", losses.turned_away),
        ("answered 202 (clients)", clients.heard.count()),
        ("answered 503", refused),
        ("no answer or connection", silent),
        ("accepted (files)", counts.accepted),
        ("handled", counts.handled),
        ("handled again", counts.duplicates),
        ("dead letters", counts.dead),
        ("pending", counts.pending),
        ("lost", counts.lost),
    ];
    let of_servers = |what| matches!(what, "server killed" | "starts without it");
    for (what, count) in lines.into_iter().filter(|(what, _)| !args.server.is_file() || !of_servers(*what)) {
        say(&format!("  {what:<24} {count:>9}"));
    }
    say(&format!("storm: over after {} s; the last run cleared everything in {:.1} s; nothing was lost", took.as_secs(), settling.as_secs_f64()));
}
