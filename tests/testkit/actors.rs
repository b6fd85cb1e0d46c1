//! What these tests put into their apps.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use winddown::{App, ComponentReport, Lifecycle, Phase, Report, StartCx, StopCx, async_trait};

/// What an instant that the core decides on may be off in user code: one step of virtual time.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// What the components themselves saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn say(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Takes so long to start and to stop, and logs `start x`, `up x`, `stop x`, `down x`.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) phase: Phase,
    pub(crate) takes: Duration,
    pub(crate) log: Log,
}

#[async_trait]
impl Lifecycle for Part {
    fn name(&self) -> String {
        self.name.into()
    }
    fn phase(&self) -> Phase {
        self.phase
    }
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        self.log.say(format!("start {}", self.name));
        tokio::time::sleep(self.takes).await;
        let task = cx.clone();
        cx.spawn("loop", async move {
            task.stopping().await;
            Ok(())
        });
        self.log.say(format!("up {}", self.name));
        Ok(())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        self.log.say(format!("stop {}", self.name));
        tokio::time::sleep(self.takes).await;
        self.log.say(format!("down {}", self.name));
        Ok(())
    }
}

/// A trace dispatcher, a producer, a consumer: each a start and a stop that take 100 ms.
pub(crate) fn parts(app: &App, log: &Log) {
    for (name, phase) in [("trace", Phase::TRACE), ("producer", Phase::CLIENTS), ("consumer", Phase::INTAKE)] {
        let takes = winddown::millis(100);
        app.add(Part { name, phase, takes, log: log.clone() }).typical_start(takes).typical_stop(takes);
    }
}

pub(crate) fn orders() -> App {
    let app = App::new("orders").grace(winddown::secs(20));
    parts(&app, &Log::default());
    app
}

pub(crate) fn of<'a>(report: &'a Report, name: &str) -> &'a ComponentReport {
    report.component(name).unwrap_or_else(|| panic!("{name} is not in the report"))
}

/// The first event of a kind about somebody (`""`: about the run).
pub(crate) fn when(report: &Report, subject: &str, kind: &str) -> Duration {
    let fits = |e: &&winddown::Event| e.subject().unwrap_or("") == subject && e.kind().name() == kind;
    report.events().iter().find(fits).unwrap_or_else(|| panic!("no {kind} of `{subject}` in\n{report}")).at()
}
