//! Shutdown: one deadline, the order in reverse, the rungs.

use super::machine::{Comp, Cut, Machine, Stage};
use super::table::{Happening, Life};
use super::{Action, Cause, Subject};
use crate::event::EventKind;
use crate::outcome::{Outcome, Rung};
use crate::plan::Plan;
use crate::plan::budget::{Reserve, Slot};
use crate::reason::{ReasonKind, Trigger};
use crate::span::Moment;
use std::time::Duration;

/// After a second signal, whoever was not yet asked gets this much at most (T8).
const HURRIED: Duration = Duration::from_millis(250);

/// A shutdown that is on.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(crate) struct Shutdown {
    pub(crate) cause: Cause,
    pub(crate) began: Moment,
    pub(crate) deadline: Moment,
    /// The deadline less what the report needs: nothing is waited for beyond it.
    pub(crate) tail: Moment,
    /// Nobody is asked before this; `NEVER` once it is over.
    drain_until: Moment,
    pub(super) hurried: bool,
    /// The common factor of T2 under this shutdown's grace period.
    pub(super) factor: f64,
    /// Successors that are not terminal, by node.
    wait: Vec<u32>,
    reserve: Option<Reserve>,
    /// The chains of explicit budgets alone, once somebody asked.
    pub(super) hard: Option<Vec<u64>>,
}

/// What a component may still need: nothing if it does not run, its waits if it is being taken back.
pub(super) fn live_slot(plan: &Plan, comps: &[Comp], node: u32) -> Slot {
    let Some(comp) = comps.get(node as usize) else { return Slot::default() };
    match comp.life {
        Life::Idle | Life::BackingOff | Life::Ended => Slot::default(),
        Life::Starting | Life::Undoing | Life::Clearing => plan.waits_slot(node),
        Life::Running | Life::Stopping => plan.slot(node),
    }
}

impl Shutdown {
    pub(super) fn new(now: Moment, cause: Cause, plan: &Plan) -> Shutdown {
        let grace = plan.settings.grace_for(cause.kind);
        let deadline = now.plus(grace);
        let tail = deadline.minus(plan.tail(grace));
        let factor = if grace == plan.settings.grace { plan.factor } else { plan.fit(grace) };
        Shutdown {
            cause,
            began: now,
            deadline,
            tail,
            drain_until: Moment::NEVER,
            hurried: false,
            factor,
            wait: Vec::new(),
            reserve: None,
            hard: None,
        }
    }

    pub(super) fn next_timeout(&self) -> Moment {
        self.drain_until.min(self.tail)
    }

    pub(crate) fn grace(&self) -> Duration {
        self.deadline.since(self.began)
    }
}

impl Machine {
    /// The first cause counts; later ones change nothing (T7).
    pub(super) fn begin_shutdown(&mut self, now: Moment, cause: Cause) {
        if self.shutdown.is_some() || self.refused.is_some() {
            return;
        }
        match self.stage {
            // Before the run: remembered (S5).
            Stage::Before => {
                self.early.get_or_insert(cause);
            }
            Stage::SetUp { .. } => {
                self.shutdown = Some(Box::new(Shutdown::new(now, cause, &self.plan)));
                self.announce_shutdown(now);
                self.stage = Stage::DroppingSetUp { until: self.capped(now.plus(self.plan.settings.abort_wait)) };
                self.actions.push_back(Action::DropSetUp);
            }
            Stage::DroppingSetUp { .. } | Stage::Destroying | Stage::Done => {}
            Stage::Starting | Stage::Running | Stage::Stopping => {
                self.shutdown = Some(Box::new(Shutdown::new(now, cause, &self.plan)));
                self.announce_shutdown(now);
                self.unwind(now);
            }
        }
    }

    pub(super) fn announce_shutdown(&mut self, now: Moment) {
        let Some(shutdown) = &self.shutdown else { return };
        let (trigger, grace) = (self.trigger(&shutdown.cause), shutdown.grace());
        self.note(now, Subject::Run, EventKind::ShutdownBegan { trigger: Box::new(trigger), grace });
    }

    /// The cause with names.
    pub(crate) fn trigger(&self, cause: &Cause) -> Trigger {
        let component = cause.component.map(|id| self.plan.components[id as usize].name.to_string());
        Trigger { kind: cause.kind, detail: cause.detail.clone(), component }
    }

    /// From running, starting or planned: take back what is starting, ask what runs, in order (S3, S4, O1).
    pub(super) fn unwind(&mut self, now: Moment) {
        self.stage = Stage::Stopping;
        let plan = self.plan.clone();
        let slots = |node: u32| live_slot(&plan, &self.comps, node);
        let reserve = Reserve::new(&plan.graph, slots, plan.resource_slots());
        let wait = (0..plan.graph.nodes() as u32).map(|node| plan.graph.behind.of(node).len() as u32).collect();
        let Some(shutdown) = &mut self.shutdown else {
            // Refused after set-up: nothing has started.
            for comp in &mut self.comps {
                comp.life = Life::Ended;
            }
            return self.free_resources(now);
        };
        shutdown.reserve = Some(reserve);
        shutdown.wait = wait;
        let delay = plan.settings.profile(shutdown.cause.kind).drain_delay;
        if !delay.is_zero() && self.comps.iter().any(|c| c.life == Life::Running) {
            shutdown.drain_until = now.plus(delay).min(shutdown.tail);
        }
        self.timeline.reserve(2 * self.comps.len());
        self.not_terminal = self.comps.iter().filter(|c| c.life != Life::Ended).count() as u32;
        for id in 0..self.comps.len() as u32 {
            match self.comps[id as usize].life {
                Life::Stopping | Life::Undoing | Life::Clearing => {
                    let held = self.holding.contains(&id).then(|| self.timers.at(id));
                    self.recut(now, id);
                    if let Some(until) = held {
                        // A critical section keeps its bound, as far as others' explicit budgets allow (T11).
                        let at = until.min(self.hard_limit(id)).max(now);
                        self.timers.set(id, at);
                    }
                }
                Life::Ended if self.comps[id as usize].outcome != Outcome::Abandoned => self.actions.push_back(Action::Discard { id }),
                _ => {}
            }
        }
        // What has nothing behind it is free from the first.
        let free: Vec<u32> = plan.graph.order.iter().copied().filter(|&n| plan.graph.behind.of(n).is_empty()).collect();
        self.visit(now, free);
        for id in 0..self.comps.len() as u32 {
            if !self.terminal(id) {
                self.happen(now, id, Happening::Interrupt, None);
            }
        }
        self.check_all_terminal(now);
    }

    /// It was told to end when there was no deadline: what it has left is reckoned anew, so that it takes nobody's time (T3, I4).
    pub(super) fn recut(&mut self, now: Moment, id: u32) {
        let factor = self.shutdown.as_ref().map_or(1.0, |s| s.factor);
        let comp = &mut self.comps[id as usize];
        comp.factor = factor as f32;
        let (began, rung) = (comp.stop_began, comp.rung);
        let (cancel, abort) = self.scaled_waits(id);
        let at = match rung {
            Rung::Graceful => began.plus(self.plan.granted(id, 1.0)).min(now.plus(self.plan.granted(id, factor))),
            Rung::Abort => now.plus(abort),
            _ => now.plus(cancel),
        };
        self.timers.set(id, self.capped(at));
    }

    /// A node is terminal: its predecessors wait for one less.
    pub(super) fn pass_down(&mut self, plan: &Plan, node: u32, free: &mut Vec<u32>) {
        let Some(shutdown) = &mut self.shutdown else { return };
        for &p in plan.graph.before.of(node) {
            let wait = &mut shutdown.wait[p as usize];
            *wait -= 1;
            if *wait == 0 {
                free.push(p);
            }
        }
    }

    /// Nodes all of whose successors, direct or not, are terminal: barriers and what is terminal pass it on, running components are asked (I1).
    pub(super) fn visit(&mut self, now: Moment, mut free: Vec<u32>) {
        let plan = self.plan.clone();
        while let Some(node) = free.pop() {
            if plan.graph.is_barrier(node) || self.terminal(node) {
                self.pass_down(&plan, node, &mut free);
            } else if self.comps[node as usize].life == Life::Running && !self.draining() {
                self.happen(now, node, Happening::Ask, None);
            }
        }
    }

    pub(super) fn draining(&self) -> bool {
        self.shutdown.as_ref().is_some_and(|s| s.drain_until != Moment::NEVER)
    }

    pub(super) fn drain_timeout(&mut self, now: Moment) {
        let Some(shutdown) = &mut self.shutdown else { return };
        if shutdown.drain_until > now || self.stage == Stage::Done {
            return;
        }
        self.end_drain(now);
    }

    pub(super) fn end_drain(&mut self, now: Moment) {
        let Some(shutdown) = &mut self.shutdown else { return };
        shutdown.drain_until = Moment::NEVER;
        let wait = &shutdown.wait;
        let due = (0..self.comps.len() as u32).filter(|&id| wait[id as usize] == 0 && self.comps[id as usize].life == Life::Running).collect();
        self.visit(now, due);
    }

    /// Its turn: the slot it gets depends on the time that is left now (T2, T3).
    pub(super) fn ask(&mut self, now: Moment, id: u32) {
        let plan = self.plan.clone();
        let mut factor = 1.0;
        let mut hurried = false;
        if let Some(shutdown) = &mut self.shutdown {
            let comps = &self.comps;
            let slots = |node: u32| live_slot(&plan, comps, node);
            let left = shutdown.tail.since(now);
            hurried = shutdown.hurried;
            if let Some(reserve) = &mut shutdown.reserve {
                factor = reserve.factor(&plan.graph, slots, plan.resource_slots(), id, left);
            }
        }
        let mut budget = plan.granted(id, factor);
        if hurried {
            budget = budget.min(HURRIED);
        }
        let deadline = self.capped(now.plus(budget));
        let comp = &mut self.comps[id as usize];
        comp.life = Life::Stopping;
        comp.rung = Rung::Graceful;
        comp.factor = factor as f32;
        comp.stop_began = now;
        self.timers.set(id, deadline);
        self.note(now, Subject::Component(id), EventKind::StopBegan { budget: deadline.since(now) });
        self.actions.push_back(Action::AskStop { id, deadline });
    }

    /// An instant cut to what the last deadline leaves (I4).
    pub(super) fn capped(&self, at: Moment) -> Moment {
        self.shutdown.as_ref().map_or(at, |s| at.min(s.tail))
    }

    /// Its scope is empty, or it never started: terminal.
    pub(super) fn end(&mut self, now: Moment, id: u32) {
        let comp = &mut self.comps[id as usize];
        let by_rung = match (comp.life, comp.rung) {
            (Life::Stopping, Rung::Cancel) => Outcome::Cancelled,
            (Life::Stopping, Rung::Abort | Rung::Abandon) => Outcome::Aborted,
            (Life::Stopping, _) => Outcome::Stopped,
            // It was being restarted, or never ran.
            _ => comp.uncured,
        };
        if comp.life != Life::Stopping {
            comp.rung = Rung::None;
        }
        comp.outcome = comp.outcome.max(by_rung);
        self.terminated(now, id, false);
    }

    /// Not waited for any longer.
    pub(super) fn abandon(&mut self, now: Moment, id: u32) {
        let comp = &mut self.comps[id as usize];
        comp.rung = Rung::Abandon;
        comp.outcome = Outcome::Abandoned;
        let clearing = comp.life == Life::Clearing;
        self.terminated(now, id, true);
        if clearing {
            let detail = "what had failed could not be cleared away for a restart".to_owned();
            self.begin_shutdown(now, Cause { kind: ReasonKind::ComponentFailed, detail, component: Some(id) });
        }
    }

    pub(super) fn terminated(&mut self, now: Moment, id: u32, abandoned: bool) {
        if !self.holding.is_empty() {
            self.holding.remove(&id);
        }
        self.timers.clear(id);
        let comp = &mut self.comps[id as usize];
        comp.life = Life::Ended;
        // P2: an end for whatever began.
        if comp.start_began != Moment::NEVER && comp.start_ended == Moment::NEVER {
            comp.start_ended = now;
        }
        if comp.stop_began != Moment::NEVER {
            comp.stop_ended = now;
        }
        let outcome = comp.outcome;
        if comp.start_began != Moment::NEVER {
            self.note(now, Subject::Component(id), EventKind::ComponentEnded { outcome });
        }
        self.actions.push_back(Action::Ended { id, abandoned });
        self.answer_terminal(id);
        let wait = self.shutdown.as_ref().and_then(|s| s.wait.get(id as usize)).copied();
        if let (Some(wait), None) = (wait, self.cut) {
            self.not_terminal -= 1;
            // Terminal out of its turn, with something behind it that runs: it passes that on when its turn comes.
            if wait == 0 {
                self.visit(now, vec![id]);
            }
            self.check_all_terminal(now);
        }
    }

    fn check_all_terminal(&mut self, now: Moment) {
        if self.stage == Stage::Stopping && self.not_terminal == 0 {
            self.free_resources(now);
        }
    }

    /// What is not terminal at the tail of the deadline never will be (I4).
    pub(super) fn tail_timeout(&mut self, now: Moment) {
        if self.stage != Stage::Done && self.shutdown.as_ref().is_some_and(|s| s.tail <= now) {
            self.cut_short(now, Cut::Deadline);
        }
    }
}
