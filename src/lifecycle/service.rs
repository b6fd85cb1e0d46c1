//! The common case: a component that is one loop.

use super::{Lifecycle, RunCx, StartCx, StopCx, short_type_name};
use crate::phase::Phase;
use async_trait::async_trait;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

/// One loop: `run` works until it is asked to stop, and returns. Restartable by nature.
///
/// It is a [`Lifecycle`] through [`ServiceComponent`]; register it with [`App::service`](crate::App::service). Ready means spawned,
/// unless it [declares](Service::declares_ready) that it says so itself. Its stop is the `stopping` token: `run` has the stop budget to
/// return. Returning before anybody asked goes to the [`Policy`](crate::Policy), as does an error or a panic.
///
/// ```
/// use winddown::{async_trait, RunCx, Service};
///
/// struct Refresher;
///
/// #[async_trait]
/// impl Service for Refresher {
///     async fn run(&mut self, cx: &RunCx) -> anyhow::Result<()> {
///         while cx.until_stopping(tokio::time::sleep(winddown::secs(30))).await.is_some() {
///             // refresh
///         }
///         Ok(())
///     }
/// }
/// # let app = winddown::App::new("doc");
/// app.service(Refresher);
/// # app.plan().unwrap();
/// ```
#[async_trait]
pub trait Service: Send + 'static {
    /// As [`Lifecycle::name`].
    fn name(&self) -> String {
        short_type_name::<Self>()
    }
    /// As [`Lifecycle::phase`].
    fn phase(&self) -> Phase {
        Phase::WORKERS
    }
    /// As [`Lifecycle::declares_ready`]: `run` calls [`Cx::ready`](crate::Cx::ready) when it is.
    fn declares_ready(&self) -> bool {
        false
    }
    /// Works until asked to stop. Called again, never concurrently, for a restart.
    ///
    /// # Errors
    /// An error before anybody asked goes to the policy; afterwards it is reported as the component's failure.
    async fn run(&mut self, cx: &RunCx) -> anyhow::Result<()>;
}

/// A [`Service`] as a [`Lifecycle`]: `start` spawns `run` into the scope, `stop` has nothing left to do.
#[derive(Debug)]
pub struct ServiceComponent<S> {
    home: Arc<Mutex<Option<S>>>,
    name: String,
    phase: Phase,
    declares_ready: bool,
}

impl<S: Service> ServiceComponent<S> {
    /// Adapts a service.
    pub fn new(service: S) -> ServiceComponent<S> {
        let (name, phase, declares_ready) = (service.name(), service.phase(), service.declares_ready());
        ServiceComponent { home: Arc::new(Mutex::new(Some(service))), name, phase, declares_ready }
    }
}

/// The service while its `run` has it; put back when that future is gone, however it went.
struct Lent<S> {
    service: Option<S>,
    home: Arc<Mutex<Option<S>>>,
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.service.take();
    }
}

#[async_trait]
impl<S: Service> Lifecycle for ServiceComponent<S> {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn phase(&self) -> Phase {
        self.phase
    }
    fn declares_ready(&self) -> bool {
        self.declares_ready
    }

    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let service = self.home.lock().unwrap_or_else(PoisonError::into_inner).take();
        anyhow::ensure!(service.is_some(), "an earlier run of it has not ended");
        let mut lent = Lent { service, home: self.home.clone() };
        // A run that fails at once has run, however fast: its end is told after the start's.
        cx.scope.extra().hold_ends();
        let run = RunCx::new(cx.scope.clone());
        cx.spawn("run", async move {
            match &mut lent.service {
                Some(service) => service.run(&run).await,
                None => Ok(()),
            }
        });
        Ok(())
    }

    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A closure that makes a future for each start, as a service.
pub(crate) struct FnService<F> {
    pub(crate) name: String,
    pub(crate) make: F,
}

#[async_trait]
impl<F, Fut> Service for FnService<F>
where
    F: FnMut(RunCx) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    fn name(&self) -> String {
        self.name.clone()
    }
    async fn run(&mut self, cx: &RunCx) -> anyhow::Result<()> {
        (self.make)(cx.clone()).await
    }
}
