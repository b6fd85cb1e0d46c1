//! One state: machine, model and what the components are at; what can happen next, and the state after that.

use super::super::case::Case;
use super::super::model::Model;
use super::super::ms;
use super::Reach;
use crate::plan::Plan;
use crate::report::{Raw, Report};
use crate::run::machine::{Machine, Stage};
use crate::run::{Action, Failure, Input};
use crate::span::{Moment, millis};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) const START: u8 = 1;
pub(super) const RUN: u8 = 2;
pub(super) const STOP: u8 = 4;

/// How something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Well,
    Error,
    Panic,
}

impl End {
    fn result(self) -> Result<(), Failure> {
        match self {
            End::Well => Ok(()),
            End::Error => Err(Failure::error("it failed")),
            End::Panic => Err(Failure::panic("it panicked")),
        }
    }
}

/// What can happen next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice {
    Ends(u32, u8, End),
    /// It is dropped, with all that it has.
    Dropped(u32),
    Ready(u32),
    Emptied(u32),
    Released(u32),
    Freed(u32, End),
    StartOne(u32),
    StopOne(u32),
    Signal,
    Request,
    /// Half of the way to the next timeout goes by.
    Tick,
    Timeout,
}

/// One start of one component, as in `world`.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) epoch: u32,
    pub(super) members: u8,
    pub(super) sealed: bool,
    pub(super) closed: bool,
    pub(super) told: Option<Moment>,
    pub(super) cut: Option<Moment>,
    pub(super) uncritical: bool,
    pub(super) holds: bool,
    pub(super) said_ready: bool,
}

#[derive(Clone)]
pub(super) struct Node<'a> {
    pub(super) case: &'a Case,
    pub(super) reach: Reach,
    pub(super) machine: Machine,
    pub(super) model: Model<'a>,
    pub(super) scopes: Vec<Scope>,
    pub(super) now: Moment,
    pub(super) signals: u8,
    pub(super) requested: bool,
    pub(super) ticks: u8,
    pub(super) singles: u8,
    pub(super) freeing: Option<u32>,
}

impl<'a> Node<'a> {
    pub(super) fn new(case: &'a Case, reach: Reach) -> Result<Node<'a>, String> {
        let plan = case.registry().plan().map_err(|e| e.to_string())?;
        let (mut machine, now) = (Machine::new(7), Moment::default());
        machine.begin(now, Plan { components: Box::default(), graph: Default::default(), ..plan.clone() }, false);
        machine.planned(now, Arc::new(plan));
        let scopes = case.parts.iter().map(|_| Scope { closed: true, ..Scope::default() }).collect();
        let model = Model::new(case);
        let mut node = Node { case, reach, machine, model, scopes, now, signals: 0, requested: false, ticks: 0, singles: 0, freeing: None };
        node.settle(false);
        node.judged()
    }

    pub(super) fn is_over(&self) -> bool {
        self.machine.stage == Stage::Done
    }

    fn judged(mut self) -> Result<Node<'a>, String> {
        if self.is_over() {
            self.model.end(self.now, &self.machine);
            let mut machine = self.machine.clone();
            let report = Report::new(Raw::take(&mut machine, self.now, HashMap::new()));
            self.model.report(self.now, &report);
        }
        match self.model.complaint.take() {
            Some(complaint) => Err(complaint),
            None => Ok(self),
        }
    }

    pub(super) fn choices(&self) -> Vec<Choice> {
        let mut all = Vec::new();
        for (id, scope) in (0u32..).zip(&self.scopes) {
            self.of_one(id, scope, &mut all);
        }
        if let Some(id) = self.freeing {
            all.extend([Choice::Freed(id, End::Well), Choice::Freed(id, End::Error)]);
        }
        if self.signals < self.reach.signals {
            all.push(Choice::Signal);
        }
        if self.reach.requests && !self.requested {
            all.push(Choice::Request);
        }
        if let Some(at) = self.machine.clone().next_timeout() {
            all.push(Choice::Timeout);
            if self.ticks < self.reach.ticks && at > self.now.plus(millis(2)) {
                all.push(Choice::Tick);
            }
        }
        all
    }

    fn of_one(&self, id: u32, scope: &Scope, all: &mut Vec<Choice>) {
        let part = &self.case.parts[id as usize];
        let said = scope.cut.is_none_or(|cut| self.now <= cut);
        for member in [START, RUN, STOP] {
            if scope.members & member == 0 || !said {
                continue;
            }
            all.extend([Choice::Ends(id, member, End::Well), Choice::Ends(id, member, End::Error)]);
            if self.reach.panics {
                all.push(Choice::Ends(id, member, End::Panic));
            }
        }
        if scope.cut.is_some() && scope.members != 0 {
            all.push(Choice::Dropped(id));
        }
        if part.declares_ready && !scope.said_ready && scope.members & (START | RUN) != 0 {
            all.push(Choice::Ready(id));
        }
        if scope.sealed && !scope.closed && scope.members == 0 {
            all.push(Choice::Emptied(id));
        }
        if scope.holds && !scope.uncritical {
            all.push(Choice::Released(id));
        }
        if part.on_demand && self.singles < self.reach.singles {
            all.extend([Choice::StartOne(id), Choice::StopOne(id)]);
        }
    }

    pub(super) fn after(&self, choice: Choice) -> Result<Node<'a>, String> {
        let mut node = self.clone();
        node.take(choice);
        node.judged()
    }

    fn take(&mut self, choice: Choice) {
        match choice {
            Choice::Ends(id, member, end) => return self.ends(id, member, end),
            Choice::Dropped(id) => {
                self.scopes[id as usize].members = 0;
                return;
            }
            Choice::Ready(id) => {
                let scope = &mut self.scopes[id as usize];
                scope.said_ready = true;
                let epoch = scope.epoch;
                self.say(Input::ReadyCalled { id, epoch });
            }
            Choice::Emptied(id) => {
                let scope = &mut self.scopes[id as usize];
                scope.closed = true;
                let epoch = scope.epoch;
                self.say(Input::ScopeEmpty { id, epoch });
            }
            Choice::Released(id) => {
                let scope = &mut self.scopes[id as usize];
                scope.uncritical = true;
                let epoch = scope.epoch;
                self.say(Input::Released { id, epoch });
            }
            Choice::Freed(id, end) => {
                self.freeing = None;
                self.say(Input::ResourceEnded { id, result: end.result() });
            }
            Choice::StartOne(id) | Choice::StopOne(id) => {
                self.singles += 1;
                let ticket = self.singles.into();
                self.say(match choice {
                    Choice::StartOne(_) => Input::StartOne { id, ticket },
                    _ => Input::StopOne { id, ticket },
                });
            }
            Choice::Signal => {
                self.signals += 1;
                // Another one each time: the same at the same instant is one signal.
                self.say(Input::Signal { number: [15, 2, 1][usize::from(self.signals - 1).min(2)], name: "SIGNAL" });
            }
            Choice::Request => {
                self.requested = true;
                self.say(Input::Request { why: "asked".into() });
            }
            Choice::Tick => {
                self.ticks += 1;
                if let Some(at) = self.machine.next_timeout() {
                    self.now = Moment(self.now.0 + (at.0 - self.now.0) / 2);
                }
                return;
            }
            Choice::Timeout => {
                if let Some(at) = self.machine.next_timeout() {
                    self.now = self.now.max(at);
                }
                self.model.timeout(self.now);
                self.machine.handle_timeout(self.now);
                return self.settle(true);
            }
        }
        self.settle(false);
    }

    fn say(&mut self, input: Input) {
        self.model.fact(self.now, &input);
        self.machine.handle(self.now, input);
    }

    fn settle(&mut self, timed: bool) {
        while let Some(action) = self.machine.poll_action() {
            self.model.act(self.now, &action);
            if let Some(input) = self.carry_out(&action) {
                self.say(input);
            }
        }
        self.model.settled(self.now, timed, &mut self.machine);
    }

    fn ends(&mut self, id: u32, member: u8, end: End) {
        let now = self.now;
        let scope = &mut self.scopes[id as usize];
        scope.members &= !member;
        let epoch = scope.epoch;
        // A good end is said only if nobody had asked for it.
        let expected = scope.told.is_some_and(|told| told < now);
        let result = end.result();
        match member {
            START => self.say(Input::StartReturned { id, epoch, result }),
            STOP => self.say(Input::StopReturned { id, epoch, result }),
            _ if end != End::Well || !expected => self.say(Input::TaskEnded { id, epoch, task: "run".into(), result, lasting: true }),
            _ => {}
        }
        self.settle(false);
    }

    fn carry_out(&mut self, action: &Action) -> Option<Input> {
        let now = self.now;
        match *action {
            Action::Start { id, epoch, .. } => {
                let uncritical = self.case.parts[id as usize].script.critical.is_none();
                self.scopes[id as usize] = Scope { epoch, members: START | RUN, uncritical, ..Scope::default() };
            }
            Action::Interrupt { id } => self.told(id),
            Action::AskStop { id, .. } => {
                self.told(id);
                self.scopes[id as usize].members |= STOP;
            }
            Action::Abort { id } => {
                let scope = &mut self.scopes[id as usize];
                if let (Some((bound, _)), false) = (self.case.parts[id as usize].script.critical, scope.uncritical) {
                    scope.holds = true;
                    return Some(Input::Held { id, bound: millis(bound) });
                }
                scope.cut = Some(now);
            }
            Action::AbortNow { id } => self.scopes[id as usize].cut = Some(now),
            Action::Destroy { id } => self.freeing = Some(id),
            Action::DropDestroy { id } | Action::Leak { id } => self.freeing = self.freeing.filter(|&other| other != id),
            _ => {}
        }
        None
    }

    fn told(&mut self, id: u32) {
        let now = self.now;
        let scope = &mut self.scopes[id as usize];
        (scope.sealed, scope.told) = (true, Some(now));
    }
}

#[test]
fn a_run_by_hand_ends() {
    let case = super::plans::plain(1).next().unwrap();
    let mut node = Node::new(&case, super::MOST).unwrap();
    for choice in
        [Choice::Ends(0, START, End::Well), Choice::Signal, Choice::Ends(0, STOP, End::Well), Choice::Ends(0, RUN, End::Well), Choice::Emptied(0)]
    {
        assert!(node.choices().iter().any(|c| format!("{c:?}") == format!("{choice:?}")), "{choice:?} cannot happen");
        node = node.after(choice).unwrap();
    }
    assert!(node.is_over());
    assert_eq!(node.now, ms(0));
}
