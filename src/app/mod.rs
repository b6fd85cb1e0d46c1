//! The door: register, then run.
//!
//! Invariant: nothing of the user's is called while the registrations are locked.

mod added;
mod entry;
mod exit;
mod guard;
mod opening;
mod registering;
mod settings;

pub use added::Added;
pub use entry::run;
pub use exit::Exit;
pub use guard::{Guard, Watched, guard};
pub use opening::Opening;
pub use settings::{OnDeadline, Output, Signals};

use crate::error::Error;
use crate::event::Observer;
use crate::handle::Handle;
use crate::lifecycle::Body;
use crate::plan::Plan;
use crate::plan::spec::Registry;
use crate::resource::Graveyard;
use crate::scope::{Scope, Shared};
pub(crate) use settings::Options;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle as Runtime;
use tokio::task::AbortHandle;

/// A program's components and resources, and how to run them. A cheap handle: clones are the same app.
///
/// Settings are said by value, when it is made; registrations by reference, whenever until the run begins. An app runs once.
///
/// | setting | default |
/// |---|---|
/// | [`grace`](App::grace) | 25 s |
/// | [`setup_budget`](App::setup_budget), [`start_budget`](App::start_budget) | 30 s each |
/// | [`stop_budget`](App::stop_budget) | 5 s |
/// | [`cancel_wait`](App::cancel_wait), [`abort_wait`](App::abort_wait) | 500 ms, 250 ms |
/// | a resource's budget | 1 s |
/// | [`signals`](App::signals) | [`Signals::Own`] |
/// | [`on_deadline`](App::on_deadline) | [`OnDeadline::Exit`] |
/// | [`output`](App::output) | stderr where the app owns the process, quiet inside a host |
///
/// ```no_run
/// use winddown::{App, Phase, secs};
///
/// fn main() -> winddown::Exit {
///     App::new("orders")
///         .grace(secs(20))
///         .setup(|app| async move {
///             let pool = app.resource("pool", async { anyhow::Ok("a pool") }).await?;
///             app.task("consumer", |cx| async move { cx.stopping().await; Ok(()) }).phase(Phase::INTAKE).uses(&pool);
///             Ok(())
///         })
///         .run_main()
/// }
/// ```
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) name: String,
    registered: Mutex<Registered>,
}

pub(crate) type SetUp = Box<dyn FnOnce(App) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> + Send>;

/// Everything said so far.
#[derive(Default)]
pub(crate) struct Registered {
    pub(crate) registry: Registry,
    pub(crate) bodies: Vec<Body>,
    pub(crate) resources: Vec<ResourceEntry>,
    pub(crate) observers: Vec<Box<dyn Observer>>,
    pub(crate) set_up: Option<SetUp>,
    pub(crate) options: Options,
    /// The plan is made: what comes now is too late.
    pub(crate) sealed: bool,
    /// A run has begun.
    pub(crate) begun: bool,
}

/// One resource as the conductor sees it.
#[derive(Default)]
pub(crate) struct ResourceEntry {
    pub(crate) opened: Option<Box<dyn Destroyable>>,
    pub(crate) error: Option<Arc<str>>,
}

/// A resource without its type.
pub(crate) trait Destroyable: Send {
    /// Who holds leases.
    fn holders(&self) -> Vec<Arc<str>>;
    /// Waits for what is still being dropped and for the leases, then destroys it. The scope must have been entered.
    fn destroy(self: Box<Self>, scope: Arc<Scope>, runtime: &Runtime, graveyard: Arc<Graveyard>) -> AbortHandle;
    /// Never drops it.
    fn leak(self: Box<Self>);
}

impl Inner {
    pub(crate) fn registered(&self) -> MutexGuard<'_, Registered> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// A new, empty app. An empty app may run: it waits for a signal.
    pub fn new(name: impl Into<String>) -> App {
        let shared = Shared::new();
        let name = name.into();
        let registry = Registry { app: name.clone(), app_id: shared.app, ..Registry::default() };
        let registered = Mutex::new(Registered { registry, ..Registered::default() });
        App { inner: Arc::new(Inner { shared, name, registered }) }
    }

    /// A handle for any thread: to ask for shutdown, to wait for readiness or the report.
    pub fn handle(&self) -> Handle {
        Handle::new(self.inner.shared.clone())
    }

    /// Checks what was registered so far and shows what would happen. Starts nothing; may be called again.
    ///
    /// # Errors
    /// Every [`Problem`](crate::Problem) at once, in [`Error::problems`].
    pub fn plan(&self) -> Result<Plan, Error> {
        let registered = self.inner.registered();
        if registered.begun && registered.sealed {
            return self.inner.shared.plan.get().map(|plan| (**plan).clone()).ok_or_else(Error::already_run);
        }
        let registry = registered.registry.clone();
        drop(registered);
        registry.plan()
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> App {
        App { inner }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registered = self.inner.registered();
        let registry = &registered.registry;
        f.debug_struct("App").field("name", &registry.app).field("components", &registry.components.len()).finish_non_exhaustive()
    }
}
