//! M12: the stop closes the gate, flushes, waits for the exports themselves, cancels what is late, and accounts for everything.

use crate::kit::{Act, Spy, TICK, append, run, run_app, settled, steps};
use std::sync::atomic::Ordering;
use winddown::messaging::trace::{TraceComponent, TraceDispatcher, Why};
use winddown::{App, Lifecycle, Outcome, Rung, StartCx, StopCx, async_trait, millis, secs};

fn named(steps: &[(&str, u64)]) -> Vec<(String, u64)> {
    steps.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test(start_paused = true)]
async fn m12_what_is_buffered_is_flushed_and_the_exports_are_awaited() {
    let spy = Spy::new(|_, _| Act::SendAfter(millis(300)));
    let traces = TraceDispatcher::new(spy.clone());
    let report = run(&traces, |_| async { append(&traces, 0..150) }).await;
    let counts = traces.counts();
    assert!(settled(&counts), "{counts:?}");
    assert_eq!((counts.accepted, counts.sent, counts.failed, counts.abandoned), (150, 150, 0, 0));
    // 8 batches, 4 at a time, each 300 ms: the stop took as long as the exports themselves.
    let trace = report.component("trace").unwrap();
    let stop = trace.stop.unwrap();
    assert!((millis(600)..=millis(600) + 2 * TICK).contains(&(stop.ended - stop.began)), "{stop:?}");
    assert_eq!(steps(&report), named(&[("gate_closed", 150), ("flushed", 150), ("abandoned", 0)]));
    assert_eq!((trace.drained, trace.lost, trace.outcome, report.exit_code()), (150, 0, Outcome::Stopped, 0));
    assert_eq!(spy.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn m12_an_idle_dispatcher_stops_at_once() {
    let traces = TraceDispatcher::new(Spy::sending());
    let report = run(&traces, |_| async {
        append(&traces, 0..7);
        tokio::time::sleep(secs(10)).await;
    })
    .await;
    let trace = report.component("trace").unwrap();
    let stop = trace.stop.unwrap();
    assert!(stop.ended - stop.began <= TICK, "{stop:?}");
    assert_eq!(steps(&report), named(&[("gate_closed", 0), ("flushed", 0), ("abandoned", 0)]));
    assert_eq!((trace.drained, trace.lost), (0, 0), "what was sent before the stop is not the stop's");
}

#[tokio::test(start_paused = true)]
async fn m12_exports_that_hang_are_cut_at_the_deadline_less_the_margin() {
    // Budgets of 5 s and of 1 s: the margin is 500 ms, or a fifth.
    for (budget, margin) in [(secs(5), millis(500)), (secs(1), millis(200))] {
        let spy = Spy::new(|call, _| if call == 0 { Act::SendAfter(millis(100)) } else { Act::Hang });
        let traces = TraceDispatcher::builder(spy.clone()).export_timeout(secs(60)).build();
        let app = App::new("traced");
        app.add(traces.component()).stop_budget(budget);
        let report = run_app(&app, |_| async { append(&traces, 0..150) }).await;
        let counts = traces.counts();
        assert!(settled(&counts), "{counts:?}");
        assert_eq!((counts.accepted, counts.sent, counts.failed, counts.abandoned), (150, 20, 0, 130));
        let trace = report.component("trace").unwrap();
        let stop = trace.stop.unwrap();
        let took = stop.ended - stop.began;
        assert!((budget - margin - TICK..=budget - margin + 2 * TICK).contains(&took), "{took:?}");
        assert_eq!(steps(&report), named(&[("gate_closed", 150), ("flushed", 20), ("abandoned", 130)]));
        assert_eq!((trace.drained, trace.lost), (20, 130));
        assert_eq!((trace.outcome, trace.rung), (Outcome::Stopped, Rung::Graceful), "nobody had to force it");
        assert_eq!(spy.closed.load(Ordering::SeqCst), 1, "closed all the same");
    }
}

#[tokio::test(start_paused = true)]
async fn m12_exports_that_time_out_during_the_flush_are_failed_and_lost() {
    let traces = TraceDispatcher::builder(Spy::new(|_, _| Act::Hang)).export_timeout(secs(1)).build();
    let report = run(&traces, |_| async { append(&traces, 0..30) }).await;
    let counts = traces.counts();
    assert_eq!((counts.failed, counts.abandoned), (30, 0));
    assert_eq!(report.component("trace").unwrap().lost, 30);
    assert_eq!(steps(&report), named(&[("gate_closed", 30), ("flushed", 0), ("abandoned", 0)]));
}

#[tokio::test(start_paused = true)]
async fn m12_it_can_be_stopped_and_started_again() {
    let spy = Spy::sending();
    let traces = TraceDispatcher::new(spy.clone());
    let app = App::new("traced");
    let id = app.add(traces.component()).id();
    run_app(&app, |handle| {
        let traces = traces.clone();
        async move {
            for round in 0..3 {
                append(&traces, round * 10..round * 10 + 10);
                handle.stop(id).await.unwrap();
                assert_eq!(traces.append(crate::kit::record(0)).unwrap_err().why, Why::Closed);
                assert!(settled(&traces.counts()));
                handle.start(id).await.unwrap();
            }
            append(&traces, 30..55);
            tokio::time::sleep(millis(1)).await;
            assert_eq!(traces.counts().sent, 50, "the accounts go on, and so do full batches");
        }
    })
    .await;
    let counts = traces.counts();
    assert_eq!((counts.accepted, counts.sent, counts.dropped_closed), (55, 55, 3));
    assert_eq!(spy.numbers(), (0..55).collect::<Vec<_>>());
}

/// Starts the dispatcher's component, and never stops it.
struct Forgetful(TraceComponent);

#[async_trait]
impl Lifecycle for Forgetful {
    fn name(&self) -> String {
        "forgetful".into()
    }
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        self.0.start(cx).await
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn m12_what_is_cancelled_without_a_stop_is_written_off() {
    let traces = TraceDispatcher::builder(Spy::new(|_, _| Act::Hang)).export_timeout(secs(600)).exports(2).build();
    let app = App::new("traced");
    app.add(Forgetful(traces.component()));
    let report = run_app(&app, |_| async { append(&traces, 0..50) }).await;
    let counts = traces.counts();
    assert!(settled(&counts), "{counts:?}");
    assert_eq!(counts.abandoned, 50);
    assert_eq!(report.component("forgetful").unwrap().lost, 50, "each is reported once");
    assert_eq!(traces.append(crate::kit::record(0)).unwrap_err().why, Why::Closed);
}

/// Stops the dispatcher's component, which gets no time to come back.
struct Dropped(TraceComponent);

#[async_trait]
impl Lifecycle for Dropped {
    fn name(&self) -> String {
        "dropped".into()
    }
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        self.0.start(cx).await
    }
    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
        let _ = tokio::time::timeout(secs(1), self.0.stop(cx)).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn m12_a_stop_that_is_dropped_half_way_accounts_for_everything_too() {
    let spy = Spy::new(|call, _| if call == 0 { Act::SendAfter(millis(100)) } else { Act::Hang });
    let traces = TraceDispatcher::builder(spy).export_timeout(secs(600)).build();
    let app = App::new("traced");
    app.add(Dropped(traces.component()));
    let report = run_app(&app, |_| async { append(&traces, 0..150) }).await;
    let counts = traces.counts();
    assert!(settled(&counts), "{counts:?}");
    assert_eq!((counts.sent, counts.abandoned), (20, 130));
    let dropped = report.component("dropped").unwrap();
    assert_eq!((dropped.drained, dropped.lost), (20, 130));
    assert_eq!(steps(&report), named(&[("gate_closed", 150), ("flushed", 20), ("abandoned", 130)]));
}

#[test]
fn m12_one_that_was_never_started_writes_off_what_it_was_given() {
    let traces = TraceDispatcher::new(Spy::sending());
    let app = App::new("traced");
    app.add(traces.component());
    append(&traces, 0..5);
    app.handle().request_shutdown("at once");
    let report = app.run_blocking();
    assert_eq!(report.component("trace").unwrap().outcome, Outcome::NotStarted);
    drop(app);
    // The thread that decides lets go of the app a moment later.
    let patience = std::time::Instant::now() + secs(20);
    while traces.counts().abandoned == 0 && std::time::Instant::now() < patience {
        std::thread::yield_now();
    }
    let counts = traces.counts();
    assert!(settled(&counts), "{counts:?}");
    assert_eq!(counts.abandoned, 5);
    assert_eq!(traces.append(crate::kit::record(0)).unwrap_err().why, Why::Closed, "nobody takes records away any more");
}

/// A thread that is blocked cannot be taken back: the accounts are closed all the same, in time.
#[test]
fn m12_an_exporter_that_blocks_its_thread_is_written_off_in_time() {
    let spy = Spy::new(|_, _| {
        std::thread::sleep(secs(3));
        Act::Send
    });
    let traces = TraceDispatcher::builder(spy).build();
    let app = App::new("traced").grace(secs(4));
    app.add(traces.component()).stop_budget(millis(500));
    append(&traces, 0..20);
    let handle = app.handle();
    let counts = std::thread::scope(|scope| {
        let run = scope.spawn(|| app.run_blocking());
        while traces.counts().in_flight == 0 {
            assert!(!run.is_finished());
            std::thread::yield_now();
        }
        handle.request_shutdown("the test is over");
        while traces.counts().in_flight > 0 {
            std::thread::yield_now();
        }
        traces.counts()
    });
    assert!(settled(&counts), "{counts:?}");
    assert_eq!((counts.sent, counts.abandoned), (0, 20), "before the export had ended");
    assert_eq!(traces.counts(), counts, "what ends later changes nothing");
}
