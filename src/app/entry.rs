//! The ways into a run: owning the process, inside a runtime, from a synchronous program.

use super::{App, Exit};
use crate::conductor::{Ownership, start, taken};
use crate::error::Error;
use crate::handle::Handle;
use crate::report::Report;
use crate::scope::{Message, OVER, Shared, blame};
use std::future::Future;
use std::sync::Arc;
use tokio::runtime::{Builder, Handle as RuntimeHandle, Runtime};

/// Runs a program: makes the runtime, listens to signals, runs the set-up, starts everything in order, waits, stops everything in reverse
/// inside the grace period, and says with which code to leave. [`App`] has the settings; this is `App::new(name).setup(setup).run_main()`.
///
/// ```no_run
/// use winddown::{secs, Phase};
///
/// fn main() -> winddown::Exit {
///     winddown::run("orders", |app| async move {
///         app.task("cache-refresh", |cx| async move {
///             while cx.until_stopping(tokio::time::sleep(secs(30))).await.is_some() { /* refresh */ }
///             Ok(())
///         })
///         .phase(Phase::CLIENTS);
///         Ok(())
///     })
/// }
/// ```
pub fn run<F, Fut>(name: impl Into<String>, setup: F) -> Exit
where
    F: FnOnce(App) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    App::new(name).setup(setup).run_main()
}

impl App {
    /// Runs it inside the tokio runtime that is here, of either flavour; it needs neither its timers nor its I/O.
    ///
    /// What cannot run at all (no runtime, an app that was run before, a plan with problems) gives a report whose verdict is refused.
    ///
    /// Cancel safety: dropping the future asks for shutdown, which then goes on by itself.
    ///
    /// The future must be polled: when the last deadline comes and the report could not be handed over, the runtime is taken to be blocked
    /// and the process is left ([`OnDeadline::Exit`](crate::OnDeadline::Exit)).
    pub async fn run(&self) -> Arc<Report> {
        let Ok(runtime) = RuntimeHandle::try_current() else { return self.refuse(&Error::no_runtime()) };
        if let Err(error) = start(self, Ownership::Host, Some(runtime)) {
            return self.refuse(&error);
        }
        let mut host = Host { shared: self.inner().shared.clone(), got_it: false };
        let report = self.handle().report().await;
        host.got_it = true;
        report
    }

    /// Runs it from a synchronous program: makes a runtime, and returns the report when all is over. Threads that block are left behind.
    ///
    /// # Panics
    /// Not by itself; inside a runtime, tokio forbids blocking, and the report is "refused" instead.
    pub fn run_blocking(&self) -> Arc<Report> {
        if RuntimeHandle::try_current().is_ok() {
            return self.refuse(&Error::runtime("this thread is inside a runtime already: use `run().await`"));
        }
        match self.drive(Ownership::Host) {
            Ok(report) => report,
            Err(error) => self.refuse(&error),
        }
    }

    /// Runs it as the owner of the process: `main` returns what this returns. Signals stay winddown's until the process has gone, and it is
    /// left without waiting for threads that block.
    pub fn run_main(&self) -> Exit {
        let report = match self.drive(Ownership::Ours) {
            Ok(report) => report,
            Err(error) => {
                let report = self.refuse(&error);
                let _ = std::io::Write::write_all(&mut std::io::stderr(), report.to_text(false).as_bytes());
                report
            }
        };
        Exit::new(report)
    }

    fn drive(&self, ownership: Ownership) -> Result<Arc<Report>, Error> {
        let threads = self.inner().registered().options.worker_threads;
        let runtime = runtime(threads)?;
        let ended = start(self, ownership, Some(runtime.handle().clone()))?;
        let report = ended.wait();
        taken(&self.inner().shared);
        // What still blocks is left behind: the report has named it.
        runtime.shutdown_background();
        report.ok_or_else(|| Error::runtime("the conductor's thread ended without a report, which is a defect"))
    }

    pub(crate) fn refuse(&self, error: &Error) -> Arc<Report> {
        let report = Report::refused(self.inner().name.clone(), error.lines());
        let path = self.inner().registered().options.report_to.clone();
        // The report of the run that there was stays.
        if let Some(path) = path.filter(|_| !error.is_already_run()) {
            let _ = report.write_to(path);
        }
        let report = Arc::new(report);
        // Whoever waits through a handle is told as well, if this was the run.
        let shared = &self.inner().shared;
        if self.inner().registered().begun && !error.is_already_run() && shared.report.set(report.clone()).is_ok() {
            shared.advance(OVER);
        }
        report
    }
}

/// Tells the conductor when the host stops waiting.
struct Host {
    shared: Arc<Shared>,
    got_it: bool,
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.got_it {
            taken(&self.shared);
        } else {
            Handle::new(self.shared.clone()).request_shutdown("the run was dropped");
            self.shared.send(Message::HostGone);
        }
    }
}

fn runtime(threads: Option<usize>) -> Result<Runtime, Error> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    // So that a worker that is busy outside any scope has at least its thread's name in the report.
    builder.enable_all().thread_name("winddown-worker").on_thread_unpark(|| blame::outside(true)).on_thread_park(|| blame::outside(false));
    builder.build().map_err(Error::runtime)
}
