//! One case: the machine, a queue of what is to come, and a clock that jumps.

use super::{Case, Fault, Where};
use crate::outcome::{Outcome, ResourceOutcome};
use crate::plan::Plan;
use crate::report::{Raw, Report};
use crate::run::machine::{Machine, Stage};
use crate::run::{Action, Failure, Input};
use crate::span::Moment;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

struct Simulation {
    machine: Machine,
    plan: Arc<Plan>,
    fault: Option<(u32, Where, Fault)>,
    queue: BinaryHeap<Reverse<(Moment, u64)>>,
    waiting: HashMap<u64, Input>,
    next: u64,
    epochs: HashMap<u32, u32>,
    signalled: bool,
}

pub(super) fn case(plan: &Arc<Plan>, fault: Option<(u32, Where, Fault)>) -> Case {
    let mut simulation = Simulation {
        machine: Machine::new(1),
        plan: plan.clone(),
        fault,
        queue: BinaryHeap::new(),
        waiting: HashMap::new(),
        next: 0,
        epochs: HashMap::new(),
        signalled: false,
    };
    let ended = simulation.run();
    simulation.judge(ended)
}

impl Simulation {
    fn run(&mut self) -> Moment {
        let mut now = Moment::default();
        self.machine.begin(now, Plan { components: Box::default(), graph: Default::default(), ..(*self.plan).clone() }, false);
        self.machine.planned(now, self.plan.clone());
        loop {
            while let Some(action) = self.machine.poll_action() {
                self.act(now, &action);
            }
            if self.machine.stage == Stage::Done {
                return now;
            }
            if self.machine.stage == Stage::Running && !std::mem::replace(&mut self.signalled, true) {
                self.machine.handle(now, Input::Signal { number: 15, name: "SIGTERM" });
                continue;
            }
            let fact = self.queue.peek().map(|Reverse((at, _))| *at);
            let timeout = self.machine.next_timeout();
            // The fact first when both are due (T6).
            match (fact, timeout) {
                (Some(at), timeout) if timeout.is_none_or(|t| at <= t) => {
                    now = at;
                    let Some(Reverse((_, key))) = self.queue.pop() else { continue };
                    if let Some(input) = self.waiting.remove(&key) {
                        self.machine.handle(now, input);
                    }
                }
                (_, Some(at)) => {
                    now = at.max(now);
                    self.machine.handle_timeout(now);
                }
                // Nothing to come and nothing to wait for: the machine always has a deadline while it stops, so this is its end.
                (_, None) => return now,
            }
        }
    }

    fn at(&mut self, at: Moment, input: Input) {
        self.next += 1;
        self.queue.push(Reverse((at, self.next)));
        self.waiting.insert(self.next, input);
    }

    fn fault_of(&self, id: u32, place: Where) -> Option<Fault> {
        self.fault.filter(|(who, at, _)| *who == id && *at == place).map(|(_, _, fault)| fault)
    }

    /// Does it end when its token fires?
    fn obeys(&self, id: u32, place: Where) -> bool {
        !matches!(self.fault_of(id, place), Some(Fault::IgnoresCancel | Fault::Blocks))
    }

    fn typical(&self, id: u32) -> (Duration, Duration) {
        self.plan.components[id as usize].typical()
    }

    fn act(&mut self, now: Moment, action: &Action) {
        match *action {
            Action::Start { id, epoch, .. } => {
                self.epochs.insert(id, epoch);
                let at = now.plus(self.typical(id).0);
                match self.fault_of(id, Where::Start) {
                    None => {
                        self.at(at, Input::StartReturned { id, epoch, result: Ok(()) });
                        if self.plan.components[id as usize].declares_ready {
                            self.at(at, Input::ReadyCalled { id, epoch });
                        }
                    }
                    Some(Fault::Fails) => self.at(at, Input::StartReturned { id, epoch, result: Err(Failure::error("rehearsed")) }),
                    Some(Fault::Panics) => self.at(at, Input::StartReturned { id, epoch, result: Err(Failure::panic("rehearsed")) }),
                    Some(Fault::Hangs | Fault::IgnoresCancel | Fault::Blocks) => {}
                }
            }
            Action::Interrupt { id } if self.obeys(id, Where::Start) => self.empty(now, id),
            Action::AskStop { id, .. } => self.ask(now, id),
            Action::Cancel { id, .. } if self.obeys(id, Where::Stop) => self.empty(now, id),
            Action::Abort { id } | Action::AbortNow { id } => {
                let blocks = [Where::Start, Where::Stop].into_iter().any(|place| self.fault_of(id, place) == Some(Fault::Blocks));
                if !blocks {
                    self.empty(now, id);
                }
            }
            Action::Destroy { id } => self.at(now, Input::ResourceEnded { id, result: Ok(()) }),
            _ => {}
        }
    }

    fn ask(&mut self, now: Moment, id: u32) {
        let epoch = self.epochs.get(&id).copied().unwrap_or_default();
        let at = now.plus(self.typical(id).1);
        let result = match self.fault_of(id, Where::Stop) {
            None => Ok(()),
            Some(Fault::Fails) => Err(Failure::error("rehearsed")),
            Some(Fault::Panics) => Err(Failure::panic("rehearsed")),
            Some(Fault::Hangs | Fault::IgnoresCancel | Fault::Blocks) => return,
        };
        self.at(at, Input::StopReturned { id, epoch, result });
        self.at(at, Input::ScopeEmpty { id, epoch });
    }

    fn empty(&mut self, now: Moment, id: u32) {
        let epoch = self.epochs.get(&id).copied().unwrap_or_default();
        self.at(now, Input::ScopeEmpty { id, epoch });
    }

    fn judge(mut self, ended: Moment) -> Case {
        let began = self.machine.shutdown.as_ref().map_or(ended, |s| s.began);
        let report = Report::new(Raw::take(&mut self.machine, ended, HashMap::new()));
        let guilty = self.fault.map(|(id, ..)| self.plan.components[id as usize].name.clone());
        let forced = report.components().iter().filter(|c| c.outcome >= Outcome::Cancelled).map(|c| c.name.clone());
        let late = report.resources().iter().filter(|r| r.outcome == ResourceOutcome::Late).map(|r| r.name.clone());
        let cut_short: Vec<Arc<str>> = forced.chain(late).collect();
        let starved = cut_short.iter().filter(|name| Some(*name) != guilty.as_ref()).cloned().collect();
        let fault = self.fault.map(|(id, place, fault)| (self.plan.components[id as usize].name.clone(), place, fault));
        Case { fault, leaves_after: ended.since(began), exit_code: report.exit_code(), verdict: report.verdict(), cut_short, starved }
    }
}
