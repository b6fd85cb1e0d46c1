//! Set-up and start: one component after the other as its predecessors run.

use super::machine::{Comp, Machine, Stage};
use super::stop::Shutdown;
use super::table::{Happening, Life};
use super::timers::Timers;
use super::{Action, Cause, Failure, Subject};
use crate::event::EventKind;
use crate::outcome::{Outcome, Rung};
use crate::plan::Plan;
use crate::reason::ReasonKind;
use crate::span::{Moment, Show};
use std::sync::Arc;

impl Comp {
    fn new() -> Comp {
        Comp {
            life: Life::Idle,
            rung: Rung::None,
            outcome: Outcome::NotStarted,
            returned: false,
            ready: false,
            finished: false,
            ran: false,
            again: false,
            uncured: Outcome::NotStarted,
            epoch: 0,
            factor: 1.0,
            start_began: Moment::NEVER,
            start_ended: Moment::NEVER,
            stop_began: Moment::NEVER,
            stop_ended: Moment::NEVER,
            history: None,
        }
    }
}

impl Machine {
    /// The run begins; with set-up code if `set_up`. The driver then calls [`planned`](Machine::planned), or
    /// [`set_up_failed`](Machine::set_up_failed).
    pub(crate) fn begin(&mut self, now: Moment, app_settings: Plan, set_up: bool) {
        self.plan = Arc::new(app_settings);
        self.note(now, Subject::Run, EventKind::RunBegan);
        if !set_up {
            return;
        }
        if self.early.is_some() {
            // Asked to stop before it began (S5): set-up is not even begun.
            self.actions.push_back(Action::DropSetUp);
            self.stage = Stage::DroppingSetUp { until: now.plus(self.plan.settings.abort_wait) };
            return;
        }
        self.note(now, Subject::Run, EventKind::SetUpBegan);
        self.stage = Stage::SetUp { until: now.plus(self.plan.settings.setup_budget) };
    }

    /// Set-up returned Ok: true if the driver may now plan and call [`planned`](Machine::planned).
    pub(crate) fn set_up_done(&mut self, now: Moment) -> bool {
        match self.stage {
            Stage::SetUp { .. } => {
                self.note(now, Subject::Run, EventKind::SetUpEnded { error: None });
                true
            }
            Stage::DroppingSetUp { .. } => {
                self.set_up_dropped(now);
                false
            }
            _ => false,
        }
    }

    /// Set-up returned an error or panicked.
    pub(crate) fn set_up_failed(&mut self, now: Moment, failure: Failure) {
        match self.stage {
            Stage::SetUp { .. } => {
                self.note(now, Subject::Run, EventKind::SetUpEnded { error: Some(failure.text.clone()) });
                let cause = Cause { kind: ReasonKind::SetupFailed, detail: failure.text.to_string(), component: None };
                self.shutdown = Some(Box::new(Shutdown::new(now, cause, &self.plan)));
                self.announce_shutdown(now);
                self.leave_set_up();
            }
            Stage::DroppingSetUp { .. } => self.set_up_dropped(now),
            _ => {}
        }
    }

    pub(super) fn set_up_dropped(&mut self, now: Moment) {
        if matches!(self.stage, Stage::DroppingSetUp { .. }) {
            // One that was late has its end in the timeline already, one that never began has none.
            if self.shutdown.as_ref().is_some_and(|s| s.cause.kind != ReasonKind::SetupFailed) {
                self.note(now, Subject::Run, EventKind::SetUpEnded { error: Some("interrupted by the shutdown".into()) });
            }
            self.leave_set_up();
        }
    }

    fn leave_set_up(&mut self) {
        self.stage = Stage::Before;
        self.actions.push_back(Action::PlanForUnwinding);
    }

    pub(super) fn set_up_timeout(&mut self, now: Moment) {
        match self.stage {
            Stage::SetUp { until } if until <= now => {
                let detail = format!("set-up took longer than {}", Show(self.plan.settings.setup_budget));
                self.note(now, Subject::Run, EventKind::SetUpEnded { error: Some(detail.as_str().into()) });
                self.begin_shutdown(now, Cause { kind: ReasonKind::SetupFailed, detail, component: None });
            }
            Stage::DroppingSetUp { until } if until <= now => {
                self.set_up_abandoned = true;
                self.leave_set_up();
            }
            _ => {}
        }
    }

    /// The plan is there: start, or unwind if a shutdown is on already.
    pub(crate) fn planned(&mut self, now: Moment, plan: Arc<Plan>) {
        let n = plan.components.len();
        self.comps = std::iter::repeat_with(Comp::new).take(n).collect();
        self.timers = Timers::new(n);
        self.freeing.resize(plan.resources.len());
        // What starts on demand holds nobody (S1, O3).
        let holds = |p: &&u32| plan.components.get(**p as usize).is_none_or(|c| !c.on_demand);
        self.start_wait = (0..plan.graph.nodes() as u32).map(|node| plan.graph.before.of(node).iter().filter(holds).count() as u32).collect();
        self.not_running = plan.components.iter().filter(|c| !c.on_demand).count() as u32;
        // Two notes a component for its start, two for its stop.
        self.timeline.reserve(2 * n + 16);
        self.plan = plan;
        self.stage = Stage::Starting;
        if let Some(cause) = self.early.take() {
            self.shutdown = Some(Box::new(Shutdown::new(now, cause, &self.plan)));
            self.announce_shutdown(now);
        }
        if self.shutdown.is_some() || self.refused.is_some() {
            self.unwind(now);
            return;
        }
        let ready: Vec<u32> = self.plan.graph.order.iter().copied().filter(|&node| self.start_wait[node as usize] == 0).collect();
        self.activate(now, ready);
        self.check_all_running(now);
    }

    /// Nodes whose predecessors all run. Barriers pass it on at once.
    fn activate(&mut self, now: Moment, mut ready: Vec<u32>) {
        let plan = self.plan.clone();
        while let Some(node) = ready.pop() {
            if plan.graph.is_barrier(node) {
                self.count_down(&plan, node, &mut ready);
            } else if !plan.components[node as usize].on_demand {
                self.happen(now, node, Happening::Begin, None);
            }
        }
    }

    fn count_down(&mut self, plan: &Plan, node: u32, ready: &mut Vec<u32>) {
        for &next in plan.graph.behind.of(node) {
            let wait = &mut self.start_wait[next as usize];
            *wait -= 1;
            if *wait == 0 {
                ready.push(next);
            }
        }
    }

    pub(super) fn start(&mut self, now: Moment, id: u32) {
        let budget = self.plan.start_budget(id);
        let comp = &mut self.comps[id as usize];
        comp.again = comp.life == Life::BackingOff;
        comp.life = Life::Starting;
        comp.epoch = comp.epoch.wrapping_add(1);
        (comp.returned, comp.ready, comp.finished) = (false, false, false);
        comp.rung = Rung::None;
        comp.start_began = now;
        (comp.start_ended, comp.stop_began, comp.stop_ended) = (Moment::NEVER, Moment::NEVER, Moment::NEVER);
        let epoch = comp.epoch;
        let deadline = now.plus(budget);
        self.timers.set(id, deadline);
        self.note(now, Subject::Component(id), EventKind::StartBegan);
        self.actions.push_back(Action::Start { id, epoch, deadline });
    }

    pub(super) fn start_returned(&mut self, now: Moment, id: u32) {
        self.comps[id as usize].returned = true;
        self.run_if_ready(now, id);
    }

    pub(super) fn ready(&mut self, now: Moment, id: u32) {
        self.comps[id as usize].ready = true;
        self.run_if_ready(now, id);
    }

    pub(super) fn finished_while_starting(&mut self, now: Moment, id: u32) {
        let comp = &mut self.comps[id as usize];
        comp.finished = true;
        if self.plan.components[id as usize].declares_ready && !comp.ready {
            self.fail_start(now, id, Some(Failure::error("it ended before it said that it was ready")));
        }
    }

    fn run_if_ready(&mut self, now: Moment, id: u32) {
        let comp = &mut self.comps[id as usize];
        if !comp.returned || (self.plan.components[id as usize].declares_ready && !comp.ready) {
            return;
        }
        comp.life = Life::Running;
        comp.start_ended = now;
        comp.uncured = Outcome::NotStarted;
        let first = !std::mem::replace(&mut comp.ran, true);
        let finished = comp.finished;
        self.timers.clear(id);
        self.note(now, Subject::Component(id), EventKind::StartEnded { error: None });
        self.answer(id, Ok(()));
        if finished {
            // First, so that nothing is started on top of it if this is the end (S4).
            self.supervise(now, id, None);
        }
        if first && !self.plan.components[id as usize].on_demand && self.shutdown.is_none() {
            self.not_running -= 1;
            let plan = self.plan.clone();
            let mut ready = Vec::new();
            self.count_down(&plan, id, &mut ready);
            self.activate(now, ready);
            self.check_all_running(now);
        }
    }

    fn check_all_running(&mut self, now: Moment) {
        if self.stage == Stage::Starting && self.not_running == 0 && self.shutdown.is_none() {
            self.stage = Stage::Running;
            // Every first start has happened; later ones ask their dependencies themselves.
            self.start_wait = Vec::new();
            self.note(now, Subject::Run, EventKind::Ready);
        }
    }

    /// A start that failed, panicked or is late (`failure` is `None`).
    pub(super) fn fail_start(&mut self, now: Moment, id: u32, failure: Option<Failure>) {
        let planned = &self.plan.components[id as usize];
        let failure = failure.unwrap_or_else(|| Failure::error(format!("start took longer than {}", Show(self.plan.start_budget(id)))));
        let on_demand = planned.on_demand;
        self.note(now, Subject::Component(id), EventKind::StartEnded { error: Some(failure.text.clone()) });
        // Who asked for it is told, also when it will be tried again.
        self.refuse(id, "the start failed", &failure.text);
        if self.comps[id as usize].again && self.may_restart(id) {
            self.supervise(now, id, Some(failure));
            return;
        }
        let detail = failure.text.to_string();
        let again = self.comps[id as usize].again;
        self.blemish(id, Some(failure));
        self.clear_scope(now, id, Life::Undoing);
        if on_demand {
            // The rest of the program goes on.
            return;
        }
        let kind = if again { ReasonKind::ComponentFailed } else { ReasonKind::StartFailed };
        self.begin_shutdown(now, Cause { kind, detail, component: Some(id) });
    }

    /// A shutdown began while it was starting.
    pub(super) fn undo(&mut self, now: Moment, id: u32) {
        let text = "interrupted by the shutdown";
        self.refuse(id, "the start was taken back", text);
        self.note(now, Subject::Component(id), EventKind::StartEnded { error: Some(text.into()) });
        self.clear_scope(now, id, Life::Undoing);
    }

    /// Fires both tokens and waits for the scope to empty, rung by rung. Not "forced": a start may be dropped (S3).
    pub(super) fn clear_scope(&mut self, now: Moment, id: u32, life: Life) {
        let (cancel, _) = self.scaled_waits(id);
        let comp = &mut self.comps[id as usize];
        comp.life = life;
        comp.rung = Rung::Cancel;
        let at = self.capped(now.plus(cancel));
        self.timers.set(id, at);
        self.actions.push_back(Action::Interrupt { id });
    }
}
