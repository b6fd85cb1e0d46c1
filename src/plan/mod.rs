//! From what was registered to what will happen: checked, immutable, printable.
//!
//! Invariant: nothing here knows tokio, a clock or a log. A [`Plan`] exists only if it can be carried out.

pub(crate) mod budget;
mod check;
pub(crate) mod graph;
mod json;
mod render;
pub(crate) mod spec;

use crate::error::Error;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::span::nanos;
use budget::Slot;
use graph::Graph;
use spec::{Registry, Settings};
use std::sync::Arc;
use std::time::Duration;

/// The checked, immutable order of everything: what starts and stops when, in which time.
///
/// Made by [`App::plan`](crate::App::plan) before anything starts. It prints as text (`Display`), [JSON](Plan::to_json) and
/// [Mermaid](Plan::to_mermaid), always the same for the same registrations, so that it can be kept as a snapshot in a test.
///
/// ```
/// use winddown::{App, Phase};
/// let app = App::new("orders");
/// let pool = app.task("pool", |cx| async move { cx.stopping().await; Ok(()) }).phase(Phase::CONNECTIONS).id();
/// app.task("consumer", |cx| async move { cx.stopping().await; Ok(()) }).after(pool);
/// let plan = app.plan().unwrap();
/// assert_eq!(plan.critical_path(), ["consumer", "pool"]);
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) app: String,
    pub(crate) settings: Settings,
    pub(crate) components: Box<[Planned]>,
    pub(crate) resources: Box<[PlannedResource]>,
    pub(crate) graph: Graph,
    /// The common factor of T2 under the app's own grace period.
    pub(crate) factor: f64,
}

/// One component of a plan. Kept small: there may be a hundred thousand, most of which say nothing out of the ordinary.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) name: Arc<str>,
    pub(crate) phase: Phase,
    pub(crate) on_demand: bool,
    pub(crate) once_only: bool,
    pub(crate) declares_ready: bool,
    pub(crate) rare: Option<Box<Rare>>,
}

/// What only some components say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rare {
    pub(crate) start_budget: Option<Duration>,
    /// Explicit.
    pub(crate) stop_budget: Option<Duration>,
    pub(crate) cancel_wait: Option<Duration>,
    pub(crate) abort_wait: Option<Duration>,
    pub(crate) policy: Policy,
    pub(crate) uses: Box<[u32]>,
    pub(crate) after: Box<[u32]>,
    /// For rehearsals.
    pub(crate) typical_start: Duration,
    pub(crate) typical_stop: Duration,
}

/// One resource of a plan.
#[derive(Clone, Debug)]
pub(crate) struct PlannedResource {
    pub(crate) name: Arc<str>,
    pub(crate) budget: Duration,
    pub(crate) explicit: bool,
}

impl PlannedResource {
    pub(crate) fn slot(&self) -> Slot {
        let budget = nanos(self.budget);
        if self.explicit { Slot { hard: budget, soft: 0 } } else { Slot { hard: 0, soft: budget } }
    }
}

impl Registry {
    /// Judges all that was registered. Every problem is found in one go.
    pub(crate) fn plan(self) -> Result<Plan, Error> {
        check::check(self).map_err(Error::plan)
    }
}

impl Plan {
    /// A plan with nothing in it but resources: for a set-up that did not come to its end.
    pub(crate) fn unwinding(registry: &Registry) -> Plan {
        let settings = registry.settings.clone();
        let resources = check::resources(registry);
        let app = registry.app.clone();
        let mut plan = Plan { app, settings, components: Box::default(), resources, graph: Graph::default(), factor: 1.0 };
        plan.factor = plan.fit(plan.settings.grace);
        plan
    }

    /// The longest the shutdown takes when every component on the longest chain uses up its whole slot; never more than the
    /// grace period.
    pub fn worst_case(&self) -> Duration {
        let resources = self.resource_slots();
        let longest = budget::chains(&self.graph, |n| self.slot(n), resources, self.factor)
            .into_iter()
            .map(|chain| chain.at(self.factor))
            .max()
            .unwrap_or(resources.at(self.factor));
        let tail = self.tail(self.settings.grace);
        (Duration::from_nanos(longest) + tail).min(self.settings.grace)
    }

    /// The names along that chain, in the order in which they stop.
    pub fn critical_path(&self) -> Vec<&str> {
        self.chain_names(self.factor)
    }

    /// How much defaulted budgets and all waits are shortened so that the longest chain fits into the grace period; 1 means not at all.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// The names of all components, in registration order.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.components.iter().map(|c| &*c.name)
    }

    /// The stop budget that a component can count on if all before it use up theirs; `None` if there is no such component.
    pub fn stop_budget(&self, component: &str) -> Option<Duration> {
        let id = self.components.iter().position(|c| &*c.name == component)?;
        Some(self.granted(id as u32, self.factor))
    }

    fn chain_names(&self, factor: f64) -> Vec<&str> {
        budget::path(&self.graph, |n| self.slot(n), self.resource_slots(), factor).into_iter().map(|n| &*self.components[n as usize].name).collect()
    }

    /// A component's slot; a barrier has none.
    pub(crate) fn slot(&self, node: u32) -> Slot {
        let Some(component) = self.components.get(node as usize) else { return Slot::default() };
        let (cancel, abort) = self.waits(node);
        let waits = nanos(cancel).saturating_add(nanos(abort));
        match component.explicit_stop() {
            Some(stop) => Slot { hard: nanos(stop), soft: waits },
            None => Slot { hard: 0, soft: nanos(self.settings.stop_budget).saturating_add(waits) },
        }
    }

    /// The waits alone: of a component that is not given a stop.
    pub(crate) fn waits_slot(&self, component: u32) -> Slot {
        let (cancel, abort) = self.waits(component);
        Slot { hard: 0, soft: nanos(cancel).saturating_add(nanos(abort)) }
    }

    /// A component's full cancel wait and abort wait.
    pub(crate) fn waits(&self, component: u32) -> (Duration, Duration) {
        let rare = self.components[component as usize].rare.as_deref();
        let cancel = rare.and_then(|r| r.cancel_wait).unwrap_or(self.settings.cancel_wait);
        (cancel, rare.and_then(|r| r.abort_wait).unwrap_or(self.settings.abort_wait))
    }

    /// A component's stop budget under a factor.
    pub(crate) fn granted(&self, component: u32, factor: f64) -> Duration {
        let explicit = self.components[component as usize].explicit_stop();
        explicit.unwrap_or_else(|| budget::shrink(self.settings.stop_budget, factor))
    }

    pub(crate) fn start_budget(&self, component: u32) -> Duration {
        let rare = self.components[component as usize].rare.as_deref();
        rare.and_then(|r| r.start_budget).unwrap_or(self.settings.start_budget)
    }

    pub(crate) fn resource_slots(&self) -> Slot {
        self.resources.iter().fold(Slot::default(), |sum, resource| sum.plus(resource.slot()))
    }

    /// What is kept of a grace period for the report.
    pub(crate) fn tail(&self, grace: Duration) -> Duration {
        budget::tail(grace, if self.settings.written { self.components.len() } else { 0 })
    }

    /// The common factor under a grace period; 0 when not even the explicit budgets leave room (the deadline then cuts them).
    pub(crate) fn fit(&self, grace: Duration) -> f64 {
        let room = grace.saturating_sub(self.tail(grace));
        budget::fit(&self.graph, |n| self.slot(n), self.resource_slots(), room).unwrap_or(0.0)
    }
}

impl Planned {
    pub(crate) fn policy(&self) -> &Policy {
        const DEFAULT: &Policy = &Policy::ShutDown;
        self.rare.as_deref().map_or(DEFAULT, |r| &r.policy)
    }
    /// Its own stop budget, if it said one.
    pub(crate) fn explicit_stop(&self) -> Option<Duration> {
        self.rare.as_deref()?.stop_budget
    }
    pub(crate) fn uses(&self) -> &[u32] {
        self.rare.as_deref().map_or(&[], |r| &r.uses)
    }
    pub(crate) fn after(&self) -> &[u32] {
        self.rare.as_deref().map_or(&[], |r| &r.after)
    }
    /// Typical start and stop.
    pub(crate) fn typical(&self) -> (Duration, Duration) {
        self.rare.as_deref().map_or_else(Default::default, |r| (r.typical_start, r.typical_stop))
    }
}
