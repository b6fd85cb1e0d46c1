//! T11: force waits for a critical section, up to its bound.

use crate::kit::{Log, TICK, Tell, event, of, run_for, when};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use winddown::{App, Critical, EventKind, Outcome, Policy, Restart, RunCx, millis, secs};

/// Works without a look at any token: enters a section when it is asked, leaves it after a while, and goes on for ever.
async fn stubborn(cx: RunCx, log: Log, bound: Duration, leaves_after: Duration) -> anyhow::Result<()> {
    let _tell = Tell(log.clone(), "dropped");
    cx.stopping().await;
    let section = cx.critical(bound);
    assert!(section.holds());
    tokio::time::sleep(leaves_after).await;
    log.say("both halves written");
    drop(section);
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn t11_force_waits_until_the_section_ends() {
    let (app, log) = (App::new("critical"), Log::default());
    let seen = log.clone();
    app.task("writer", move |cx| stubborn(cx, seen, secs(5), secs(3))).stop_budget(secs(1));
    let report = run_for(&app, secs(1)).await;
    assert_eq!(log.lines(), ["both halves written", "dropped"]);
    assert_eq!((of(&report, "writer").outcome, report.critical_holds(), report.exit_code()), (Outcome::Aborted, 1, 124));
    assert_eq!(when(&report, "writer", "critical_held"), when(&report, "writer", "abort_began"));
    let ended = of(&report, "writer").stop.unwrap().ended - of(&report, "writer").stop.unwrap().began;
    assert!(ended >= secs(3) && ended <= secs(3) + 2 * TICK, "released, it is dropped at once: {ended:?}");
    assert!(report.to_text(false).contains("force waited for 1 critical section"));
}

#[tokio::test(start_paused = true)]
async fn t11_force_waits_no_longer_than_the_bound() {
    let (app, log) = (App::new("critical"), Log::default());
    let seen = log.clone();
    app.task("writer", move |cx| stubborn(cx, seen, secs(2), secs(3600))).stop_budget(secs(1));
    let report = run_for(&app, secs(1)).await;
    assert_eq!(log.lines(), ["dropped"]);
    let EventKind::CriticalHeld { bound } = event(&report, "writer", "critical_held").kind() else { unreachable!() };
    assert_eq!((*bound, report.critical_holds()), (secs(2), 1));
    let ended = of(&report, "writer").stop.unwrap().ended - when(&report, "writer", "abort_began");
    assert!(ended >= secs(2) && ended <= secs(2) + 2 * TICK, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn t11_force_never_waits_past_the_last_deadline() {
    let (app, log) = (App::new("critical").grace(secs(4)), Log::default());
    let seen = log.clone();
    app.task("writer", move |cx| stubborn(cx, seen, secs(3600), secs(3600))).stop_budget(secs(1));
    let report = run_for(&app, secs(1)).await;
    assert!(report.shutdown_took().unwrap() <= secs(4), "{:?}", report.shutdown_took());
    assert_eq!((of(&report, "writer").outcome >= Outcome::Aborted, report.exit_code()), (true, 124));
    assert_eq!(log.count("both halves written"), 0);
}

#[tokio::test(start_paused = true)]
async fn t11_a_section_does_not_eat_the_explicit_budget_of_who_stops_later() {
    let (app, log) = (App::new("critical").grace(secs(10)), Log::default());
    let seen = log.clone();
    app.task("writer", move |cx| stubborn(cx, seen, secs(3600), secs(3600))).stop_budget(secs(1)).phase(2);
    let flushed = log.clone();
    let flush = move |cx: RunCx| async move {
        cx.stopping().await;
        tokio::time::sleep(millis(3900)).await;
        flushed.say("flushed");
        Ok(())
    };
    app.task("producer", flush).stop_budget(secs(4)).phase(1);
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "producer").outcome, log.count("flushed")), (Outcome::Stopped, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn t11_a_section_that_has_ended_holds_nobody() {
    let (app, log) = (App::new("critical"), Log::default());
    let seen = log.clone();
    app.task("writer", move |cx| stubborn(cx, seen, secs(60), millis(200))).stop_budget(secs(1));
    let report = run_for(&app, secs(1)).await;
    assert_eq!((report.critical_holds(), log.lines().len()), (0, 2));
    assert_eq!(of(&report, "writer").outcome, Outcome::Aborted);
}

#[tokio::test(start_paused = true)]
async fn t11_cancelled_fires_all_the_same_and_who_heeds_it_is_not_aborted() {
    let (app, log) = (App::new("critical"), Log::default());
    let seen = log.clone();
    app.task("writer", move |cx| async move {
        let section = cx.critical(secs(60));
        cx.cancelled().await;
        seen.say("cancelled");
        drop(section);
        Ok(())
    });
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "writer").outcome, report.critical_holds(), log.lines().len()), (Outcome::Cancelled, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn t11_of_several_sections_the_last_one_releases() {
    let (app, log) = (App::new("critical"), Log::default());
    let seen = log.clone();
    app.task("writer", move |cx| async move {
        let _tell = Tell(seen.clone(), "dropped");
        cx.stopping().await;
        let (first, second) = (cx.critical(secs(8)), cx.critical(secs(2)));
        tokio::time::sleep(secs(3)).await;
        drop(first);
        seen.say("first");
        tokio::time::sleep(secs(1)).await;
        drop(second);
        seen.say("second");
        std::future::pending().await
    })
    .stop_budget(secs(1));
    let report = run_for(&app, secs(1)).await;
    assert_eq!(log.lines(), ["first", "second", "dropped"]);
    assert_eq!(report.critical_holds(), 1);
}

#[tokio::test(start_paused = true)]
async fn t11_a_section_that_begins_after_the_abort_does_not_hold() {
    struct Enters(RunCx, Log);
    impl Drop for Enters {
        fn drop(&mut self) {
            self.1.say(if self.0.critical(secs(60)).holds() { "holds" } else { "too late" });
        }
    }
    let (app, log) = (App::new("critical"), Log::default());
    let seen = log.clone();
    app.task("writer", move |cx| async move {
        let _enters = Enters(cx, seen);
        std::future::pending().await
    });
    let report = run_for(&app, secs(1)).await;
    assert_eq!((log.lines(), report.critical_holds()), (vec!["too late".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn t11_a_section_that_outlives_its_tasks_may_end_while_a_restart_is_pending() {
    let (app, runs) = (App::new("critical"), AtomicU32::new(0));
    let kept: Arc<Mutex<Option<Critical>>> = Arc::default();
    let keep = kept.clone();
    let make = move |cx: RunCx| {
        let (first, keep) = (runs.fetch_add(1, Ordering::SeqCst) == 0, keep.clone());
        async move {
            if first {
                *keep.lock().unwrap() = Some(cx.critical(secs(2)));
                cx.spawn("deaf", std::future::pending());
                anyhow::bail!("no");
            }
            cx.stopping().await;
            Ok(())
        }
    };
    app.task_factory("writer", make).policy(Policy::Restart(Restart::new(1, secs(60)).backoff(secs(20))));
    tokio::spawn(async move {
        tokio::time::sleep(secs(8)).await;
        drop(kept.lock().unwrap().take());
    });
    let report = run_for(&app, secs(60)).await;
    assert_eq!((of(&report, "writer").restarts, of(&report, "writer").outcome, report.critical_holds()), (1, Outcome::Stopped, 1));
}
