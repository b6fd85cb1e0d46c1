//! Which way in is allowed where, and how often.

use crate::{app, bounded, idle, runtimes, workers};
use std::sync::Arc;
use std::thread::JoinHandle;
use winddown::{Handle, Outcome, ReasonKind, Rung, Verdict, millis};

const ALREADY_RUN: &str = "this app has been run already: an app runs once, make a new one with `App::new`";
const INSIDE: &str = "the runtime or a thread could not be made: this thread is inside a runtime already: use `run().await`";

#[test]
fn a_second_run_is_refused() {
    for (name, runtime) in runtimes() {
        let app = app("once");
        idle(&app, "a");
        app.handle().request_shutdown("at once");
        bounded(move || {
            let first = runtime.block_on(app.run());
            assert_eq!(first.verdict(), Verdict::Clean, "{name}\n{first}");
            for again in [runtime.block_on(app.run()), app.run_blocking(), runtime.block_on(app.clone().run())] {
                assert_eq!((again.verdict(), again.exit_code()), (Verdict::Refused, 2), "{name}");
                assert_eq!(again.problems(), [ALREADY_RUN], "{name}");
                assert!(again.trigger().is_none(), "{name}");
            }
            let kept = runtime.block_on(app.handle().report());
            assert!(Arc::ptr_eq(&first, &kept), "{name}: the handle has the report of the run that was one");
        });
    }
}

#[test]
fn a_second_run_beside_the_first_is_refused_and_does_not_disturb_it() {
    for (name, runtime) in runtimes() {
        let app = app("once");
        idle(&app, "a");
        let handle = app.handle();
        let first = bounded(move || {
            runtime.block_on(async move {
                let second = async {
                    assert!(handle.wait_ready().await, "{name}");
                    let second = app.run().await;
                    assert_eq!((second.verdict(), second.problems()), (Verdict::Refused, &[ALREADY_RUN.to_owned()][..]), "{name}");
                    assert!(handle.is_ready() && !handle.is_stopping(), "{name}: the first goes on");
                    handle.request_shutdown("enough");
                };
                tokio::join!(app.run(), second).0
            })
        });
        assert_eq!(first.verdict(), Verdict::Clean, "{name}\n{first}");
        assert_eq!(first.component("a").map(|a| a.outcome), Some(Outcome::Stopped), "{name}");
    }
}

/// Asks for shutdown as soon as everything runs, from a thread.
fn when_ready(handle: Handle) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert!(runtime.block_on(handle.wait_ready()), "everything runs");
        handle.request_shutdown("enough");
    })
}

#[test]
fn run_blocking_from_a_synchronous_program() {
    let app = app("sync").worker_threads(1);
    idle(&app, "a");
    let asks = when_ready(app.handle());
    let report = bounded(move || app.run_blocking());
    asks.join().expect("it asked");
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Clean, 0), "{report}");
    assert_eq!(report.trigger().map(|t| (t.kind(), t.detail())), Some((ReasonKind::Request, "enough")));
    assert_eq!(report.component("a").map(|a| a.outcome), Some(Outcome::Stopped));
}

#[test]
fn run_blocking_brings_its_own_timers() {
    let app = app("sync").worker_threads(1);
    app.task("finishes", |_| async {
        tokio::time::sleep(millis(1)).await;
        Ok(())
    });
    let report = bounded(move || app.run_blocking());
    assert_eq!(report.trigger().map(|t| (t.kind(), t.component())), Some((ReasonKind::Finished, Some("finishes"))), "{report}");
    assert_eq!(report.exit_code(), 0);
}

#[test]
fn t10_run_blocking_does_not_wait_for_what_was_abandoned() {
    let app = app("sync").worker_threads(2).stop_budget(millis(20)).cancel_wait(millis(5)).abort_wait(millis(5));
    let (release, released) = std::sync::mpsc::channel::<()>();
    app.task("blocks", |cx| async move {
        cx.spawn_blocking("deaf", move || {
            let _ = released.recv();
            Ok(())
        });
        cx.stopping().await;
        Ok(())
    });
    let asks = when_ready(app.handle());
    let report = bounded(move || app.run_blocking());
    asks.join().expect("it asked");
    assert_eq!(report.component("blocks").map(|c| (c.outcome, c.rung)), Some((Outcome::Abandoned, Rung::Abandon)), "{report}");
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Forced, 124));
    // Until here it has been blocked all the time.
    release.send(()).expect("it still waits");
}

#[test]
fn run_blocking_inside_a_runtime_is_refused_and_no_panic() {
    for (name, runtime) in runtimes() {
        let app = app("inside");
        idle(&app, "a");
        app.handle().request_shutdown("as soon as it is allowed to run");
        bounded(move || {
            let refused = runtime.block_on(async { app.run_blocking() });
            assert_eq!((refused.verdict(), refused.exit_code()), (Verdict::Refused, 2), "{name}");
            assert_eq!(refused.problems(), [INSIDE], "{name}");
            let task = runtime.block_on(async {
                let app = app.clone();
                tokio::spawn(async move { app.run_blocking() }).await.expect("a task of it does not panic either")
            });
            assert_eq!(task.problems(), [INSIDE], "{name}");
            // It has not been run by that, so it can be.
            let report = runtime.block_on(app.run());
            assert_eq!(report.verdict(), Verdict::Clean, "{name}\n{report}");
        });
    }
}

#[test]
fn s5_a_request_before_the_run_is_remembered() {
    let app = app("early");
    idle(&app, "a");
    app.handle().request_shutdown("before");
    app.handle().request_shutdown("and again");
    let report = bounded(move || workers(2).block_on(app.run()));
    assert_eq!(report.trigger().map(|t| t.detail()), Some("before"), "the first cause is kept");
    assert_eq!(report.component("a").map(|a| (a.outcome, a.start.is_none())), Some((Outcome::NotStarted, true)), "{report}");
    assert_eq!(report.exit_code(), 0);
}
