//! What a `tracing` subscriber hears: every event of the run, under stable names, and spans around the program's own code.

use crate::{app, bounded, idle, workers};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use winddown::{Lifecycle, Report, StartCx, StopCx, async_trait};

/// One event or span: its level and its fields; a span's name stands in the field `message`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    level: Level,
    fields: BTreeMap<String, String>,
}

impl Heard {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct Log {
    events: Mutex<Vec<Heard>>,
    changed: Condvar,
    spans: Mutex<Vec<Heard>>,
    ids: AtomicU64,
}

impl Log {
    /// All events so far, once the last one of a run is among them.
    fn whole(&self) -> Vec<Heard> {
        let events = self.events.lock().expect("nobody panics with it");
        let ended = |events: &mut Vec<Heard>| events.iter().all(|heard| heard.field("message") != "run_ended");
        let (events, waited) = self.changed.wait_timeout_while(events, Duration::from_secs(60), ended).expect("nobody panics with it");
        assert!(!waited.timed_out(), "the end was never told: {events:?}");
        events.clone()
    }

    fn spans(&self) -> Vec<Heard> {
        self.spans.lock().expect("nobody panics with it").clone()
    }
}

/// Keeps what is said under the target `winddown`, and the spans whose names begin so.
struct Ear(Arc<Log>);

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let metadata = span.metadata();
        if metadata.name().starts_with("winddown.") {
            let mut fields = BTreeMap::from([("message".to_owned(), metadata.name().to_owned())]);
            span.record(&mut Fields(&mut fields));
            self.0.spans.lock().expect("nobody panics with it").push(Heard { level: *metadata.level(), fields });
        }
        Id::from_u64(self.0.ids.fetch_add(1, Ordering::Relaxed) + 1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == "winddown" {
            let mut fields = BTreeMap::new();
            event.record(&mut Fields(&mut fields));
            self.0.events.lock().expect("nobody panics with it").push(Heard { level: *event.metadata().level(), fields });
            self.0.changed.notify_all();
        }
    }
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

struct Pool;

#[async_trait]
impl Lifecycle for Pool {
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let task = cx.clone();
        cx.spawn("reaper", async move {
            task.stopping().await;
            Ok(())
        });
        Ok(())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        anyhow::bail!("the pool leaks")
    }
}

/// A run that this thread's own subscriber hears, on this runtime.
fn heard_on(build: fn() -> tokio::runtime::Runtime) -> (Arc<Log>, Arc<Report>) {
    bounded(move || {
        let log = Arc::new(Log::default());
        let app = app("traced");
        let pool = app.add(Pool).named("pool").id();
        idle(&app, "worker").after(pool);
        let handle = app.handle();
        let runtime = build();
        let report = tracing::subscriber::with_default(Ear(log.clone()), || {
            runtime.block_on(async {
                let asks = async {
                    assert!(handle.wait_ready().await);
                    handle.request_shutdown("enough");
                };
                tokio::join!(app.run(), asks).0
            })
        });
        (log, report)
    })
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

#[test]
fn p7_a_threads_default_subscriber_hears_the_whole_timeline() {
    for build in [current_thread as fn() -> _, || workers(2)] {
        let (log, report) = heard_on(build);
        let events = log.whole();
        let told: Vec<(&str, &str)> = events.iter().map(|heard| (heard.field("message"), heard.field("subject"))).collect();
        let timeline: Vec<(&str, &str)> = report.events().iter().map(|event| (event.kind().name(), event.subject().unwrap_or("traced"))).collect();
        assert_eq!(told, timeline, "one for one, in order; what is about the whole run has the app as its subject");
        assert!(events.iter().all(|heard| heard.field("app") == "traced" && heard.field("at_ms").parse::<f64>().is_ok()), "{events:?}");
    }
}

#[test]
fn p7_names_levels_and_details_are_stable() {
    let (log, _) = heard_on(|| workers(2));
    let events = log.whole();
    let names: Vec<(&str, &str)> = events.iter().map(|heard| (heard.field("message"), heard.field("subject"))).collect();
    let expected = [
        ("run_began", "traced"),
        ("start_began", "pool"),
        ("start_ended", "pool"),
        ("start_began", "worker"),
        ("start_ended", "worker"),
        ("ready", "traced"),
        ("shutdown_began", "traced"),
        ("stop_began", "worker"),
        ("component_ended", "worker"),
        ("stop_began", "pool"),
    ];
    assert_eq!(names[..expected.len()], expected);
    assert_eq!(names[names.len() - 2..], [("component_ended", "pool"), ("run_ended", "traced")]);
    let find = |name: &str, subject: &str| {
        events.iter().find(|heard| (heard.field("message"), heard.field("subject")) == (name, subject)).expect("it was told")
    };
    let of = |name: &str, subject: &str| (find(name, subject).level, find(name, subject).field("detail").to_owned());
    assert_eq!(of("shutdown_began", "traced"), (Level::INFO, "asked: enough; 25 s grace".to_owned()));
    assert_eq!(of("stop_began", "worker"), (Level::INFO, "within 5 s".to_owned()));
    assert_eq!(of("component_ended", "worker"), (Level::INFO, "stopped".to_owned()));
    assert_eq!(of("component_ended", "pool"), (Level::WARN, "failed".to_owned()), "what went wrong is a warning");
}

#[test]
fn spans_stand_around_start_stop_and_tasks() {
    // On this flavour the program's code runs on the thread whose subscriber it is.
    let (log, report) = heard_on(current_thread);
    let mut spans: Vec<(String, String, String)> = Vec::new();
    for span in log.spans() {
        assert_eq!(span.level, Level::INFO);
        spans.push((span.field("message").to_owned(), span.field("component").to_owned(), span.field("task").to_owned()));
    }
    spans.sort_unstable();
    let expected =
        [("winddown.start", "pool", ""), ("winddown.stop", "pool", ""), ("winddown.task", "pool", "reaper"), ("winddown.task", "worker", "run")];
    let spans: Vec<(&str, &str, &str)> = spans.iter().map(|(name, component, task)| (&**name, &**component, &**task)).collect();
    assert_eq!(spans, expected);
    assert_eq!(report.component("pool").and_then(|c| c.error.as_deref()), Some("the pool leaks"));
}

#[test]
fn a_run_without_a_subscriber_is_heard_by_nobody() {
    let (log, _) = heard_on(|| workers(2));
    let before = log.whole().len();
    let app = app("silent");
    idle(&app, "a");
    app.handle().request_shutdown("at once");
    bounded(move || workers(1).block_on(app.run()));
    assert_eq!(log.whole().len(), before, "the first run's subscriber is not asked about the second");
}
