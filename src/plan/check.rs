//! All that can be wrong with a plan, found at once (O4).

use super::budget;
use super::graph::Graph;
use super::spec::{Dependency, Linked, Registry, Spec, Use};
use super::{Plan, Planned, PlannedResource, Rare};
use crate::error::Problem;
use crate::policy::Policy;
use crate::span::MAX_SPAN;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

/// Blame words and subjects hold a component's number in 23 bits.
pub(crate) const MAX_COMPONENTS: usize = (1 << 23) - 1;

pub(super) fn check(mut registry: Registry) -> Result<Plan, Vec<Problem>> {
    let mut problems = Vec::new();
    if registry.components.len() > MAX_COMPONENTS {
        return Err(vec![Problem::TooMany { limit: MAX_COMPONENTS }]);
    }
    spans(&registry, &mut problems);
    policies(&registry, &mut problems);
    let names = names(registry.components.iter().map(|c| &*c.name), &mut problems);
    let resource_names = self::names(registry.resources.iter().map(|r| &*r.name), &mut problems);
    let mut after = dependencies(&registry, &names, &mut problems);
    if !registry.links.is_empty() {
        links(&registry, &mut after, &mut problems);
    }
    let uses = uses(&registry, &resource_names, &mut problems);
    drop((names, resource_names));

    let phases: Vec<i32> = registry.components.iter().map(|c| c.phase.get()).collect();
    // Edges against the phases are reported as such; left in, they would show as cycles through barriers too.
    let with_phases: Vec<(u32, u32)> = after.iter().copied().filter(|&(c, d)| phases[d as usize] <= phases[c as usize]).collect();
    let graph = match Graph::new(&phases, &with_phases) {
        Ok(graph) => graph,
        Err(cycles) => {
            let name = |n: &u32| registry.components.get(*n as usize).map(|c| c.name.to_string());
            problems.extend(cycles.iter().map(|path| Problem::Cycle { path: path.iter().filter_map(name).collect() }));
            return Err(problems);
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let resources = resources(&registry);
    let mut lists = Lists::new(after, uses);
    let settings = registry.settings.clone();
    let specs = std::mem::take(&mut registry.components);
    let components = specs.into_iter().enumerate().map(|(index, spec)| planned(spec, index as u32, &mut lists)).collect();
    let mut plan = Plan { app: registry.app, settings, components, resources, graph, factor: 1.0 };
    // The usual case: there is room for the explicit budgets, and no profile changes anything. Otherwise it is looked at closely.
    plan.factor = plan.fit(plan.settings.grace);
    if plan.factor == 0.0 || !plan.settings.profiles.is_empty() {
        fits(&plan)?;
    }
    Ok(plan)
}

/// T2: explicit budgets that cannot fit, under the app's grace period and under every profile's.
fn fits(plan: &Plan) -> Result<(), Vec<Problem>> {
    let mut graces = vec![(Duration::ZERO, plan.settings.grace)];
    let profiles = &plan.settings.profiles;
    graces.extend(profiles.iter().map(|(_, p)| (p.drain_delay, p.grace.unwrap_or(plan.settings.grace))));
    for (delay, grace) in graces {
        let room = grace.saturating_sub(delay);
        if let Err(chain) = budget::fit(&plan.graph, |n| plan.slot(n), plan.resource_slots(), room) {
            let mut names: Vec<String> = budget::path(&plan.graph, |n| plan.slot(n), plan.resource_slots(), 0.0)
                .into_iter()
                .filter(|&n| plan.components[n as usize].explicit_stop().is_some())
                .map(|n| plan.components[n as usize].name.to_string())
                .collect();
            names.extend(plan.resources.iter().rev().filter(|r| r.explicit).map(|r| r.name.to_string()));
            if !delay.is_zero() {
                names.insert(0, "drain delay".into());
            }
            let needed = delay + Duration::from_nanos(chain.hard);
            return Err(vec![Problem::BudgetsExceedGrace { chain: names, needed, grace }]);
        }
        if !delay.is_zero() && delay >= grace {
            return Err(vec![Problem::BudgetsExceedGrace { chain: vec!["drain delay".into()], needed: delay, grace }]);
        }
    }
    Ok(())
}

pub(super) fn resources(registry: &Registry) -> Box<[PlannedResource]> {
    let default = registry.settings.resource_budget;
    let planned = |r: &super::spec::ResourceSpec| PlannedResource {
        name: r.name.as_str().into(),
        // A plan that is refused for it still destroys what set-up had opened.
        budget: r.budget.filter(|b| !b.is_zero() && *b <= MAX_SPAN).unwrap_or(default),
        explicit: r.budget.is_some(),
    };
    registry.resources.iter().map(planned).collect()
}

/// Pairs (component, what), handed out component by component in order.
struct Lists {
    after: std::iter::Peekable<std::vec::IntoIter<(u32, u32)>>,
    uses: std::iter::Peekable<std::vec::IntoIter<(u32, u32)>>,
}

impl Lists {
    fn new(after: Vec<(u32, u32)>, uses: Vec<(u32, u32)>) -> Lists {
        Lists { after: after.into_iter().peekable(), uses: uses.into_iter().peekable() }
    }
}

fn take(pairs: &mut std::iter::Peekable<std::vec::IntoIter<(u32, u32)>>, index: u32) -> Box<[u32]> {
    std::iter::from_fn(|| pairs.next_if(|(component, _)| *component == index)).map(|(_, target)| target).collect()
}

fn planned(spec: Spec, index: u32, lists: &mut Lists) -> Planned {
    let rare = Rare {
        start_budget: spec.start_budget,
        stop_budget: spec.stop_budget,
        cancel_wait: spec.cancel_wait,
        abort_wait: spec.abort_wait,
        policy: spec.policy,
        uses: take(&mut lists.uses, index),
        after: take(&mut lists.after, index),
        typical_start: spec.typical_start.unwrap_or_default(),
        typical_stop: spec.typical_stop.unwrap_or_default(),
    };
    Planned {
        name: spec.name,
        phase: spec.phase,
        on_demand: spec.on_demand,
        once_only: spec.once_only,
        declares_ready: spec.declares_ready,
        rare: (rare != Rare::default()).then(|| Box::new(rare)),
    }
}

/// Names to numbers.
type Names<'a> = HashMap<&'a str, u32, BuildHasherDefault<Fnv>>;

/// FNV-1a: the names are the program's own, so nobody has to be fended off, and a hundred thousand of them are hashed at each start.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

fn names<'a>(all: impl Iterator<Item = &'a str>, problems: &mut Vec<Problem>) -> Names<'a> {
    let mut seen: Names<'a> = HashMap::with_capacity_and_hasher(all.size_hint().0, BuildHasherDefault::default());
    let mut said: Vec<&str> = Vec::new();
    for (index, name) in (0u32..).zip(all) {
        if name.trim().is_empty() {
            problems.push(Problem::EmptyName);
        } else if seen.insert(name, index).is_some() && !said.contains(&name) {
            said.push(name);
            problems.push(Problem::DuplicateName { name: name.to_owned() });
        }
    }
    seen
}

fn dependencies(registry: &Registry, names: &Names<'_>, problems: &mut Vec<Problem>) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    for (index, spec) in (0u32..).zip(&registry.components) {
        for dependency in &spec.after {
            let target = match dependency {
                Dependency::Id(id) => (id.app == registry.app_id && (id.index as usize) < registry.components.len()).then_some(id.index),
                Dependency::Name(name) => names.get(name.as_str()).copied(),
            };
            let Some(target) = target else {
                let dependency = match dependency {
                    Dependency::Id(id) => format!("component #{} of another app", id.index),
                    Dependency::Name(name) => name.clone(),
                };
                problems.push(Problem::UnknownDependency { component: spec.name.to_string(), dependency });
                continue;
            };
            edge(registry, index, target, problems);
            found.push((index, target));
        }
    }
    found
}

/// Is this dependency possible as far as phases and automatic start go?
fn edge(registry: &Registry, index: u32, target: u32, problems: &mut Vec<Problem>) {
    let (spec, other) = (&registry.components[index as usize], &registry.components[target as usize]);
    if other.phase > spec.phase {
        problems.push(Problem::AgainstPhases {
            component: spec.name.to_string(),
            phase: spec.phase.get(),
            dependency: other.name.to_string(),
            dependency_phase: other.phase.get(),
        });
    }
    if other.on_demand && !spec.on_demand {
        problems.push(Problem::NotStartedAutomatically { component: spec.name.to_string(), dependency: other.name.to_string() });
    }
}

/// What is reached through a handle becomes a dependency like any other, unless it was said already.
fn links(registry: &Registry, after: &mut Vec<(u32, u32)>, problems: &mut Vec<Problem>) {
    let name = |component: u32| registry.components.get(component as usize).map_or_else(String::new, |c| c.name.to_string());
    let provided: Vec<&Linked> = registry.links.iter().filter(|l| l.provides).collect();
    for (place, linked) in provided.iter().enumerate() {
        if let Some(first) = provided[..place].iter().find(|l| l.link == linked.link) {
            let (first, second) = (name(first.component), name(linked.component));
            problems.push(Problem::ProvidedTwice { link: linked.link.name().to_owned(), first, second });
        }
    }
    for needed in registry.links.iter().filter(|l| !l.provides) {
        match provided.iter().find(|l| l.link == needed.link) {
            None => problems.push(Problem::NotProvided { component: name(needed.component), link: needed.link.name().to_owned() }),
            Some(provider) if after.contains(&(needed.component, provider.component)) => {}
            Some(provider) => {
                edge(registry, needed.component, provider.component, problems);
                after.push((needed.component, provider.component));
            }
        }
    }
    // They are handed out component by component.
    after.sort_by_key(|&(component, _)| component);
}

fn uses(registry: &Registry, names: &Names<'_>, problems: &mut Vec<Problem>) -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    for (index, spec) in (0u32..).zip(&registry.components) {
        for used in &spec.uses {
            let target = match used {
                Use::Id(id, _) => (id.app == registry.app_id).then_some(id.index),
                Use::Name(name) => names.get(name.as_str()).copied(),
            };
            match (target, used) {
                (Some(target), _) => found.push((index, target)),
                (None, Use::Id(_, resource) | Use::Name(resource)) => {
                    problems.push(Problem::UnknownResource { component: spec.name.to_string(), resource: resource.clone() });
                }
            }
        }
    }
    found
}

fn spans(registry: &Registry, problems: &mut Vec<Problem>) {
    let mut check = |of: &str, which: &'static str, span: Option<Duration>, zero_allowed: bool| match span {
        Some(span) if span.is_zero() && !zero_allowed => problems.push(Problem::ZeroSpan { of: of.to_owned(), which }),
        Some(span) if span > MAX_SPAN => problems.push(Problem::SpanTooLong { of: of.to_owned(), which }),
        _ => {}
    };
    let (s, app) = (&registry.settings, &*registry.app);
    check(app, "grace period", Some(s.grace), false);
    check(app, "set-up budget", Some(s.setup_budget), false);
    check(app, "start budget", Some(s.start_budget), false);
    check(app, "stop budget", Some(s.stop_budget), false);
    check(app, "cancel wait", Some(s.cancel_wait), true);
    check(app, "abort wait", Some(s.abort_wait), true);
    for (_, profile) in &s.profiles {
        check(app, "grace period of a profile", profile.grace, false);
        check(app, "drain delay of a profile", Some(profile.drain_delay), true);
    }
    for c in &registry.components {
        check(&c.name, "start budget", c.start_budget, false);
        check(&c.name, "stop budget", c.stop_budget, false);
        check(&c.name, "cancel wait", c.cancel_wait, true);
        check(&c.name, "abort wait", c.abort_wait, true);
    }
    for r in &registry.resources {
        check(&r.name, "budget", r.budget, false);
    }
}

fn policies(registry: &Registry, problems: &mut Vec<Problem>) {
    for c in &registry.components {
        let Policy::Restart(restart) = &c.policy else { continue };
        if c.once_only {
            problems.push(Problem::NotRestartable { component: c.name.to_string() });
        }
        if restart.window.is_zero() || restart.first.is_zero() || restart.cap < restart.first || restart.window > MAX_SPAN || restart.cap > MAX_SPAN {
            problems.push(Problem::InvalidRestart { component: c.name.to_string() });
        }
    }
}
