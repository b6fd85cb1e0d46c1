//! `App::run` inside a runtime that somebody else made.

use crate::{app, bounded, idle, runtimes, workers};
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use tokio::sync::oneshot;
use winddown::{App, Lifecycle, Outcome, Phase, ReasonKind, Rung, StartCx, StopCx, Verdict, async_trait, millis};

/// Counts its starts and stops; its background task and a short job have to be over when it is terminal.
struct Counted {
    started: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
}

#[async_trait]
impl Lifecycle for Counted {
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let task = cx.clone();
        cx.spawn("background", async move {
            task.stopping().await;
            Ok(())
        });
        cx.spawn_job("job", async { Ok(()) });
        self.started.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        tokio::task::yield_now().await;
        self.stopped.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Runs the app in this runtime and asks it to stop as soon as it is ready.
async fn run_and_stop(app: &App) -> Arc<winddown::Report> {
    let handle = app.handle();
    let asks = async {
        assert!(handle.wait_ready().await, "everything runs");
        handle.request_shutdown("enough");
    };
    tokio::join!(app.run(), asks).0
}

#[test]
fn an_app_runs_in_every_kind_of_runtime() {
    for (name, runtime) in runtimes() {
        let (started, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let app = app("host");
        app.add(Counted { started: started.clone(), stopped: stopped.clone() });
        idle(&app, "edge").phase(Phase::EDGE);
        let report = bounded(move || runtime.block_on(run_and_stop(&app)));
        assert_eq!((report.verdict(), report.exit_code()), (Verdict::Clean, 0), "{name}\n{report}");
        assert_eq!(report.trigger().map(|t| (t.kind(), t.detail())), Some((ReasonKind::Request, "enough")), "{name}");
        assert!(report.components().iter().all(|c| (c.outcome, c.rung) == (Outcome::Stopped, Rung::Graceful)), "{name}\n{report}");
        assert_eq!((started.load(Ordering::SeqCst), stopped.load(Ordering::SeqCst)), (1, 1), "{name}");
    }
}

#[test]
fn t9_deadlines_hold_without_the_runtimes_timers() {
    for (name, runtime) in runtimes() {
        let app = app("host").stop_budget(millis(30)).cancel_wait(millis(20)).abort_wait(millis(2000)).start_budget(millis(60));
        app.task("deaf", |_| pending());
        app.task("heeds-cancel", |cx| async move {
            cx.cancelled().await;
            Ok(())
        })
        .cancel_wait(millis(5000));
        let report = bounded(move || runtime.block_on(run_and_stop(&app)));
        let outcome = |who: &str| report.component(who).map(|c| (c.outcome, c.rung));
        assert_eq!(outcome("deaf"), Some((Outcome::Aborted, Rung::Abort)), "{name}\n{report}");
        assert_eq!(outcome("heeds-cancel"), Some((Outcome::Cancelled, Rung::Cancel)), "{name}\n{report}");
        assert_eq!((report.verdict(), report.exit_code()), (Verdict::Forced, 124), "{name}");
    }
}

#[test]
fn t9_a_late_start_is_noticed_without_the_runtimes_timers() {
    struct Late;
    #[async_trait]
    impl Lifecycle for Late {
        async fn start(&mut self, _cx: &StartCx) -> anyhow::Result<()> {
            pending().await
        }
        async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
            unreachable!("it has never started")
        }
    }
    for (name, runtime) in runtimes() {
        let app = app("host");
        app.add(Late).start_budget(millis(40));
        let report = bounded(move || runtime.block_on(app.run()));
        let late = report.component("Late").expect("it is in the report");
        assert_eq!((late.outcome, report.exit_code()), (Outcome::Failed, 1), "{name}\n{report}");
        assert_eq!(report.trigger().map(|t| (t.kind(), t.component())), Some((ReasonKind::StartFailed, Some("Late"))), "{name}");
    }
}

#[test]
fn without_a_runtime_it_is_refused_and_may_run_later() {
    let app = app("host");
    idle(&app, "a");
    let outside = {
        let mut run = pin!(app.run());
        match run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(report) => report,
            Poll::Pending => panic!("there is nothing to wait for"),
        }
    };
    let text = "no tokio runtime here: call `run().await` inside one, or use `run_blocking` or `winddown::run`, which make their own";
    assert_eq!((outside.verdict(), outside.exit_code(), outside.problems()), (Verdict::Refused, 2, &[text.to_owned()][..]));
    assert!(outside.trigger().is_none());
    let inside = bounded(move || workers(2).block_on(run_and_stop(&app)));
    assert_eq!(inside.verdict(), Verdict::Clean, "{inside}");
}

#[test]
fn two_apps_side_by_side_do_not_disturb_each_other() {
    for (name, runtime) in runtimes() {
        bounded(move || {
            runtime.block_on(async {
                let (one, other) = (app("one"), app("other"));
                one.task("worker", |_| async { anyhow::bail!("one's own trouble") });
                let (question, mut asked) = tokio::sync::mpsc::channel::<oneshot::Sender<u32>>(1);
                other.task("worker", |cx| async move {
                    while let Some(Some(answer)) = cx.until_stopping(asked.recv()).await {
                        let _ = answer.send(42);
                    }
                    Ok(())
                });
                let handle = other.handle();
                let running = tokio::spawn(async move { other.run().await });
                assert!(handle.wait_ready().await, "{name}");
                // The whole life of one, while the other runs.
                let failed = one.run().await;
                assert!(one.handle().is_over());
                assert!(handle.is_ready() && !handle.is_stopping() && !running.is_finished(), "{name}");
                let (answer, answered) = oneshot::channel();
                question.send(answer).await.expect("the other's worker is there");
                assert_eq!(answered.await, Ok(42), "{name}: and works");
                handle.request_shutdown("enough");
                let stopped = running.await.expect("it ends");
                assert_eq!((failed.app(), failed.verdict(), failed.exit_code()), ("one", Verdict::Failed, 1), "{name}");
                let error = failed.component("worker").and_then(|c| c.error.as_deref());
                assert_eq!(error, Some("one's own trouble"), "{name}");
                assert_eq!((stopped.app(), stopped.verdict(), stopped.exit_code()), ("other", Verdict::Clean, 0), "{name}");
                assert!(stopped.component("worker").is_some_and(|c| c.outcome == Outcome::Stopped && c.error.is_none()), "{name}");
            });
        });
    }
}

#[test]
fn t7_a_shutdown_goes_on_when_the_future_of_the_run_is_dropped() {
    for (name, runtime) in runtimes() {
        bounded(move || {
            runtime.block_on(async {
                let app = app("host");
                let (asked, has_been_asked) = oneshot::channel();
                let (release, released) = oneshot::channel::<()>();
                app.task("slow", |cx| async move {
                    cx.stopping().await;
                    let _ = asked.send(());
                    released.await?;
                    cx.drained(3);
                    Ok(())
                });
                let handle = app.handle();
                tokio::select! {
                    report = app.run() => panic!("{name}: nobody asked for that\n{report}"),
                    ready = handle.wait_ready() => assert!(ready, "{name}"),
                }
                // The run's future is gone; the component is asked to stop, and waited for.
                has_been_asked.await.expect("it is asked");
                assert!(handle.is_stopping() && !handle.is_over(), "{name}");
                release.send(()).expect("it still waits");
                let report = handle.report().await;
                assert_eq!((report.verdict(), report.exit_code()), (Verdict::Clean, 0), "{name}\n{report}");
                let trigger = report.trigger().map(|t| (t.kind(), t.detail()));
                assert_eq!(trigger, Some((ReasonKind::Request, "the run was dropped")), "{name}");
                assert_eq!(report.component("slow").map(|c| (c.outcome, c.drained)), Some((Outcome::Stopped, 3)), "{name}");
            });
        });
    }
}

#[test]
fn k1_the_app_is_stopping_before_any_component_is_asked() {
    // A race if it were otherwise, so many rounds.
    for round in 0..200 {
        let app = app("host");
        let (says, said) = oneshot::channel();
        app.task("a", |cx| async move {
            let handle = cx.handle();
            cx.stopping().await;
            let _ = says.send((handle.stopping().is_set(), handle.is_stopping(), handle.is_ready()));
            Ok(())
        });
        let seen = bounded(move || workers(1).block_on(async { tokio::join!(run_and_stop(&app), said).1 }));
        assert_eq!(seen, Ok((true, true, false)), "round {round}");
    }
}
