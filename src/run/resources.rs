//! Resources: destroyed last, in reverse, one after the other (D1–D3).

use super::machine::{Machine, Stage};
use super::{Action, Failure, Subject};
use crate::event::EventKind;
use crate::outcome::{Outcome, ResourceOutcome};
use crate::plan::budget::{Slot, shrink};
use crate::span::{Moment, nanos};
use std::sync::Arc;

/// How far the resources are.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(crate) struct Freeing {
    pub(crate) resources: Vec<Freed>,
    /// The one being destroyed.
    current: Option<u32>,
    /// Until then.
    pub(super) until: Moment,
}

/// One resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Freed {
    /// It was opened; said by the driver when it plans.
    pub(crate) opened: bool,
    pub(crate) outcome: Option<ResourceOutcome>,
    pub(crate) ended: Option<Moment>,
    pub(crate) error: Option<Arc<str>>,
    pub(crate) held_by: Vec<Arc<str>>,
}

impl Default for Freeing {
    fn default() -> Freeing {
        Freeing { resources: Vec::new(), current: None, until: Moment::NEVER }
    }
}

impl Freeing {
    pub(super) fn resize(&mut self, resources: usize) {
        self.resources.resize(resources, Freed { opened: true, ..Freed::default() });
    }
}

impl Machine {
    /// Before `planned`: which resources are really there, and the errors of the others.
    pub(crate) fn opened(&mut self, resources: Vec<(bool, Option<Arc<str>>)>) {
        let freed = |(opened, error)| Freed { opened, error, ..Freed::default() };
        self.freeing.resources = resources.into_iter().map(freed).collect();
    }

    pub(super) fn free_resources(&mut self, now: Moment) {
        self.stage = Stage::Destroying;
        self.free_next(now, self.plan.resources.len() as u32);
    }

    /// The next one below `above`; the end when there is none.
    fn free_next(&mut self, now: Moment, above: u32) {
        (self.freeing.current, self.freeing.until) = (None, Moment::NEVER);
        for id in (0..above).rev() {
            if !self.freeing.resources[id as usize].opened {
                self.freeing.resources[id as usize].outcome = Some(ResourceOutcome::NotCreated);
                continue;
            }
            let users = self.abandoned_users(id);
            if self.set_up_abandoned || !users.is_empty() {
                self.leak(now, id, users);
                continue;
            }
            let budget = self.resource_budget(now, id);
            let until = self.capped(now.plus(budget));
            (self.freeing.current, self.freeing.until) = (Some(id), until);
            self.note(now, Subject::Resource(id), EventKind::DestroyBegan { budget: until.since(now) });
            self.actions.push_back(Action::Destroy { id });
            return;
        }
        self.finish(now);
    }

    fn resource_budget(&self, now: Moment, id: u32) -> std::time::Duration {
        let planned = &self.plan.resources[id as usize];
        let (Some(shutdown), false) = (&self.shutdown, planned.explicit) else { return planned.budget };
        let left = nanos(shutdown.tail.since(now));
        let chain = self.plan.resources[..=id as usize].iter().fold(Slot::default(), |sum, r| sum.plus(r.slot()));
        let factor = if chain.at(1.0) <= left { 1.0 } else { left.saturating_sub(chain.hard) as f64 / chain.soft.max(1) as f64 };
        shrink(planned.budget, factor)
    }

    /// D2: what an abandoned component said it uses may still be in use.
    fn abandoned_users(&self, resource: u32) -> Vec<Arc<str>> {
        let planned = self.plan.components.iter().zip(&self.comps);
        let users = planned.filter(|(p, c)| c.outcome == Outcome::Abandoned && p.uses().contains(&resource));
        users.map(|(p, _)| p.name.clone()).collect()
    }

    fn leak(&mut self, now: Moment, id: u32, users: Vec<Arc<str>>) {
        self.freeing.resources[id as usize].held_by = users;
        self.actions.push_back(Action::Leak { id });
        self.freed(now, id, ResourceOutcome::Leaked, None);
    }

    fn freed(&mut self, now: Moment, id: u32, outcome: ResourceOutcome, failure: Option<Failure>) {
        let freed = &mut self.freeing.resources[id as usize];
        freed.outcome = Some(outcome);
        freed.ended = Some(now);
        if let Some(failure) = failure {
            freed.error.get_or_insert(failure.text);
        }
        self.note(now, Subject::Resource(id), EventKind::DestroyEnded { outcome });
    }

    pub(super) fn resource_ended(&mut self, now: Moment, id: u32, result: Result<(), Failure>) {
        if self.freeing.current != Some(id) {
            return;
        }
        match result {
            Ok(()) => self.freed(now, id, ResourceOutcome::Destroyed, None),
            Err(failure) => self.freed(now, id, ResourceOutcome::Failed, Some(failure)),
        }
        self.free_next(now, id);
    }

    pub(super) fn leased(&mut self, now: Moment, id: u32, holders: Vec<Arc<str>>) {
        if self.freeing.current != Some(id) {
            return;
        }
        for holder in &holders {
            self.note(now, Subject::Resource(id), EventKind::LeaseOutlived { holder: holder.clone() });
        }
        self.freeing.resources[id as usize].held_by = holders;
    }

    pub(super) fn freeing_timeout(&mut self, now: Moment) {
        let (Some(id), true) = (self.freeing.current, self.freeing.until <= now) else { return };
        self.actions.push_back(Action::DropDestroy { id });
        self.freed(now, id, ResourceOutcome::Late, None);
        self.free_next(now, id);
    }

    /// The time is over: what is not destroyed stays, and is named.
    pub(super) fn free_nothing_more(&mut self, now: Moment) {
        for id in (0..self.plan.resources.len() as u32).rev() {
            if self.freeing.resources.get(id as usize).is_none_or(|r| r.outcome.is_some()) {
                continue;
            }
            if !self.freeing.resources[id as usize].opened {
                self.freeing.resources[id as usize].outcome = Some(ResourceOutcome::NotCreated);
                continue;
            }
            let users = self.abandoned_users(id);
            if self.set_up_abandoned || !users.is_empty() {
                self.leak(now, id, users);
            } else {
                self.freed(now, id, ResourceOutcome::Late, None);
            }
        }
        self.freeing.current = None;
    }
}
