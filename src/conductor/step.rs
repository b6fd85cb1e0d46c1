//! What both shells share: messages in, the machine asked, actions carried out, notes passed on.

use super::herald::Herald;
use super::leave::Ending;
use super::printer::Printer;
use super::voice::Voice;
use super::watch::{Found, Watch};
use crate::app::{App, Destroyable, Inner, SetUp};
use crate::error::Error;
use crate::event::EventKind;
use crate::lifecycle::Body;
use crate::plan::Plan;
use crate::report::{Blocked, Extras};
use crate::resource::Graveyard;
use crate::run::machine::{Machine, Stage};
use crate::run::{Input, Subject, Ticket};
use crate::scope::{Counts, FIRST_TASK, Message, READY, RESOURCES, Role, SET_UP, STOPS, Scope};
use crate::span::Moment;
use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// So many tasks are woken together at most.
const BURST: usize = 1024;

/// Who owns the process, and so decides what its end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// winddown: it leaves when the run is over.
    Ours,
    /// A host: it gets the report and goes on.
    Host,
    /// A program that only wants the last deadline.
    Guarded,
}

/// One component as the conductor holds it.
pub(super) struct Slot {
    pub(super) body: Body,
    pub(super) scope: Option<Arc<Scope>>,
    /// The operation (start, stop) or the one task that is under way.
    pub(super) operation: Option<AbortHandle>,
}

/// The conductor, without its way of waiting.
pub(crate) struct Conductor {
    pub(super) inner: Arc<Inner>,
    pub(super) machine: Machine,
    pub(super) slots: Vec<Slot>,
    pub(super) resources: Vec<Option<Box<dyn Destroyable>>>,
    pub(super) destroying: Option<AbortHandle>,
    pub(super) set_up: Option<SetUp>,
    pub(super) set_up_task: Option<AbortHandle>,
    pub(super) extras: HashMap<u32, Extras>,
    pub(super) tickets: HashMap<Ticket, oneshot::Sender<Result<(), Error>>>,
    next_ticket: Ticket,
    /// Whoever ran the app has dropped it, perhaps with the whole runtime.
    pub(super) host_gone: bool,
    /// Drops of the user's that are under way on the runtime.
    pub(super) graveyard: Arc<Graveyard>,
    /// Tasks to be woken. Close together: workers that find one at a time go to sleep in between, and each wake is then a system call.
    pub(super) wakers: Vec<Waker>,
    pub(super) voice: Voice,
    pub(super) watch: Option<Watch>,
    pub(super) ending: Ending,
    /// A test's word on what was planned, before any of it starts.
    #[cfg(feature = "testkit")]
    pub(crate) interpose: Option<super::virtual_time::Interpose>,
}

impl Conductor {
    /// Takes over what was registered so far, and the set-up code. Marks the app as run.
    pub(crate) fn new(app: &App, ownership: Ownership, real: bool) -> Result<Conductor, Error> {
        let inner = app.inner().clone();
        let mut registered = inner.registered();
        if std::mem::replace(&mut registered.begun, true) {
            return Err(Error::already_run());
        }
        let options = registered.options.clone();
        // Settings that no plan could bear are refused before the set-up opens anything.
        if registered.set_up.is_some() || ownership == Ownership::Guarded {
            let (app, settings) = (registered.registry.app.clone(), registered.registry.settings.clone());
            crate::plan::spec::Registry { app, settings, ..Default::default() }.plan()?;
        }
        // How long the report takes to write is reckoned with only if it is written.
        registered.registry.settings.written = options.report_to.is_some();
        let name = registered.registry.app.clone();
        let set_up = registered.set_up.take();
        drop(registered);
        let says = match options.output {
            Some(output) => output == crate::app::Output::Stderr,
            None => ownership != Ownership::Host,
        };
        // A seed that differs between processes; virtual time wants the same run every time.
        let seed = if real { u64::from(std::process::id()) ^ clock_seed() } else { 1 };
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let ending = Ending::new(ownership, &options, real);
        let voice = Voice::new(name.clone(), Printer::new(says), Herald::new(name, dispatch));
        Ok(Conductor {
            inner,
            machine: Machine::new(seed),
            slots: Vec::new(),
            resources: Vec::new(),
            destroying: None,
            set_up,
            set_up_task: None,
            extras: HashMap::new(),
            tickets: HashMap::new(),
            next_ticket: 0,
            host_gone: false,
            wakers: Vec::new(),
            graveyard: Arc::default(),
            voice,
            watch: real.then(Watch::new),
            ending,
            #[cfg(feature = "testkit")]
            interpose: None,
        })
    }

    /// The run begins. `early` is what had been said before.
    pub(crate) fn begin(&mut self, now: Moment, early: Vec<Message>) {
        let (opened, early): (Vec<_>, Vec<_>) = early.into_iter().partition(|message| matches!(message, Message::ResourceCreated { .. }));
        early.into_iter().for_each(|message| self.take(now, message));
        if self.machine.stage == Stage::Done {
            // Three signals before it could begin.
            return self.settle(now);
        }
        let settings = Plan::unwinding(&self.inner.registered().registry);
        self.machine.begin(now, settings, self.set_up.is_some());
        opened.into_iter().for_each(|message| self.take(now, message));
        if matches!(self.machine.stage, Stage::SetUp { .. })
            && let Some(set_up) = self.set_up.take()
        {
            self.spawn_set_up(set_up);
        } else if self.set_up.is_none() {
            self.plan(now);
        }
        self.settle(now);
    }

    fn spawn_set_up(&mut self, set_up: SetUp) {
        let shared = &self.inner.shared;
        let Some(runtime) = shared.runtime.get() else { return };
        let scope = Scope::new(shared, SET_UP, 0, Moment::NEVER);
        scope.enter();
        let app = App::from_inner(self.inner.clone());
        let work = async move { set_up(app).await };
        self.set_up_task = Some(runtime.spawn(crate::scope::Wrapped::new(work, scope, Role::SetUp)).abort_handle());
    }

    /// What was registered becomes the plan, and the machine starts.
    pub(super) fn plan(&mut self, now: Moment) {
        let mut registered = self.inner.registered();
        registered.sealed = true;
        let registry = std::mem::take(&mut registered.registry);
        let mut bodies = std::mem::take(&mut registered.bodies);
        let resources = std::mem::take(&mut registered.resources);
        let observers = std::mem::take(&mut registered.observers);
        drop(registered);
        self.voice.herald.add(observers);
        self.machine.opened(resources.iter().map(|r| (r.opened.is_some(), r.error.clone())).collect());
        self.resources = resources.into_iter().map(|r| r.opened).collect();
        // Only kept in case the plan is refused.
        let unwinding = Plan::unwinding(&registry);
        let bare = self.machine.shutdown.is_some().then(|| registry.clone().bare());
        let planned = registry.plan();
        #[cfg(feature = "testkit")]
        let planned = planned.and_then(|plan| self.interposed(plan, &mut bodies));
        let plan = match planned {
            Ok(plan) => plan,
            // Set-up did not come to its end, so what it had registered may be half of something: no reason to refuse it.
            Err(_) if bare.is_some() => bare.and_then(|bare| bare.plan().ok()).unwrap_or(unwinding),
            Err(error) => {
                self.machine.refused = Some(error.lines());
                unwinding
            }
        };
        if plan.components.is_empty() && !bodies.is_empty() {
            self.drop_elsewhere(SET_UP, std::mem::take(&mut bodies));
        }
        let plan = Arc::new(plan);
        let _ = self.inner.shared.plan.set(plan.clone());
        self.slots = bodies.into_iter().map(|body| Slot { body, scope: None, operation: None }).collect();
        self.machine.planned(now, plan);
        self.voice.may_announce = true;
    }

    /// One message. The caller then calls [`settle`](Conductor::settle).
    pub(crate) fn take(&mut self, now: Moment, message: Message) {
        match message {
            Message::Fact(input) => self.machine.handle(now, input),
            Message::SetUpEnded(Ok(())) => {
                if self.machine.set_up_done(now) {
                    self.plan(now);
                }
            }
            Message::SetUpEnded(Err(failure)) => self.machine.set_up_failed(now, failure),
            Message::One { start, id, reply } => {
                self.next_ticket += 1;
                self.tickets.insert(self.next_ticket, reply);
                let ticket = self.next_ticket;
                let input = if start { Input::StartOne { id, ticket } } else { Input::StopOne { id, ticket } };
                self.machine.handle(now, input);
            }
            Message::TooLate { name } => {
                self.voice.say(format!("{name} was registered after the run began and is not started"));
                self.machine.note(now, Subject::Run, EventKind::RegistrationRefused);
            }
            Message::Step { id, step, count } => {
                // What comes after the end has no place in a timeline that is closed.
                if self.machine.stage != Stage::Done {
                    self.machine.note(now, Subject::Component(id), EventKind::Step { step, count });
                }
            }
            Message::ResourceCreated { id } => self.machine.note(now, Subject::Resource(id), EventKind::ResourceCreated),
            Message::Nudged => {
                if let Some(watch) = &mut self.watch {
                    watch.nudge_ran();
                }
            }
            Message::ReportTaken => self.ending.taken = true,
            Message::HostGone => {
                self.ending.taken = true;
                self.host_gone = true;
            }
            Message::GuardDropped => {
                if self.machine.shutdown.is_none() {
                    // A guarded program that ends by itself has nothing to say.
                    self.voice.printer = Printer::new(false);
                }
                self.machine.handle(now, Input::Request { why: "the guard was dropped".into() });
            }
            Message::Panicking { subject, text, done } => self.process_panics(now, subject, &text, &done),
        }
    }

    /// Carries out every action, until there is none; then passes on what was noted.
    pub(crate) fn settle(&mut self, now: Moment) {
        self.announce_stage();
        while let Some(action) = self.machine.poll_action() {
            if let Some(input) = self.act(now, action) {
                self.machine.handle(now, input);
                self.announce_stage();
            }
            if self.wakers.len() >= BURST {
                self.wakers.drain(..).for_each(Waker::wake);
            }
        }
        self.wakers.drain(..).for_each(Waker::wake);
        self.voice.pass_on(&self.machine);
        for illegal in self.machine.illegal.drain(..) {
            self.voice.say(format!("defect, please report it: illegal transition {illegal}"));
        }
    }

    /// Before any component is asked: readiness is gone, the app's token set, the net armed.
    fn announce_stage(&mut self) {
        let shared = &self.inner.shared;
        if self.machine.shutdown.is_some() {
            if shared.state() < STOPS {
                shared.advance(STOPS);
                self.arm_net();
            }
        } else if self.machine.stage == Stage::Running && shared.state() < READY {
            shared.advance(READY);
        }
    }

    /// Looks for blocked workers, and says once a second who is waited for.
    pub(crate) fn tick(&mut self, now: Moment) {
        let Some(mut watch) = self.watch.take() else { return };
        let found =
            if watch.next <= now { watch.look(now, &self.inner.shared, |place| self.task_name(place.subject, place.task)) } else { Vec::new() };
        self.watch = Some(watch);
        found.into_iter().for_each(|found| self.report_blocked(now, found));
        self.say_waiting(now);
        self.voice.pass_on(&self.machine);
    }

    /// When to wake up at the latest.
    pub(crate) fn next_wake(&mut self) -> Option<Moment> {
        let machine = self.machine.next_timeout();
        let watch = self.watch.as_ref().map(|w| w.next);
        [machine, watch].into_iter().flatten().min()
    }

    fn report_blocked(&mut self, now: Moment, found: Found) {
        match found {
            Found::Warn { place, task, since } => {
                let subject = self.subject(place.subject);
                let who = self.who(place.subject);
                self.voice.warn_blocked(&who, &task, now.since(since));
                self.machine.note(now, subject, EventKind::WorkerBlocked { task: task.into(), since: since.since_start() });
            }
            Found::Record { place, task, since } => {
                self.keep_longest(self.subject(place.subject), Blocked { task, since, lasted: now.since(since) });
            }
            Found::Freed { place, task, since, lasted } => {
                let subject = self.subject(place.subject);
                self.keep_longest(subject, Blocked { task: task.clone(), since, lasted });
                self.machine.note(now, subject, EventKind::WorkerFreed { task: task.into(), lasted });
            }
        }
    }

    /// The report has room for one blocked worker a component: the one that was blocked longest.
    pub(super) fn keep_longest(&mut self, subject: Subject, blocked: Blocked) {
        let Subject::Component(id) = subject else { return };
        let kept = &mut self.extras.entry(id).or_default().blocked;
        if kept.as_ref().is_none_or(|kept| kept.lasted <= blocked.lasted) {
            *kept = Some(blocked);
        }
    }

    /// Whose code a blame word's subject is.
    pub(super) fn who(&self, subject: u32) -> String {
        match self.subject(subject) {
            Subject::Component(id) => self.machine.plan.components[id as usize].name.to_string(),
            Subject::Resource(id) => format!("resource {}", self.machine.plan.resources[id as usize].name),
            Subject::Run if subject == SET_UP => "set-up".into(),
            Subject::Run => "code outside any component".into(),
        }
    }

    pub(super) fn subject(&self, subject: u32) -> Subject {
        if (subject as usize) < self.machine.plan.components.len() {
            return Subject::Component(subject);
        }
        match subject.checked_sub(RESOURCES) {
            Some(id) if (id as usize) < self.machine.plan.resources.len() => Subject::Resource(id),
            _ => Subject::Run,
        }
    }

    pub(super) fn task_name(&self, subject: u32, code: u16) -> String {
        if let Some(name) = Role::fixed_name(code) {
            return name.to_owned();
        }
        let scope = self.slots.get(subject as usize).and_then(|slot| slot.scope.as_ref());
        let place = u32::from(code.saturating_sub(FIRST_TASK));
        scope.and_then(|s| s.extra_if_any()?.name(place)).unwrap_or_else(|| "a task".into())
    }

    /// Counters of a scope that is over are added to its component's.
    pub(super) fn collect(&mut self, id: u32, scope: &Scope) {
        let counts = scope.extra_if_any().map(|extra| extra.counts()).unwrap_or_default();
        if counts != Counts::default() {
            let extras = self.extras.entry(id).or_default();
            extras.counts = extras.counts.plus(counts);
        }
    }
}

fn clock_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}
