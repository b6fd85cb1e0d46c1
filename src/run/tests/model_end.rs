//! What must have been done once the machine has nothing more to say, and how it must all have ended.

use super::model::{At, Model};
use crate::outcome::{Outcome, ResourceOutcome, Verdict};
use crate::policy::Policy;
use crate::reason::ReasonKind;
use crate::report::Report;
use crate::run::machine::{Cut, Machine, Stage};
use crate::span::{Moment, millis};

impl Model<'_> {
    /// All that was due has been done. `timed`: the machine was told that the time has come.
    pub(super) fn settled(&mut self, now: Moment, timed: bool, machine: &mut Machine) {
        if !machine.illegal.is_empty() {
            self.wrong("table", machine.illegal.join(", "));
        }
        if self.finished {
            return;
        }
        for id in 0..self.all.len() as u32 {
            self.one_settled(now, timed, id);
        }
        self.lifted();
        self.check(machine.shutdown.is_some() == self.down.is_some(), "T7", || "is a shutdown on or not?".into());
        if let (Some(shutdown), Some(down)) = (&machine.shutdown, self.down) {
            let same = shutdown.cause.kind == down.kind && shutdown.cause.component == down.cause && shutdown.began == down.began;
            let unclear = self.all.iter().any(|one| one.unclear);
            self.check(same || unclear, "T7", || format!("the cause is {:?}, and was {down:?}", shutdown.cause));
            self.check(shutdown.tail == down.tail || unclear, "T1", || format!("the tail is {:?}, not {:?}", shutdown.tail, down.tail));
            let next = machine.next_timeout();
            self.check(next.is_some_and(|next| next <= down.tail), "T1", || format!("it waits until {next:?}, the tail is {:?}", down.tail));
            self.check(now < down.tail || !timed, "T1", || "the tail has passed and it is not over".into());
        }
        self.freeing_settled(now, machine);
        let all_up = self.all.iter().zip(&self.case.parts).all(|(one, part)| one.ever_up || part.on_demand);
        self.check(self.down.is_some() || (machine.stage == Stage::Running) == all_up, "S2", || "running or not?".into());
        self.check(self.cut.is_none(), "T8", || "a third signal, and it goes on".into());
        self.all.iter_mut().for_each(|one| one.wanted = false);
    }

    fn one_settled(&mut self, now: Moment, timed: bool, id: u32) {
        let one = self.all[id as usize].clone();
        let untold = matches!(one.at, At::TakenBack | At::Clearing) && !one.interrupted;
        self.check(!untold, "S3", || format!("c{id} was to be told to end"));
        let remains = matches!(one.at, At::Asked | At::TakenBack) && one.empty;
        self.check(!remains, "T5", || format!("c{id} has ended, and is not terminal"));
        if one.at == At::Clearing && one.empty {
            self.pauses(now, id);
        }
        match (self.down, one.at) {
            (Some(_), At::Unstarted | At::Pausing | At::Starting | At::Clearing) => self.wrong("S4", format!("c{id} is {:?} in a shutdown", one.at)),
            (None, At::Unstarted) if !self.case.parts[id as usize].on_demand => {
                self.check(!self.may_start(id), "O2", || format!("c{id} must be started now"));
            }
            (Some(_), At::Up) => self.check(!self.may_ask(now, id, timed), "O2", || format!("c{id} must be asked now")),
            _ => {}
        }
        let waits = matches!(self.all[id as usize].at, At::Asked | At::TakenBack | At::Clearing | At::Pausing);
        let wait = self.all[id as usize].wait.1;
        self.check(!waits || now <= wait, "T5", || format!("c{id} is waited for beyond {wait:?}"));
        let late = self.all[id as usize].at == At::Starting && timed && one.start_by <= now;
        self.check(!late, "S2", || format!("c{id} may start for longer than its budget"));
    }

    /// T8: each live component is a rung up.
    fn lifted(&mut self) {
        for id in 0..self.all.len() {
            let Some(rung) = self.all[id].lifted.take() else { continue };
            let one = &self.all[id];
            let there = one.rung >= rung || one.at == At::Over;
            self.check(there, "T8", || format!("c{id} was to be on rung {rung}"));
        }
    }

    /// D1: when all are over, one resource after the other, each in its budget.
    fn freeing_settled(&mut self, now: Moment, machine: &mut Machine) {
        if self.all.iter().any(|one| one.at != At::Over) || self.down.is_none() {
            return;
        }
        let Some((id, until)) = self.freeing else { return self.wrong("D1", "all is over, and nothing is freed") };
        let tail = self.down.map_or(Moment::NEVER, |down| down.tail);
        if until == Moment::NEVER {
            let (stated, _) = self.case.resources[id as usize];
            let until = machine.next_timeout().unwrap_or(Moment::NEVER);
            self.freeing = Some((id, until));
            let full = millis(stated.unwrap_or(1000));
            self.check(until <= now.plus(full).min(tail), "D1", || format!("r{id} has until {until:?}"));
            let down = self.down;
            let undisturbed = !self.disturbed && down.is_some_and(|down| !down.floors);
            let share = if stated.is_some() { full } else { full.mul_f64(down.map_or(1.0, |down| down.share * 0.9999)) };
            let enough = until.since(now) + millis(1) >= share;
            self.check(enough || !undisturbed, "T3", || format!("r{id} gets {:?}, its planned share was {share:?}", until.since(now)));
        }
    }

    /// The machine is done.
    pub(super) fn end(&mut self, now: Moment, machine: &Machine) {
        self.check(self.finished, "T10", || "done without saying so".into());
        for id in 0..self.all.len() {
            let one = self.all[id].clone();
            self.check(one.at == At::Over, "T10", || format!("c{id} is {:?} at the end", one.at));
            let got = machine.comps[id].outcome;
            self.check(got == one.worst || one.unclear, "P1", || format!("c{id} ended {got}, and was {}", one.worst));
            let never_stopped = got != Outcome::Stopped || !one.asked || one.rung <= 1;
            self.check(never_stopped, "P1", || format!("c{id} was forced and is called stopped"));
        }
        if self.at_tail && self.freed.contains(&None) {
            self.cut.get_or_insert(None);
        }
        if self.cut.is_some() {
            for id in 0..self.freed.len() as u32 {
                let given_up = if self.used_by_abandoned(id) { ResourceOutcome::Leaked } else { ResourceOutcome::Late };
                self.freed[id as usize].get_or_insert(given_up);
            }
        }
        for id in 0..self.freed.len() {
            let got = machine.freeing.resources[id].outcome;
            let expected = self.freed[id];
            self.check(got == expected, "D1", || format!("r{id} ended {got:?}, and was {expected:?}"));
        }
        let cut = match machine.cut {
            None => None,
            Some(Cut::Deadline) => Some(None),
            Some(Cut::Signal(n)) => Some(Some(n)),
        };
        let expected = self.cut;
        self.check(cut == expected, "T8", || format!("it was cut by {cut:?}, not {expected:?}"));
        self.check(self.tickets.is_empty(), "S1", || "somebody waits for an answer".into());
        let in_time = self.down.is_some_and(|down| now <= down.tail);
        self.check(in_time, "T1", || "it ended after the deadline, or without a cause".into());
    }

    /// P2, P3: the report agrees.
    pub(super) fn report(&mut self, now: Moment, report: &Report) {
        for (id, component) in report.components().iter().enumerate() {
            let (one, policy) = (self.all[id].clone(), &self.case.parts[id].policy);
            let began = component.start.map(|s| s.began);
            self.check(began.is_some() == (one.epoch > 0), "P2", || format!("c{id} has no start, or one that never was"));
            self.check(component.stop.is_some() == one.asked, "P2", || format!("c{id} has no stop, or one that never was"));
            let spans = component.start.iter().chain(&component.stop);
            let in_order = spans.clone().all(|s| s.began <= s.ended && s.ended <= now.since_start());
            self.check(in_order, "P2", || format!("c{id} has an end before its begin"));
            self.check(
                component.error.is_some() || !matches!(component.outcome, Outcome::Failed | Outcome::Panicked) || may_lack(policy),
                "P2",
                || format!("c{id} failed without a text"),
            );
        }
        let (verdict, code) = self.verdict();
        self.check(report.verdict() == verdict, "P3", || format!("{} instead of {verdict}", report.verdict()));
        self.check(report.exit_code() == code, "P3", || format!("exit code {} instead of {code}", report.exit_code()));
    }

    fn verdict(&self) -> (Verdict, u8) {
        if let Some(Some(signal)) = self.cut {
            return (Verdict::Immediate, 128 + signal as u8);
        }
        let outcomes = || self.all.iter().map(|one| one.worst);
        let resources = |o: ResourceOutcome| self.freed.contains(&Some(o));
        let forced = outcomes().any(|o| matches!(o, Outcome::Cancelled | Outcome::Aborted | Outcome::Abandoned));
        if forced || self.cut.is_some() || resources(ResourceOutcome::Late) || resources(ResourceOutcome::Leaked) {
            return (Verdict::Forced, 124);
        }
        let kind = self.down.map(|down| down.kind);
        let broken = matches!(kind, Some(ReasonKind::StartFailed | ReasonKind::ComponentFailed));
        let failed = broken || outcomes().any(|o| matches!(o, Outcome::Failed | Outcome::Panicked)) || resources(ResourceOutcome::Failed);
        let own = self.case.profiles.iter().rfind(|(k, _)| Some(*k) == kind).and_then(|(_, p)| p.exit_code);
        if failed { (Verdict::Failed, own.unwrap_or(1)) } else { (Verdict::Clean, own.unwrap_or(0)) }
    }
}

/// Its work may have ended well, again and again.
fn may_lack(policy: &Policy) -> bool {
    matches!(policy, Policy::Restart(_))
}
