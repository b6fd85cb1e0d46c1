//! The ladder (T5): cancel, abort, abandon; what holds it back (T11) and what speeds it up (T8).

use super::machine::{Machine, Stage};
use super::stop::live_slot;
use super::table::{Happening, Life};
use super::{Action, Failure, Subject};
use crate::event::EventKind;
use crate::outcome::Rung;
use crate::plan::budget::{chains, shrink};
use crate::span::Moment;
use std::time::Duration;

impl Machine {
    /// Cancel wait and abort wait, shrunk as the rest of its slot was.
    pub(super) fn scaled_waits(&self, id: u32) -> (Duration, Duration) {
        let (cancel, abort) = self.plan.waits(id);
        let comp = &self.comps[id as usize];
        let factor = match &self.shutdown {
            // Never asked, so no factor was reckoned for it alone: the one at which everything fits is safe.
            Some(shutdown) if comp.stop_began == Moment::NEVER => shutdown.factor,
            _ => f64::from(comp.factor),
        };
        (shrink(cancel, factor), shrink(abort, factor))
    }

    /// The time between its two tokens and the drop of its futures, as things are.
    pub(crate) fn cancel_wait(&self, id: u32) -> Duration {
        self.scaled_waits(id).0
    }

    pub(super) fn stop_returned(&mut self, now: Moment, id: u32, failure: Option<Failure>) {
        self.blemish(id, failure);
        self.note(now, Subject::Component(id), EventKind::StopReturned);
    }

    /// One rung higher (T5): cancel, abort, abandon.
    pub(super) fn rung_up(&mut self, now: Moment, id: u32) {
        let (cancel, abort) = self.scaled_waits(id);
        match self.comps[id as usize].rung {
            Rung::None | Rung::Graceful => {
                let deadline = self.capped(now.plus(cancel));
                self.comps[id as usize].rung = Rung::Cancel;
                self.timers.set(id, deadline);
                self.note(now, Subject::Component(id), EventKind::CancelBegan);
                self.actions.push_back(Action::Cancel { id, deadline });
            }
            Rung::Cancel => {
                self.comps[id as usize].rung = Rung::Abort;
                let at = self.capped(now.plus(abort));
                self.timers.set(id, at);
                self.note(now, Subject::Component(id), EventKind::AbortBegan);
                self.actions.push_back(Action::Abort { id });
            }
            Rung::Abort if self.holding.remove(&id) => {
                // What held the abort had its time.
                let at = self.capped(now.plus(abort));
                self.timers.set(id, at);
                self.actions.push_back(Action::AbortNow { id });
            }
            Rung::Abort | Rung::Abandon => self.abandon(now, id),
        }
    }

    /// The abort is held back by a critical section (T11): up to its bound, but explicit budgets of others keep their time.
    pub(super) fn held(&mut self, now: Moment, id: u32, bound: Duration) {
        let waiting = matches!(self.comps[id as usize].life, Life::Stopping | Life::Undoing | Life::Clearing);
        self.happen(now, id, Happening::Held, None);
        if waiting && self.comps[id as usize].rung == Rung::Abort && self.holding.insert(id) {
            self.criticals += 1;
            let limit = self.hard_limit(id);
            let at = now.plus(bound).min(limit).max(now);
            self.timers.set(id, at);
            self.note(now, Subject::Component(id), EventKind::CriticalHeld { bound: at.since(now) });
        }
    }

    /// The tail less the explicit budgets of all that stop after this one.
    pub(super) fn hard_limit(&mut self, id: u32) -> Moment {
        let Some(shutdown) = &mut self.shutdown else { return Moment::NEVER };
        let (plan, comps) = (&self.plan, &self.comps);
        let slots = |node: u32| live_slot(plan, comps, node);
        // Once a shutdown: many may be held at the same time.
        let hard = shutdown.hard.get_or_insert_with(|| chains(&plan.graph, slots, plan.resource_slots(), 0.0).iter().map(|c| c.hard).collect());
        let below = hard[id as usize].saturating_sub(slots(id).hard);
        shutdown.tail.minus(Duration::from_nanos(below))
    }

    pub(super) fn released(&mut self, now: Moment, id: u32) {
        if self.holding.remove(&id) {
            let (_, abort) = self.scaled_waits(id);
            let at = self.capped(now.plus(abort));
            self.timers.set(id, at);
            self.actions.push_back(Action::AbortNow { id });
        }
    }

    /// A second signal: every live component up a rung, the rest in a hurry (T8).
    pub(super) fn escalate(&mut self, now: Moment) {
        match self.stage {
            Stage::DroppingSetUp { .. } => {
                self.stage = Stage::DroppingSetUp { until: now };
                return self.set_up_timeout(now);
            }
            Stage::Stopping => {}
            _ => return,
        }
        let draining = self.draining();
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.hurried = true;
        }
        // Force waits for a critical section, also this one (T11). Who is asked because another is given up here keeps its time.
        let up = |id: &u32| matches!(self.comps[*id as usize].life, Life::Stopping | Life::Undoing) && !self.holding.contains(id);
        let live: Vec<u32> = (0..self.comps.len() as u32).filter(up).collect();
        for id in live {
            self.timers.clear(id);
            self.happen(now, id, Happening::Escalate, None);
        }
        if draining {
            self.end_drain(now);
        }
    }
}
