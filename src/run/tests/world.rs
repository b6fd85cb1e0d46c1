//! The world around the machine: carries out what it says on scripted components, in virtual time, and hands back the facts.
//! Facts come before timeouts at the same instant (T6).

use super::case::{Call, Case, Force, How, Outside};
use super::ending::Ending;
use super::model::Model;
use super::ms;
use crate::plan::Plan;
use crate::report::{Raw, Report};
use crate::run::machine::{Machine, Stage};
use crate::run::{Action, Failure, Input};
use crate::span::{Moment, millis};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const START: u8 = 1;
const RUN: u8 = 2;
const STOP: u8 = 4;

/// One start of one component.
#[derive(Debug, Default)]
struct Scope {
    epoch: u32,
    members: u8,
    sealed: bool,
    closed: bool,
    /// When it was told to end.
    told: Option<Moment>,
    /// When its futures were dropped: nothing of them comes after that.
    cut: Option<Moment>,
    /// Its critical section is over, or there is none.
    uncritical: bool,
    holds: bool,
}

#[derive(Debug)]
enum Event {
    Say(Input),
    Ends { id: u32, epoch: u32, member: u8, result: Option<Result<(), Failure>> },
    Release { id: u32, epoch: u32 },
    From(Outside),
}

/// The world of one case.
#[derive(Debug)]
pub(super) struct World<'a> {
    case: &'a Case,
    machine: Machine,
    model: Model<'a>,
    scopes: Vec<Scope>,
    queue: BTreeMap<(Moment, u64), Event>,
    next: u64,
    log: Vec<(Moment, Action)>,
}

impl<'a> World<'a> {
    pub(super) fn new(case: &'a Case, plan: Plan) -> World<'a> {
        let mut machine = Machine::new(7);
        let now = Moment::default();
        machine.begin(now, Plan { components: Box::default(), graph: Default::default(), ..plan.clone() }, false);
        let scopes = case.parts.iter().map(|_| Scope { closed: true, ..Scope::default() }).collect();
        let mut world = World { case, machine, model: Model::new(case), scopes, queue: BTreeMap::new(), next: 0, log: Vec::new() };
        for &(at, what) in &case.outside {
            world.at(ms(at), Event::From(what));
        }
        world.machine.planned(now, Arc::new(plan));
        world
    }

    pub(super) fn run(mut self) -> Result<Ending, String> {
        let mut now = Moment::default();
        self.settle(now, false);
        for _ in 0..20_000 {
            if let Some(complaint) = self.model.complaint.take() {
                return Err(self.told(now, &complaint));
            }
            if self.machine.stage == Stage::Done {
                return self.end(now);
            }
            let fact = self.queue.keys().next().copied();
            match (fact, self.machine.next_timeout()) {
                (Some(key), timeout) if timeout.is_none_or(|at| key.0 <= at) => {
                    now = key.0;
                    if let Some(event) = self.queue.remove(&key) {
                        self.happen(now, event);
                    }
                }
                (_, Some(at)) if at >= now => {
                    now = at;
                    self.model.timeout(now);
                    self.machine.handle_timeout(now);
                    self.settle(now, true);
                }
                (_, at) => return Err(self.told(now, &format!("nothing will happen any more; next timeout: {at:?}"))),
            }
        }
        Err(self.told(now, "it goes on for ever"))
    }

    fn told(&self, now: Moment, complaint: &str) -> String {
        let lines: Vec<String> = self.log.iter().map(|(at, action)| format!("{} us: {action:?}", at.0 / 1000)).collect();
        format!("at {} us: {complaint}\n  {}", now.0 / 1000, lines.join("\n  "))
    }

    fn end(mut self, now: Moment) -> Result<Ending, String> {
        self.model.end(now, &self.machine);
        let report = Report::new(Raw::take(&mut self.machine, now, HashMap::new()));
        self.model.report(now, &report);
        match self.model.complaint.take() {
            Some(complaint) => Err(self.told(now, &complaint)),
            None => Ok(Ending { report, log: self.log, ended: now }),
        }
    }

    fn at(&mut self, at: Moment, event: Event) {
        self.next += 1;
        self.queue.insert((at, self.next), event);
    }

    fn say(&mut self, now: Moment, input: Input) {
        self.model.fact(now, &input);
        self.machine.handle(now, input);
    }

    fn settle(&mut self, now: Moment, timed: bool) {
        while let Some(action) = self.machine.poll_action() {
            self.log.push((now, action.clone()));
            self.model.act(now, &action);
            if let Some(input) = self.carry_out(now, action) {
                self.say(now, input);
            }
        }
        self.model.settled(now, timed, &mut self.machine);
    }

    fn happen(&mut self, now: Moment, event: Event) {
        match event {
            Event::Say(input) => self.say(now, input),
            Event::From(one) => {
                self.next += 1;
                let ticket = self.next;
                match one {
                    Outside::StartOne(id) => self.say(now, Input::StartOne { id, ticket }),
                    Outside::StopOne(id) => self.say(now, Input::StopOne { id, ticket }),
                    Outside::Signal(number) => self.say(now, Input::Signal { number, name: "SIGNAL" }),
                    Outside::Request => self.say(now, Input::Request { why: "asked".into() }),
                }
            }
            Event::Release { id, epoch } => {
                if self.scopes[id as usize].epoch == epoch {
                    self.scopes[id as usize].uncritical = true;
                    if self.scopes[id as usize].holds {
                        self.say(now, Input::Released { id, epoch });
                    }
                }
            }
            Event::Ends { id, epoch, member, result } => return self.ends(now, id, epoch, member, result),
        }
        self.settle(now, false);
    }

    /// A member of a scope is over: says so, and leaves it.
    fn ends(&mut self, now: Moment, id: u32, epoch: u32, member: u8, result: Option<Result<(), Failure>>) {
        let scope = &mut self.scopes[id as usize];
        let dropped = result.is_some() && scope.cut.is_some_and(|cut| now > cut);
        if scope.epoch != epoch || scope.members & member == 0 || dropped {
            return;
        }
        scope.members &= !member;
        // A good end is said only if nobody had asked for it.
        let expected = scope.told.is_some_and(|told| told < now);
        match result {
            Some(result) if member == START => self.say(now, Input::StartReturned { id, epoch, result }),
            Some(result) if member == STOP => self.say(now, Input::StopReturned { id, epoch, result }),
            Some(result) if result.is_err() || !expected => {
                self.say(now, Input::TaskEnded { id, epoch, task: "run".into(), result, lasting: true });
            }
            _ => {}
        }
        self.settle(now, false);
        self.close(now, id);
    }

    fn close(&mut self, now: Moment, id: u32) {
        let scope = &mut self.scopes[id as usize];
        if scope.sealed && !scope.closed && scope.members == 0 {
            scope.closed = true;
            let epoch = scope.epoch;
            self.at(now, Event::Say(Input::ScopeEmpty { id, epoch }));
        }
    }

    fn carry_out(&mut self, now: Moment, action: Action) -> Option<Input> {
        match action {
            Action::Start { id, epoch, .. } => return self.start(now, id, epoch),
            Action::Interrupt { id } => {
                let scope = &mut self.scopes[id as usize];
                (scope.sealed, scope.told) = (true, Some(now));
                self.all_end(now, id, self.force(id).cancel, true);
                self.close(now, id);
            }
            Action::AskStop { id, .. } => self.ask(now, id),
            Action::Cancel { id, .. } => self.all_end(now, id, self.force(id).cancel, true),
            Action::Abort { id } => {
                let scope = &mut self.scopes[id as usize];
                let epoch = scope.epoch;
                if let (Some((bound, lasts)), false) = (self.case.parts[id as usize].script.critical, scope.uncritical) {
                    scope.holds = true;
                    self.at(now.plus(millis(lasts)), Event::Release { id, epoch });
                    return Some(Input::Held { id, bound: millis(bound) });
                }
                self.dropped(now, id);
            }
            Action::AbortNow { id } => self.dropped(now, id),
            Action::Destroy { id } => {
                let Call(takes, how) = self.case.resources[id as usize].1;
                if let Some(result) = result(how) {
                    self.at(now.plus(millis(takes)), Event::Say(Input::ResourceEnded { id, result }));
                }
            }
            _ => {}
        }
        None
    }

    fn start(&mut self, now: Moment, id: u32, epoch: u32) -> Option<Input> {
        let script = &self.case.parts[id as usize].script;
        let (Call(takes, how), ready, run) = (script.start, script.ready, script.run);
        let bit = 1u8 << (epoch - 1).min(7);
        let how = if script.start_bad & bit == 0 { How::Ok } else { how };
        let lasts = script.run_bad & bit == 0;
        let uncritical = script.critical.is_none();
        self.scopes[id as usize] = Scope { epoch, members: START | RUN, uncritical, ..Scope::default() };
        if let (Some(result), false) = (result(run.1), lasts) {
            self.at(now.plus(millis(run.0)), Event::Ends { id, epoch, member: RUN, result: Some(result) });
        }
        if let (Some(at), true) = (ready, self.case.parts[id as usize].declares_ready) {
            self.at(now.plus(millis(at)), Event::Say(Input::ReadyCalled { id, epoch }));
        }
        let result = result(how)?;
        if takes == 0 && result.is_ok() {
            // What has no start of its own runs at once.
            self.scopes[id as usize].members = RUN;
            return Some(Input::StartReturned { id, epoch, result });
        }
        self.at(now.plus(millis(takes)), Event::Ends { id, epoch, member: START, result: Some(result) });
        None
    }

    fn ask(&mut self, now: Moment, id: u32) {
        let script = &self.case.parts[id as usize].script;
        let (Call(takes, how), linger) = (script.stop, script.linger);
        let scope = &mut self.scopes[id as usize];
        scope.members |= STOP;
        (scope.sealed, scope.told) = (true, Some(now));
        let epoch = scope.epoch;
        let returns = result(how);
        let stopped = if returns.is_some() { now.plus(millis(takes)) } else { now };
        if returns.is_some() {
            self.at(stopped, Event::Ends { id, epoch, member: STOP, result: returns });
        }
        if let Some(linger) = linger {
            self.at(stopped.plus(millis(linger)), Event::Ends { id, epoch, member: RUN, result: Some(Ok(())) });
        }
    }

    fn force(&self, id: u32) -> Force {
        let script = &self.case.parts[id as usize].script;
        if self.scopes[id as usize].members & START != 0 { script.start_force } else { script.stop_force }
    }

    fn dropped(&mut self, now: Moment, id: u32) {
        let force = self.force(id);
        self.scopes[id as usize].cut = Some(now);
        self.all_end(now, id, force.dropped, false);
    }

    /// Every member ends so much later: by itself, or by being dropped.
    fn all_end(&mut self, now: Moment, id: u32, after: Option<u64>, by_itself: bool) {
        let Some(after) = after else { return };
        let Scope { epoch, members, .. } = self.scopes[id as usize];
        for member in [START, STOP, RUN] {
            if members & member != 0 {
                // A start that obeys its cancel says that it did not succeed.
                let result = if member == START { Err(Failure::error("cancelled")) } else { Ok(()) };
                self.at(now.plus(millis(after)), Event::Ends { id, epoch, member, result: by_itself.then_some(result) });
            }
        }
    }
}

/// `None`: it never ends.
fn result(how: How) -> Option<Result<(), Failure>> {
    match how {
        How::Ok => Some(Ok(())),
        How::Fails => Some(Err(Failure::error("it failed"))),
        How::Panics => Some(Err(Failure::panic("it panicked"))),
        How::Hangs => None,
    }
}
