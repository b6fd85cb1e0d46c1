//! What start, stop and work are given.

use super::critical::Critical;
use crate::error::Error;
use crate::handle::Handle;
use crate::reason::ReasonKind;
use crate::resource::{Lease, Resource};
use crate::run::{Failure, Input};
use crate::scope::{Message, Role, Scope, Token, Wrapped, caught, failure_of};
use std::borrow::Cow;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// The common part of [`StartCx`], [`RunCx`] and [`StopCx`]: a component's view of its scope. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cx {
    pub(crate) scope: Arc<Scope>,
}

impl Cx {
    /// The component's name.
    pub fn name(&self) -> &str {
        let plan = self.scope.shared.plan.get();
        plan.and_then(|plan| plan.components.get(self.scope.subject as usize)).map_or("", |component| &component.name)
    }

    /// Set when the component is asked to stop (or its start is taken back).
    pub fn stopping(&self) -> Token {
        Token::stopping(&self.scope)
    }

    /// Set when its stop budget is over or a second signal came: end at once.
    pub fn cancelled(&self) -> Token {
        Token::cancelled(&self.scope)
    }

    /// Runs a future until it ends or the component is asked to stop: `None` then, and the future is dropped. An output that is ready wins.
    pub async fn until_stopping<F: Future>(&self, future: F) -> Option<F::Output> {
        self.stopping().run_until(future).await
    }

    /// The same with [`cancelled`](Cx::cancelled).
    pub async fn until_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        self.cancelled().run_until(future).await
    }

    /// A tokio-util token, for one request say, that is cancelled when the component is asked to stop.
    pub fn child_token(&self) -> CancellationToken {
        self.stopping().to_cancellation_token()
    }

    /// Spawns a task into the component's scope. It is to live as long as the component: if it ends, fails or panics before anybody
    /// asked, the component's [`Policy`](crate::Policy) decides. A future that comes after the scope has closed is dropped, and logged.
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, future: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.spawn_as(name.into(), future, Role::Lasting);
    }

    /// Spawns a short-lived task, such as one for a connection: ending with `Ok` is normal, an error or panic goes to the policy.
    pub fn spawn_job<F>(&self, name: impl Into<Cow<'static, str>>, future: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.spawn_as(name.into(), future, Role::Job);
    }

    fn spawn_as<F>(&self, name: Cow<'static, str>, future: F, role: fn(u32) -> Role)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (Some(runtime), true) = (self.scope.shared.runtime.get(), self.scope.enter()) else {
            tracing::warn!(component = self.name(), task = &*name, "winddown: a task came after its scope had closed and was dropped");
            return;
        };
        let extra = self.scope.extra();
        let reserved = extra.reserve(name.clone());
        let role = role(reserved.place);
        let abort = if tracing_is_on() {
            let span = tracing::info_span!("winddown.task", component = self.name(), task = &*name);
            runtime.spawn(Wrapped::new(future.instrument(span), self.scope.clone(), role)).abort_handle()
        } else {
            runtime.spawn(Wrapped::new(future, self.scope.clone(), role)).abort_handle()
        };
        extra.spawned(reserved, abort);
    }

    /// Runs a closure on the runtime's pool of blocking threads, as a member of the scope: the component is not terminal before it
    /// returned. It cannot be aborted, only abandoned; let it look at [`Token::is_set`] now and then. Ending with `Ok` is normal.
    pub fn spawn_blocking<F>(&self, name: impl Into<Cow<'static, str>>, work: F)
    where
        F: FnOnce() -> anyhow::Result<()> + Send + 'static,
    {
        let name = name.into();
        let (Some(runtime), true) = (self.scope.shared.runtime.get(), self.scope.enter()) else {
            tracing::warn!(component = self.name(), task = &*name, "winddown: work came after its scope had closed and was dropped");
            return;
        };
        let extra = self.scope.extra();
        let reserved = extra.reserve(name);
        let member = Member::new(self.scope.clone(), Role::Job(reserved.place), work);
        let abort = runtime.spawn_blocking(move || member.run()).abort_handle();
        extra.spawned(reserved, abort);
    }

    /// Says that the component is ready; counts only where it [declares](crate::Lifecycle::declares_ready) that it will.
    pub fn ready(&self) {
        self.scope.shared.fact(Input::ReadyCalled { id: self.scope.subject, epoch: self.scope.epoch });
    }

    /// A handle to the whole app: to ask for shutdown, to start and stop components.
    pub fn handle(&self) -> Handle {
        Handle::new(self.scope.shared.clone())
    }

    /// What the component is busy with, such as `"3 in flight"`: shown while somebody waits for it.
    pub fn progress(&self, text: impl Into<String>) {
        self.scope.extra().set_progress(text.into());
    }

    /// Records a step that the component took, such as `("pull_stopped", 3)`, with the number of units it was about: an event of the
    /// timeline ([`EventKind::Step`](crate::EventKind::Step)). Meant for the few steps of a start or stop: of a run that lasts for
    /// months only so many are kept.
    pub fn step(&self, step: impl Into<Arc<str>>, count: u64) {
        self.scope.shared.send(Message::Step { id: self.scope.subject, step: step.into(), count });
    }

    /// Counts units that were finished after the stop was asked for. Adds up; in the report.
    pub fn drained(&self, n: u64) {
        self.scope.extra().drained.fetch_add(n, Ordering::Relaxed);
    }

    /// Counts units given back to where they came from, for others to do.
    pub fn handed_back(&self, n: u64) {
        self.scope.extra().handed_back.fetch_add(n, Ordering::Relaxed);
    }

    /// Counts units that are lost.
    pub fn lost(&self, n: u64) {
        self.scope.extra().lost.fetch_add(n, Ordering::Relaxed);
    }

    /// Begins a critical section: until the guard is dropped, force waits before it drops this component's futures, for `bound` at
    /// most, and never past the last deadline or a third signal. The report counts it.
    ///
    /// The `cancelled` token still fires. See [`Critical::holds`] for a section that begins too late.
    pub fn critical(&self, bound: Duration) -> Critical {
        Critical::begin(self.scope.clone(), bound)
    }

    /// Access to a resource in this component's name.
    ///
    /// # Errors
    /// When the resource is being destroyed.
    pub fn lease<T: Send + Sync + 'static>(&self, resource: &Resource<T>) -> Result<Lease<T>, Error> {
        resource.lease(self.name())
    }

    /// Until when the present step (start, stop, or after a cancel its wait) may take. Far away while nothing was asked.
    pub fn deadline(&self) -> Instant {
        self.scope.shared.clock.at(self.scope.deadline())
    }

    /// Time left until [`deadline`](Cx::deadline); zero if it is past.
    pub fn remaining(&self) -> Duration {
        self.scope.deadline().since(self.scope.shared.clock.now())
    }
}

/// Is anybody listening? One relaxed load; spans are made, on the task itself, only if so.
pub(crate) fn tracing_is_on() -> bool {
    tracing::level_filters::LevelFilter::current() >= tracing::Level::INFO
}

/// A member of a scope that is no future: a closure on a thread. What the closure owns is dropped before the scope hears that it is over (C1).
pub(super) struct Member<W> {
    scope: Arc<Scope>,
    role: Role,
    work: Option<W>,
    result: Option<Result<(), Failure>>,
}

impl<W: FnOnce() -> anyhow::Result<()>> Member<W> {
    /// The scope must have been entered for it.
    pub(super) fn new(scope: Arc<Scope>, role: Role, work: W) -> Member<W> {
        Member { scope, role, work: Some(work), result: None }
    }

    pub(super) fn run(mut self) {
        let Some(work) = self.work.take() else { return };
        self.result = Some(match caught(work) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failure_of(&self.scope, self.role, error)),
            Err(panic) => Err(panic),
        });
    }
}

impl<W> Drop for Member<W> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && let Err(panic) = caught(move || drop(work))
        {
            self.result = Some(Err(panic));
        }
        self.scope.over(self.role, self.result.take());
    }
}

macro_rules! context {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            cx: Cx,
        }

        impl $name {
            pub(crate) fn new(scope: Arc<Scope>) -> $name {
                $name { cx: Cx { scope } }
            }
        }

        impl Deref for $name {
            type Target = Cx;
            fn deref(&self) -> &Cx {
                &self.cx
            }
        }
    };
}

context! {
    /// Given to [`Lifecycle::start`](crate::Lifecycle::start).
    StartCx
}

context! {
    /// Given to work: [`Service::run`](crate::Service::run) and [`App::task`](crate::App::task).
    RunCx
}

/// Given to [`Lifecycle::stop`](crate::Lifecycle::stop).
#[derive(Clone, Debug)]
pub struct StopCx {
    cx: Cx,
    reason: ReasonKind,
}

impl StopCx {
    pub(crate) fn new(scope: Arc<Scope>, reason: ReasonKind) -> StopCx {
        StopCx { cx: Cx { scope }, reason }
    }

    /// Why the program stops; [`ReasonKind::Request`] when only this component is stopped.
    pub fn reason(&self) -> ReasonKind {
        self.reason
    }
}

impl Deref for StopCx {
    type Target = Cx;
    fn deref(&self) -> &Cx {
        &self.cx
    }
}
