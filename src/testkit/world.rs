//! The user's own app in virtual time, with things going wrong.

use super::cue::{Act, Cue, Cues};
use super::interpose::{Planned, Who, interpose};
use super::sabotage::{Sabotage, What};
use super::signal::Signal;
use super::when::{KINDS, When};
use crate::app::App;
use crate::error::Error;
use crate::rehearse::{Fault, Where};
use crate::report::Report;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A run that nobody stops is given up after this much virtual time.
const HORIZON: Duration = Duration::from_secs(3600);

/// An app's whole life in virtual time, as a test wants it: who misbehaves where, what happens when, and the [`Report`] in the end.
///
/// Needs a current-thread runtime whose clock is paused, as `#[tokio::test(start_paused = true)]` makes it. Components are found by the
/// name they have in the plan, also those that a set-up closure registers. Everything is decided in one place between two steps of the run,
/// so the same app in the same world has the same timeline each time.
///
/// ```
/// use winddown::{App, Outcome, Phase, Where, secs, testkit};
///
/// fn orders() -> App {
///     let app = App::new("orders").grace(secs(10));
///     for (name, phase) in [("producer", Phase::CLIENTS), ("consumer", Phase::INTAKE)] {
///         app.task(name, |cx| async move { cx.stopping().await; Ok(()) }).phase(phase);
///     }
///     app
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
/// let report = testkit::World::new(&orders())
///     .hang("consumer", Where::Stop)
///     .shutdown_when("ready")
///     .run()
///     .await;
/// assert_eq!(report.component("consumer").unwrap().outcome, Outcome::Cancelled);
/// assert_eq!(report.component("producer").unwrap().outcome, Outcome::Stopped);      // it had its time all the same
/// assert!(report.shutdown_took().unwrap() < secs(10));
/// # });
/// ```
///
/// # What a fault replaces
///
/// | | [`Where::Start`] | [`Where::Run`] | [`Where::Stop`] |
/// |---|---|---|---|
/// | a [`Lifecycle`](crate::Lifecycle), a service, a thread | its `start` | nothing: a task `sabotage` beside its own | its `stop` |
/// | a [task](App::task) or [future](App::future) | refused: it has none | its work | its work, once it is asked to stop |
///
/// A thread works in real time: once it was asked to stop, and once more when it was cancelled, the clock is held for it, for half a second at most.
///
/// From its moment on the code that it replaces is not polled any more; it is dropped when the call ends. A [delay](World::delay) goes on
/// with it afterwards.
#[must_use = "nothing happens until `run().await`"]
pub struct World {
    app: App,
    seed: u64,
    horizon: Duration,
    faults: Vec<Planned>,
    cues: Cues,
    problems: Vec<String>,
}

/// Why a world has no report to give.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WorldError {
    /// The world asks for what there is not, such as a component of another name. Nothing was started.
    Refused {
        /// What is wrong, one line each.
        problems: Vec<String>,
    },
    /// Nothing had stopped the app by the [horizon](World::horizon); it was asked to stop then.
    Endless {
        /// For how long it ran.
        horizon: Duration,
        /// The moments that never came.
        waiting: Vec<String>,
        /// What happened until then, and how it stopped.
        report: Arc<Report>,
    },
}

impl World {
    /// A world for this app. The app can run only once.
    pub fn new(app: &App) -> World {
        World { app: app.clone(), seed: 1, horizon: HORIZON, faults: Vec::new(), cues: Cues::default(), problems: Vec::new() }
    }

    /// A world for the app that this set-up closure makes: the one that the program gives to [`winddown::run`](crate::run) or
    /// [`App::setup`], with the default settings.
    pub fn of<F, Fut>(setup: F) -> World
    where
        F: FnOnce(App) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        World::new(&App::new("world").setup(setup))
    }

    /// Other jitter in restarts and, for what is made during the run, in messaging. Default: 1. The same seed gives the same run, as far as
    /// the app's own code does.
    pub fn seed(mut self, seed: u64) -> World {
        self.seed = seed;
        self
    }

    /// Gives up on a run that nobody stops: a test that waits for what never comes fails instead of hanging. Default: 1 h, of virtual time.
    pub fn horizon(mut self, span: Duration) -> World {
        self.horizon = span;
        self
    }

    /// It never ends there by itself; it obeys its `cancelled` token.
    pub fn hang(self, who: impl Into<Who>, place: Where) -> World {
        self.sabotage(who, place, Sabotage::hang())
    }

    /// It never ends there by itself and ignores the token; it can be dropped.
    pub fn ignore_cancel(self, who: impl Into<Who>, place: Where) -> World {
        self.sabotage(who, place, Sabotage::ignore_cancel())
    }

    /// It returns an error with this text there.
    pub fn fail(self, who: impl Into<Who>, place: Where, text: impl Into<Arc<str>>) -> World {
        self.sabotage(who, place, Sabotage::fail(text))
    }

    /// It panics with this text there.
    pub fn panic(self, who: impl Into<Who>, place: Where, text: impl Into<Arc<str>>) -> World {
        self.sabotage(who, place, Sabotage::panic(text))
    }

    /// It stands still for so long there, then goes on.
    pub fn delay(self, who: impl Into<Who>, place: Where, span: Duration) -> World {
        self.sabotage(who, place, Sabotage::delay(span))
    }

    /// A fault that a [rehearsal](crate::Plan::rehearse) found dangerous. [`Fault::Blocks`] is refused: see [`run`](World::run).
    pub fn fault(self, who: impl Into<Who>, place: Where, fault: Fault) -> World {
        self.sabotage(who, place, fault)
    }

    /// Any fault. Several in one place happen one after the other.
    pub fn sabotage(mut self, who: impl Into<Who>, place: Where, what: impl Into<Sabotage>) -> World {
        let (who, sabotage) = (who.into(), what.into());
        if matches!(sabotage.what, What::Block) {
            self.problems.push(format!(
                "{who} cannot block its thread in virtual time: all of the test runs on that one thread, and its clock would stand still with it; \
                 use Fault::IgnoresCancel, or Plan::rehearse, or a test in real time"
            ));
        }
        self.faults.push(Planned { who, place, sabotage });
        self
    }

    /// Asks the app to stop then, as [`Handle::request_shutdown`](crate::Handle::request_shutdown) does.
    pub fn shutdown_when(self, when: impl Into<When>) -> World {
        self.cue(when.into(), Act::ShutDown)
    }

    /// The app hears a signal then, by name (`"SIGTERM"`) or number (15). No real one is sent. The first stops it, a second hurries it, a
    /// third leaves at once; the same signal again within 200 ms is one signal.
    pub fn signal_at(mut self, when: impl Into<When>, signal: impl Into<Signal>) -> World {
        match signal.into().known() {
            Ok((number, name)) => self.cue(when.into(), Act::Signal(number, name)),
            Err(problem) => {
                self.problems.push(problem);
                self
            }
        }
    }

    /// Calls this then: to let a broker fail, or to ask a [`Handle`](crate::Handle) for something. It must not block.
    pub fn at(self, when: impl Into<When>, call: impl FnOnce() + 'static) -> World {
        self.cue(when.into(), Act::Call(Box::new(call)))
    }

    fn cue(mut self, when: When, act: Act) -> World {
        if let Some(kind) = when.unknown_kind() {
            self.problems.push(format!("no event is called `{kind}`; there are {}", KINDS.join(", ")));
        }
        self.cues.cues.push(Cue::new(when, act));
        self
    }

    /// Lives through it all, and says what happened. A plan that the app itself is refused for gives a refused report.
    ///
    /// # Panics
    /// With a [`WorldError`]'s text, when the world cannot be played: an unknown component, event or signal; a fault in a place where it
    /// cannot be; a run that nobody stops; a thread that is to block.
    pub async fn run(self) -> Arc<Report> {
        match self.try_run().await {
            Ok(report) => report,
            Err(error) => panic!("{error}"),
        }
    }

    /// The same for whoever wants to look at the error.
    ///
    /// # Errors
    /// See [`run`](World::run).
    pub async fn try_run(self) -> Result<Arc<Report>, WorldError> {
        let World { app, seed, horizon, faults, mut cues, problems } = self;
        if !problems.is_empty() {
            return Err(WorldError::Refused { problems });
        }
        let subjects: Vec<String> = cues.cues.iter().filter_map(|cue| cue.when.subject()).map(str::to_owned).collect();
        cues.cues.push(Cue::new(When::at(horizon), Act::Horizon));
        let refused: Arc<Mutex<Vec<String>>> = Arc::default();
        let (tell, number) = (refused.clone(), app.inner().shared.app);
        #[cfg(feature = "messaging")]
        let _seeded = crate::messaging::random::Seeded::new(seed);
        let prepare = |conductor: &mut crate::conductor::Conductor| {
            conductor.seed(seed);
            conductor.interpose = Some(Box::new(move |plan, bodies| {
                interpose(number, faults, &subjects, plan, bodies).map_err(|problems| {
                    *tell.lock().unwrap_or_else(PoisonError::into_inner) = problems;
                    Error::runtime("the test's world was refused")
                })
            }));
        };
        let report = super::drive(&app, prepare, &mut cues).await;
        let problems = std::mem::take(&mut *refused.lock().unwrap_or_else(PoisonError::into_inner));
        if !problems.is_empty() {
            return Err(WorldError::Refused { problems });
        }
        if cues.endless {
            let waiting = cues.cues.iter().filter(|cue| cue.waits()).map(|cue| cue.when.to_string()).collect();
            return Err(WorldError::Endless { horizon, waiting, report });
        }
        Ok(report)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cues: Vec<&When> = self.cues.cues.iter().map(|cue| &cue.when).collect();
        f.debug_struct("World").field("app", &self.app).field("faults", &self.faults).field("cues", &cues).finish_non_exhaustive()
    }
}

impl std::error::Error for WorldError {}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorldError::Refused { problems } => {
                f.write_str("this world cannot be played; nothing was started")?;
                problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
            WorldError::Endless { horizon, waiting, report } => {
                write!(f, "nothing stopped the app within {}: ", crate::span::Show(*horizon))?;
                if waiting.is_empty() {
                    f.write_str("say when with `shutdown_when` or `signal_at`, or give it a longer `horizon`")?;
                } else {
                    write!(f, "what was waited for never came: {}", waiting.join("; "))?;
                }
                write!(f, "\n{report}")
            }
        }
    }
}
