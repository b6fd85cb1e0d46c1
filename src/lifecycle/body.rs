//! What the conductor holds of a component, and how it makes a task of it.

use super::context::tracing_is_on;
use super::{Lifecycle, RunCx, StartCx, StopCx};
use crate::reason::ReasonKind;
use crate::scope::{Role, Scope, Wrapped};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tracing::Instrument;

/// What was registered.
pub(crate) enum Body {
    Component(Arc<Home>),
    Task(Box<dyn OnceTask>),
    /// The program itself, watched by a guard: it takes its scope and is a member of it until the guard is dropped.
    Program(std::sync::mpsc::Sender<Arc<Scope>>),
    /// A task that has been spawned, or a component that is gone.
    Gone,
}

/// A component that is one task, run once: spawned directly, without a start and a stop of its own.
pub(crate) trait OnceTask: Send {
    /// The scope must have been entered for it.
    fn spawn(self: Box<Self>, scope: Arc<Scope>, runtime: &Handle) -> AbortHandle;

    /// Its work, for whoever wraps it.
    #[cfg(feature = "testkit")]
    fn work(self: Box<Self>, cx: RunCx) -> Work;
}

#[cfg(feature = "testkit")]
pub(crate) type Work = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

pub(crate) struct FnTask<F>(pub(crate) F);

impl<F, Fut> OnceTask for FnTask<F>
where
    F: FnOnce(RunCx) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    fn spawn(self: Box<Self>, scope: Arc<Scope>, runtime: &Handle) -> AbortHandle {
        let cx = RunCx::new(scope.clone());
        let make = self.0;
        // The closure is the user's code too: it is called where its future is polled.
        if tracing_is_on() {
            let work = async move {
                let span = tracing::info_span!("winddown.task", component = cx.name(), task = "run");
                async move { make(cx).await }.instrument(span).await
            };
            runtime.spawn(Wrapped::new(work, scope, Role::Run)).abort_handle()
        } else {
            runtime.spawn(Wrapped::new(async move { make(cx).await }, scope, Role::Run)).abort_handle()
        }
    }

    #[cfg(feature = "testkit")]
    fn work(self: Box<Self>, cx: RunCx) -> Work {
        Box::pin(async move { (self.0)(cx).await })
    }
}

/// Where a component is while neither its start nor its stop has it.
pub(crate) struct Home(Mutex<Option<Box<dyn Lifecycle>>>);

impl Home {
    pub(crate) fn new(component: Box<dyn Lifecycle>) -> Arc<Home> {
        Arc::new(Home(Mutex::new(Some(component))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn Lifecycle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Option<Box<dyn Lifecycle>> {
        self.lock().take()
    }

    /// Calls `start`. `keep` says whether the component is still needed after a start that failed.
    pub(crate) fn start(self: &Arc<Home>, scope: Arc<Scope>, runtime: &Handle, keep: bool) -> AbortHandle {
        let home = self.clone();
        let cx = StartCx::new(scope.clone());
        let work = async move {
            let span = tracing::info_span!("winddown.start", component = cx.name());
            let mut lent = Lent { component: home.take(), home, keep };
            let result = match &mut lent.component {
                Some(component) => component.start(&cx).instrument(span).await,
                None => Err(anyhow::anyhow!("an earlier start of it has not ended")),
            };
            lent.keep |= result.is_ok();
            result
        };
        runtime.spawn(Wrapped::new(work, scope, Role::Start)).abort_handle()
    }

    /// Calls `stop`, then drops the component unless `keep`.
    pub(crate) fn stop(self: &Arc<Home>, scope: Arc<Scope>, runtime: &Handle, reason: ReasonKind, keep: bool) -> AbortHandle {
        let home = self.clone();
        let cx = StopCx::new(scope.clone(), reason);
        let work = async move {
            let span = tracing::info_span!("winddown.stop", component = cx.name());
            let mut lent = Lent { component: home.take(), home, keep };
            match &mut lent.component {
                Some(component) => component.stop(&cx).instrument(span).await,
                None => Ok(()),
            }
        };
        runtime.spawn(Wrapped::new(work, scope, Role::Stop)).abort_handle()
    }
}

/// The component while a call has it: put back, or dropped right there, when the call's future is gone, however it went.
struct Lent {
    component: Option<Box<dyn Lifecycle>>,
    home: Arc<Home>,
    keep: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.keep {
            let previous = std::mem::replace(&mut *self.home.lock(), self.component.take());
            drop(previous);
        }
    }
}
