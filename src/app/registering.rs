//! How components come in.

use super::{Added, App, Opening};
use crate::error::Error;
use crate::event::Observer;
use crate::id::{ComponentId, Link};
use crate::lifecycle::{Body, FnService, FnTask, Home, Lifecycle, RunCx, Service, ServiceComponent, ThreadComponent, ThreadCx, Tracked};
use crate::plan::spec::{Linked, Spec};
use crate::scope::Message;
use std::future::Future;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

impl App {
    /// Registers a component.
    pub fn add(&self, component: impl Lifecycle) -> Added<'_> {
        let spec = Spec { name: component.name().into(), phase: component.phase(), declares_ready: component.declares_ready(), ..Spec::default() };
        let links: Vec<(Link, bool)> =
            component.provides().into_iter().map(|link| (link, true)).chain(component.needs().into_iter().map(|link| (link, false))).collect();
        let added = self.register(spec, Body::Component(Home::new(Box::new(component))));
        if added.refused.is_none() && !links.is_empty() {
            let component = added.id.index;
            let linked = links.into_iter().map(|(link, provides)| Linked { component, link, provides });
            self.inner.registered().registry.links.extend(linked);
        }
        added
    }

    /// Registers a service: a component that is one loop.
    pub fn service(&self, service: impl Service) -> Added<'_> {
        self.add(ServiceComponent::new(service))
    }

    /// Registers a closure that makes one task. It runs once, so it cannot be restarted; see [`task_factory`](App::task_factory).
    ///
    /// ```
    /// # let app = winddown::App::new("doc");
    /// app.task("cache-refresh", |cx| async move {
    ///     while cx.until_stopping(tokio::time::sleep(winddown::secs(30))).await.is_some() { /* refresh */ }
    ///     Ok(())
    /// });
    /// ```
    pub fn task<F, Fut>(&self, name: impl Into<String>, task: F) -> Added<'_>
    where
        F: FnOnce(RunCx) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let spec = Spec { name: name.into().into(), once_only: true, ..Spec::default() };
        self.register(spec, Body::Task(Box::new(FnTask(task))))
    }

    /// Registers a closure that makes a task each time it is called: once, and again for every restart.
    pub fn task_factory<F, Fut>(&self, name: impl Into<String>, make: F) -> Added<'_>
    where
        F: FnMut(RunCx) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.service(FnService { name: name.into(), make })
    }

    /// Registers a future that knows nothing of stopping: it is dropped when it is asked to.
    pub fn future<Fut>(&self, name: impl Into<String>, future: Fut) -> Added<'_>
    where
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.task(name, |cx| async move { cx.until_stopping(future).await.unwrap_or(Ok(())) })
    }

    /// Registers a closure that gets an OS thread of its own, for synchronous code. It must look at
    /// [`is_stopping`](ThreadCx::is_stopping) or use [`sleep`](ThreadCx::sleep): a thread can be abandoned, not aborted.
    ///
    /// ```
    /// # let app = winddown::App::new("doc");
    /// app.thread("sampler", |cx| {
    ///     while cx.sleep(winddown::millis(100)) { /* sample */ }
    ///     Ok(())
    /// });
    /// ```
    pub fn thread<F>(&self, name: impl Into<String>, work: F) -> Added<'_>
    where
        F: FnMut(&ThreadCx) -> anyhow::Result<()> + Send + 'static,
    {
        self.add(ThreadComponent::new(name.into(), work))
    }

    /// Registers a token and a tracker that the program has already; see [`Tracked`].
    pub fn tracked(&self, name: impl Into<String>, token: CancellationToken, tracker: TaskTracker) -> Added<'_> {
        self.add(Tracked::new(name, token, tracker))
    }

    /// Opens a resource: awaits the future and gives a handle to its value. Registered in the order of these calls, destroyed in reverse.
    ///
    /// # Errors
    /// The future's own; the resource is then reported as not created. Awaiting it after the plan was made gives
    /// [`Error::is_sealed`](crate::Error::is_sealed).
    ///
    /// ```
    /// # async fn set_up(app: winddown::App) -> anyhow::Result<()> {
    /// let file = app
    ///     .resource("journal", tokio::fs::File::open("journal"))
    ///     .budget(winddown::secs(2))                          // explicit; default 1 s
    ///     .destroy_with(|file| async move { Ok(file.sync_all().await?) })   // default: drop
    ///     .await?;
    /// # let _ = file; Ok(())
    /// # }
    /// ```
    pub fn resource<T, E, Fut>(&self, name: impl Into<String>, open: Fut) -> Opening<T>
    where
        T: Send + Sync + 'static,
        E: Into<anyhow::Error>,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        Opening::new(self.clone(), name.into(), Box::pin(async move { open.await.map_err(Into::into) }))
    }

    /// To say more about a component whose id is known.
    pub fn configure(&self, id: ComponentId) -> Added<'_> {
        let refused = if id.app != self.inner.shared.app {
            Some(Error::unknown_component())
        } else {
            self.inner.registered().sealed.then(|| Error::sealed("a change to a component"))
        };
        Added { app: self, id, refused }
    }

    /// Subscribes to the events of the run. After the run began it is too late, and nothing happens.
    pub fn observe(&self, observer: impl Observer) {
        let mut registered = self.inner.registered();
        if !registered.sealed {
            registered.observers.push(Box::new(observer));
        }
    }

    fn register(&self, spec: Spec, body: Body) -> Added<'_> {
        let app = self.inner.shared.app;
        let mut registered = self.inner.registered();
        let index = registered.registry.components.len() as u32;
        if registered.sealed {
            drop(registered);
            let name = spec.name.to_string();
            self.inner.shared.send(Message::TooLate { name: name.clone() });
            return Added { app: self, id: ComponentId { app, index: u32::MAX }, refused: Some(Error::sealed(name)) };
        }
        registered.registry.components.push(spec);
        registered.bodies.push(body);
        Added { app: self, id: ComponentId { app, index }, refused: None }
    }
}
