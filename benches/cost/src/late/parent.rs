//! The parent: sends the signal, and sits in `waitpid` until the process is gone.

use super::{Kind, with_winddown::report_file};
use crate::stats::{figure, median, worst};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const GRACE: Duration = Duration::from_secs(1);
const SIDES: [&str; 2] = ["by-hand", "winddown"];

/// How one child ended.
struct End {
    late_ms: f64,
    code: Option<i32>,
}

pub(crate) fn run(quick: bool) -> Result<()> {
    let rounds = if quick { 3 } else { 15 };
    println!("\n**lateness of the process's exit past a grace period of 1 s, ms**");
    println!("(negative: it left before its deadline)\n");
    println!("| | thread by hand: median | worst | winddown: median | worst | exit codes |");
    println!("|---|---:|---:|---:|---:|---|");
    for (name, _, title) in Kind::ALL {
        eprintln!("{title}, {rounds} rounds");
        let mut ends = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            for turn in 0..SIDES.len() {
                let side = (round + turn) % SIDES.len();
                ends[side].push(once(SIDES[side], name)?);
            }
        }
        let [by_hand, ours] = ends;
        let mut codes: Vec<_> = ours.iter().map(|end| end.code).collect();
        codes.sort_unstable();
        codes.dedup();
        let codes: Vec<_> = codes.into_iter().map(|code| code.map_or("signal".to_owned(), |code| code.to_string())).collect();
        let (hand_median, hand_worst) = summary(&by_hand);
        let (our_median, our_worst) = summary(&ours);
        println!("| {title} | {hand_median} | {hand_worst} | {our_median} | {our_worst} | {} |", codes.join(", "));
    }
    Ok(())
}

/// The median and the worst.
fn summary(ends: &[End]) -> (String, String) {
    let late: Vec<f64> = ends.iter().map(|end| end.late_ms).collect();
    let latest = figure(worst(&late));
    (figure(median(late)), latest)
}

fn once(side: &str, kind: &str) -> Result<End> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["late", side, kind, &GRACE.as_millis().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut said = String::new();
    let stdout = child.stdout.take().context("no stdout")?;
    BufReader::new(stdout).read_line(&mut said)?;
    ensure!(said == "ready\n", "{side} {kind} said {said:?}");
    // Let what it did to get ready settle.
    std::thread::sleep(Duration::from_millis(100));
    let pid = Pid::from_child(&child);
    let asked = Instant::now();
    kill_process(pid, Signal::TERM)?;
    let status = child.wait()?;
    let took = asked.elapsed();
    let _ = std::fs::remove_file(report_file(child.id()));
    Ok(End { late_ms: (took.as_secs_f64() - GRACE.as_secs_f64()) * 1000.0, code: status.code() })
}
