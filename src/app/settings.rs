//! Settings of a whole app.

use super::{App, Registered};
use crate::reason::{Profile, ReasonKind};
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

/// Does the app listen to SIGTERM, SIGINT, SIGQUIT and SIGHUP?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signals {
    /// Yes, from before the set-up until it is over. Several apps of one process may: each hears each signal. The default.
    #[default]
    Own,
    /// No: only a [`Handle`](crate::Handle) stops it, besides its own components. For tests, and for apps inside an app.
    Ignore,
}

/// What happens at the last deadline, and at a third signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDeadline {
    /// The report is written and the process left. The default.
    #[default]
    Exit,
    /// The report is returned, whatever still runs. For tests and hosts. It can be returned only if the runtime lets it.
    Return,
}

/// Where progress and the final report go as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// To stderr; colours only on a terminal and without `NO_COLOR`.
    Stderr,
    /// Nowhere, except when the last deadline or a third signal ends the process.
    Quiet,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) signals: Signals,
    pub(crate) on_deadline: OnDeadline,
    pub(crate) output: Option<Output>,
    pub(crate) report_to: Option<PathBuf>,
    pub(crate) worker_threads: Option<usize>,
}

impl App {
    fn set(self, change: impl FnOnce(&mut Registered)) -> App {
        change(&mut self.inner.registered());
        self
    }

    /// Time from the begin of a shutdown to the moment the process is left whatever still runs. Default 25 s: under Kubernetes' 30 s.
    pub fn grace(self, grace: Duration) -> App {
        self.set(|r| r.registry.settings.grace = grace)
    }

    /// Time for a component's `stop` and tasks to end by themselves, where it says none of its own. Default 5 s. Not an explicit
    /// budget: it is shortened when the longest chain would not fit into the grace period.
    pub fn stop_budget(self, budget: Duration) -> App {
        self.set(|r| r.registry.settings.stop_budget = budget)
    }

    /// Time for a component to start, where it says none of its own. Default 30 s.
    pub fn start_budget(self, budget: Duration) -> App {
        self.set(|r| r.registry.settings.start_budget = budget)
    }

    /// Time for the set-up code. Default 30 s.
    pub fn setup_budget(self, budget: Duration) -> App {
        self.set(|r| r.registry.settings.setup_budget = budget)
    }

    /// Time between `cancelled` and the drop of the futures. Default 500 ms; shortened like a default budget.
    pub fn cancel_wait(self, wait: Duration) -> App {
        self.set(|r| r.registry.settings.cancel_wait = wait)
    }

    /// Time for the drop of the futures. Default 250 ms; shortened like a default budget.
    pub fn abort_wait(self, wait: Duration) -> App {
        self.set(|r| r.registry.settings.abort_wait = wait)
    }

    /// Worker threads of the runtime, where winddown makes it. Default: tokio's.
    pub fn worker_threads(self, threads: usize) -> App {
        self.set(|r| r.options.worker_threads = Some(threads.max(1)))
    }

    /// Does it listen to signals? Default [`Signals::Own`].
    pub fn signals(self, signals: Signals) -> App {
        self.set(|r| r.options.signals = signals)
    }

    /// What happens at the last deadline. Default [`OnDeadline::Exit`].
    pub fn on_deadline(self, on_deadline: OnDeadline) -> App {
        self.set(|r| r.options.on_deadline = on_deadline)
    }

    /// Where progress and the final report go as text. Default: [`Output::Stderr`] where the app owns the process, else [`Output::Quiet`].
    pub fn output(self, output: Output) -> App {
        self.set(|r| r.options.output = Some(output))
    }

    /// Also writes the report as JSON to this file at the end, atomically, however the run ends. Should that fail, it is said on stderr (where
    /// there is [output](App::output)); the exit code stays. [`Report::write_to`](crate::Report::write_to) gives the error to whoever wants it.
    pub fn report_to(self, path: impl Into<PathBuf>) -> App {
        let path = path.into();
        self.set(|r| r.options.report_to = Some(path))
    }

    /// What one kind of reason changes about its shutdown; the last one said for a kind holds.
    pub fn profile(self, kind: ReasonKind, profile: Profile) -> App {
        self.set(|r| r.registry.settings.profiles.push((kind, profile)))
    }

    /// Code that opens resources and registers components, run when the run begins: signals are heard already, it has a
    /// [budget](App::setup_budget), a signal drops it at its next await, an error ends the run with exit code 1 and what was opened is destroyed.
    pub fn setup<F, Fut>(self, setup: F) -> App
    where
        F: FnOnce(App) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let set_up: super::SetUp = Box::new(move |app| Box::pin(setup(app)));
        // An earlier one is the user's to drop, so not under the lock.
        let previous = self.inner.registered().set_up.replace(set_up);
        drop(previous);
        self
    }
}
