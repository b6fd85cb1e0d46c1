//! What the model makes of each fact, and of the time.

use super::model::{At, Down, Model};
use super::naive::terms;
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::reason::ReasonKind;
use crate::run::{Failure, Input};
use crate::span::{Moment, millis};
use std::time::Duration;

impl Model<'_> {
    /// A fact, before the machine hears of it.
    pub(super) fn fact(&mut self, now: Moment, input: &Input) {
        match input {
            Input::StartReturned { id, epoch, result } if self.is_current(*id, *epoch) && self.all[*id as usize].at == At::Starting => match result {
                Ok(()) => {
                    self.all[*id as usize].returned = true;
                    self.up_if_ready(now, *id);
                }
                Err(failure) => self.start_failed(now, *id, Some(failure)),
            },
            // R2: a panic is never lost, also when the start is taken back.
            Input::StartReturned { id, epoch, result: Err(failure) } | Input::TaskEnded { id, epoch, result: Err(failure), .. }
                if self.is_current(*id, *epoch) && self.all[*id as usize].at == At::TakenBack =>
            {
                self.worse(*id, if failure.panicked { Outcome::Panicked } else { Outcome::NotStarted });
            }
            Input::ReadyCalled { id, epoch } if self.is_current(*id, *epoch) && self.all[*id as usize].at == At::Starting => {
                self.all[*id as usize].ready = true;
                self.up_if_ready(now, *id);
            }
            Input::TaskEnded { id, epoch, result, .. } if self.is_current(*id, *epoch) => self.task_ended(now, *id, result.as_ref().err()),
            Input::StopReturned { id, result: Err(failure), epoch } if self.is_current(*id, *epoch) => self.worse(*id, failure.outcome()),
            Input::ScopeEmpty { id, epoch } if self.is_current(*id, *epoch) => self.all[*id as usize].empty = true,
            Input::Released { id, epoch } if self.is_current(*id, *epoch) => self.all[*id as usize].released = true,
            Input::Held { id, bound } => self.held(now, *id, *bound),
            Input::Signal { number, .. } => self.signal(now, *number),
            Input::Request { .. } => self.shut_down(now, ReasonKind::Request, None),
            Input::StartOne { id, ticket } => {
                self.tickets.insert(*ticket, (*id, true));
                self.all[*id as usize].wanted = true;
            }
            Input::StopOne { id, ticket } => {
                self.tickets.insert(*ticket, (*id, false));
                self.all[*id as usize].wanted = true;
            }
            Input::ResourceEnded { id, result } if self.freeing.is_some_and(|(r, _)| r == *id) => {
                self.freed[*id as usize] = Some(if result.is_ok() { crate::ResourceOutcome::Destroyed } else { crate::ResourceOutcome::Failed });
                self.freeing = None;
            }
            _ => {}
        }
    }

    fn is_current(&self, id: u32, epoch: u32) -> bool {
        self.all[id as usize].epoch == epoch && self.all[id as usize].at != At::Over
    }

    pub(super) fn worse(&mut self, id: u32, outcome: Outcome) {
        let one = &mut self.all[id as usize];
        one.worst = one.worst.max(outcome);
    }

    fn up_if_ready(&mut self, now: Moment, id: u32) {
        let one = &mut self.all[id as usize];
        if one.returned && (one.ready || !self.case.parts[id as usize].declares_ready) {
            (one.at, one.ever_up, one.uncured) = (At::Up, true, Outcome::NotStarted);
            if one.finished {
                self.work_ended(now, id, None);
            }
        }
    }

    /// S3, R1: a start that failed or is late.
    fn start_failed(&mut self, now: Moment, id: u32, failure: Option<&Failure>) {
        let part = &self.case.parts[id as usize];
        let again = self.all[id as usize].again;
        if again && self.down.is_none() && matches!(part.policy, Policy::Restart(_)) {
            let late = Failure::error("late");
            return self.work_ended(now, id, Some(failure.unwrap_or(&late)));
        }
        self.worse(id, failure.map_or(Outcome::Failed, Failure::outcome));
        self.all[id as usize].at = At::TakenBack;
        if !part.on_demand {
            self.shut_down(now, if again { ReasonKind::ComponentFailed } else { ReasonKind::StartFailed }, Some(id));
        }
    }

    fn task_ended(&mut self, now: Moment, id: u32, failure: Option<&Failure>) {
        match (self.all[id as usize].at, failure) {
            (At::Starting, Some(failure)) => self.start_failed(now, id, Some(failure)),
            (At::Starting, None) => {
                self.all[id as usize].finished = true;
                if self.case.parts[id as usize].declares_ready && !self.all[id as usize].ready {
                    self.start_failed(now, id, Some(&Failure::error("not ready")));
                }
            }
            (At::Up, failure) => self.work_ended(now, id, failure),
            (At::Asked, Some(failure)) => self.worse(id, failure.outcome()),
            _ => {}
        }
    }

    /// R1: work ended though nobody asked.
    fn work_ended(&mut self, now: Moment, id: u32, failure: Option<&Failure>) {
        let part = &self.case.parts[id as usize];
        let one = &mut self.all[id as usize];
        match &part.policy {
            Policy::Ignore => return,
            Policy::Restart(restart) if self.down.is_none() => {
                one.restarts.retain(|at| now.since(*at) <= restart.window);
                if one.restarts.len() < restart.max as usize {
                    one.pause = (0..one.restarts.len()).fold(restart.first, |pause, _| (pause * 2).min(restart.cap));
                    one.restarts.push(now);
                    (one.at, one.uncured) = (At::Clearing, failure.map_or(Outcome::Finished, Failure::outcome));
                    return;
                }
            }
            Policy::Restart(_) | Policy::ShutDown => {}
        }
        if one.at == At::Starting {
            one.at = At::TakenBack;
        }
        self.worse(id, failure.map_or(Outcome::Finished, Failure::outcome));
        let kind = if failure.is_some() { ReasonKind::ComponentFailed } else { ReasonKind::Finished };
        self.shut_down(now, kind, Some(id));
    }

    /// T7, T12, S3, S4: the first cause, and what it changes at once.
    pub(super) fn shut_down(&mut self, now: Moment, kind: ReasonKind, cause: Option<u32>) {
        if self.down.is_some() {
            return;
        }
        let (grace, kept, delay) = terms(self.case, kind);
        let tail = now.plus(Duration::from_nanos(grace - kept));
        let delay = if self.all.iter().any(|one| one.at == At::Up) { delay } else { 0 };
        // What is kept for the report, with a microsecond for rounding.
        let share = self.naive.factor(self.case, (grace - kept - delay).saturating_sub(1000) as f64);
        let least = self.case.parts.iter().map(|p| p.waits.1.min(p.waits.0)).min().unwrap_or(1000).min(self.case.stop_budget).max(1);
        let drained = if delay == 0 { now } else { Moment(now.0 + delay).min(tail) };
        self.down = Some(Down { kind, cause, began: now, tail, drained, share, floors: least as f64 * share < 1.0 });
        for (one, part) in self.all.iter_mut().zip(&self.case.parts) {
            if matches!(one.at, At::Starting | At::Clearing) {
                one.at = At::TakenBack;
            }
            if matches!(one.at, At::TakenBack | At::Asked) {
                // From now on the rest of its way is cut from the shutdown's time.
                let full = [part.stop_budget.unwrap_or(self.case.stop_budget), part.waits.0, part.waits.1][usize::from(one.rung.clamp(1, 3)) - 1];
                let least = now.plus(millis(full).mul_f64(share * 0.999)).min(tail);
                one.wait = (one.wait.0.min(least), one.wait.1.max(now.plus(millis(full))).min(tail));
            }
        }
    }

    fn signal(&mut self, now: Moment, number: i32) {
        if self.signals.iter().any(|&(n, at)| n == number && now.since(at) < millis(200)) {
            return;
        }
        self.signals.push((number, now));
        match self.signals.len() {
            1 => self.shut_down(now, ReasonKind::Signal, None),
            2 if self.all.iter().any(|one| one.at != At::Over) => {
                (self.hurried, self.lifted_at) = (true, Some(now));
                for one in &mut self.all {
                    if matches!(one.at, At::Asked | At::TakenBack) && !one.holds {
                        one.lifted = Some(one.rung + 1);
                    }
                }
            }
            2 => {}
            _ => self.cut = Some(Some(number)),
        }
    }

    /// T11: until its bound; what others stated as theirs is checked where they are asked.
    fn held(&mut self, now: Moment, id: u32, bound: Duration) {
        let tail = self.down.map_or(Moment::NEVER, |down| down.tail);
        let one = &mut self.all[id as usize];
        one.holds = true;
        one.wait = (now, now.plus(bound).min(tail));
        self.disturbed = true;
    }

    /// The machine is about to be told the time.
    pub(super) fn timeout(&mut self, now: Moment) {
        let mut late: Vec<(Moment, u32)> = (0u32..).zip(&self.all).filter(|(_, o)| o.at == At::Starting).map(|(id, o)| (o.start_by, id)).collect();
        late.retain(|(by, _)| *by <= now);
        late.sort_unstable();
        let several = late.len() > 1;
        for (_, id) in late {
            self.all[id as usize].unclear |= several;
            if self.all[id as usize].at == At::Starting {
                self.start_failed(now, id, None);
            }
        }
        self.at_tail = self.down.is_some_and(|down| down.tail <= now);
    }
}
