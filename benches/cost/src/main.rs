//! What winddown costs, measured beside programs written by hand.
//!
//! Every sample is taken in a fresh process: the drivers (`compare`, `lateness`, `timers`) run
//! this same binary with the name of one program, and print a table.

mod blame;
mod compare;
mod floor;
mod late;
mod machine;
mod roll;
mod same_work;
mod sample;
mod stats;
mod timer;
mod with_winddown;

use anyhow::{Context, Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
programs (one JSON line each):
  cost floor     N PHASES      one token and one tracker a phase
  cost same-work N PHASES      a stop future with its own deadline for each component
  cost winddown  N PHASES      the crate
  cost late by-hand|winddown KIND GRACE_MS
  cost timer bare|winddown WORKERS
drivers (a markdown table each):
  cost compare   [--quick]     start, stop and memory of the three programs
  cost lateness  [--quick]     how long after its deadline a process has left
  cost timers    [--quick]     a 300 ms sleep beside a task that blocks
  cost blame     [--quick]     what a poll inside a component costs
  cost machine                 the machine this runs on";

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args.as_slice() {
        [program @ ("floor" | "same-work" | "winddown"), n, phases] => {
            let (n, phases) = (number(n)?, number(phases)?);
            let sample = sample::take(program, n, phases)?;
            println!("{}", serde_json::to_string(&sample)?);
        }
        ["late", side, kind, grace] => return late::child(side, kind, number(grace)? as u64),
        ["timer", side, workers] => println!("{}", timer::child(side, number(workers)?)?),
        ["compare", ref rest @ ..] => compare::run(quick(rest)?)?,
        ["lateness", ref rest @ ..] => late::parent::run(quick(rest)?)?,
        ["timers", ref rest @ ..] => timer::run(quick(rest)?)?,
        ["blame", ref rest @ ..] => blame::run(quick(rest)?)?,
        ["machine"] => machine::print(),
        _ => bail!("{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn number(text: &str) -> Result<usize> {
    text.parse().with_context(|| format!("not a number: {text}"))
}

fn quick(rest: &[&str]) -> Result<bool> {
    match rest {
        [] => Ok(false),
        ["--quick"] => Ok(true),
        _ => bail!("{USAGE}"),
    }
}
