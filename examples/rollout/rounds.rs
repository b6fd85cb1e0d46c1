//! The rounds: one leaves, one comes.

use crate::args::Args;
use crate::audit::{self, Audited};
use crate::figures::Figures;
use crate::load::{Book, Load};
use crate::say;
use crate::service::{Service, beside};
use anyhow::{Context, ensure};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// For so long a load balancer still sends orders to a service that was asked to leave.
const UNNOTICED: Duration = Duration::from_millis(100);

/// Between two rounds, and before the first.
const CALM: Duration = Duration::from_secs(1);

/// The service's default.
const GRACE: Duration = Duration::from_secs(25);

/// How long the work that is left may take once the clients are gone.
const SETTLED: Duration = Duration::from_secs(100);

struct Instance {
    data: PathBuf,
    service: Service,
    address: SocketAddr,
}

/// How long the rounds took.
#[derive(Default)]
struct Took {
    leaving: Vec<Duration>,
    coming: Vec<Duration>,
    /// Something was ended by force (code 124): that costs nothing but time, and is to be seen.
    forced: u64,
}

pub(crate) fn roll_out(args: &Args) -> anyhow::Result<()> {
    let Args { services, rounds, rate, server, .. } = args;
    say(&format!("rollout: {services} services on {}, {rate} orders a second, {rounds} rounds", server.name()));
    fs::create_dir_all(&args.data).with_context(|| format!("cannot make {}", args.data.display()))?;
    let mut instances = (0..*services).map(|n| start(args, args.data.join(format!("{n}")))).collect::<anyhow::Result<Vec<_>>>()?;
    let load = Load::begin(*rate, addresses(&instances))?;
    let mut took = Took::default();
    for round in 0..*rounds {
        thread::sleep(CALM);
        let place = round % services;
        restart(args, &mut instances, place, &load, &mut took).with_context(|| format!("round {}", round + 1))?;
    }
    thread::sleep(CALM);
    let book = load.end()?;
    ensure!(book.wrong.is_empty(), "answers that no valid order should get: {:?}", &book.wrong[..book.wrong.len().min(10)]);

    let data: Vec<_> = instances.iter().map(|instance| instance.data.clone()).collect();
    let audited = Audited { program: &args.service, data: &data, server };
    let began = Instant::now();
    while audit::counts(&audited)?.pending > 0 {
        ensure!(began.elapsed() < SETTLED, "after {SETTLED:?} still: {:?}", audit::counts(&audited)?);
        thread::sleep(Duration::from_millis(100));
    }
    let settling = began.elapsed();
    for instance in instances {
        instance.service.signal("TERM")?;
        took.forced += u64::from(instance.service.leave()? == 124);
    }
    compare(&audited, &book)?;
    summary(&audited, book, took, settling)?;
    if args.tidy {
        let _ = fs::remove_dir_all(&args.data);
    }
    Ok(())
}

fn start(args: &Args, data: PathBuf) -> anyhow::Result<Instance> {
    let more = [&["--handler-delay", "5ms"], &args.server.flags()[..]].concat();
    let service = Service::start(&args.service, &data, GRACE, &more)?;
    let address = service.address()?;
    Ok(Instance { data, service, address })
}

fn addresses(instances: &[Instance]) -> Vec<SocketAddr> {
    instances.iter().map(|instance| instance.address).collect()
}

/// One leaves, and comes again on its own data: its outbox may hold orders that nobody else has.
fn restart(args: &Args, instances: &mut Vec<Instance>, place: usize, load: &Load, took: &mut Took) -> anyhow::Result<()> {
    let began = Instant::now();
    instances[place].service.signal("TERM")?;
    thread::sleep(UNNOTICED);
    let Instance { data, service, .. } = instances.remove(place);
    if !instances.is_empty() {
        load.send_to(addresses(instances));
    }
    let code = service.leave()?;
    ensure!(code == 0 || code == 124, "it left with {code}, see {}", beside(&data, "log").display());
    took.forced += u64::from(code == 124);
    took.leaving.push(began.elapsed());
    let began = Instant::now();
    instances.insert(place, start(args, data)?);
    took.coming.push(began.elapsed());
    load.send_to(addresses(instances));
    Ok(())
}

/// What was promised must have been kept.
fn compare(audited: &Audited<'_>, book: &Book) -> anyhow::Result<()> {
    let states = audit::states(audited)?;
    let not_kept: Vec<_> = book.accepted.iter().filter(|id| !matches!(states.get(*id).map(String::as_str), Some("handled" | "dead"))).collect();
    ensure!(not_kept.is_empty(), "{} orders were answered 202 and not handled, among them {:?}", not_kept.len(), &not_kept[..not_kept.len().min(10)]);
    Ok(())
}

fn summary(audited: &Audited<'_>, book: Book, took: Took, settling: Duration) -> anyhow::Result<()> {
    let counts = audit::counts(audited)?;
    let lines = [
        ("answered 202 (clients)", book.accepted.len() as u64),
        ("refused, then the next", book.refused),
        ("no answer, then the next", book.silent),
        ("stops by force", took.forced),
        ("accepted (files)", counts.accepted),
        ("handled", counts.handled),
        ("handled again", counts.duplicates),
        ("dead letters", counts.dead),
        ("pending", counts.pending),
        ("lost", counts.lost),
    ];
    for (what, count) in lines {
        say(&format!("  {what:<26} {count:>9}"));
    }
    say(&format!("  from an order to its 202   {}", Figures::of(book.waits)));
    say(&format!("  longest gap of a client    {:.1} ms", book.gap.as_secs_f64() * 1e3));
    say(&format!("  from SIGTERM to the end    {}", Figures::of(took.leaving)));
    say(&format!("  from start to ready        {}", Figures::of(took.coming)));
    say(&format!("rollout: what was left was done {:.1} s after the last order; nothing was lost", settling.as_secs_f64()));
    Ok(())
}
