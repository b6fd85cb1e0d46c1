//! D1–D3: resources are destroyed last, in reverse, and leases name their holders.

use crate::kit::{Act, Actor, Log, event, idle, of, run, run_for, story, when};
use std::sync::{Arc, Mutex};
use winddown::{App, EventKind, Lease, Outcome, Resource, ResourceOutcome, RunCx, Verdict, millis, secs};

/// Opens a resource whose destruction does as it is told and says when it is over.
async fn open(app: &App, log: &Log, name: &'static str, end: Act) -> Resource<&'static str> {
    let log = log.clone();
    let destroy = move |_: Arc<&'static str>| async move {
        log.say(format!("destroy {name}"));
        match end {
            Act::Take(span) => tokio::time::sleep(span).await,
            Act::Fail(text) => anyhow::bail!("{text}"),
            Act::Panic(text) => panic!("{text}"),
            Act::Hang | Act::HeedCancel => std::future::pending().await,
            Act::Return => {}
        }
        log.say(format!("gone {name}"));
        Ok(())
    };
    app.resource(name, async move { anyhow::Ok(name) }).destroy_with(destroy).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn d1_resources_are_destroyed_after_all_components_in_reverse_one_by_one() {
    let (app, log) = (App::new("resources"), Log::default());
    for name in ["first", "second", "third"] {
        open(&app, &log, name, Act::Take(millis(300))).await;
    }
    app.add(Actor::new("slow", &log).stop(Act::Take(secs(3)))).phase(-1000);
    let report = run_for(&app, secs(1)).await;
    let lines = log.lines();
    assert_eq!(lines[3..], ["down slow", "destroy third", "gone third", "destroy second", "gone second", "destroy first", "gone first"]);
    assert!(report.resources().iter().all(|r| r.outcome == ResourceOutcome::Destroyed && r.held_by.is_empty()));
    assert!(report.resources().windows(2).all(|pair| pair[0].ended > pair[1].ended));
    assert_eq!((story(&report, "first"), report.exit_code()), (vec!["resource_created", "destroy_began", "destroy_ended"], 0));
}

#[tokio::test(start_paused = true)]
async fn d1_without_a_destructor_it_is_dropped() {
    let (app, log) = (App::new("resources"), Log::default());
    let value = crate::kit::Tell(log.clone(), "dropped");
    app.resource("plain", async move { anyhow::Ok(value) }).await.unwrap();
    app.add(Actor::new("worker", &log));
    run_for(&app, secs(1)).await;
    assert!(log.before("down worker", "dropped"));
}

#[tokio::test(start_paused = true)]
async fn d1_a_destruction_that_hangs_is_late_and_the_next_has_its_turn() {
    let (app, log) = (App::new("resources"), Log::default());
    open(&app, &log, "good", Act::Return).await;
    open(&app, &log, "stuck", Act::Hang).await;
    idle(&app, "worker", 0);
    let report = run_for(&app, secs(1)).await;
    let (good, stuck) = (report.resource("good").unwrap(), report.resource("stuck").unwrap());
    assert_eq!((good.outcome, stuck.outcome), (ResourceOutcome::Destroyed, ResourceOutcome::Late));
    assert_eq!(when(&report, "stuck", "destroy_ended") - when(&report, "stuck", "destroy_began"), secs(1));
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Forced, 124));
    assert_eq!(log.lines(), ["destroy stuck", "destroy good", "gone good"]);
}

#[tokio::test(start_paused = true)]
async fn d1_a_destruction_that_fails_or_panics_is_a_failure_without_force() {
    for end in [Act::Fail("disk full"), Act::Panic("disk full")] {
        let (app, log) = (App::new("resources"), Log::default());
        open(&app, &log, "good", Act::Return).await;
        open(&app, &log, "bad", end).await;
        idle(&app, "worker", 0);
        let report = run_for(&app, secs(1)).await;
        let bad = report.resource("bad").unwrap();
        assert_eq!((bad.outcome, bad.error.as_deref()), (ResourceOutcome::Failed, Some("disk full")));
        assert_eq!((report.verdict(), report.exit_code(), log.count("gone good")), (Verdict::Failed, 1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn d1_an_explicit_budget_holds() {
    for (takes, outcome) in [(secs(3), ResourceOutcome::Destroyed), (secs(3) + millis(1), ResourceOutcome::Late)] {
        let app = App::new("resources");
        let end = move |_| async move {
            tokio::time::sleep(takes).await;
            Ok(())
        };
        app.resource("journal", async { anyhow::Ok(()) }).budget(secs(3)).destroy_with(end).await.unwrap();
        idle(&app, "worker", 0);
        let report = run_for(&app, secs(1)).await;
        let EventKind::DestroyBegan { budget } = event(&report, "journal", "destroy_began").kind() else { unreachable!() };
        assert_eq!((*budget, report.resource("journal").unwrap().outcome), (secs(3), outcome));
    }
}

#[tokio::test(start_paused = true)]
async fn d2_a_resource_of_an_abandoned_component_is_leaked_and_named() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let (app, log) = (App::new("resources"), Log::default());
    let used = open(&app, &log, "used", Act::Return).await;
    open(&app, &log, "other", Act::Return).await;
    let wait = move |_: &winddown::ThreadCx| {
        let _ = held.lock().map(|held| held.recv());
        Ok(())
    };
    app.thread("stuck", wait).uses(&used);
    app.task("good", |cx| async move { cx.until_stopping(std::future::pending()).await.unwrap_or(Ok(())) }).uses_named("other");
    let report = run_for(&app, secs(1)).await;
    let (used, other) = (report.resource("used").unwrap(), report.resource("other").unwrap());
    assert_eq!((used.outcome, other.outcome), (ResourceOutcome::Leaked, ResourceOutcome::Destroyed));
    assert_eq!(used.held_by.iter().map(|n| &**n).collect::<Vec<_>>(), ["stuck"]);
    assert_eq!(log.lines(), ["destroy other", "gone other"]);
    assert_eq!((of(&report, "stuck").outcome, report.exit_code()), (Outcome::Abandoned, 124));
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn d2_a_resource_of_an_aborted_component_is_destroyed() {
    let (app, log) = (App::new("resources"), Log::default());
    let used = open(&app, &log, "used", Act::Return).await;
    app.task("deaf", |_| std::future::pending()).uses(&used);
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "deaf").outcome, report.resource("used").unwrap().outcome), (Outcome::Aborted, ResourceOutcome::Destroyed));
}

#[tokio::test(start_paused = true)]
async fn d3_a_lease_that_comes_back_in_time_is_waited_for() {
    let (app, log) = (App::new("leases"), Log::default());
    let pool = open(&app, &log, "pool", Act::Return).await;
    let seen = log.clone();
    app.task("reader", move |cx: RunCx| async move {
        let lease = cx.lease(&pool)?;
        assert_eq!((*lease, lease.holder()), ("pool", "reader"));
        cx.stopping().await;
        // Given to somebody who is in no scope.
        tokio::spawn(async move {
            tokio::time::sleep(millis(700)).await;
            seen.say("given back");
            drop(lease);
        });
        Ok(())
    });
    let report = run_for(&app, secs(1)).await;
    assert_eq!(log.lines(), ["given back", "destroy pool", "gone pool"]);
    let pool = report.resource("pool").unwrap();
    assert_eq!((pool.outcome, &*pool.held_by[0], report.exit_code()), (ResourceOutcome::Destroyed, "reader", 0));
    let EventKind::LeaseOutlived { holder } = event(&report, "pool", "lease_outlived").kind() else { unreachable!() };
    assert_eq!(&**holder, "reader");
}

#[tokio::test(start_paused = true)]
async fn d3_a_lease_that_stays_out_makes_the_resource_late_and_names_who_holds_it() {
    let (app, log) = (App::new("leases"), Log::default());
    let pool = open(&app, &log, "pool", Act::Return).await;
    let kept: Arc<Mutex<Vec<Lease<&'static str>>>> = Arc::default();
    for name in ["one", "two"] {
        let (pool, kept) = (pool.clone(), kept.clone());
        app.task(name, move |cx: RunCx| async move {
            let lease = cx.lease(&pool)?;
            kept.lock().unwrap().extend([lease.clone(), lease]);
            cx.stopping().await;
            Ok(())
        });
    }
    kept.lock().unwrap().push(pool.lease("the test").unwrap());
    let report = run_for(&app, secs(1)).await;
    let late = report.resource("pool").unwrap();
    let mut holders: Vec<_> = late.held_by.iter().map(|n| &**n).collect();
    holders.sort_unstable();
    assert_eq!((late.outcome, holders), (ResourceOutcome::Late, vec!["one", "the test", "two"]));
    assert_eq!((report.verdict(), report.exit_code(), log.lines()), (Verdict::Forced, 124, vec![]));
    assert!(kept.lock().unwrap().iter().all(|lease| **lease == "pool"), "nothing is pulled from under a lease");
    assert!(report.to_text(false).contains("held by"));
}

#[tokio::test(start_paused = true)]
async fn d3_leases_are_given_until_the_destruction_begins() {
    let (app, log) = (App::new("leases"), Log::default());
    let pool = open(&app, &log, "pool", Act::Return).await;
    let (in_stop, seen) = (pool.clone(), log.clone());
    app.task("late reader", move |cx: RunCx| async move {
        cx.stopping().await;
        seen.say(if cx.lease(&in_stop).is_ok() { "leased" } else { "refused" });
        Ok(())
    });
    let report = run_for(&app, secs(1)).await;
    assert_eq!(log.lines(), ["leased", "destroy pool", "gone pool"]);
    assert!(!story(&report, "pool").contains(&"lease_outlived"));
    assert!(pool.lease("afterwards").unwrap_err().is_resource_gone());
}

#[tokio::test(start_paused = true)]
async fn d1_what_could_not_be_opened_is_not_created() {
    let app = App::new("resources").setup(|app| async move {
        let missing = app.resource("optional", async { Err::<(), _>(anyhow::anyhow!("refused")) }).await;
        assert!(missing.is_err());
        Ok(())
    });
    app.handle().request_shutdown("later");
    let report = run(&app).await;
    assert!(report.resources().is_empty(), "set-up was not even begun");

    let app = App::new("resources").setup(|app| async move {
        let _ = app.resource("optional", async { Err::<(), _>(anyhow::anyhow!("refused")) }).await;
        app.task("job", |_| async { Ok(()) });
        Ok(())
    });
    let report = run(&app).await;
    let optional = report.resource("optional").unwrap();
    assert_eq!((optional.outcome, optional.error.as_deref(), report.exit_code()), (ResourceOutcome::NotCreated, Some("refused"), 0));
}
