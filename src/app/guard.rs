//! The smallest way in: the signals, the last deadline and the blame for a program that stays as it is.

use super::{App, Output};
use crate::conductor::{Ended, Ownership, start};
use crate::lifecycle::Body;
use crate::plan::budget::tail;
use crate::plan::spec::Spec;
use crate::scope::{Scope, Token, blame};
use pin_project_lite::pin_project;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle as Runtime;
use tokio::task::JoinHandle;

/// Guards an existing program: from the first SIGTERM (or SIGINT, SIGQUIT, SIGHUP) it has `grace` to leave by itself. Should it not, the
/// process is left with exit code 124, and what it was blocked in is named; a second signal makes it leave at once.
///
/// The program's own signal handling goes on beside it. Where there is none, wait for [`Guard::stopping`]: a guarded program does not die of
/// a signal any more. When the guard is dropped it is over, and signals have their default action again.
///
/// If the guard cannot be set up (no thread to be had), that is said on stderr and the program runs unguarded.
///
/// ```no_run
/// # async fn serve() {}
/// #[tokio::main]
/// async fn main() {
///     let guard = winddown::guard(winddown::secs(25));
///     tokio::select! {
///         () = guard.watch("serve", serve()) => {}
///         () = guard.stopping().wait() => {}
///     }
///     // clean up as before; 25 s after the signal it is over in any case
/// }
/// ```
pub fn guard(grace: Duration) -> Guard {
    let grace = grace.max(Duration::from_millis(10));
    let name = std::env::args_os().next().and_then(|a| std::path::Path::new(&a).file_name().map(|n| n.to_string_lossy().into_owned()));
    let app = App::new(name.unwrap_or_else(|| "program".into())).grace(grace).output(Output::Stderr);
    let (place, scope) = channel();
    let brief = Duration::from_millis(1);
    let spec = Spec {
        name: "program".into(),
        once_only: true,
        // All of the grace period: its end is the last deadline.
        stop_budget: Some(grace.saturating_sub(tail(grace, 1)).saturating_sub(brief * 2).max(brief)),
        cancel_wait: Some(brief),
        abort_wait: Some(brief),
        ..Spec::default()
    };
    {
        let mut registered = app.inner().registered();
        registered.registry.components.push(spec);
        registered.bodies.push(Body::Program(place));
    }
    let started = start(&app, Ownership::Guarded, Runtime::try_current().ok());
    let (ended, scope) = match started {
        Ok(ended) => (Some(ended), scope.recv().ok()),
        Err(error) => {
            let text = format!("winddown: the guard could not be set up: {error}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
            (None, None)
        }
    };
    Guard { app, scope, ended }
}

/// Made by [`guard`]; it guards while it lives.
#[must_use = "it guards only while it lives"]
pub struct Guard {
    app: App,
    scope: Option<Arc<Scope>>,
    ended: Option<Ended>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("active", &self.scope.is_some()).finish()
    }
}

impl Guard {
    /// Set by the first signal.
    pub fn stopping(&self) -> Token {
        self.app.handle().stopping()
    }

    /// The future, named: should it block its thread, the warning and the report say so.
    pub fn watch<F: Future>(&self, name: impl Into<Cow<'static, str>>, future: F) -> Watched<F> {
        let named = self.scope.clone().map(|scope| {
            // The runtime is known at the latest when something runs on it; blocked workers are then nudged.
            if let Ok(runtime) = Runtime::try_current() {
                let _ = scope.shared.runtime.set(runtime);
            }
            let place = scope.extra().reserve(name.into()).place;
            Named { scope, place }
        });
        Watched { future, named }
    }

    /// `tokio::spawn` of the [watched](Guard::watch) future.
    ///
    /// # Panics
    /// Outside a runtime, as `tokio::spawn` does.
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.watch(name, future))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let (Some(scope), Some(ended)) = (&self.scope, &self.ended) {
            scope.shared.send(crate::scope::Message::GuardDropped);
            scope.leave();
            // So that afterwards signals really have their default action again. The conductor answers in microseconds.
            let _ = ended.wait_for(Duration::from_millis(500));
        }
    }
}

struct Named {
    scope: Arc<Scope>,
    place: u32,
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.scope.extra().gone(self.place);
    }
}

pin_project! {
    /// A future that is named while it is polled; made by [`Guard::watch`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Watched<F> {
        #[pin]
        future: F,
        named: Option<Named>,
    }
}

impl<F> fmt::Debug for Watched<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let role = this.named.as_ref().map(|named| named.scope.place(crate::scope::Role::Job(named.place).code()));
        let _blame = role.map(blame::enter);
        this.future.poll(cx)
    }
}
