//! What the tests in virtual time share: a component that does as it is told, a log of what it did, and ways to read a report.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use winddown::{App, ComponentReport, Event, Handle, Lifecycle, Phase, Report, StartCx, StopCx, async_trait, secs, testkit};

/// One step of virtual time: an instant that the core has decided on is seen by user code up to this much later.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Runs an app; an app that would run for ever fails the test after a virtual day.
pub(crate) async fn run(app: &App) -> Arc<Report> {
    match tokio::time::timeout(secs(24 * 3600), testkit::run(app)).await {
        Ok(report) => report,
        Err(_) => panic!("the run did not end"),
    }
}

/// Runs an app that is asked to stop this long after everything runs.
pub(crate) async fn run_for(app: &App, span: Duration) -> Arc<Report> {
    stop_after(app, span);
    run(app).await
}

/// Asks for shutdown this long after everything runs.
pub(crate) fn stop_after(app: &App, span: Duration) {
    drop(once_ready(app, move |handle| async move {
        tokio::time::sleep(span).await;
        handle.request_shutdown("the test is over");
    }));
}

/// Does something beside the app, once it runs. What it finds counts only when it is awaited.
#[must_use]
pub(crate) fn once_ready<F, Fut>(app: &App, act: F) -> JoinHandle<()>
where
    F: FnOnce(Handle) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let handle = app.handle();
    tokio::spawn(async move {
        if handle.wait_ready().await {
            act(handle).await;
        }
    })
}

/// What happened, in order, as the components themselves saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn say(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
    /// How often something was said.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|l| *l == line).count()
    }
    /// Where something was said; the test fails if it was not.
    pub(crate) fn at(&self, line: &str) -> usize {
        let lines = self.lines();
        lines.iter().position(|l| l == line).unwrap_or_else(|| panic!("`{line}` is not in {lines:?}"))
    }
    pub(crate) fn before(&self, first: &str, then: &str) -> bool {
        self.at(first) < self.at(then)
    }
}

/// Says so when it is dropped.
pub(crate) struct Tell(pub(crate) Log, pub(crate) &'static str);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

/// What a start or a stop does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Return,
    Take(Duration),
    Fail(&'static str),
    Panic(&'static str),
    /// Ends only when its token `cancelled` fires.
    HeedCancel,
    /// Ends only by being dropped.
    Hang,
}

/// A component that does as it is told, and logs `start x`, `up x`, `stop x`, `down x`.
pub(crate) struct Actor {
    pub(crate) name: &'static str,
    pub(crate) log: Log,
    pub(crate) start: Act,
    pub(crate) stop: Act,
}

impl Actor {
    pub(crate) fn new(name: &'static str, log: &Log) -> Actor {
        Actor { name, log: log.clone(), start: Act::Return, stop: Act::Return }
    }
    pub(crate) fn start(self, start: Act) -> Actor {
        Actor { start, ..self }
    }
    pub(crate) fn stop(self, stop: Act) -> Actor {
        Actor { stop, ..self }
    }
}

async fn act(act: &Act, cx: &winddown::Cx) -> anyhow::Result<()> {
    match act {
        Act::Return => {}
        Act::Take(span) => tokio::time::sleep(*span).await,
        Act::Fail(text) => anyhow::bail!("{text}"),
        Act::Panic(text) => panic!("{text}"),
        Act::HeedCancel => cx.cancelled().await,
        Act::Hang => std::future::pending().await,
    }
    Ok(())
}

#[async_trait]
impl Lifecycle for Actor {
    fn name(&self) -> String {
        self.name.into()
    }
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        self.log.say(format!("start {}", self.name));
        act(&self.start, cx).await?;
        self.log.say(format!("up {}", self.name));
        Ok(())
    }
    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
        self.log.say(format!("stop {}", self.name));
        act(&self.stop, cx).await?;
        self.log.say(format!("down {}", self.name));
        Ok(())
    }
}

/// Registers a task that does nothing until it is asked to stop.
pub(crate) fn idle(app: &App, name: &str, phase: impl Into<Phase>) -> winddown::ComponentId {
    let idle = |cx: winddown::RunCx| async move {
        cx.stopping().await;
        Ok(())
    };
    app.task(name, idle).phase(phase).id()
}

pub(crate) fn of<'a>(report: &'a Report, name: &str) -> &'a ComponentReport {
    report.component(name).unwrap_or_else(|| panic!("{name} is not in the report"))
}

/// The names of the events about one subject, in order.
pub(crate) fn story(report: &Report, subject: &str) -> Vec<&'static str> {
    report.events().iter().filter(|e| e.subject() == Some(subject)).map(|e| e.kind().name()).collect()
}

/// The first event of a kind about somebody (`""`: about the run).
pub(crate) fn event<'a>(report: &'a Report, subject: &str, kind: &str) -> &'a Event {
    let fits = |e: &&Event| e.subject().unwrap_or("") == subject && e.kind().name() == kind;
    report.events().iter().find(fits).unwrap_or_else(|| panic!("no {kind} of `{subject}` in {:#?}", report.events()))
}

/// When that was.
pub(crate) fn when(report: &Report, subject: &str, kind: &str) -> Duration {
    event(report, subject, kind).at()
}
