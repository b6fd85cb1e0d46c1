//! M13: it stops after everybody who feeds it, and before what it sends through.

use crate::kit::{Spy, append, run_app};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use winddown::messaging::trace::{Exporter, TraceDispatcher, TraceRecord};
use winddown::{App, Lifecycle, Link, Phase, Problem, StopCx, async_trait, millis};

/// Whoever feeds a dispatcher: the last record in its stop, as the last send of a producer.
struct Feeder {
    name: &'static str,
    phase: Phase,
    traces: TraceDispatcher,
    provides: Option<Link>,
}

#[async_trait]
impl Lifecycle for Feeder {
    fn name(&self) -> String {
        self.name.into()
    }
    fn phase(&self) -> Phase {
        self.phase
    }
    fn provides(&self) -> Option<Link> {
        self.provides.clone()
    }
    fn needs(&self) -> Vec<Link> {
        vec![self.traces.link()]
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        tokio::time::sleep(millis(700)).await;
        append(&self.traces, [1]);
        Ok(())
    }
}

fn feeder(traces: &TraceDispatcher, phase: Phase) -> Feeder {
    Feeder { name: "producer", phase, traces: traces.clone(), provides: None }
}

/// Exports through something that has a link.
struct Through(Link, Arc<Spy>);

#[async_trait]
impl Exporter for Through {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        self.1.export(batch).await
    }
    fn needs(&self) -> Vec<Link> {
        vec![self.0.clone()]
    }
}

/// What it exports through.
struct Transport(Link);

#[async_trait]
impl Lifecycle for Transport {
    fn name(&self) -> String {
        "transport".into()
    }
    fn phase(&self) -> Phase {
        Phase::CONNECTIONS
    }
    fn provides(&self) -> Option<Link> {
        Some(self.0.clone())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn m13_it_stops_after_who_feeds_it_and_before_what_it_sends_through() {
    for phase in [Phase::CLIENTS, Phase::WORKERS, Phase::TRACE] {
        let (link, spy) = (Link::new("connection"), Spy::sending());
        let traces = TraceDispatcher::new(Through(link.clone(), spy.clone()));
        let app = App::new("traced");
        app.add(feeder(&traces, phase));
        app.add(traces.component());
        app.add(Transport(link));
        let report = run_app(&app, |_| async {}).await;
        let stop = |name: &str| report.component(name).unwrap().stop.unwrap();
        assert!(stop("producer").ended <= stop("trace").began && stop("trace").ended <= stop("transport").began, "{report}");
        assert_eq!(spy.numbers(), [1], "the last record, made in the feeder's stop, arrived");
        assert_eq!(spy.closed.load(Ordering::SeqCst), 0, "this exporter keeps the default");
    }
}

#[test]
fn m13_a_plan_in_which_it_would_stop_before_a_feeder_is_refused() {
    let traces = TraceDispatcher::new(Spy::sending());
    let app = App::new("traced");
    app.add(feeder(&traces, Phase::TELEMETRY));
    app.add(traces.component());
    let refused = app.plan().unwrap_err();
    assert!(matches!(refused.problems(), [Problem::AgainstPhases { component, dependency, .. }] if component == "producer" && dependency == "trace"));
    let text = refused.to_string();
    assert!(text.contains("`producer`") && text.contains("`trace`") && text.contains("phase"), "{text}");
}

#[test]
fn m13_a_dispatcher_that_was_never_added_is_refused() {
    let traces = TraceDispatcher::builder(Spy::sending()).name("audit").build();
    let app = App::new("traced");
    app.add(feeder(&traces, Phase::CLIENTS));
    let refused = app.plan().unwrap_err();
    assert_eq!(refused.problems(), [Problem::NotProvided { component: "producer".into(), link: "audit".into() }]);
    assert!(refused.to_string().contains("`producer` needs `audit`"), "{refused}");
}

#[test]
fn m13_a_dispatcher_that_was_added_twice_is_refused() {
    let traces = TraceDispatcher::new(Spy::sending());
    let app = App::new("traced");
    app.add(traces.component());
    app.add(traces.component()).named("again");
    assert!(matches!(app.plan().unwrap_err().problems(), [Problem::ProvidedTwice { .. }]));
}

#[test]
fn m13_a_dispatcher_that_exports_through_a_producer_that_feeds_it_is_refused() {
    let link = Link::new("producer");
    let traces = TraceDispatcher::new(Through(link.clone(), Spy::sending()));
    let app = App::new("traced");
    app.add(Feeder { name: "producer", phase: Phase::TRACE, traces: traces.clone(), provides: Some(link) });
    app.add(traces.component());
    let refused = app.plan().unwrap_err();
    let [Problem::Cycle { path }] = refused.problems() else { panic!("{refused}") };
    assert!(path.contains(&"producer".into()) && path.contains(&"trace".into()), "{path:?}");
    assert!(refused.to_string().contains("a cycle"), "{refused}");
}
