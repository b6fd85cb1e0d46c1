//! What is registered, who misbehaves, and what comes from outside: plain data, in milliseconds.

use super::ending::Ending;
use super::world::World;
use crate::id::ComponentId;
use crate::phase::Phase;
use crate::plan::spec::{Dependency, Registry, ResourceSpec, Settings, Spec, Use};
use crate::policy::{Policy, Restart};
use crate::reason::{Profile, ReasonKind};
use crate::span::millis;

/// How a call or a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Ok,
    Fails,
    Panics,
    /// Never by itself.
    Hangs,
}

/// A call: how long it takes, and how it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call(pub(super) u64, pub(super) How);

/// What it does about force: how long after its cancel it ends, how long its drop takes. `None`: never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Force {
    pub(super) cancel: Option<u64>,
    pub(super) dropped: Option<u64>,
}

/// It ends at once when cancelled.
pub(super) const OBEYS: Force = Force { cancel: Some(0), dropped: Some(0) };
/// It does not listen, but it can be dropped.
pub(super) const IGNORES: Force = Force { cancel: None, dropped: Some(0) };
/// It cannot even be dropped.
pub(super) const BLOCKS: Force = Force { cancel: None, dropped: None };

/// How one component behaves.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) start: Call,
    /// In which of its starts (a bit each) it starts as said; otherwise it starts well.
    pub(super) start_bad: u8,
    pub(super) start_force: Force,
    /// When it says that it is ready, from the begin of its start.
    pub(super) ready: Option<u64>,
    /// Its lasting task, from the begin of its start.
    pub(super) run: Call,
    /// In which of its starts the task ends as said; otherwise it lasts.
    pub(super) run_bad: u8,
    pub(super) stop: Call,
    /// How long its task goes on after `stop` has returned; `None`: until it is cancelled.
    pub(super) linger: Option<u64>,
    pub(super) stop_force: Force,
    /// A critical section that holds the abort: the bound that was stated, and how long it really lasts.
    pub(super) critical: Option<(u64, u64)>,
}

/// One component.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) phase: i32,
    pub(super) after: Vec<u32>,
    pub(super) on_demand: bool,
    pub(super) declares_ready: bool,
    pub(super) start_budget: u64,
    pub(super) stop_budget: Option<u64>,
    pub(super) waits: (u64, u64),
    pub(super) policy: Policy,
    pub(super) uses: Vec<u32>,
    pub(super) script: Script,
}

/// A component that does all as it should.
pub(super) fn part() -> Part {
    let script = Script {
        start: Call(10, How::Ok),
        start_bad: 255,
        start_force: OBEYS,
        ready: None,
        run: Call(0, How::Hangs),
        run_bad: 255,
        stop: Call(10, How::Ok),
        linger: Some(0),
        stop_force: OBEYS,
        critical: None,
    };
    Part {
        phase: 0,
        after: Vec::new(),
        on_demand: false,
        declares_ready: false,
        start_budget: 30_000,
        stop_budget: None,
        waits: (500, 250),
        policy: Policy::ShutDown,
        uses: Vec::new(),
        script,
    }
}

impl Part {
    pub(super) fn phase(mut self, phase: i32) -> Part {
        self.phase = phase;
        self
    }
    pub(super) fn after(mut self, id: u32) -> Part {
        self.after.push(id);
        self
    }
    pub(super) fn on_demand(mut self) -> Part {
        self.on_demand = true;
        self
    }
    pub(super) fn start(mut self, takes: u64, how: How) -> Part {
        self.script.start = Call(takes, how);
        self
    }
    pub(super) fn start_force(mut self, force: Force) -> Part {
        self.script.start_force = force;
        self
    }
    pub(super) fn run(mut self, takes: u64, how: How) -> Part {
        self.script.run = Call(takes, how);
        self
    }
    pub(super) fn stop(mut self, takes: u64, how: How) -> Part {
        self.script.stop = Call(takes, how);
        self
    }
    pub(super) fn force(mut self, force: Force) -> Part {
        self.script.stop_force = force;
        self
    }
    pub(super) fn budget(mut self, budget: u64) -> Part {
        self.stop_budget = Some(budget);
        self
    }
    pub(super) fn restart(mut self, max: u32, window: u64) -> Part {
        self.policy = Policy::Restart(Restart { max, window: millis(window), first: millis(100), cap: millis(10_000) });
        self
    }
    pub(super) fn ignore(mut self) -> Part {
        self.policy = Policy::Ignore;
        self
    }
}

/// What comes from outside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outside {
    Signal(i32),
    Request,
    StartOne(u32),
    StopOne(u32),
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) grace: u64,
    pub(super) stop_budget: u64,
    pub(super) profiles: Vec<(ReasonKind, Profile)>,
    pub(super) parts: Vec<Part>,
    /// Resources: a budget if one is stated, and how the destruction goes.
    pub(super) resources: Vec<(Option<u64>, Call)>,
    pub(super) outside: Vec<(u64, Outside)>,
}

impl Case {
    pub(super) fn new() -> Case {
        Case { grace: 25_000, stop_budget: 5000, profiles: Vec::new(), parts: Vec::new(), resources: Vec::new(), outside: Vec::new() }
    }
    pub(super) fn grace(mut self, grace: u64) -> Case {
        self.grace = grace;
        self
    }
    pub(super) fn profile(mut self, kind: ReasonKind, profile: Profile) -> Case {
        self.profiles.push((kind, profile));
        self
    }
    pub(super) fn with(mut self, part: Part) -> Case {
        self.parts.push(part);
        self
    }
    pub(super) fn resource(mut self, takes: u64, how: How) -> Case {
        self.resources.push((None, Call(takes, how)));
        self
    }
    pub(super) fn at(mut self, at: u64, what: Outside) -> Case {
        self.outside.push((at, what));
        self
    }

    pub(super) fn settings(&self) -> Settings {
        Settings { grace: millis(self.grace), stop_budget: millis(self.stop_budget), profiles: self.profiles.clone(), ..Settings::default() }
    }

    pub(super) fn registry(&self) -> Registry {
        let component = |(id, part): (usize, &Part)| Spec {
            name: format!("c{id}").into(),
            phase: Phase::new(part.phase),
            after: part.after.iter().map(|&index| Dependency::Id(ComponentId { app: 0, index })).collect(),
            uses: part.uses.iter().map(|r| Use::Name(format!("r{r}"))).collect(),
            start_budget: Some(millis(part.start_budget)),
            stop_budget: part.stop_budget.map(millis),
            cancel_wait: Some(millis(part.waits.0)),
            abort_wait: Some(millis(part.waits.1)),
            policy: part.policy.clone(),
            on_demand: part.on_demand,
            declares_ready: part.declares_ready,
            ..Spec::default()
        };
        let resource = |(id, (budget, _)): (usize, &(Option<u64>, Call))| ResourceSpec { name: format!("r{id}"), budget: budget.map(millis) };
        Registry {
            app: "test".into(),
            app_id: 0,
            settings: self.settings(),
            components: self.parts.iter().enumerate().map(component).collect(),
            resources: self.resources.iter().enumerate().map(resource).collect(),
            links: Vec::new(),
        }
    }

    /// Runs it to its end; whatever the model finds fails the test.
    pub(super) fn run(&self) -> Ending {
        self.judged().unwrap_or_else(|complaint| panic!("{complaint}"))
    }

    pub(super) fn judged(&self) -> Result<Ending, String> {
        let plan = self.registry().plan().map_err(|e| e.to_string())?;
        World::new(self, plan).run()
    }
}
