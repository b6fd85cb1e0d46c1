//! From the machine's records to the report's values.

use super::{BlockedWorker, ComponentReport, Interval, ResourceReport};
use crate::event::Event;
use crate::outcome::ResourceOutcome;
use crate::plan::Plan;
use crate::reason::Trigger;
use crate::run::Timeline;
use crate::run::machine::{Comp, Cut, Machine};
use crate::scope::Counts;
use crate::span::Moment;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A worker that is, or was, blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) task: String,
    pub(crate) since: Moment,
    pub(crate) lasted: Duration,
}

/// What the machine does not know about a component.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) counts: Counts,
    pub(crate) blocked: Option<Blocked>,
}

/// The report's material, taken over from the machine as it is: made into values only when somebody looks.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) plan: Arc<Plan>,
    pub(crate) comps: Vec<Comp>,
    pub(crate) restarts: HashMap<u32, u32>,
    pub(crate) extras: HashMap<u32, Extras>,
    pub(crate) timeline: Timeline,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) cut: Option<Cut>,
    pub(crate) set_up_abandoned: bool,
    pub(crate) grace: Duration,
    pub(crate) shutdown_began: Option<Moment>,
    pub(crate) ended: Moment,
    pub(crate) resources: Vec<ResourceReport>,
    pub(crate) problems: Vec<String>,
    pub(crate) critical_holds: u32,
    pub(crate) blocked_at_end: Vec<String>,
    pub(crate) dropped_events: u64,
}

impl Raw {
    /// Takes the records out of a machine that is done.
    pub(crate) fn take(machine: &mut Machine, now: Moment, extras: HashMap<u32, Extras>) -> Raw {
        let plan = machine.plan.clone();
        let restarts = (0..machine.comps.len() as u32).map(|id| (id, machine.restarts(id))).filter(|(_, n)| *n > 0).collect();
        let shutdown = machine.shutdown.as_ref();
        let trigger = shutdown.map(|s| machine.trigger(&s.cause));
        let grace = shutdown.map_or(plan.settings.grace, |s| s.grace());
        let shutdown_began = shutdown.map(|s| s.began);
        let resources = plan.resources.iter().zip(std::mem::take(&mut machine.freeing.resources)).map(|(planned, freed)| ResourceReport {
            name: planned.name.clone(),
            outcome: freed.outcome.unwrap_or(ResourceOutcome::NotCreated),
            ended: freed.ended.map(Moment::since_start),
            error: freed.error,
            held_by: freed.held_by,
        });
        Raw {
            resources: resources.collect(),
            comps: std::mem::take(&mut machine.comps),
            restarts,
            extras,
            timeline: std::mem::take(&mut machine.timeline),
            trigger,
            cut: machine.cut,
            set_up_abandoned: machine.set_up_abandoned,
            grace,
            shutdown_began,
            ended: now,
            problems: machine.refused.clone().unwrap_or_default(),
            critical_holds: machine.criticals,
            blocked_at_end: Vec::new(),
            dropped_events: 0,
            plan,
        }
    }

    pub(super) fn refused(app: String, mut problems: Vec<String>) -> Raw {
        if problems.is_empty() {
            problems.push("refused".into());
        }
        let settings = crate::plan::spec::Settings::default();
        let grace = settings.grace;
        let plan = Plan { app, settings, components: Box::default(), resources: Box::default(), graph: Default::default(), factor: 1.0 };
        Raw {
            plan: Arc::new(plan),
            comps: Vec::new(),
            restarts: HashMap::new(),
            extras: HashMap::new(),
            timeline: Timeline::default(),
            trigger: None,
            cut: None,
            set_up_abandoned: false,
            grace,
            shutdown_began: None,
            ended: Moment::default(),
            resources: Vec::new(),
            problems,
            critical_holds: 0,
            blocked_at_end: Vec::new(),
            dropped_events: 0,
        }
    }

    pub(super) fn components(&self) -> Vec<ComponentReport> {
        let none = Extras::default();
        let one = |(id, (planned, comp)): (u32, (&crate::plan::Planned, &Comp))| {
            let extras = self.extras.get(&id).unwrap_or(&none);
            ComponentReport {
                name: planned.name.clone(),
                phase: planned.phase.get(),
                outcome: comp.outcome,
                rung: comp.rung,
                start: self.interval(comp.start_began, comp.start_ended),
                stop: self.interval(comp.stop_began, comp.stop_ended),
                error: comp.error().cloned(),
                restarts: self.restarts.get(&id).copied().unwrap_or(0),
                drained: extras.counts.drained,
                handed_back: extras.counts.handed_back,
                lost: extras.counts.lost,
                blocked_worker: extras.blocked.as_ref().map(|b| BlockedWorker { task: b.task.clone(), since: b.since.since_start() }),
            }
        };
        (0u32..).zip(self.plan.components.iter().zip(&self.comps)).map(one).collect()
    }

    /// P2: an end for whatever began, at the latest when the process left.
    fn interval(&self, began: Moment, ended: Moment) -> Option<Interval> {
        let began = began.known()?;
        Some(Interval { began: began.since_start(), ended: ended.known().unwrap_or(self.ended).since_start() })
    }

    pub(super) fn events(&self) -> Vec<Event> {
        (0..self.timeline.len()).map(|index| self.timeline.event(&self.plan, index)).collect()
    }
}
