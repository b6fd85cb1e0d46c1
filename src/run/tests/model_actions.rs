//! What the model thinks of each action: may it be given, and in time?

use super::model::{At, Model};
use crate::ResourceOutcome;
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::reason::ReasonKind;
use crate::run::Action;
use crate::span::{Moment, millis};
use std::time::Duration;

/// For rounding.
const SLACK: Duration = Duration::from_micros(2);

impl Model<'_> {
    pub(super) fn act(&mut self, now: Moment, action: &Action) {
        self.check(!self.finished || matches!(action, Action::Leave), "T10", || "an action after the end".into());
        match *action {
            Action::Start { id, epoch, deadline } => self.started(now, id, epoch, deadline),
            Action::Interrupt { id } => self.interrupted(now, id),
            Action::AskStop { id, deadline } => self.asked(now, id, deadline),
            Action::Cancel { id, deadline } => self.cancelled(now, id, deadline),
            Action::Abort { id } => self.aborted(now, id),
            Action::AbortNow { id } => self.aborted_now(now, id),
            Action::Ended { id, abandoned } => self.over(now, id, abandoned),
            Action::Discard { id } => {
                let at = self.all[id as usize].at;
                self.check(at == At::Over && self.down.is_some(), "S1", || format!("c{id} is discarded while {at:?}"));
            }
            Action::Destroy { id } => self.destroy(id),
            Action::DropDestroy { id } => {
                let due = self.freeing.is_some_and(|(r, until)| r == id && (until == now || self.at_tail));
                self.check(due, "D1", || format!("r{id} is given up though it is not late"));
                self.freed[id as usize] = Some(ResourceOutcome::Late);
                self.freeing = None;
            }
            Action::Leak { id } => {
                self.check(self.used_by_abandoned(id), "D2", || format!("r{id} is leaked though nobody abandoned uses it"));
                self.may_free(id);
                self.freed[id as usize] = Some(ResourceOutcome::Leaked);
            }
            Action::Answer { ticket, ref result } => self.answered(ticket, result.is_ok()),
            Action::Finish => self.finished = true,
            Action::Leave => self.check(matches!(self.cut, Some(Some(_))), "T8", || "it leaves without a third signal".into()),
            Action::DropSetUp | Action::PlanForUnwinding => self.wrong("S4", "there is no set-up"),
        }
    }

    fn started(&mut self, now: Moment, id: u32, epoch: u32, deadline: Moment) {
        let part = &self.case.parts[id as usize];
        let one = self.all[id as usize].clone();
        self.check(self.down.is_none(), "S4", || format!("c{id} is started during a shutdown"));
        self.check(epoch > one.epoch, "T4", || format!("c{id} is started with an old epoch"));
        self.check(deadline == now.plus(millis(part.start_budget)), "S2", || format!("c{id} has another start budget"));
        match one.at {
            At::Unstarted if !part.on_demand => self.check(self.may_start(id), "O3", || format!("c{id} starts before a predecessor runs")),
            At::Unstarted | At::Over => {
                let runs = part.after.iter().all(|&d| self.all[d as usize].at == At::Up);
                self.check(one.wanted && runs, "S1", || format!("c{id} starts though nobody asked, or what it is after does not run"));
                self.check(one.worst != Outcome::Abandoned, "T5", || format!("c{id} starts though it was abandoned"));
            }
            At::Pausing => {
                self.check(one.wait.0 <= now && now <= one.wait.1, "R1", || format!("c{id} is restarted outside of its pause {:?}", one.wait))
            }
            at => self.wrong("T4", format!("c{id} starts while {at:?}")),
        }
        let one = &mut self.all[id as usize];
        one.again = one.at == At::Pausing;
        (one.at, one.epoch, one.start_by) = (At::Starting, epoch, deadline);
        (one.returned, one.ready, one.finished, one.interrupted, one.empty, one.asked) = (false, false, false, false, false, false);
        (one.rung, one.holds, one.released) = (0, false, false);
    }

    /// O1–O3: all that starts by itself before it has run.
    pub(super) fn may_start(&self, id: u32) -> bool {
        let before = &self.naive.before[id as usize];
        (0..before.len()).all(|b| !before[b] || self.case.parts[b].on_demand || self.all[b].ever_up)
    }

    fn interrupted(&mut self, now: Moment, id: u32) {
        let (at, again) = (self.all[id as usize].at, self.all[id as usize].interrupted);
        self.check(matches!(at, At::TakenBack | At::Clearing) && !again, "S3", || format!("c{id} is interrupted while {at:?}"));
        let wait = self.window(now, self.case.parts[id as usize].waits.0);
        let one = &mut self.all[id as usize];
        (one.interrupted, one.rung, one.wait) = (true, 2, wait);
    }

    /// From when to when a wait may end: between its planned share and the whole of it.
    fn window(&self, now: Moment, full: u64) -> (Moment, Moment) {
        let full = millis(full);
        let Some(down) = self.down else { return (now.plus(full), now.plus(full)) };
        let least = if self.disturbed || down.floors { full.min(millis(1)) } else { full.mul_f64(down.share * 0.9999) };
        (Moment(now.plus(least).min(down.tail).0.saturating_sub(2000)), now.plus(full).min(down.tail))
    }

    fn asked(&mut self, now: Moment, id: u32, deadline: Moment) {
        let part = &self.case.parts[id as usize];
        let one = self.all[id as usize].clone();
        self.check(one.at == At::Up, "T4", || format!("c{id} is asked while {:?}", one.at));
        self.check(!one.asked, "T4", || format!("c{id} is asked twice"));
        let full = millis(part.stop_budget.unwrap_or(self.case.stop_budget));
        let granted = deadline.since(now);
        match self.down {
            None => {
                self.check(one.wanted, "S1", || format!("c{id} is asked though nobody wanted it"));
                self.check(granted == full, "T2", || format!("c{id} gets {granted:?} alone"));
            }
            Some(down) => {
                self.check(self.may_ask(now, id, true), "O3", || format!("c{id} is asked before all behind it are over, or in the drain delay"));
                self.check(deadline <= down.tail, "T1", || format!("c{id} may take longer than the deadline allows"));
                let most = if self.hurried { full.min(millis(250)) } else { full };
                let share = if part.stop_budget.is_some() { full } else { full.mul_f64(down.share * 0.9999) };
                let least = share.min(most);
                self.check(granted <= most, "T2", || format!("c{id} gets {granted:?}, more than {most:?}"));
                let enough = granted + SLACK >= least || self.disturbed || down.floors;
                self.check(enough, "T3", || format!("c{id} gets {granted:?}, its planned share was {least:?}"));
            }
        }
        let one = &mut self.all[id as usize];
        (one.at, one.asked, one.rung, one.wait) = (At::Asked, true, 1, (deadline, deadline));
    }

    /// O1, O3: all behind it are over. With the drain delay: over as well, on the latest view if `may`.
    pub(super) fn may_ask(&self, now: Moment, id: u32, may: bool) -> bool {
        let Some(down) = self.down else { return false };
        let drained = self.hurried || if may { now >= down.drained } else { now > down.drained || down.drained == down.began };
        let behind = &self.naive.behind[id as usize];
        drained && (0..behind.len()).all(|b| !behind[b] || self.all[b].at == At::Over)
    }

    fn rung_due(&mut self, now: Moment, id: u32, to: u8) {
        let one = self.all[id as usize].clone();
        self.check(one.rung + 1 == to, "T5", || format!("c{id} goes from rung {} to {to}", one.rung));
        let due = one.wait.0 <= now && now <= one.wait.1;
        let lifted = one.lifted == Some(to);
        self.check(due || lifted, "T5", || format!("c{id} goes to rung {to} outside of {:?}", one.wait));
    }

    fn cancelled(&mut self, now: Moment, id: u32, deadline: Moment) {
        let at = self.all[id as usize].at;
        self.check(at == At::Asked, "T5", || format!("c{id} is cancelled while {at:?}"));
        self.rung_due(now, id, 2);
        let (least, most) = self.window(now, self.case.parts[id as usize].waits.0);
        self.check(least <= deadline && deadline <= most, "T2", || {
            format!("c{id} has its cancel wait until {deadline:?}, not in {least:?}..{most:?}")
        });
        let one = &mut self.all[id as usize];
        (one.rung, one.wait) = (2, (deadline, deadline));
    }

    fn aborted(&mut self, now: Moment, id: u32) {
        let at = self.all[id as usize].at;
        self.check(matches!(at, At::Asked | At::TakenBack | At::Clearing), "T5", || format!("c{id} is aborted while {at:?}"));
        self.rung_due(now, id, 3);
        let wait = self.window(now, self.case.parts[id as usize].waits.1);
        let one = &mut self.all[id as usize];
        (one.rung, one.wait) = (3, wait);
    }

    /// T11: what held is over, or had its time.
    fn aborted_now(&mut self, now: Moment, id: u32) {
        let one = self.all[id as usize].clone();
        let may = one.holds && (one.released || now >= one.wait.0);
        self.check(may, "T11", || format!("c{id} is aborted against its critical section"));
        let wait = self.window(now, self.case.parts[id as usize].waits.1);
        let one = &mut self.all[id as usize];
        (one.holds, one.wait) = (false, wait);
    }

    fn over(&mut self, now: Moment, id: u32, abandoned: bool) {
        let one = self.all[id as usize].clone();
        self.check(one.at != At::Over, "P1", || format!("c{id} ends twice"));
        let cut = self.cut.is_some();
        if abandoned {
            let in_turn = one.rung == 3 && !one.holds && (one.wait.0 <= now || one.lifted == Some(4));
            if self.at_tail && !in_turn {
                self.cut.get_or_insert(None);
            }
            self.check(in_turn || cut || self.at_tail, "T5", || format!("c{id} is abandoned from rung {}", one.rung));
            let starved = self.cut == Some(None) && one.rung < 3 && !self.disturbed && self.down.is_none_or(|down| !down.floors);
            self.check(!starved, "T3", || format!("c{id} did not have its time: {:?} at the last deadline", one.at));
        } else {
            let never = matches!(one.at, At::Unstarted | At::Pausing) && (self.down.is_some() || one.wanted);
            let ended = matches!(one.at, At::Asked | At::TakenBack) && one.empty;
            self.check(never || ended, "T5", || format!("c{id} is over while {:?}", one.at));
        }
        let by_force = match (one.at, one.rung) {
            _ if abandoned => Outcome::Abandoned,
            (At::Asked, 1) => Outcome::Stopped,
            (At::Asked, 2) => Outcome::Cancelled,
            (At::Asked, _) => Outcome::Aborted,
            // It was being restarted, or never ran.
            _ => one.uncured,
        };
        self.worse(id, by_force);
        self.all[id as usize].at = At::Over;
        if abandoned && one.at == At::Clearing && !cut {
            self.shut_down(now, ReasonKind::ComponentFailed, Some(id));
        }
    }

    /// The scope is clear: the pause begins, spread by a quarter either way (R1).
    pub(super) fn pauses(&mut self, now: Moment, id: u32) {
        let Policy::Restart(restart) = &self.case.parts[id as usize].policy else { return self.wrong("R1", "no restart policy") };
        let one = &mut self.all[id as usize];
        let (least, most) = (one.pause.mul_f64(0.7499), one.pause.mul_f64(1.2501).min(restart.cap));
        (one.at, one.wait, one.rung) = (At::Pausing, (now.plus(least), now.plus(most)), 0);
    }

    fn may_free(&mut self, id: u32) {
        let all_over = self.all.iter().all(|one| one.at == At::Over);
        self.check(all_over, "D1", || format!("r{id} is freed while a component is not terminal"));
        if self.cut.is_some() || self.at_tail {
            // Nothing is freed any more.
            return;
        }
        let later_done = self.freed[id as usize + 1..].iter().all(Option::is_some);
        self.check(later_done && self.freeing.is_none() && self.freed[id as usize].is_none(), "D1", || format!("r{id} is freed out of order"));
    }

    pub(super) fn used_by_abandoned(&self, resource: u32) -> bool {
        self.all.iter().zip(&self.case.parts).any(|(one, part)| one.worst == Outcome::Abandoned && part.uses.contains(&resource))
    }

    fn destroy(&mut self, id: u32) {
        self.may_free(id);
        self.check(!self.used_by_abandoned(id), "D2", || format!("r{id} is destroyed though an abandoned component uses it"));
        self.freeing = Some((id, Moment::NEVER));
    }

    fn answered(&mut self, ticket: u64, ok: bool) {
        let Some((id, start)) = self.tickets.remove(&ticket) else { return self.wrong("S1", "an answer to nobody, or twice") };
        let at = self.all[id as usize].at;
        let one = &self.all[id as usize];
        let came_up = one.returned && (one.ready || !self.case.parts[id as usize].declares_ready);
        let fits = !ok || if start { came_up } else { matches!(at, At::Unstarted | At::Over) };
        self.check(fits, "S1", || format!("c{id} is {at:?}, but its {} is answered as done", if start { "start" } else { "stop" }));
    }
}
