//! The report as text: a timeline for a terminal, and the reason of the exit code.

use super::{ComponentReport, Report};
use crate::outcome::{Outcome, ResourceOutcome, Rung, Verdict};
use crate::span::Show;
use std::fmt::Write;
use std::time::Duration;

/// Rows at most; beyond that the quiet ones are counted.
const ROWS: usize = 40;
const BAR: usize = 32;

/// How to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) colour: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn colour(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Stopped | Outcome::Finished => "32",
        Outcome::NotStarted => "2",
        Outcome::Failed | Outcome::Panicked => "31",
        Outcome::Cancelled => "33",
        Outcome::Aborted | Outcome::Abandoned => "1;31",
    }
}

pub(super) fn render(report: &Report, style: Style) -> String {
    let mut out = String::new();
    let _ = headline(report, style, &mut out);
    for problem in report.problems() {
        let _ = writeln!(out, "  - {problem}");
    }
    let _ = table(report, style, &mut out);
    for resource in report.resources() {
        let held = if resource.held_by.is_empty() { String::new() } else { format!(", held by {}", resource.held_by.join(", ")) };
        let error = resource.error.as_deref().map(|e| format!(": {}", first_line(e))).unwrap_or_default();
        let bad = !matches!(resource.outcome, ResourceOutcome::Destroyed | ResourceOutcome::NotCreated);
        let word = style.paint(if bad { "1;31" } else { "32" }, resource.outcome.name());
        let _ = writeln!(out, "  resource {}  {word}{held}{error}", resource.name);
    }
    for line in report.blocked_at_end() {
        let _ = writeln!(out, "  blocked at the end: {line}");
    }
    if report.critical_holds() > 0 {
        let _ = writeln!(out, "  force waited for {} critical sections", report.critical_holds());
    }
    let _ = writeln!(out, "exit code {}: {}", report.exit_code(), reason(report));
    out
}

fn headline(report: &Report, style: Style, out: &mut String) -> std::fmt::Result {
    let code = match report.verdict() {
        Verdict::Clean => "32",
        Verdict::Failed | Verdict::Refused => "31",
        Verdict::Forced | Verdict::Immediate => "1;31",
    };
    write!(out, "{}: {}", report.app(), style.paint(code, report.verdict().name()))?;
    if let Some(trigger) = report.trigger() {
        write!(out, ", {}", first_line(&trigger.to_string()))?;
    }
    if let Some(took) = report.shutdown_took() {
        write!(out, "; shut down in {} of {} grace", Show(took), Show(report.grace()))?;
    }
    writeln!(out)
}

/// The order in which they ended; with many, only what is worth a look.
fn table(report: &Report, style: Style, out: &mut String) -> std::fmt::Result {
    let mut rows: Vec<&ComponentReport> = report.components().iter().collect();
    let all = rows.len();
    if all > ROWS {
        let quiet = |c: &ComponentReport| c.outcome <= Outcome::Finished && c.error.is_none();
        rows.sort_by_key(|c| (quiet(c), std::cmp::Reverse(took(c))));
        rows.truncate(ROWS);
    }
    rows.sort_by_key(|c| (c.stop.map(|s| s.began).or(c.start.map(|s| s.ended)), c.stop.map(|s| s.ended)));
    let width = rows.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).min(40);
    let from = report.raw().shutdown_began.map_or(Duration::ZERO, |at| at.since_start());
    let span = report.shutdown_took().unwrap_or_default();
    for c in &rows {
        let word = style.paint(colour(c.outcome), &format!("{:11}", c.outcome.name()));
        let bar = c.stop.map_or_else(|| " ".repeat(BAR), |s| bar(s.began.saturating_sub(from), s.ended.saturating_sub(from), span, c.rung));
        let time = c.stop.map(|s| Show(s.ended - s.began).to_string()).unwrap_or_default();
        write!(out, "  {:width$} {:>5}  {word} |{bar}| {time:>8}", c.name, c.phase)?;
        for note in notes(c) {
            write!(out, "  {note}")?;
        }
        writeln!(out)?;
    }
    if all > rows.len() {
        writeln!(out, "  … and {} more", all - rows.len())?;
    }
    Ok(())
}

fn took(c: &ComponentReport) -> Duration {
    c.stop.map(|s| s.ended.saturating_sub(s.began)).unwrap_or_default()
}

/// `#` while it was asked, `!` at the end where force was used.
fn bar(began: Duration, ended: Duration, span: Duration, rung: Rung) -> String {
    let scale = |at: Duration| if span.is_zero() { 0 } else { (at.as_secs_f64() / span.as_secs_f64() * BAR as f64) as usize };
    let first = scale(began).min(BAR - 1);
    let last = scale(ended).clamp(first + 1, BAR);
    let mark = if rung >= Rung::Cancel { '!' } else { '#' };
    (0..BAR)
        .map(|at| {
            if at + 1 == last {
                mark
            } else if (first..last).contains(&at) {
                '#'
            } else {
                ' '
            }
        })
        .collect()
}

fn notes(c: &ComponentReport) -> Vec<String> {
    let mut notes = Vec::new();
    if c.restarts > 0 {
        notes.push(format!("restarted {}×", c.restarts));
    }
    for (n, what) in [(c.drained, "drained"), (c.handed_back, "handed back"), (c.lost, "lost")] {
        if n > 0 {
            notes.push(format!("{n} {what}"));
        }
    }
    if let Some(blocked) = &c.blocked_worker {
        notes.push(format!("blocked a worker in `{}` from {}", blocked.task, Show(blocked.since)));
    }
    if let Some(error) = &c.error {
        notes.push(first_line(error).to_owned());
    }
    notes
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

/// Why this exit code.
fn reason(report: &Report) -> String {
    match report.verdict() {
        Verdict::Clean => "everything ended as asked".into(),
        Verdict::Refused => "nothing was started".into(),
        Verdict::Immediate => "a third signal".into(),
        Verdict::Failed | Verdict::Forced => blame(report),
    }
}

fn blame(report: &Report) -> String {
    let least = if report.verdict() == Verdict::Forced { Outcome::Cancelled } else { Outcome::Failed };
    let mut named: Vec<String> = Vec::new();
    for c in report.components().iter().filter(|c| c.outcome >= least) {
        named.push(format!("{} was {}", c.name, c.outcome).replace("was failed", "failed").replace("was panicked", "panicked"));
    }
    let bad =
        |o| matches!(o, ResourceOutcome::Late | ResourceOutcome::Leaked) || (o == ResourceOutcome::Failed && report.verdict() == Verdict::Failed);
    named.extend(
        report
            .resources()
            .iter()
            .filter(|r| bad(r.outcome))
            .map(|r| format!("resource {} was {}", r.name, r.outcome).replace("was failed", "failed")),
    );
    if report.raw().set_up_abandoned {
        named.push("set-up was abandoned".into());
    }
    if named.is_empty() {
        return report.trigger().map(|t| first_line(&t.to_string()).to_owned()).unwrap_or_else(|| "the last deadline".into());
    }
    let more = named.len().saturating_sub(6);
    named.truncate(6);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &tail
}
