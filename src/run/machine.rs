//! The machine: its data, the way in for facts, the way out for actions.

use super::resources::Freeing;
use super::stop::Shutdown;
use super::supervise::Supervision;
use super::table::{Happening, Life, Move, Verdict, judge};
use super::timers::Timers;
use super::{Action, Cause, Failure, Input, Refusal, Subject, Ticket, Timeline};
use crate::event::EventKind;
use crate::outcome::{Outcome, Rung};
use crate::plan::Plan;
use crate::reason::ReasonKind;
use crate::span::Moment;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The same signal again within this time is one signal: terminals and wrappers send it twice.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Where the whole run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The run has not begun, or set-up is over and the plan not there yet.
    Before,
    /// The user's set-up code runs, until this moment at the latest.
    SetUp { until: Moment },
    /// It is being dropped, until this moment at the latest.
    DroppingSetUp { until: Moment },
    /// Components are being started.
    Starting,
    /// All that starts by itself runs.
    Running,
    /// Components are being stopped.
    Stopping,
    /// Resources are being destroyed.
    Destroying,
    /// The report can be made.
    Done,
}

/// One component. Kept small.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(crate) struct Comp {
    pub(crate) life: Life,
    pub(crate) rung: Rung,
    /// The worst so far; final once `life` is `Ended`.
    pub(crate) outcome: Outcome,
    /// `start` returned Ok.
    pub(super) returned: bool,
    pub(super) ready: bool,
    /// A lasting task ended while it was still starting.
    pub(super) finished: bool,
    /// It has run at least once.
    pub(super) ran: bool,
    /// Its last start is the restart after a failure, and it does not run yet.
    pub(super) again: bool,
    /// How its work ended, as long as no restart has cured that.
    pub(super) uncured: Outcome,
    pub(crate) epoch: u32,
    /// The factor of T2 at its ask, for the waits that follow.
    pub(super) factor: f32,
    pub(crate) start_began: Moment,
    pub(crate) start_ended: Moment,
    pub(crate) stop_began: Moment,
    pub(crate) stop_ended: Moment,
    /// Only of components with a history worth the room.
    pub(super) history: Option<Box<Supervision>>,
}

/// The machine.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) plan: Arc<Plan>,
    pub(crate) stage: Stage,
    pub(crate) comps: Vec<Comp>,
    pub(crate) freeing: Freeing,
    pub(crate) shutdown: Option<Box<Shutdown>>,
    pub(crate) timeline: Timeline,
    /// Pairs that the table calls illegal, named; a defect of the driver.
    pub(crate) illegal: Vec<String>,
    /// The plan was refused after set-up had run: nothing starts, what was opened is destroyed.
    pub(crate) refused: Option<Vec<String>>,
    pub(crate) set_up_abandoned: bool,
    /// The deadline, or a third signal, ended it.
    pub(crate) cut: Option<Cut>,
    pub(crate) criticals: u32,
    pub(super) timers: Timers,
    pub(super) actions: VecDeque<Action>,
    /// Predecessors that do not run yet, by node.
    pub(super) start_wait: Vec<u32>,
    /// Automatic components that do not run yet.
    pub(super) not_running: u32,
    /// Components that are not terminal, once a shutdown is on.
    pub(super) not_terminal: u32,
    pub(super) signals: u32,
    pub(super) last_signals: Vec<(i32, Moment)>,
    /// A request that came before the run began.
    pub(super) early: Option<Cause>,
    /// Who waits for one component; true for its start.
    pub(super) tickets: HashMap<u32, Vec<(Ticket, bool)>>,
    /// Components whose abort a critical section holds back.
    pub(super) holding: HashSet<u32>,
    pub(super) random: u64,
}

/// What cut a run short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Deadline,
    Signal(i32),
}

impl Machine {
    /// A machine that has not begun. `seed` feeds the jitter of restarts.
    pub(crate) fn new(seed: u64) -> Machine {
        let settings = Default::default();
        let app = String::new();
        let empty = Plan { app, settings, components: Box::default(), resources: Box::default(), graph: Default::default(), factor: 1.0 };
        Machine {
            plan: Arc::new(empty),
            stage: Stage::Before,
            comps: Vec::new(),
            freeing: Freeing::default(),
            shutdown: None,
            timeline: Timeline::default(),
            illegal: Vec::new(),
            refused: None,
            set_up_abandoned: false,
            cut: None,
            criticals: 0,
            timers: Timers::default(),
            actions: VecDeque::new(),
            start_wait: Vec::new(),
            not_running: 0,
            not_terminal: 0,
            signals: 0,
            last_signals: Vec::new(),
            early: None,
            tickets: HashMap::new(),
            holding: HashSet::new(),
            random: seed,
        }
    }

    /// The next action to carry out.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() && self.actions.capacity() > 4096 {
            // A wave of a hundred thousand is over: its memory goes back.
            self.actions = VecDeque::new();
        }
        action
    }

    /// When [`handle_timeout`](Machine::handle_timeout) must be called at the latest.
    pub(crate) fn next_timeout(&mut self) -> Option<Moment> {
        let stage = match self.stage {
            Stage::SetUp { until } | Stage::DroppingSetUp { until } => until.known(),
            Stage::Done => return None,
            _ => None,
        };
        let shutdown = self.shutdown.as_ref().map(|s| s.next_timeout());
        [stage, shutdown, self.freeing.until.known(), self.timers.next()].into_iter().flatten().min()
    }

    /// The time has come: everything that is due by `now` happens.
    pub(crate) fn handle_timeout(&mut self, now: Moment) {
        if self.stage == Stage::Done {
            return;
        }
        self.set_up_timeout(now);
        self.drain_timeout(now);
        while let Some(id) = self.timers.due(now) {
            self.happen(now, id, Happening::Late, None);
        }
        self.freeing_timeout(now);
        self.tail_timeout(now);
    }

    /// Takes one fact or command.
    pub(crate) fn handle(&mut self, now: Moment, input: Input) {
        if self.stage == Stage::Done && !matches!(input, Input::Signal { .. }) {
            return self.turn_away(input);
        }
        match input {
            Input::StartReturned { id, epoch, result } if self.current(id, epoch) => match result {
                Ok(()) => self.happen(now, id, Happening::StartOk, None),
                Err(failure) => self.happen(now, id, Happening::StartErr, Some(failure)),
            },
            Input::ReadyCalled { id, epoch } if self.current(id, epoch) => self.happen(now, id, Happening::Ready, None),
            Input::TaskEnded { id, epoch, task, result, lasting } if self.current(id, epoch) => self.task_ended(now, id, task, result, lasting),
            Input::ScopeEmpty { id, epoch } if self.current(id, epoch) => self.happen(now, id, Happening::Emptied, None),
            Input::StopReturned { id, epoch, result } if self.current(id, epoch) => self.happen(now, id, Happening::StopReturned, result.err()),
            Input::Released { id, epoch } if self.current(id, epoch) => self.happen(now, id, Happening::Released, None),
            Input::Held { id, bound } => self.held(now, id, bound),
            Input::Signal { number, name } => self.signal(now, number, name),
            Input::Request { why } => self.request(now, why),
            Input::StartOne { id, ticket } => self.start_one(now, id, ticket),
            Input::StopOne { id, ticket } => self.stop_one(now, id, ticket),
            Input::ResourceEnded { id, result } => self.resource_ended(now, id, result),
            Input::Leased { id, holders } => self.leased(now, id, holders),
            Input::SetUpDropped => self.set_up_dropped(now),
            // From an earlier start of the same component: that one is accounted for.
            _ => {}
        }
    }

    fn current(&self, id: u32, epoch: u32) -> bool {
        self.comps.get(id as usize).is_some_and(|c| c.epoch == epoch)
    }

    /// Asks the table, and does what it says.
    pub(super) fn happen(&mut self, now: Moment, id: u32, happening: Happening, failure: Option<Failure>) {
        let life = self.comps[id as usize].life;
        match judge(life, happening) {
            Verdict::Do(step) => self.carry_out(now, id, step, failure),
            Verdict::Ignore(_) => {}
            Verdict::Illegal => {
                // Bounded: a driver that is wrong once is wrong often.
                if self.illegal.len() < 16 {
                    self.illegal.push(format!("{}: {life:?} + {happening:?}", self.plan.components[id as usize].name));
                }
                debug_assert!(false, "illegal pair: {life:?} + {happening:?}");
            }
        }
    }

    fn carry_out(&mut self, now: Moment, id: u32, step: Move, failure: Option<Failure>) {
        match step {
            Move::Start => self.start(now, id),
            Move::NoteReturned => self.start_returned(now, id),
            Move::NoteReady => self.ready(now, id),
            Move::NoteFinished => self.finished_while_starting(now, id),
            Move::FailStart => self.fail_start(now, id, failure),
            Move::Undo => self.undo(now, id),
            Move::Supervise => self.supervise(now, id, failure),
            Move::Ask => self.ask(now, id),
            Move::NoteStop => self.stop_returned(now, id, failure),
            Move::NoteFailure => self.blemish(id, failure),
            Move::NotePanic => self.blemish(id, failure.filter(|f| f.panicked)),
            Move::RungUp => self.rung_up(now, id),
            Move::Hold => {}
            Move::Release => self.released(now, id),
            Move::BackOff => self.back_off(now, id),
            Move::TakeOver => self.comps[id as usize].life = Life::Undoing,
            Move::End => self.end(now, id),
            Move::Abandon => self.abandon(now, id),
        }
    }

    fn task_ended(&mut self, now: Moment, id: u32, task: Arc<str>, result: Result<(), Failure>, lasting: bool) {
        let asked = !matches!(self.comps[id as usize].life, Life::Starting | Life::Running);
        let error = result.as_ref().err().map(|f| f.text.clone());
        if error.is_some() || (lasting && !asked) {
            self.note(now, Subject::Component(id), EventKind::TaskEnded { task, error });
        }
        match result {
            Err(failure) => self.happen(now, id, Happening::Failed, Some(failure)),
            Ok(()) if lasting => self.happen(now, id, Happening::Finished, None),
            Ok(()) => {}
        }
    }

    fn signal(&mut self, now: Moment, number: i32, name: &'static str) {
        if self.last_signals.iter().any(|&(n, at)| n == number && now.since(at) < SAME_SIGNAL) {
            return;
        }
        self.last_signals.retain(|&(n, _)| n != number);
        self.last_signals.push((number, now));
        self.signals += 1;
        let on = self.shutdown.is_some() || self.stage == Stage::Done || self.refused.is_some();
        let effect = match (self.signals, on) {
            (1, false) => "the shutdown begins; a second signal cuts it short, a third leaves at once",
            (1, true) => "the shutdown is on already; a second signal cuts it short, a third leaves at once",
            (2, _) => "everything goes up a rung; the next signal leaves at once",
            _ => "leaving at once",
        };
        self.note(now, Subject::Run, EventKind::SignalReceived { signal: name, effect });
        match self.signals {
            1 => self.begin_shutdown(now, Cause { kind: ReasonKind::Signal, detail: name.into(), component: None }),
            2 => self.escalate(now),
            _ => {
                self.cut_short(now, Cut::Signal(number));
                self.actions.push_back(Action::Leave);
            }
        }
    }

    fn request(&mut self, now: Moment, why: String) {
        self.begin_shutdown(now, Cause { kind: ReasonKind::Request, detail: why, component: None });
    }

    /// The process is about to end by itself: whatever is not terminal is given up, with this cause.
    pub(crate) fn give_up(&mut self, now: Moment, cause: Cause) {
        if self.stage != Stage::Done {
            self.begin_shutdown(now, cause);
            self.cut_short(now, Cut::Deadline);
        }
    }

    /// A component's panic that no frame will catch: that is its end, and the process's.
    pub(crate) fn panicked(&mut self, now: Moment, id: u32, failure: Failure) {
        if self.stage != Stage::Done && self.comps.get(id as usize).is_some_and(|c| c.life != Life::Ended) {
            self.blemish(id, Some(failure));
            self.terminated(now, id, false);
        }
    }

    /// After the end nobody is left to be asked.
    fn turn_away(&mut self, input: Input) {
        if let Input::StartOne { ticket, .. } | Input::StopOne { ticket, .. } = input {
            let refusal = Refusal::NotNow { what: "starting or stopping a component".into(), why: "the run is over".into() };
            self.actions.push_back(Action::Answer { ticket, result: Err(Box::new(refusal)) });
        }
    }

    /// Everything that is not terminal is given up.
    pub(super) fn cut_short(&mut self, now: Moment, cut: Cut) {
        // A run that is over keeps its outcomes; only the way it leaves changes.
        self.cut = Some(cut);
        if self.stage == Stage::Done {
            return;
        }
        if matches!(self.stage, Stage::SetUp { .. } | Stage::DroppingSetUp { .. }) {
            self.set_up_abandoned = true;
        }
        for id in 0..self.comps.len() as u32 {
            self.happen(now, id, Happening::Expire, None);
        }
        self.free_nothing_more(now);
        self.finish(now);
    }

    pub(super) fn finish(&mut self, now: Moment) {
        if self.stage != Stage::Done {
            self.stage = Stage::Done;
            self.freeing.until = Moment::NEVER;
            self.note(now, Subject::Run, EventKind::RunEnded);
            self.actions.push_back(Action::Finish);
        }
    }

    pub(crate) fn note(&mut self, at: Moment, subject: Subject, kind: EventKind) {
        self.timeline.push(at, subject, kind);
    }

    /// Keeps the first error's text and the worst outcome.
    pub(super) fn blemish(&mut self, id: u32, failure: Option<Failure>) {
        if let Some(failure) = failure {
            let comp = &mut self.comps[id as usize];
            comp.outcome = comp.outcome.max(failure.outcome());
            comp.remember(failure.text);
        }
    }

    /// Is this component terminal for the order of a shutdown?
    pub(super) fn terminal(&self, node: u32) -> bool {
        self.comps.get(node as usize).is_some_and(|c| c.life == Life::Ended)
    }
}

#[cfg(test)]
impl Machine {
    /// All that it can still act on, as text: two machines with the same text behave the same from here on.
    pub(super) fn write_key(&self, to: &mut impl std::fmt::Write) -> std::fmt::Result {
        for (id, c) in (0u32..).zip(&self.comps) {
            let flags = (c.returned, c.ready, c.finished, c.ran, c.again, c.uncured);
            write!(to, "{:?}{:?}{:?}{flags:?}{}{}{:?}{:?}", c.life, c.rung, c.outcome, c.epoch, c.factor, c.stop_began, self.timers.at(id))?;
            if let Some(history) = &c.history {
                write!(to, "{history:?}")?;
            }
        }
        let mut holding: Vec<_> = self.holding.iter().collect();
        holding.sort_unstable();
        let mut tickets: Vec<_> = self.tickets.iter().collect();
        tickets.sort_unstable();
        write!(to, "{:?}{:?}{:?}{:?}{holding:?}{tickets:?}", self.stage, self.freeing, self.shutdown, self.cut)?;
        write!(to, "{:?}{:?}{}{}", self.start_wait, (self.not_running, self.not_terminal), self.signals, self.random)
    }
}
