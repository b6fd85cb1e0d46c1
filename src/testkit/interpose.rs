//! Puts saboteurs in the place of components, once the plan is made and their names are known.

use super::sabotage::{Sabotage, What};
use super::saboteur::{Faults, SabotagedTask, Saboteur};
use crate::id::ComponentId;
use crate::lifecycle::{Body, Home};
use crate::plan::Plan;
use crate::rehearse::Where;
use std::collections::BTreeMap;
use std::fmt;

/// A component of the app under test: by its name in the plan, or by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who(Named);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Name(String),
    Id(ComponentId),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Named::Name(name) => write!(f, "`{name}`"),
            Named::Id(id) => write!(f, "component number {}", id.index),
        }
    }
}

impl From<&str> for Who {
    fn from(name: &str) -> Who {
        Who(Named::Name(name.to_owned()))
    }
}

impl From<String> for Who {
    fn from(name: String) -> Who {
        Who(Named::Name(name))
    }
}

impl From<ComponentId> for Who {
    fn from(id: ComponentId) -> Who {
        Who(Named::Id(id))
    }
}

/// One fault, as the test gave it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) who: Who,
    pub(super) place: Where,
    pub(super) sabotage: Sabotage,
}

/// Exchanges the bodies. All that cannot be is told at once, and then nothing was exchanged.
pub(super) fn interpose(app: u32, faults: Vec<Planned>, subjects: &[String], plan: &Plan, bodies: &mut [Body]) -> Result<(), Vec<String>> {
    let mut problems = Vec::new();
    let known = |name: &str| plan.components.iter().any(|c| *c.name == *name) || plan.resources.iter().any(|r| *r.name == *name);
    for subject in subjects.iter().filter(|subject| !known(subject)) {
        problems.push(format!("no component or resource is called `{subject}`, which is waited for; there are {}", names(plan, true)));
    }
    let mut against: BTreeMap<usize, Faults> = BTreeMap::new();
    for Planned { who, place, sabotage } in faults {
        let found = match &who.0 {
            Named::Name(name) => plan.components.iter().position(|c| *c.name == **name),
            Named::Id(id) => Some(id.index as usize).filter(|index| id.app == app && *index < plan.components.len()),
        };
        let Some(index) = found else {
            problems.push(match &who.0 {
                Named::Name(name) => format!("no component is called `{name}`; there are {}", names(plan, false)),
                Named::Id(_) => format!("an id is of another app: take it from this app's `add`, or name one of {}", names(plan, false)),
            });
            continue;
        };
        if let Some(problem) = impossible(&plan.components[index].name, &bodies[index], place, &sabotage) {
            problems.push(problem);
            continue;
        }
        let faults = against.entry(index).or_default();
        match place {
            Where::Start => faults.start.push(sabotage),
            Where::Run => faults.run.push(sabotage),
            Where::Stop => faults.stop.push(sabotage),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    for (index, faults) in against {
        let body = &mut bodies[index];
        *body = match std::mem::replace(body, Body::Gone) {
            Body::Component(home) => match home.take() {
                Some(component) => Body::Component(Home::new(Box::new(Saboteur { component, faults }))),
                None => Body::Component(home),
            },
            Body::Task(task) => Body::Task(Box::new(SabotagedTask { task, faults })),
            other => other,
        };
    }
    Ok(())
}

fn impossible(name: &str, body: &Body, place: Where, sabotage: &Sabotage) -> Option<String> {
    let is_task = matches!(body, Body::Task(_));
    match (place, &sabotage.what) {
        (Where::Start, _) if is_task => Some(format!("`{name}` is a task, which has no start that could go wrong: use Where::Run")),
        (Where::Run, What::Delay(_)) if !is_task => {
            Some(format!("`{name}` runs tasks of its own, which a delay beside them does not touch: delay its start or its stop, or hang its run"))
        }
        _ => None,
    }
}

fn names(plan: &Plan, resources: bool) -> String {
    const SHOWN: usize = 20;
    let components = plan.components.iter().map(|c| &*c.name);
    let mut all: Vec<&str> = components.chain(plan.resources.iter().filter(|_| resources).map(|r| &*r.name)).collect();
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    match (all.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (_, 0) => all.join(", "),
        _ => format!("{} and {more} more", all.join(", ")),
    }
}
