//! A plan as text and as Mermaid.

use super::{Plan, Planned};
use crate::policy::Policy;
use crate::span::Show;
use std::fmt::{self, Write};

impl Plan {
    /// Component numbers by phase, lowest first, registration order within.
    pub(super) fn by_phase(&self) -> Vec<(i32, Vec<usize>)> {
        let mut order: Vec<usize> = (0..self.components.len()).collect();
        order.sort_by_key(|&c| self.components[c].phase);
        let mut phases: Vec<(i32, Vec<usize>)> = Vec::new();
        for c in order {
            let phase = self.components[c].phase.get();
            match phases.last_mut() {
                Some((last, members)) if *last == phase => members.push(c),
                _ => phases.push((phase, vec![c])),
            }
        }
        phases
    }

    pub(super) fn names<'a>(&'a self, list: &'a [u32]) -> impl Iterator<Item = &'a str> {
        list.iter().map(|&c| &*self.components[c as usize].name)
    }

    /// The plan as a [Mermaid](https://mermaid.js.org) flowchart: an arrow points from what starts first to what starts after it.
    pub fn to_mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        let phases = self.by_phase();
        for (phase, members) in &phases {
            let _ = writeln!(out, "  subgraph p{} [\"phase {phase}\"]", id(*phase));
            for &c in members {
                let _ = writeln!(out, "    c{c}[\"{}\"]", self.components[c].name.replace('"', "#quot;"));
            }
            out.push_str("  end\n");
        }
        for pair in phases.windows(2) {
            let _ = writeln!(out, "  p{} --> p{}", id(pair[0].0), id(pair[1].0));
        }
        for (c, component) in self.components.iter().enumerate() {
            for dependency in component.after() {
                let _ = writeln!(out, "  c{dependency} --> c{c}");
            }
            for resource in component.uses() {
                let _ = writeln!(out, "  r{resource} -.-> c{c}");
            }
        }
        for (r, resource) in self.resources.iter().enumerate() {
            let _ = writeln!(out, "  r{r}[(\"{}\")]", resource.name.replace('"', "#quot;"));
        }
        out
    }

    fn details(&self, component: &Planned) -> String {
        let mut notes = Vec::new();
        let after: Vec<&str> = self.names(component.after()).collect();
        if !after.is_empty() {
            notes.push(format!("after {}", after.join(", ")));
        }
        let uses: Vec<&str> = component.uses().iter().map(|&r| &*self.resources[r as usize].name).collect();
        if !uses.is_empty() {
            notes.push(format!("uses {}", uses.join(", ")));
        }
        if component.on_demand {
            notes.push("started on demand".into());
        }
        match component.policy() {
            Policy::ShutDown => {}
            Policy::Ignore => notes.push("failures ignored".into()),
            Policy::Restart(r) => notes.push(format!("restarted up to {} times in {}", r.max, Show(r.window))),
        }
        notes.join("; ")
    }
}

/// A phase's number as part of an identifier.
fn id(phase: i32) -> String {
    phase.to_string().replace('-', "m")
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phases = self.by_phase();
        writeln!(f, "plan of {}: {} components in {} phases, {} resources", self.app, self.components.len(), phases.len(), self.resources.len())?;
        writeln!(f, "starts from the top down, stops from the bottom up; what shares a phase does so at once unless `after` orders it")?;
        let width = self.components.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).min(40);
        for (phase, members) in &phases {
            writeln!(f, "phase {phase}")?;
            for &c in members {
                let component = &self.components[c];
                let (cancel, abort) = self.waits(c as u32);
                let shrunk = |span| super::budget::shrink(span, self.factor);
                let details = self.details(component);
                write!(
                    f,
                    "  {:width$}  start {}, stop {}{} + {} + {}",
                    component.name,
                    Show(self.start_budget(c as u32)),
                    Show(self.granted(c as u32, self.factor)),
                    if component.explicit_stop().is_some() { " (explicit)" } else { "" },
                    Show(shrunk(cancel)),
                    Show(shrunk(abort)),
                )?;
                if details.is_empty() { writeln!(f)? } else { writeln!(f, "; {details}")? }
            }
        }
        if !self.resources.is_empty() {
            let list: Vec<String> = self
                .resources
                .iter()
                .rev()
                .map(|r| {
                    let budget = if r.explicit { r.budget } else { super::budget::shrink(r.budget, self.factor) };
                    format!("{} ({})", r.name, Show(budget))
                })
                .collect();
            writeln!(f, "resources, destroyed when every component is terminal: {}", list.join(", then "))?;
        }
        write!(f, "worst case of a shutdown: {} of {} grace", Show(self.worst_case()), Show(self.settings.grace))?;
        if self.factor < 1.0 {
            write!(f, "; defaulted budgets and waits shortened to {:.1} %", self.factor * 100.0)?;
        }
        writeln!(f)?;
        let path = self.critical_path();
        if !path.is_empty() {
            let shown = if path.len() > 12 {
                format!("{} -> … ({} more) -> {}", path[..6].join(" -> "), path.len() - 7, path[path.len() - 1])
            } else {
                path.join(" -> ")
            };
            writeln!(f, "critical path: {shown}")?;
        }
        Ok(())
    }
}
