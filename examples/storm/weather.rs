//! The storm: start, kill, start, kill, …

use crate::args::Args;
use crate::clients::Clients;
use crate::dice::Dice;
use crate::kill::Kill;
use crate::service::{Service, beside};
use crate::settle::{Settled, settle};
use crate::{audit, say};
use anyhow::{Context, ensure};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// An audit after so many kills, while nothing runs.
const AUDITED: u32 = 5;

/// Every so many kills audits are made all the time before it, while everything runs.
const WATCHED: u32 = 3;

/// Grace periods, from one that hardly leaves time to the usual one.
const GRACES: [u64; 3] = [1_000, 3_000, 25_000];

pub(crate) fn storm(args: &Args) -> anyhow::Result<()> {
    say(&format!("storm: {} kills, seed {}, in {}", args.kills, args.seed, args.data.display()));
    let (began, dice) = (Instant::now(), Dice::seeded(args.seed));
    let mut clients = Clients::begin(args.seed)?;
    for n in 0..args.kills {
        let kill = Kill::number(n, &dice);
        let grace = Duration::from_millis(GRACES[(dice.next() % 3) as usize]);
        let more = ["--faults", &args.faults, "--handler-delay", "2ms", "--handler-fail", "0.05"];
        let service = Service::start(&args.service, &args.data, grace, &more)?;
        let killed = || kill.carry_out(service, &clients);
        let killed = if n % WATCHED == WATCHED - 1 { watched(args, &clients, killed) } else { killed() };
        killed.with_context(|| format!("kill {}, {kill}, grace {grace:?}", n + 1))?;
        if n % AUDITED == AUDITED - 1 {
            look(args, &clients).with_context(|| format!("after kill {}, {kill}", n + 1))?;
            say(&format!("storm: {} kills, {} orders answered 202, {} s", n + 1, clients.heard.count(), began.elapsed().as_secs()));
        }
    }
    clients.end()?;
    let heard = &clients.heard;
    ensure!(heard.wrongs().is_empty(), "answers that no valid order should get: {:?}", heard.wrongs());
    let settled = settle(args, heard)?;
    summary(args, &clients, &settled, began.elapsed());
    if args.tidy {
        let _ = fs::remove_dir_all(&args.data);
        for what in ["report.json", "log"] {
            let _ = fs::remove_file(beside(&args.data, what));
        }
    }
    Ok(())
}

/// Audits again and again while something else is done.
fn watched(args: &Args, clients: &Clients, done: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
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
    let counts = audit::counts(&args.service, &args.data)?;
    ensure!(counts.accepted >= known, "clients know of {known} accepted orders, the log of {}", counts.accepted);
    Ok(())
}

fn summary(args: &Args, clients: &Clients, settled: &Settled, took: Duration) {
    let (refused, silent) = clients.heard.troubles();
    let Settled { counts, took: settling } = settled;
    let lines = [
        ("kills", u64::from(args.kills)),
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
    for (what, count) in lines {
        say(&format!("  {what:<24} {count:>9}"));
    }
    say(&format!("storm: over after {} s; the last run cleared everything in {:.1} s; nothing was lost", took.as_secs(), settling.as_secs_f64()));
}
