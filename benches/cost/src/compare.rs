//! Start, stop and memory of the three programs: fresh processes, one after another in turn.

use crate::sample::Sample;
use crate::stats::{count, figure, median};
use anyhow::{Context, Result, ensure};
use std::process::Command;

const PROGRAMS: [&str; 3] = ["floor", "same-work", "winddown"];
const PHASES: [usize; 3] = [1, 10, 100];
/// Components, and in how many rounds: small runs are short and noisy, so they get more.
const SIZES: [(usize, usize); 4] = [(100, 31), (1_000, 31), (10_000, 15), (100_000, 9)];

/// One cell of the table: the samples of the three programs, round by round.
struct Cell {
    n: usize,
    phases: usize,
    samples: [Vec<Sample>; 3],
}

pub(crate) fn run(quick: bool) -> Result<()> {
    let mut cells = Vec::new();
    for (n, rounds) in SIZES {
        for phases in PHASES {
            let rounds = if quick { 3 } else { rounds };
            eprintln!("{n} components, {phases} phases, {rounds} rounds");
            cells.push(cell(n, phases, rounds)?);
        }
    }
    print_times(&cells, "start", |s| s.start_ms, |s| s.start_cpu_ms);
    print_registering(&cells);
    print_times(&cells, "stop", |s| s.stop_ms, |s| s.stop_cpu_ms);
    print_memory(&cells);
    print_growth(&cells);
    Ok(())
}

fn cell(n: usize, phases: usize, rounds: usize) -> Result<Cell> {
    let mut samples = [const { Vec::new() }; 3];
    for round in 0..rounds {
        // Each round begins with another program, so that none always follows the same neighbour.
        for turn in 0..PROGRAMS.len() {
            let which = (round + turn) % PROGRAMS.len();
            samples[which].push(sample(PROGRAMS[which], n, phases)?);
        }
    }
    Ok(Cell { n, phases, samples })
}

fn sample(program: &str, n: usize, phases: usize) -> Result<Sample> {
    let output = Command::new(std::env::current_exe()?).args([program, &n.to_string(), &phases.to_string()]).output()?;
    ensure!(output.status.success(), "{program} {n} {phases}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).with_context(|| format!("{program} {n} {phases}"))
}

impl Cell {
    fn median(&self, program: usize, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples[program].iter().map(of).collect())
    }

    /// winddown over another program: the median of the rounds' own ratios, since the two samples
    /// of a round had the same neighbours on the machine.
    fn ratio(&self, other: usize, of: impl Fn(&Sample) -> f64) -> f64 {
        let pairs = self.samples[2].iter().zip(&self.samples[other]);
        median(pairs.map(|(ours, theirs)| of(ours) / of(theirs)).collect())
    }
}

fn print_times(cells: &[Cell], what: &str, of: fn(&Sample) -> f64, cpu: fn(&Sample) -> f64) {
    println!("\n**{what}, ms** (the last column compares processor time)\n");
    println!("| components | phases | floor | same work | winddown | × floor | × same work | × floor, processor |");
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for cell in cells {
        println!(
            "| {} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} |",
            count(cell.n),
            cell.phases,
            figure(cell.median(0, of)),
            figure(cell.median(1, of)),
            figure(cell.median(2, of)),
            cell.ratio(0, of),
            cell.ratio(1, of),
            cell.ratio(0, cpu),
        );
    }
}

fn print_registering(cells: &[Cell]) {
    println!("\nOf winddown's start, registering took:\n");
    println!("| components | phases | registering, ms |\n|---:|---:|---:|");
    for cell in cells.iter().filter(|cell| cell.n >= 10_000) {
        let registering = cell.median(2, |sample| sample.registering_ms);
        println!("| {} | {} | {} |", count(cell.n), cell.phases, figure(registering));
    }
}

/// Below 10,000 components the pages of the runtime itself outweigh the components.
fn print_memory(cells: &[Cell]) {
    println!("\n**resident bytes a component**\n");
    println!("| components | phases | floor | same work | winddown |");
    println!("|---:|---:|---:|---:|---:|");
    for cell in cells.iter().filter(|cell| cell.n >= 10_000) {
        let bytes = |program| cell.median(program, |sample| sample.rss_bytes);
        println!("| {} | {} | {:.0} | {:.0} | {:.0} |", count(cell.n), cell.phases, bytes(0), bytes(1), bytes(2));
    }
}

fn print_growth(cells: &[Cell]) {
    println!("\n**microseconds a component, in 10 phases** (a line that stays level is linear)\n");
    println!("| components | start: floor | winddown | stop: floor | winddown |");
    println!("|---:|---:|---:|---:|---:|");
    for cell in cells.iter().filter(|cell| cell.phases == 10) {
        let each = |program, of: fn(&Sample) -> f64| figure(cell.median(program, of) * 1000.0 / cell.n as f64);
        println!(
            "| {} | {} | {} | {} | {} |",
            count(cell.n),
            each(0, |sample| sample.start_ms),
            each(2, |sample| sample.start_ms),
            each(0, |sample| sample.stop_ms),
            each(2, |sample| sample.stop_ms),
        );
    }
}
