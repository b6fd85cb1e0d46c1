//! Code that blocks a runtime's worker: named, and no hindrance to anybody else (T9).

use crate::{app, bounded, workers};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use winddown::{App, Event, EventKind, Outcome, Verdict, millis, secs};

/// Blocks the thread until somebody sends, or the test has given up anyway.
fn block(until: &Receiver<()>) {
    let _ = until.recv_timeout(secs(60));
}

/// A component, and its task that blocks.
type Blocked = (String, String);
/// A component, and how long it had blocked.
type Freed = (String, Duration);

/// Tells of every blocked worker, and of every one that is free again.
fn watched(app: &App) -> (Receiver<Blocked>, Receiver<Freed>) {
    let ((blocks, blocked), (frees, freed)) = (channel::<Blocked>(), channel::<Freed>());
    app.observe(move |event: &Event| {
        let subject = event.subject().unwrap_or("-").to_owned();
        match event.kind() {
            EventKind::WorkerBlocked { task, .. } => drop(blocks.send((subject, task.to_string()))),
            EventKind::WorkerFreed { lasted, .. } => drop(frees.send((subject, *lasted))),
            _ => {}
        }
    });
    (blocked, freed)
}

#[test]
fn t9_one_of_two_workers_blocked_is_named_with_component_and_task() {
    let app = app("blocks").stop_budget(millis(300)).cancel_wait(millis(20)).abort_wait(millis(20));
    let (blocked, _) = watched(&app);
    let (release, released) = channel();
    app.task("x", |cx| async move {
        cx.spawn("grind", async move {
            block(&released);
            Ok(())
        });
        cx.stopping().await;
        Ok(())
    });
    crate::idle(&app, "y");
    let handle = app.handle();
    let asks = std::thread::spawn(move || {
        let first = blocked.recv_timeout(secs(60));
        handle.request_shutdown("it was noticed");
        first
    });
    let report = bounded(move || {
        let runtime = workers(2);
        let report = runtime.block_on(app.run());
        runtime.shutdown_background();
        report
    });
    assert_eq!(asks.join().expect("the observer's thread"), Ok(("x".to_owned(), "grind".to_owned())));
    let x = report.component("x").expect("it is in the report");
    let worker = x.blocked_worker.as_ref().unwrap_or_else(|| panic!("nobody is blamed\n{report}"));
    assert_eq!(worker.task, "grind");
    let noticed = report.events().iter().find(|e| e.kind().name() == "worker_blocked").expect("the event is in the timeline");
    assert!(worker.since <= noticed.at(), "it was blocked before it was noticed");
    assert_eq!(x.outcome, Outcome::Abandoned, "what blocks its thread cannot be dropped\n{report}");
    assert!(report.blocked_at_end().iter().any(|line| line.contains('x') && line.contains("`grind`")), "{:?}", report.blocked_at_end());
    let y = report.component("y").expect("it is in the report");
    assert_eq!((y.outcome, y.blocked_worker.is_none()), (Outcome::Stopped, true), "the other one is not disturbed\n{report}");
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Forced, 124));
    let _ = release.send(());
}

#[test]
fn t9_a_worker_that_is_free_again_stays_in_the_report() {
    let app = app("blocks");
    let (blocked, freed) = watched(&app);
    let (handle, asked) = (app.handle(), Instant::now());
    app.task("x", |cx| async move {
        // The work of this test; nothing is decided by how long it takes.
        std::thread::sleep(millis(600));
        cx.stopping().await;
        Ok(())
    });
    let asks = std::thread::spawn(move || {
        let events = (blocked.recv_timeout(secs(60)), freed.recv_timeout(secs(60)));
        handle.request_shutdown("it was noticed");
        events
    });
    let report = bounded(move || workers(2).block_on(app.run()));
    let (blocked, freed) = asks.join().expect("the observer's thread");
    assert_eq!(blocked, Ok(("x".to_owned(), "run".to_owned())), "a task's own future is called `run`");
    let (who, lasted) = freed.expect("it is free again");
    assert_eq!(who, "x");
    assert!(lasted >= millis(100) && lasted <= asked.elapsed(), "{lasted:?}");
    let x = report.component("x").expect("it is in the report");
    assert_eq!(x.blocked_worker.as_ref().map(|b| &*b.task), Some("run"), "{report}");
    assert_eq!((x.outcome, report.exit_code()), (Outcome::Stopped, 0), "to block a while is no failure\n{report}");
    assert!(report.blocked_at_end().is_empty(), "{:?}", report.blocked_at_end());
}

#[test]
fn t9_who_blocks_in_one_app_is_not_blamed_in_another() {
    let (one, other) = (app("one").stop_budget(millis(200)).cancel_wait(millis(20)).abort_wait(millis(20)), app("other"));
    let (blocked, _) = watched(&one);
    let (release, released) = channel();
    one.task("x", |_| async move {
        block(&released);
        Ok(())
    });
    crate::idle(&other, "x");
    let (first, second) = bounded(move || {
        let runtime = workers(4);
        let reports = runtime.block_on(async {
            let (handle, beside) = (one.handle(), other.handle());
            let both = async { tokio::join!(one.run(), other.run()) };
            let asks = tokio::task::spawn_blocking(move || {
                blocked.recv_timeout(secs(60)).expect("it is noticed");
                handle.request_shutdown("it was noticed");
                handle
            });
            let stops_last = async {
                let handle = asks.await.expect("it asked");
                // The blocked one's report is there first; the other app has watched all the while.
                handle.report().await;
                beside.request_shutdown("enough");
            };
            tokio::join!(both, stops_last).0
        });
        runtime.shutdown_background();
        reports
    });
    assert!(first.component("x").is_some_and(|x| x.blocked_worker.is_some() && x.outcome == Outcome::Abandoned), "{first}");
    assert!(second.component("x").is_some_and(|x| x.blocked_worker.is_none() && x.outcome == Outcome::Stopped), "{second}");
    assert!(second.blocked_at_end().is_empty() && second.exit_code() == 0, "{second}");
    let _ = release.send(());
}

/// One component sleeps 300 ms on the runtime's timer, another is woken by that timer and then blocks its worker for three seconds: the worker
/// that looks after the timers is the one that is blocked, and nothing else happens that could wake another.
fn sleep_beside_a_blocked_worker(threads: usize) -> (Duration, String) {
    bounded(move || {
        let app = app("timers").stop_budget(millis(50)).cancel_wait(millis(10)).abort_wait(millis(10));
        let (slept, has_slept) = oneshot::channel();
        app.task("sleeper", |cx| async move {
            let began = Instant::now();
            tokio::time::sleep(millis(300)).await;
            let _ = slept.send(began.elapsed());
            cx.stopping().await;
            Ok(())
        });
        app.task("blocker", |cx| async move {
            tokio::time::sleep(millis(20)).await;
            std::thread::sleep(secs(3));
            cx.stopping().await;
            Ok(())
        });
        let handle = app.handle();
        let runtime = workers(threads);
        let (report, took) = runtime.block_on(async move {
            let asks = async move {
                let took = has_slept.await.expect("it sleeps to the end");
                handle.request_shutdown("slept");
                took
            };
            tokio::join!(app.run(), asks)
        });
        runtime.shutdown_background();
        (took, report.to_text(false))
    })
}

#[test]
fn t9_a_timer_goes_on_beside_a_blocked_worker_of_two() {
    let (took, report) = sleep_beside_a_blocked_worker(2);
    assert!(took >= millis(300) && took < secs(1), "300 ms took {took:?}\n{report}");
}

#[test]
fn t9_a_timer_goes_on_beside_a_blocked_worker_of_eight() {
    let (took, report) = sleep_beside_a_blocked_worker(8);
    assert!(took >= millis(300) && took < secs(1), "300 ms took {took:?}\n{report}");
}
