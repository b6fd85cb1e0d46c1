//! Start and stop of one component while the program runs (S1).

use super::machine::{Machine, Stage};
use super::table::{Happening, Life};
use super::{Refusal, Ticket};
use crate::outcome::Outcome;
use crate::span::Moment;

impl Machine {
    pub(super) fn start_one(&mut self, now: Moment, id: u32, ticket: Ticket) {
        match self.may_start(id) {
            Ok(true) => {
                self.tickets.entry(id).or_default().push((ticket, true));
                if self.comps[id as usize].life != Life::Starting {
                    self.happen(now, id, Happening::Begin, None);
                }
            }
            Ok(false) => self.reply(ticket, Ok(())),
            Err(refusal) => self.reply(ticket, Err(refusal)),
        }
    }

    pub(super) fn stop_one(&mut self, now: Moment, id: u32, ticket: Ticket) {
        match self.may_stop(id) {
            Ok(true) => {
                self.tickets.entry(id).or_default().push((ticket, false));
                if self.comps[id as usize].life != Life::Stopping {
                    self.happen(now, id, Happening::Ask, None);
                }
            }
            Ok(false) => self.reply(ticket, Ok(())),
            Err(refusal) => self.reply(ticket, Err(refusal)),
        }
    }

    /// `Ok(false)`: it runs already.
    fn may_start(&self, id: u32) -> Result<bool, Refusal> {
        let (name, not_now) = self.about("starting", id)?;
        match self.comps[id as usize].life {
            Life::Running => return Ok(false),
            Life::Starting => return Ok(true),
            Life::Idle | Life::Ended => {}
            life => return Err(not_now(format!("it is {}", word(life)))),
        }
        if self.comps[id as usize].outcome == Outcome::Abandoned {
            return Err(not_now("it was abandoned and may still be running".into()));
        }
        if self.stage == Stage::Starting && !self.plan.components[id as usize].on_demand {
            return Err(not_now("it is started by itself".into()));
        }
        if self.comps[id as usize].life == Life::Ended && !self.restartable(id) {
            return Err(not_now(format!("`{name}` can run only once")));
        }
        let waiting = self.plan.components[id as usize].after().iter().find(|&&d| self.comps[d as usize].life != Life::Running);
        match waiting {
            Some(&d) => Err(not_now(format!("`{}`, which it is after, does not run", self.plan.components[d as usize].name))),
            None => Ok(true),
        }
    }

    /// `Ok(false)`: it does not run.
    fn may_stop(&self, id: u32) -> Result<bool, Refusal> {
        let (_, not_now) = self.about("stopping", id)?;
        match self.comps[id as usize].life {
            Life::Idle | Life::Ended => return Ok(false),
            Life::Stopping => return Ok(true),
            Life::Running | Life::BackingOff => {}
            life => return Err(not_now(format!("it is {}", word(life)))),
        }
        if self.stage == Stage::Starting && !self.plan.components[id as usize].on_demand {
            return Err(not_now("the program is still starting".into()));
        }
        let behind = self.plan.graph.behind.of(id).iter().filter(|&&n| !self.plan.graph.is_barrier(n));
        let mut running = behind.filter(|&&n| !matches!(self.comps[n as usize].life, Life::Idle | Life::Ended));
        match running.next() {
            Some(&n) => Err(not_now(format!("`{}`, which is after it, has to be stopped first", self.plan.components[n as usize].name))),
            None => Ok(true),
        }
    }

    fn about(&self, doing: &str, id: u32) -> Result<(String, impl Fn(String) -> Refusal + use<>), Refusal> {
        if matches!(self.stage, Stage::Before | Stage::SetUp { .. } | Stage::DroppingSetUp { .. }) {
            return Err(Refusal::NotNow { what: format!("{doing} a component"), why: "nothing has been started yet".into() });
        }
        let Some(planned) = self.plan.components.get(id as usize) else { return Err(Refusal::Unknown) };
        let name = planned.name.to_string();
        let what = format!("{doing} `{name}`");
        let not_now = move |why| Refusal::NotNow { what: what.clone(), why };
        if self.shutdown.is_some() || self.refused.is_some() || matches!(self.stage, Stage::Stopping | Stage::Destroying | Stage::Done) {
            return Err(not_now("the shutdown has begun".into()));
        }
        Ok((name, not_now))
    }

    fn restartable(&self, id: u32) -> bool {
        !self.plan.components[id as usize].once_only
    }

    fn reply(&mut self, ticket: Ticket, result: Result<(), Refusal>) {
        self.actions.push_back(super::Action::Answer { ticket, result: result.map_err(Box::new) });
    }

    /// Tells who asked for a start that it did not succeed.
    pub(super) fn refuse(&mut self, id: u32, why: &str, detail: &str) {
        let what = format!("starting `{}`", self.plan.components[id as usize].name);
        self.answer(id, Err(Refusal::NotNow { what, why: format!("{why}: {detail}") }));
    }
}

fn word(life: Life) -> &'static str {
    match life {
        Life::Idle => "not started",
        Life::Starting => "starting",
        Life::Running => "running",
        Life::Clearing | Life::BackingOff => "being restarted",
        Life::Stopping => "stopping",
        Life::Undoing => "being taken back",
        Life::Ended => "terminal",
    }
}
