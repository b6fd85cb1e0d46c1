//! Supervision (R1): what happens when work ends though nobody asked.

use super::machine::{Comp, Machine};
use super::table::Life;
use super::{Action, Cause, Failure, Subject};
use crate::event::EventKind;
use crate::outcome::{Outcome, Rung};
use crate::policy::{Policy, Restart};
use crate::reason::ReasonKind;
use crate::span::Moment;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What is remembered of a component that failed.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(crate) struct Supervision {
    /// When it was restarted lately; older ones than the window are forgotten.
    recent: VecDeque<Moment>,
    /// The first error's or panic's text.
    error: Option<Arc<str>>,
    pub(crate) restarts: u32,
    pause: Duration,
}

impl Comp {
    /// The first text is the one that is told.
    pub(super) fn remember(&mut self, text: Arc<str>) {
        self.history.get_or_insert_default().error.get_or_insert(text);
    }

    pub(crate) fn error(&self) -> Option<&Arc<str>> {
        self.history.as_ref()?.error.as_ref()
    }
}

impl Machine {
    pub(super) fn may_restart(&self, id: u32) -> bool {
        self.shutdown.is_none() && matches!(self.plan.components[id as usize].policy(), Policy::Restart(_))
    }

    /// Work of a component that runs (or is being started again) ended: `failure` is `None` after success.
    pub(super) fn supervise(&mut self, now: Moment, id: u32, failure: Option<Failure>) {
        let plan = self.plan.clone();
        match plan.components[id as usize].policy() {
            Policy::Ignore => {
                if let Some(failure) = failure {
                    self.comps[id as usize].remember(failure.text);
                }
            }
            Policy::Restart(restart) if self.shutdown.is_none() => self.restart_or_give_up(now, id, restart, failure),
            Policy::ShutDown | Policy::Restart(_) => self.shut_down_for(now, id, failure),
        }
    }

    fn shut_down_for(&mut self, now: Moment, id: u32, failure: Option<Failure>) {
        let comp = &mut self.comps[id as usize];
        let cause = match &failure {
            Some(failure) => Cause { kind: ReasonKind::ComponentFailed, detail: failure.text.to_string(), component: Some(id) },
            None => {
                comp.outcome = comp.outcome.max(Outcome::Finished);
                Cause { kind: ReasonKind::Finished, detail: "its work ended".into(), component: Some(id) }
            }
        };
        self.blemish(id, failure);
        if self.comps[id as usize].life == Life::Starting {
            // Its start was the last failure: there is nothing to ask for a stop.
            self.clear_scope(now, id, Life::Undoing);
        }
        self.begin_shutdown(now, cause);
    }

    fn restart_or_give_up(&mut self, now: Moment, id: u32, restart: &Restart, failure: Option<Failure>) {
        let random = self.next_random();
        let comp = &mut self.comps[id as usize];
        let history = comp.history.get_or_insert_default();
        while history.recent.front().is_some_and(|&at| now.since(at) > restart.window) {
            history.recent.pop_front();
        }
        if history.recent.len() >= restart.max as usize {
            return self.shut_down_for(now, id, failure);
        }
        let doublings = history.recent.len().min(31) as i32;
        let pause = restart.first.mul_f64(2f64.powi(doublings)).min(restart.cap);
        history.pause = jittered(pause, random).min(restart.cap);
        history.recent.push_back(now);
        history.restarts += 1;
        comp.uncured = failure.as_ref().map_or(Outcome::Finished, Failure::outcome);
        // A failure that a restart cures keeps its text and loses nothing else.
        if let Some(failure) = failure {
            comp.remember(failure.text);
        }
        self.clear_scope(now, id, Life::Clearing);
    }

    /// The scope is clear: wait for the next start.
    pub(super) fn back_off(&mut self, now: Moment, id: u32) {
        let comp = &mut self.comps[id as usize];
        comp.life = Life::BackingOff;
        comp.rung = Rung::None;
        let history = comp.history.get_or_insert_default();
        let (pause, restart) = (history.pause, history.restarts);
        self.timers.set(id, now.plus(pause));
        self.note(now, Subject::Component(id), EventKind::RestartScheduled { pause, restart });
    }

    /// How often it was started again.
    pub(crate) fn restarts(&self, id: u32) -> u32 {
        self.comps[id as usize].history.as_ref().map_or(0, |s| s.restarts)
    }

    /// splitmix64: jitter needs to differ between processes, not to be unpredictable.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// It is terminal: who asked for its stop has it, who asked for its start does not.
    pub(super) fn answer_terminal(&mut self, id: u32) {
        if self.tickets.is_empty() {
            return;
        }
        for (ticket, start) in self.tickets.remove(&id).unwrap_or_default() {
            let what = format!("starting `{}`", self.plan.components[id as usize].name);
            let refusal = super::Refusal::NotNow { what, why: "it ended before it ran".into() };
            let result = if start { Err(Box::new(refusal)) } else { Ok(()) };
            self.actions.push_back(Action::Answer { ticket, result });
        }
    }

    /// Answers whoever asked for one component.
    pub(super) fn answer(&mut self, id: u32, result: Result<(), super::Refusal>) {
        if self.tickets.is_empty() {
            return;
        }
        let result = result.map_err(Box::new);
        for (ticket, _) in self.tickets.remove(&id).unwrap_or_default() {
            self.actions.push_back(Action::Answer { ticket, result: result.clone() });
        }
    }
}

/// Within a quarter either way.
fn jittered(pause: Duration, random: u64) -> Duration {
    let unit = (random >> 11) as f64 / (1u64 << 53) as f64;
    pause.mul_f64(0.75 + unit * 0.5)
}
