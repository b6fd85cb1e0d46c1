//! A rehearsal as a table and as JSON.

use super::{Case, Fault, Rehearsal, Where};
use crate::event::ms;
use crate::span::Show;
use serde_json::{Value, json};
use std::fmt;

impl Fault {
    /// Its word in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Hangs => "hangs",
            Fault::IgnoresCancel => "ignores cancel",
            Fault::Blocks => "blocks its thread",
            Fault::Fails => "fails",
            Fault::Panics => "panics",
        }
    }
}

impl Where {
    /// Its word in tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Where::Start => "start",
            Where::Run => "run",
            Where::Stop => "stop",
        }
    }
}

fn list(names: &[std::sync::Arc<str>]) -> String {
    if names.is_empty() {
        return "-".into();
    }
    let shown: Vec<&str> = names.iter().take(4).map(|n| &**n).collect();
    let more = if names.len() > 4 { format!(" and {} more", names.len() - 4) } else { String::new() };
    shown.join(", ") + &more
}

impl Case {
    fn what(&self) -> String {
        self.fault.as_ref().map_or_else(|| "nobody misbehaves".into(), |(who, place, fault)| format!("{who} {} in {}", fault.name(), place.name()))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: leaves after {} with {} ({}); cut short: {}; starved: {}",
            self.what(),
            Show(self.leaves_after),
            self.exit_code,
            self.verdict,
            list(&self.cut_short),
            list(&self.starved)
        )
    }
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what: Vec<String> = self.cases.iter().map(Case::what).collect();
        let width = what.iter().map(|w| w.chars().count()).max().unwrap_or(0);
        writeln!(f, "rehearsal of {}: {} cases, {} grace", self.app, self.cases.len(), Show(self.grace))?;
        writeln!(f, "{:width$}  {:>9}  {:>4}  {:8}  {:30}  starved", "", "leaves in", "code", "verdict", "cut short")?;
        for (case, what) in self.cases.iter().zip(&what) {
            let leaves = Show(case.leaves_after).to_string();
            writeln!(
                f,
                "{what:width$}  {leaves:>9}  {:>4}  {:8}  {:30}  {}",
                case.exit_code,
                case.verdict,
                list(&case.cut_short),
                list(&case.starved)
            )?;
        }
        writeln!(f, "{}", if self.fits() { "fits: every case leaves in time and starves nobody" } else { "does not fit" })
    }
}

impl Rehearsal {
    /// As JSON, schema `winddown.rehearsal/1`.
    pub fn to_json(&self) -> String {
        let case = |c: &Case| {
            json!({
                "component": c.fault.as_ref().map(|(who, ..)| &**who),
                "where": c.fault.as_ref().map(|(_, place, _)| place.name()),
                "fault": c.fault.as_ref().map(|(.., fault)| fault.name()),
                "leaves_after_ms": ms(c.leaves_after),
                "exit_code": c.exit_code,
                "verdict": c.verdict,
                "cut_short": c.cut_short.iter().map(|n| &**n).collect::<Vec<_>>(),
                "starved": c.starved.iter().map(|n| &**n).collect::<Vec<_>>(),
            })
        };
        let cases: Vec<Value> = self.cases.iter().map(case).collect();
        format!("{:#}", json!({ "schema": "winddown.rehearsal/1", "app": self.app, "grace_ms": ms(self.grace), "fits": self.fits(), "cases": cases }))
    }
}
