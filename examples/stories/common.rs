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

const FLAGS: &str = "\
  --json               one line of JSON instead of the table
  --broker rocketmq    on a real RocketMQ, beside its Java client (built with --features sqlite,rocketmq; `scripts/live/up rocketmq` starts one)
  --broker-url URL     its name server (127.0.0.1:9876)";

/// Whether JSON is wanted, and the url of the real broker if one is.
fn flags(mut arguments: impl Iterator<Item = String>) -> Result<(bool, Option<String>), String> {
    let (mut json, mut live, mut url) = (false, false, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--broker" => match arguments.next().as_deref() {
                Some("rocketmq") if cfg!(feature = "rocketmq") => live = true,
                Some("rocketmq") => return Err("this program was built without RocketMQ: build it with --features sqlite,rocketmq".into()),
                other => return Err(format!("--broker is rocketmq, not {}", other.unwrap_or("nothing"))),
            },
            "--broker-url" => url = Some(arguments.next().ok_or("--broker-url needs the address of a name server")?),
            other => return Err(format!("{other} is no flag of it")),
        }
    }
    match (live, url) {
        (true, url) => Ok((json, Some(url.unwrap_or_else(|| "127.0.0.1:9876".into())))),
        (false, Some(_)) => Err("--broker-url says where --broker is, and is nothing without it".into()),
        (false, None) => Ok((json, None)),
    }
}

/// A story: its name, what happens in it, what its units are called, and how it is run, as it was and with winddown.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// What happens in it on a real broker.
    pub(crate) live: &'static str,
    pub(crate) units: &'static str,
}

impl Story {
    /// Plays it and tells it: a table, or with `--json` one line. Leaves with 1 if winddown lost anything, or it could not be played.
    ///
    /// `play` has everything in the program; `live` is the same story on a real RocketMQ, of which the url is given.
    pub(crate) fn tell(&self, play: impl FnOnce() -> anyhow::Result<(Run, Run)>, live: impl FnOnce(&str) -> anyhow::Result<(Run, Run)>) -> ExitCode {
        let (json, url) = match flags(std::env::args().skip(1)) {
            Ok(flags) => flags,
            Err(problem) => {
                let _ = writeln!(std::io::stderr(), "{}: {}\n{problem}\n{FLAGS}", self.name, self.about);
                return ExitCode::from(2);
            }
        };
        let play = || url.as_deref().map_or_else(play, live);
        let (before, after) = match play() {
            Ok(runs) => runs,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{}: {error:#}", self.name);
                return ExitCode::FAILURE;
            }
        };
        let about = if url.is_some() { self.live } else { self.about };
        let text = if json { self.json(&before, &after) } else { self.table(about, &before, &after) };
        let _ = write!(std::io::stdout(), "{text}");
        if after.lost() > 0 || before.expected != after.expected { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn json(&self, before: &Run, after: &Run) -> String {
        let side = |run: &Run| format!(r#"{{"expected":{},"ok":{},"lost":{}}}"#, run.expected, run.ok, run.lost());
        format!("{{\"story\":\"{}\",\"before\":{},\"after\":{}}}\n", self.name, side(before), side(after))
    }

    fn table(&self, about: &str, before: &Run, after: &Run) -> String {
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
        format!("{}: {}\n\n{}", self.name, about, lines.collect::<String>())
    }
}
