//! What happened, as a value: a fold over the machine's records and the timeline.
//!
//! Invariant: nothing here waits, locks or prints. The exit code is a pure function of the report ([`verdict`]).

mod build;
mod json;
mod text;
mod verdict;

pub(crate) use build::{Blocked, Extras, Raw};
pub use json::SCHEMA;
pub(crate) use text::Style;

use crate::event::Event;
use crate::outcome::{Outcome, ResourceOutcome, Rung, Verdict};
use crate::reason::Trigger;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What happened to each component and resource, when, and why the program left as it did.
///
/// A value: print it (`Display`, [`to_text`](Report::to_text)), keep it as [JSON](Report::to_json), assert on it in a test.
///
/// Error and panic texts stand in it as the user's code wrote them: keep secrets out of error texts.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let app = winddown::App::new("demo");
/// app.task("worker", |cx| async move { cx.stopping().await; Ok(()) });
/// app.handle().shutdown("enough");                        // remembered, also before the run
/// let report = app.run().await;
/// assert_eq!(report.exit_code(), 0);
/// assert_eq!(report.verdict(), winddown::Verdict::Clean);
/// # });
/// ```
pub struct Report {
    raw: Raw,
    verdict: Verdict,
    exit_code: u8,
    components: OnceLock<Vec<ComponentReport>>,
    events: OnceLock<Vec<Event>>,
}

/// A span of the run, from its begin to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Since the run began.
    pub began: Duration,
    /// Since the run began; whatever began has an end.
    pub ended: Duration,
}

/// A runtime worker that a component kept from everybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedWorker {
    /// The task whose poll or drop did it: `start`, `stop`, `run`, `drop`, or the name it was spawned with.
    pub task: String,
    /// Since when, from the begin of the run; sampled, so up to some 10 ms late.
    pub since: Duration,
}

/// One component's end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComponentReport {
    /// Its name.
    pub name: Arc<str>,
    /// Its phase.
    pub phase: i32,
    /// How it ended; the worst that happened.
    pub outcome: Outcome,
    /// How much force its stop needed.
    pub rung: Rung,
    /// Its (last) start.
    pub start: Option<Interval>,
    /// Its stop.
    pub stop: Option<Interval>,
    /// The first error's or panic's text.
    pub error: Option<Arc<str>>,
    /// How often it was started again.
    pub restarts: u32,
    /// Units finished after the stop was asked for.
    pub drained: u64,
    /// Units given back for others to do.
    pub handed_back: u64,
    /// Units lost.
    pub lost: u64,
    /// The longest that it kept a runtime worker blocked, if that was 100 ms or more.
    pub blocked_worker: Option<BlockedWorker>,
}

/// One resource's end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResourceReport {
    /// Its name.
    pub name: Arc<str>,
    /// How it ended.
    pub outcome: ResourceOutcome,
    /// When.
    pub ended: Option<Duration>,
    /// Why it could not be opened or destroyed.
    pub error: Option<Arc<str>>,
    /// Who may still use it, or held a lease when all should have been back.
    pub held_by: Vec<Arc<str>>,
}

impl Report {
    pub(crate) fn new(raw: Raw) -> Report {
        let (verdict, exit_code) = verdict::judge(&raw);
        Report { raw, verdict, exit_code, components: OnceLock::new(), events: OnceLock::new() }
    }

    /// A report that says only: refused, and why. For programs that check their own configuration before they build an app.
    ///
    /// ```
    /// let report = winddown::Report::refused("orders", vec!["orders.toml:3: no such key".into()]);
    /// assert_eq!(report.exit_code(), 2);
    /// ```
    pub fn refused(app: impl Into<String>, problems: Vec<String>) -> Report {
        Report::new(Raw::refused(app.into(), problems))
    }

    /// The app's name.
    pub fn app(&self) -> &str {
        &self.raw.plan.app
    }

    /// The process's exit code, a function of the rest of the report: 0 clean, 1 failed, 2 refused, 124 forced, 128 + n left at once on
    /// signal n. A [`Profile`](crate::Profile) may replace 0 and 1.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// The run in one word.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Why it stopped; `None` when it was refused.
    pub fn trigger(&self) -> Option<&Trigger> {
        self.raw.trigger.as_ref()
    }

    /// The grace period that held.
    pub fn grace(&self) -> Duration {
        self.raw.grace
    }

    /// How long the shutdown took, from its trigger to its end; `None` without one.
    pub fn shutdown_took(&self) -> Option<Duration> {
        self.raw.trigger.as_ref()?;
        Some(self.raw.ended.since(self.raw.shutdown_began?))
    }

    /// Every planned component, in registration order.
    pub fn components(&self) -> &[ComponentReport] {
        self.components.get_or_init(|| self.raw.components())
    }

    /// One component by name.
    pub fn component(&self, name: &str) -> Option<&ComponentReport> {
        let index = self.raw.plan.components.iter().position(|c| &*c.name == name)?;
        self.components().get(index)
    }

    /// Every registered resource, in registration order.
    pub fn resources(&self) -> &[ResourceReport] {
        &self.raw.resources
    }

    /// One resource by name.
    pub fn resource(&self, name: &str) -> Option<&ResourceReport> {
        self.raw.resources.iter().find(|r| &*r.name == name)
    }

    /// The timeline.
    pub fn events(&self) -> &[Event] {
        self.events.get_or_init(|| self.raw.events())
    }

    /// What was wrong with the plan or the configuration, one line each; empty unless the verdict is refused.
    pub fn problems(&self) -> &[String] {
        &self.raw.problems
    }

    /// How often force waited for a critical section.
    pub fn critical_holds(&self) -> u32 {
        self.raw.critical_holds
    }

    /// Runtime workers that were blocked when the run ended, as text: thread, and what it was in.
    pub fn blocked_at_end(&self) -> &[String] {
        &self.raw.blocked_at_end
    }

    /// As text, for a terminal: the timeline, and the reason of the exit code. `colour` adds ANSI colours.
    pub fn to_text(&self, colour: bool) -> String {
        text::render(self, Style { colour })
    }

    /// As JSON, schema [`SCHEMA`].
    pub fn to_json(&self) -> String {
        json::render(self)
    }

    /// Writes the JSON to a file, atomically: a reader sees the old file or the whole new one.
    ///
    /// # Errors
    /// As the file system gives them; a temporary file beside the target is then removed.
    pub fn write_to(&self, path: impl AsRef<Path>) -> std::io::Result<()> {
        json::write(path.as_ref(), self)
    }

    pub(crate) fn raw(&self) -> &Raw {
        &self.raw
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text(false))
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("app", &self.app()).field("verdict", &self.verdict).field("exit_code", &self.exit_code).finish_non_exhaustive()
    }
}
