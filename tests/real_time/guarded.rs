//! Guarded programs, and hosts whose app is over: what a signal does to them. Each test has its child's side beside it.

use crate::children::{Running, park, say};
use crate::common::SLACK;
use crate::workers;
use signal_hook::consts::SIGTERM;
use std::time::Duration;
use winddown::{App, OnDeadline, Output, ReasonKind, guard, millis, secs};

const GRACE: Duration = millis(600);

/// Child: after the signal its watched future blocks its thread for good.
pub(crate) fn hangs() {
    let runtime = workers(2);
    runtime.block_on(async {
        let guard = guard(GRACE);
        let stopping = guard.stopping();
        guard.spawn("ledger", async move {
            stopping.wait().await;
            say("asked");
            park()
        });
        guard.spawn("innocent", std::future::pending::<()>());
        say("up");
        std::future::pending::<()>().await;
    });
}

#[test]
fn t9_a_guarded_program_that_hangs_leaves_in_time_and_names_what_hung() {
    let child = Running::start("hangs");
    child.says("up");
    let (before, after) = child.terminate();
    child.says("asked");
    let end = child.end();
    assert_eq!(end.code(), Some(124), "{}", end.stderr);
    assert!(end.at >= before + GRACE - millis(100), "it had its grace period: {:?}\n{}", end.at - before, end.stderr);
    assert!(end.at <= after + GRACE + SLACK, "it took {:?}\n{}", end.at - after, end.stderr);
    assert!(end.stderr.lines().any(|line| line.contains("`ledger`")), "nobody is named\n{}", end.stderr);
    assert!(!end.stderr.contains("innocent"), "the wrong one is named\n{}", end.stderr);
}

/// Child: after the signal it ends by itself, with a code of its own.
pub(crate) fn leaves() {
    let runtime = workers(2);
    runtime.block_on(async {
        let guard = guard(secs(3600));
        say("up");
        guard.stopping().wait().await;
        drop(guard);
        say("over");
    });
    std::process::exit(7);
}

#[test]
fn a_guarded_program_that_ends_by_itself_keeps_its_exit_code() {
    let child = Running::start("leaves");
    child.says("up");
    child.terminate();
    child.says("over");
    let end = child.end();
    assert_eq!((end.code(), end.killed_by()), (Some(7), None), "{}", end.stderr);
}

/// Child: its guard is dropped, and it goes on.
pub(crate) fn unguarded() {
    let guard = guard(secs(3600));
    say("up");
    drop(guard);
    say("dropped");
    park();
}

#[test]
fn a_signal_has_its_default_action_again_when_the_guard_is_dropped() {
    let child = Running::start("unguarded");
    child.says("up");
    child.says("dropped");
    child.terminate();
    let end = child.end();
    assert_eq!((end.code(), end.killed_by()), (None, Some(SIGTERM)), "{}", end.stderr);
}

/// Child: sends itself the signal the moment after.
pub(crate) fn at_once(after: &str) {
    let app = App::new("inner").output(Output::Quiet).on_deadline(OnDeadline::Return);
    app.handle().request_shutdown("at once");
    match after {
        "guard" => drop(guard(secs(3600))),
        "run" => drop(workers(1).block_on(app.run())),
        _ => drop(app.run_blocking()),
    }
    let _ = signal_hook::low_level::raise(SIGTERM);
    say("survived");
    park();
}

#[test]
fn no_signal_is_lost_the_moment_after_a_guard_or_a_run() {
    for after in ["guard", "run", "run_blocking"] {
        for round in 0..5 {
            let end = Running::start(&format!("at once after {after}")).end();
            assert_eq!((end.code(), end.killed_by()), (None, Some(SIGTERM)), "{after}, round {round}\n{}", end.stderr);
        }
    }
}

/// Child: its grace period is longer than any that is taken.
pub(crate) fn too_long() {
    let guard = guard(Duration::MAX);
    say("up");
    park_with(guard);
}

fn park_with<T>(_kept: T) -> ! {
    park()
}

#[test]
fn a_guard_that_cannot_be_set_up_says_so_and_guards_nothing() {
    let child = Running::start("too long");
    child.says("up");
    child.terminate();
    let end = child.end();
    assert_eq!((end.code(), end.killed_by()), (None, Some(SIGTERM)), "{}", end.stderr);
    assert!(end.stderr.contains("is longer than 366 days"), "not a word about it\n{}", end.stderr);
}

/// Child: a host with an app that hears signals; the program goes on when the app is over.
pub(crate) fn host() {
    let app = App::new("inner").output(Output::Quiet).on_deadline(OnDeadline::Return);
    app.task("worker", |cx| async move {
        cx.stopping().await;
        Ok(())
    });
    let handle = app.handle();
    let report = workers(2).block_on(async {
        let (report, ()) = tokio::join!(app.run(), async {
            assert!(handle.wait_ready().await);
            say("up");
        });
        report
    });
    let trigger = report.trigger().map(|t| (t.kind(), t.detail()));
    assert_eq!((trigger, report.exit_code()), (Some((ReasonKind::Signal, "SIGTERM")), 0));
    say("over");
    park();
}

#[test]
fn t8_a_signal_stops_a_hosts_app_and_has_its_default_action_again_afterwards() {
    let child = Running::start("host");
    child.says("up");
    child.terminate();
    child.says("over");
    child.terminate();
    let end = child.end();
    assert_eq!((end.code(), end.killed_by()), (None, Some(SIGTERM)), "{}", end.stderr);
}
