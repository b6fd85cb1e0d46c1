//! What `main` returns.

use crate::conductor::exit_now;
use crate::outcome::Verdict;
use crate::report::Report;
use std::io::Write;
use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::time::Duration;

/// A finished run as `main`'s return value: the process leaves with [`Report::exit_code`].
///
/// After a run that needed force it leaves the process itself, without exit handlers, since threads that were given up may hold what those
/// wait for. To leave the ordinary way instead, return `ExitCode::from(report.exit_code())`.
///
/// ```no_run
/// fn main() -> winddown::Exit {
///     winddown::run("orders", |app| async move {
///         app.task("worker", |cx| async move { cx.stopping().await; Ok(()) });
///         Ok(())
///     })
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "return it from main"]
pub struct Exit {
    report: Arc<Report>,
}

impl Exit {
    /// Wraps a report.
    pub fn new(report: Arc<Report>) -> Exit {
        Exit { report }
    }

    /// The report.
    pub fn as_report(&self) -> &Report {
        &self.report
    }
}

impl From<Arc<Report>> for Exit {
    fn from(report: Arc<Report>) -> Exit {
        Exit::new(report)
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        let code = self.report.exit_code();
        if matches!(self.report.verdict(), Verdict::Forced | Verdict::Immediate) {
            flush_stdout();
            exit_now(code);
        }
        ExitCode::from(code)
    }
}

/// Somebody who was given up may hold stdout's lock: tried on another thread, and not for long.
fn flush_stdout() {
    let (done, wait) = std::sync::mpsc::sync_channel(1);
    let flush = move || {
        let _ = std::io::stdout().flush();
        let _ = done.try_send(());
    };
    if std::thread::Builder::new().name("winddown-flush".into()).spawn(flush).is_ok() {
        let _ = wait.recv_timeout(Duration::from_millis(10));
    }
}
