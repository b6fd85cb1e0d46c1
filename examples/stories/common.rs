//! What the stories share: a run's figures, the table, the line of JSON, the exit code.
#![allow(dead_code, reason = "each story uses its own part of it")]

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// What came of one run. All figures are counted, by the story, from what is there in the end.
pub(crate) struct Run {
    /// Units that were given.
    pub(crate) expected: u64,
    /// Those of them that arrived, each counted once.
    pub(crate) ok: u64,
    /// Further figures for the table, by what they are called.
    notes: Vec<(&'static str, String)>,
}

impl Run {
    pub(crate) fn new(expected: u64, ok: u64) -> Run {
        assert!(ok <= expected, "{ok} of {expected} arrived: something was counted twice");
        Run { expected, ok, notes: Vec::new() }
    }

    /// One more line of the table.
    pub(crate) fn note(mut self, what: &'static str, value: impl Display) -> Run {
        self.notes.push((what, value.to_string()));
        self
    }

    pub(crate) fn lost(&self) -> u64 {
        self.expected - self.ok
    }
}

/// A story: its name, what happens in it, what its units are called, and how it is run, as it was and with winddown.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) units: &'static str,
}

impl Story {
    /// Plays it and tells it: a table, or with `--json` one line. Leaves with 1 if winddown lost anything, or it could not be played.
    pub(crate) fn tell(&self, play: impl FnOnce() -> anyhow::Result<(Run, Run)>) -> ExitCode {
        let json = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
            [] => false,
            [flag] if flag == "--json" => true,
            _ => {
                let _ = writeln!(std::io::stderr(), "{}: {}\nthe only flag is --json: one line of JSON instead of the table", self.name, self.about);
                return ExitCode::from(2);
            }
        };
        let (before, after) = match play() {
            Ok(runs) => runs,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{}: {error:#}", self.name);
                return ExitCode::FAILURE;
            }
        };
        let text = if json { self.json(&before, &after) } else { self.table(&before, &after) };
        let _ = write!(std::io::stdout(), "{text}");
        if after.lost() > 0 || before.expected != after.expected { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn json(&self, before: &Run, after: &Run) -> String {
        let side = |run: &Run| format!(r#"{{"expected":{},"ok":{},"lost":{}}}"#, run.expected, run.ok, run.lost());
        format!("{{\"story\":\"{}\",\"before\":{},\"after\":{}}}\n", self.name, side(before), side(after))
    }

    fn table(&self, before: &Run, after: &Run) -> String {
        let mut rows = vec![(String::new(), "before".to_owned(), "with winddown".to_owned())];
        let mut row = |what: &str, before: &dyn Display, after: &dyn Display| rows.push((what.to_owned(), before.to_string(), after.to_string()));
        row(&format!("{} given", self.units), &before.expected, &after.expected);
        row("arrived", &before.ok, &after.ok);
        row("lost", &before.lost(), &after.lost());
        let value = |run: &Run, what| run.notes.iter().find(|(name, _)| *name == what).map_or("-".to_owned(), |(_, value)| value.clone());
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in before.notes.iter().chain(&after.notes) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        for name in names {
            row(name, &value(before, name), &value(after, name));
        }
        let width = |of: fn(&(String, String, String)) -> &String| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (first, second, third) = (width(|row| &row.0), width(|row| &row.1), width(|row| &row.2));
        let lines = rows.iter().map(|(what, before, after)| format!("  {what:first$}  {before:>second$}  {after:>third$}\n"));
        format!("{}: {}\n\n{}", self.name, self.about, lines.collect::<String>())
    }
}
