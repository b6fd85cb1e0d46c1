//! Recorders, in virtual and in real time.

use crate::actors::{Log, orders, parts};
use winddown::testkit::{Recorder, When, World};
use winddown::{App, Event, EventKind, Where, millis, secs};

#[tokio::test(start_paused = true)]
async fn p7_a_recorder_has_the_reports_timeline_once_the_report_is_there() {
    let (app, recorder) = (orders(), Recorder::new());
    app.observe(recorder.clone());
    let report = World::new(&app).hang("producer", Where::Stop).shutdown_when("ready").run().await;
    let kinds: Vec<&str> = report.events().iter().map(|e| e.kind().name()).collect();
    assert_eq!(recorder.kinds(), kinds);
    assert_eq!(recorder.kinds_of("producer"), ["start_began", "start_ended", "stop_began", "cancel_began", "stop_returned", "component_ended"]);
    assert_eq!(recorder.of("producer").len(), 6);
    assert_eq!(recorder.events().len(), kinds.len());
    assert!(recorder.of("nobody").is_empty());
}

#[tokio::test]
async fn an_event_can_be_waited_for_while_the_app_runs() {
    let (app, recorder) = (App::new("orders"), Recorder::new());
    parts(&app, &Log::default());
    app.observe(recorder.clone());
    let handle = app.handle();
    let asks = recorder.clone();
    let asking = tokio::spawn(async move {
        let started = asks.wait_for(("start_ended", "consumer")).await;
        handle.request_shutdown("seen");
        // One that was there before is found as well.
        let first = asks.wait_for("run_began").await;
        let last = asks.wait_for(|event: &Event| matches!(event.kind(), EventKind::RunEnded)).await;
        (started.subject().map(str::to_owned), first.at(), last.at())
    });
    let report = tokio::time::timeout(secs(20), app.run()).await.expect("it ends");
    let (who, first, last) = tokio::time::timeout(secs(20), asking).await.expect("it was told").unwrap();
    assert_eq!(report.exit_code(), 0);
    assert_eq!(who.as_deref(), Some("consumer"));
    // Three starts of 100 ms each.
    assert!(first < last && last >= millis(300), "{first:?} {last:?}");
}

#[test]
fn a_thread_waits_no_longer_than_its_bound() {
    let recorder = Recorder::new();
    let began = std::time::Instant::now();
    assert!(recorder.wait_for_blocking("ready", millis(50)).is_none());
    assert!(began.elapsed() >= millis(50));
    let app = App::new("orders");
    app.observe(recorder.clone());
    app.handle().request_shutdown("at once");
    app.run_blocking();
    assert!(recorder.wait_for_blocking(When::event("run_ended"), secs(20)).is_some());
    assert!(recorder.wait_for_blocking("cancel_began", millis(1)).is_none());
}
