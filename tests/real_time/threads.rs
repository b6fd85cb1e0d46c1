//! Components that are no futures: threads of their own, and pairs of a token and a tracker that a program had already.

use crate::{app, bounded, runtimes, workers};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use winddown::{App, Event, Outcome, Policy, ReasonKind, Report, Restart, Rung, Tracked, Verdict, millis, secs};

async fn run_and_stop(app: &App) -> Arc<Report> {
    let handle = app.handle();
    let asks = async {
        assert!(handle.wait_ready().await, "everything runs");
        handle.request_shutdown("enough");
    };
    tokio::join!(app.run(), asks).0
}

#[test]
fn a_thread_that_sleeps_wakes_up_to_stop() {
    for (name, runtime) in runtimes() {
        let app = app("threads");
        let (tells, told) = oneshot::channel();
        let mut tells = Some(tells);
        app.thread("sampler", move |cx| {
            let slept = cx.sleep(Duration::ZERO);
            let seen = (std::thread::current().name().map(str::to_owned), cx.is_stopping(), slept);
            tells.take().map(|tells| tells.send(seen));
            // Far longer than the test's patience, and for ever.
            while cx.sleep(secs(3600)) {}
            while cx.sleep(Duration::MAX) {}
            anyhow::ensure!(cx.is_stopping() && !cx.is_cancelled(), "asked, not forced");
            cx.handed_back(2);
            Ok(())
        });
        let (report, seen) = bounded(move || {
            let handle = app.handle();
            let asks = async move {
                let seen = told.await;
                // The thread may be under way before its start is known to have returned.
                assert!(handle.wait_ready().await);
                handle.request_shutdown("enough");
                seen
            };
            runtime.block_on(async { tokio::join!(app.run(), asks) })
        });
        assert_eq!(seen, Ok((Some("sampler".to_owned()), false, true)), "{name}: its name, not stopping, slept");
        let sampler = report.component("sampler").expect("it is in the report");
        assert_eq!((sampler.outcome, sampler.rung, sampler.handed_back), (Outcome::Stopped, Rung::Graceful, 2), "{name}\n{report}");
        assert_eq!(report.exit_code(), 0, "{name}");
    }
}

#[test]
fn a_thread_that_looks_at_the_flag_stops_from_within_its_own_wait() {
    let app = app("threads");
    let (wake, woken) = channel::<()>();
    app.thread("poller", move |cx| {
        while !cx.is_stopping() {
            let _ = woken.recv_timeout(millis(1));
        }
        Ok(())
    });
    let report = bounded(move || workers(1).block_on(run_and_stop(&app)));
    drop(wake);
    assert_eq!(report.component("poller").map(|c| c.outcome), Some(Outcome::Stopped), "{report}");
}

#[test]
fn t5_a_thread_that_ignores_everything_is_abandoned_and_named() {
    for (name, runtime) in runtimes() {
        let app = app("threads").stop_budget(millis(40)).cancel_wait(millis(10)).abort_wait(millis(10));
        let (release, released) = channel::<()>();
        let (over, is_over) = channel();
        app.thread("stubborn", move |_| {
            let _ = released.recv();
            let _ = over.send(());
            Ok(())
        });
        let report = bounded(move || runtime.block_on(run_and_stop(&app)));
        let stubborn = report.component("stubborn").expect("it is in the report");
        assert_eq!((stubborn.outcome, stubborn.rung), (Outcome::Abandoned, Rung::Abandon), "{name}\n{report}");
        assert_eq!((report.verdict(), report.exit_code()), (Verdict::Forced, 124), "{name}");
        let ended = report.events().iter().find(|e| e.kind().name() == "component_ended").expect("it has an end");
        assert_eq!(ended.subject(), Some("stubborn"), "{name}");
        let text = report.to_text(false);
        assert!(text.lines().any(|line| line.contains("stubborn") && line.contains("abandoned")), "{name}\n{text}");
        assert!(is_over.try_recv().is_err(), "{name}: it was left behind, not ended");
        release.send(()).expect("it still waits");
        is_over.recv_timeout(secs(60)).expect("a thread that was left behind can still end");
    }
}

#[test]
fn r2_a_threads_panic_and_error_are_outcomes() {
    let app = app("threads");
    let (fail, failing) = channel::<()>();
    app.thread("panics", move |_| -> anyhow::Result<()> {
        let _ = failing.recv();
        panic!("the thread's own words")
    });
    let report = bounded(move || {
        workers(2).block_on(async {
            let handle = app.handle();
            let fails = async {
                assert!(handle.wait_ready().await);
                drop(fail);
            };
            tokio::join!(app.run(), fails).0
        })
    });
    let panics = report.component("panics").expect("it is in the report");
    assert_eq!(panics.outcome, Outcome::Panicked, "{report}");
    assert!(panics.error.as_deref().is_some_and(|text| text.contains("the thread's own words")), "{report}");
    assert_eq!(report.trigger().map(|t| (t.kind(), t.component())), Some((ReasonKind::ComponentFailed, Some("panics"))));
    assert_eq!(report.exit_code(), 1);
}

#[test]
fn r1_a_thread_is_started_again() {
    let app = app("threads");
    // Each round goes on once its start is known to have returned: what ends before that is a start that failed.
    let (go, goes) = channel();
    app.observe(move |event: &Event| {
        if event.kind().name() == "start_ended" {
            let _ = go.send(());
        }
    });
    let rounds = Arc::new(AtomicUsize::new(0));
    let round = rounds.clone();
    app.thread("flaky", move |cx| {
        goes.recv()?;
        match round.fetch_add(1, Ordering::SeqCst) {
            0 => anyhow::bail!("the first round"),
            1 => panic!("the second round"),
            _ => cx.handle().request_shutdown("it has come back twice"),
        }
        while cx.sleep(secs(3600)) {}
        Ok(())
    })
    .policy(Policy::Restart(Restart::new(5, secs(3600)).backoff(millis(1))));
    let report = bounded(move || workers(2).block_on(app.run()));
    let flaky = report.component("flaky").expect("it is in the report");
    assert_eq!((flaky.outcome, flaky.restarts, rounds.load(Ordering::SeqCst)), (Outcome::Stopped, 2, 3), "{report}");
    assert_eq!(report.exit_code(), 0, "what a restart cured does not count");
}

#[test]
fn tracked_tasks_are_told_to_stop_and_waited_for() {
    for (name, runtime) in runtimes() {
        bounded(move || {
            runtime.block_on(async {
                let (token, tracker) = (CancellationToken::new(), TaskTracker::new());
                let ended = Arc::new(AtomicUsize::new(0));
                for _ in 0..20 {
                    let (token, ended) = (token.clone(), ended.clone());
                    tracker.spawn(async move {
                        token.cancelled().await;
                        for _ in 0..10 {
                            tokio::task::yield_now().await;
                        }
                        ended.fetch_add(1, Ordering::SeqCst);
                    });
                }
                let app = app("tracked");
                app.tracked("legacy", token.clone(), tracker.clone());
                app.add(Tracked::new("empty", CancellationToken::new(), TaskTracker::new()));
                let before = token.is_cancelled();
                let report = run_and_stop(&app).await;
                assert_eq!(ended.load(Ordering::SeqCst), 20, "{name}: all of them are over when it is");
                assert!(!before && token.is_cancelled() && tracker.is_closed(), "{name}");
                assert!(report.components().iter().all(|c| c.outcome == Outcome::Stopped), "{name}\n{report}");
                assert_eq!(report.exit_code(), 0, "{name}");
            });
        });
    }
}

#[test]
fn t5_a_tracked_task_that_does_not_heed_its_token_is_not_waited_for_for_ever() {
    let began = Instant::now();
    let report = bounded(move || {
        workers(2).block_on(async {
            let (token, tracker) = (CancellationToken::new(), TaskTracker::new());
            tracker.spawn(std::future::pending::<()>());
            let app = app("tracked").stop_budget(millis(30)).cancel_wait(millis(10)).abort_wait(secs(5));
            app.tracked("legacy", token, tracker);
            run_and_stop(&app).await
        })
    });
    let legacy = report.component("legacy").expect("it is in the report");
    // Its stop is a future and could be dropped; the task itself is the program's own.
    assert_eq!((legacy.outcome, legacy.rung), (Outcome::Aborted, Rung::Abort), "{report}");
    assert!(began.elapsed() >= millis(40), "it had its budget and its cancel wait");
    assert_eq!(report.exit_code(), 124);
}
