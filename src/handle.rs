//! From any thread: ask for shutdown, start and stop one component, wait for readiness or for the report.

use crate::error::Error;
use crate::id::ComponentId;
use crate::report::Report;
use crate::run::Input;
use crate::scope::{Message, OVER, READY, STOPS, Shared, Token};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A cheap, clonable handle to an app; from [`App::handle`](crate::App::handle) or [`Cx::handle`](crate::Cx::handle).
///
/// Usable from any thread, before, during and after the run. None of its methods blocks.
///
/// ```
/// let app = winddown::App::new("orders");
/// let handle = app.handle();
/// std::thread::spawn(move || handle.request_shutdown("the licence ran out"));
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Handle {
        Handle { shared }
    }

    /// Asks for shutdown and returns at once. Asking twice, or after a signal, is harmless; before the run it is remembered.
    pub fn request_shutdown(&self, why: impl Into<String>) {
        self.shared.fact(Input::Request { why: why.into() });
    }

    /// Asks for shutdown at once; awaiting what it returns gives the report, the same for everybody who asks.
    ///
    /// What is returned may be dropped: the shutdown goes on. Do not await it inside a component's stop: that waits for itself.
    pub fn shutdown(&self, why: impl Into<String>) -> Shutdown {
        self.request_shutdown(why);
        Shutdown { handle: self.clone() }
    }

    /// Waits for the report. Cancel safe.
    pub async fn report(&self) -> Arc<Report> {
        self.shared.until(|shared| shared.report.get().cloned()).await
    }

    /// Waits until everything that starts by itself runs: true then; false if a shutdown came first. Cancel safe.
    pub async fn wait_ready(&self) -> bool {
        self.shared.until(|shared| (shared.state() >= READY).then(|| shared.state() == READY)).await
    }

    /// Does everything run, with no shutdown begun? What a readiness probe asks.
    pub fn is_ready(&self) -> bool {
        self.shared.state() == READY
    }

    /// Has a shutdown begun (or ended)?
    pub fn is_stopping(&self) -> bool {
        self.shared.state() >= STOPS
    }

    /// Is the run over?
    pub fn is_over(&self) -> bool {
        self.shared.state() == OVER
    }

    /// Set the moment a shutdown begins, before any component is asked.
    pub fn stopping(&self) -> Token {
        Token::app(&self.shared)
    }

    /// Starts one component that is not running, such as one with `auto_startup(false)`; returns when it runs.
    ///
    /// Cancel safe: what was asked for goes on.
    ///
    /// # Errors
    /// [`Error::is_not_now`] if it is not possible in the present state or the start failed, [`Error::is_unknown_component`].
    pub async fn start(&self, id: ComponentId) -> Result<(), Error> {
        self.one(true, id).await
    }

    /// Stops one component, whose dependants must not run; returns when it is terminal. How it ended is in the report.
    ///
    /// Cancel safe: what was asked for goes on.
    ///
    /// # Errors
    /// As [`start`](Handle::start).
    pub async fn stop(&self, id: ComponentId) -> Result<(), Error> {
        self.one(false, id).await
    }

    async fn one(&self, start: bool, id: ComponentId) -> Result<(), Error> {
        if id.app != self.shared.app {
            return Err(Error::unknown_component());
        }
        let (reply, answer) = oneshot::channel();
        self.shared.send(Message::One { start, id: id.index, reply });
        let over = || Err(Error::not_now(if start { "starting a component" } else { "stopping a component" }, "the run is over"));
        if self.shared.state() == OVER {
            return over();
        }
        answer.await.unwrap_or_else(|_| over())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("ready", &self.is_ready()).field("stopping", &self.is_stopping()).finish()
    }
}

/// A shutdown that was asked for; await it for the report. See [`Handle::shutdown`].
#[derive(Debug)]
pub struct Shutdown {
    handle: Handle,
}

impl IntoFuture for Shutdown {
    type Output = Arc<Report>;
    type IntoFuture = Pin<Box<dyn Future<Output = Arc<Report>> + Send>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.handle.report().await })
    }
}
