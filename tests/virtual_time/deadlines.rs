//! T1–T3: one absolute deadline, slots cut from it, time reserved for what stops later.

use crate::kit::{Act, Actor, Log, event, of, run_for, when};
use std::time::Duration;
use winddown::{App, EventKind, Outcome, Report, Rung, Verdict, millis, secs};

fn budget(report: &Report, name: &str) -> Duration {
    match event(report, name, "stop_began").kind() {
        EventKind::StopBegan { budget } => *budget,
        _ => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn t1_the_grace_period_is_twenty_five_seconds_unless_it_is_said() {
    for (app, grace) in [(App::new("grace"), secs(25)), (App::new("grace").grace(secs(3)), secs(3))] {
        let log = Log::default();
        app.add(Actor::new("worker", &log));
        let report = run_for(&app, secs(1)).await;
        assert_eq!(report.grace(), grace);
    }
}

#[tokio::test(start_paused = true)]
async fn t1_the_last_deadline_holds_whatever_hangs() {
    let (app, log) = (App::new("grace").grace(secs(10)), Log::default());
    for (name, phase) in [("a", 3), ("b", 2), ("c", 1)] {
        app.add(Actor::new(name, &log).stop(Act::Hang)).phase(phase).stop_budget(secs(3));
    }
    let report = run_for(&app, secs(1)).await;
    assert!(report.shutdown_took().unwrap() <= secs(10), "{:?}", report.shutdown_took());
    assert!(report.components().iter().all(|c| c.outcome == Outcome::Aborted), "{report}");
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Forced, 124));
}

#[tokio::test(start_paused = true)]
async fn t1_a_thread_that_never_ends_cannot_pass_the_deadline() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let (app, log) = (App::new("grace").grace(secs(10)).stop_budget(secs(2)), Log::default());
    let wait = move |_: &winddown::ThreadCx| {
        let _ = held.lock().map(|held| held.recv());
        Ok(())
    };
    app.thread("stuck", wait).phase(2);
    app.add(Actor::new("below", &log)).phase(1);
    let report = run_for(&app, secs(1)).await;
    let stuck = of(&report, "stuck");
    assert_eq!((stuck.outcome, stuck.rung), (Outcome::Abandoned, Rung::Abandon));
    let stop = stuck.stop.unwrap();
    assert_eq!(stop.ended - stop.began, secs(2) + millis(500) + millis(250), "its slot: stop, cancel, abort");
    assert_eq!((of(&report, "below").outcome, log.count("down below")), (Outcome::Stopped, 1));
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Forced, 124));
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn t2_a_slot_is_its_budget_then_the_cancel_wait_then_the_abort_wait() {
    let (app, log) = (App::new("slots"), Log::default());
    app.add(Actor::new("defaults", &log).stop(Act::Hang)).phase(2);
    app.add(Actor::new("own", &log).stop(Act::Hang)).phase(1).stop_budget(secs(2)).cancel_wait(secs(1)).abort_wait(millis(100));
    let report = run_for(&app, secs(1)).await;
    let since = |name: &str, kind: &str| when(&report, name, kind) - when(&report, name, "stop_began");
    assert_eq!((budget(&report, "defaults"), since("defaults", "cancel_began")), (secs(5), secs(5)));
    assert_eq!(since("defaults", "abort_began"), millis(5500));
    assert_eq!((budget(&report, "own"), since("own", "cancel_began"), since("own", "abort_began")), (secs(2), secs(2), secs(3)));
}

#[tokio::test(start_paused = true)]
async fn t2_the_clock_of_a_slot_starts_when_it_is_asked() {
    let (app, log) = (App::new("slots"), Log::default());
    app.add(Actor::new("first", &log).stop(Act::Take(secs(4)))).phase(2);
    app.add(Actor::new("second", &log).stop(Act::Take(secs(4)))).phase(1);
    let report = run_for(&app, secs(1)).await;
    assert_eq!((budget(&report, "second"), of(&report, "second").outcome), (secs(5), Outcome::Stopped));
}

#[tokio::test(start_paused = true)]
async fn t2_defaults_shrink_together_and_explicit_budgets_never() {
    let (app, log) = (App::new("slots").grace(secs(10)), Log::default());
    app.add(Actor::new("top", &log).stop(Act::Hang)).phase(3);
    app.add(Actor::new("middle", &log).stop(Act::Hang)).phase(2).stop_budget(secs(6));
    app.add(Actor::new("bottom", &log).stop(Act::Hang)).phase(1);
    let report = run_for(&app, secs(1)).await;
    let (top, bottom) = (budget(&report, "top"), budget(&report, "bottom"));
    assert_eq!(budget(&report, "middle"), secs(6));
    assert!(top < secs(2) && top >= secs(1), "{top:?}");
    // Dropping a future takes no time here, so the two abort waits above it flow on to the last.
    assert!(bottom >= top && bottom - top < millis(150), "one common factor: {top:?} and {bottom:?}");
    let cancel = when(&report, "top", "abort_began") - when(&report, "top", "cancel_began");
    let factor = top.as_secs_f64() / 5.0;
    assert!((cancel.as_secs_f64() / 0.5 - factor).abs() < 0.02, "the waits shrink by the same factor: {cancel:?}");
    assert!(report.shutdown_took().unwrap() <= secs(10));
}

#[tokio::test(start_paused = true)]
async fn t3_who_hangs_early_cannot_eat_the_time_of_the_last() {
    let (app, log) = (App::new("reserve").grace(secs(12)), Log::default());
    for (name, phase) in [("edge", 200), ("consumer", 100), ("worker", 0)] {
        app.add(Actor::new(name, &log).stop(Act::Hang)).phase(phase);
    }
    app.add(Actor::new("producer", &log).stop(Act::Take(secs(4)))).phase(-100).stop_budget(secs(4));
    let report = run_for(&app, secs(1)).await;
    let producer = of(&report, "producer");
    assert_eq!((producer.outcome, producer.rung, log.count("down producer")), (Outcome::Stopped, Rung::Graceful, 1));
    assert!(["edge", "consumer", "worker"].iter().all(|name| of(&report, name).outcome == Outcome::Aborted), "{report}");
}

#[tokio::test(start_paused = true)]
async fn t3_time_left_over_flows_on_to_the_next() {
    let (hangs, quick) = (Act::Hang, Act::Return);
    let mut budgets = Vec::new();
    for first in [hangs, quick] {
        let (app, log) = (App::new("reserve").grace(secs(8)), Log::default());
        app.add(Actor::new("first", &log).stop(first)).phase(2);
        app.add(Actor::new("second", &log)).phase(1);
        let report = run_for(&app, secs(1)).await;
        budgets.push(budget(&report, "second"));
    }
    assert!(budgets[0] < secs(4) && budgets[1] == secs(5), "never above the full slot: {budgets:?}");
}

#[tokio::test(start_paused = true)]
async fn t3_a_resource_keeps_its_time_too() {
    let (app, log) = (App::new("reserve").grace(secs(6)), Log::default());
    let ended = log.clone();
    let destroy = move |_| async move {
        tokio::time::sleep(secs(3)).await;
        ended.say("destroyed");
        Ok(())
    };
    app.resource("pool", async { anyhow::Ok(()) }).budget(secs(3)).destroy_with(destroy).await.unwrap();
    app.add(Actor::new("stuck", &log).stop(Act::Hang));
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "stuck").outcome, log.count("destroyed")), (Outcome::Aborted, 1));
    assert!(report.shutdown_took().unwrap() <= secs(6));
}

#[tokio::test(start_paused = true)]
async fn t2_a_component_can_read_the_deadline_of_its_step() {
    let (app, log) = (App::new("slots"), Log::default());
    let seen = log.clone();
    app.task("reader", move |cx| async move {
        tokio::time::sleep(secs(40)).await;
        seen.say(if cx.remaining() > secs(24 * 3600) { "far away" } else { "near" });
        cx.stopping().await;
        seen.say(format!("{:?} to stop", cx.remaining()));
        cx.cancelled().await;
        seen.say(format!("{:?} after the cancel", cx.remaining() + millis(1)));
        Ok(())
    });
    run_for(&app, secs(50)).await;
    assert_eq!(log.lines(), ["far away", "5s to stop", "500ms after the cancel"]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_grace_that_only_just_fits_is_used_to_the_end() {
    let (app, log) = (App::new("grace").grace(secs(2)), Log::default());
    app.add(Actor::new("whole", &log).stop(Act::Take(millis(1900)))).stop_budget(millis(1900));
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "whole").outcome, report.exit_code()), (Outcome::Stopped, 0));
}
