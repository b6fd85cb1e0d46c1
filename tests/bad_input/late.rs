//! What comes while the app runs, or after its end, is answered with a typed error (S6).

use crate::{app, block_on, idle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use winddown::{Error, Outcome, ReasonKind, Verdict};

#[test]
fn s6_registration_while_running_is_refused_and_told() {
    let app = app();
    idle(&app, "early");
    let began = Arc::new(AtomicBool::new(false));
    let report = block_on(async move {
        let handle = app.handle();
        let seen = began.clone();
        let driver = tokio::spawn({
            let app = app.clone();
            async move {
                assert!(handle.wait_ready().await);
                let added = app.task("late", move |_| async move {
                    seen.store(true, Ordering::SeqCst);
                    Ok(())
                });
                // What more is said about it changes nothing.
                let added = added.named("later").after_named("nobody").stop_budget(std::time::Duration::ZERO);
                let (error, id) = (added.error().expect("it is too late"), added.id());
                assert!(error.is_sealed() && !error.is_plan() && error.problems().is_empty());
                assert!(error.to_string().ends_with("was registered after the run began: register everything before `run` or in the set-up closure"));
                assert!(handle.start(id).await.is_err(), "nothing of that id can be started");
                handle.request_shutdown("enough");
            }
        });
        let report = app.run().await;
        driver.await.expect("the driver's checks");
        assert!(!began.load(Ordering::SeqCst), "it has not run");
        report
    });
    assert_eq!((report.verdict(), report.components().len()), (Verdict::Clean, 1));
    let refusals = report.events().iter().filter(|event| event.kind().name() == "registration_refused").count();
    assert_eq!(refusals, 1);
}

#[test]
fn s6_registration_from_a_component_is_refused() {
    let app = app();
    let inner = app.clone();
    app.task("greedy", move |_| async move {
        let error = idle(&inner, "child").error();
        anyhow::bail!("{}", error.map_or("it was added".to_owned(), |error| format!("sealed: {}", error.is_sealed())))
    });
    let report = block_on(async move { app.run().await });
    let greedy = report.component("greedy").expect("it is in the report");
    assert_eq!((greedy.outcome, greedy.error.as_deref()), (Outcome::Failed, Some("sealed: true")));
    assert!(report.component("child").is_none());
}

#[test]
fn s6_a_resource_that_comes_while_running_is_refused_with_its_name() {
    let app = app();
    let opened = Arc::new(AtomicBool::new(false));
    let (inner, seen) = (app.clone(), opened.clone());
    app.task("greedy", move |_| async move {
        let open = async move {
            seen.store(true, Ordering::SeqCst);
            anyhow::Ok(0)
        };
        let error = inner.resource("cache", open).await.expect_err("it is too late");
        let sealed = error.downcast_ref::<Error>().is_some_and(Error::is_sealed);
        anyhow::bail!("sealed: {sealed}; {error}")
    });
    let report = block_on(async move { app.run().await });
    let text = "sealed: true; `cache` was registered after the run began: register everything before `run` or in the set-up closure";
    assert_eq!(report.component("greedy").and_then(|c| c.error.as_deref()), Some(text));
    assert!(!opened.load(Ordering::SeqCst) && report.resources().is_empty());
}

#[test]
fn s6_registration_in_the_set_up_works_as_planned() {
    let app = app().setup(|app| async move {
        let numbers = app.resource("numbers", async { anyhow::Ok(vec![1, 2]) }).await?;
        let first = idle(&app, "first").uses(&numbers).id();
        anyhow::ensure!(idle(&app, "second").after(first).error().is_none(), "it is not too late");
        app.handle().request_shutdown("enough");
        Ok(())
    });
    idle(&app, "before");
    let report = block_on(async move { app.run().await });
    // The request came during the set-up, so nothing was started; all the same it is planned, and in the report.
    assert_eq!(report.components().iter().map(|c| &*c.name).collect::<Vec<_>>(), ["before", "first", "second"]);
    assert!(report.resource("numbers").is_some());
    assert_eq!(report.verdict(), Verdict::Clean);
}

#[test]
fn s6_registration_after_the_end_is_refused() {
    let app = app();
    app.handle().request_shutdown("at once");
    block_on({
        let app = app.clone();
        async move { app.run().await }
    });
    assert!(idle(&app, "late").error().expect("it is too late").is_sealed());
    let error = block_on({
        let app = app.clone();
        async move { app.resource("late", async { anyhow::Ok(0) }).await.expect_err("it is too late") }
    });
    assert!(error.downcast_ref::<Error>().is_some_and(Error::is_sealed), "{error}");
}

#[test]
fn s6_a_handle_after_the_end_answers_and_changes_nothing() {
    let app = app();
    let id = idle(&app, "a").id();
    let demanded = idle(&app, "b").auto_startup(false).id();
    let foreign = idle(&crate::app(), "a").id();
    let handle = app.handle();
    handle.request_shutdown("at once");
    block_on(async move {
        let report = app.run().await;
        assert!(handle.is_over() && handle.is_stopping() && !handle.is_ready() && handle.stopping().is_set());
        for id in [id, demanded] {
            let start = handle.start(id).await.expect_err("it is over");
            assert!(start.is_not_now() && !start.is_unknown_component());
            assert_eq!(start.to_string(), "starting a component is not possible now: the run is over");
            let stop = handle.stop(id).await.expect_err("it is over");
            assert_eq!((stop.is_not_now(), &*stop.to_string()), (true, "stopping a component is not possible now: the run is over"));
        }
        for error in [handle.start(foreign).await, handle.stop(foreign).await].map(|answer| answer.expect_err("it is another app's")) {
            assert!(error.is_unknown_component() && !error.is_not_now());
            assert_eq!(error.to_string(), "this id is of another app: use the ids that this app's `add` gave");
        }
        assert!(!handle.wait_ready().await);
        handle.request_shutdown("again");
        assert!(Arc::ptr_eq(&report, &handle.report().await), "everybody gets the same report");
        assert!(Arc::ptr_eq(&report, &handle.shutdown("and again").await));
        assert_eq!(report.trigger().map(|t| (t.kind(), t.detail())), Some((ReasonKind::Request, "at once")));
        assert_eq!(app.plan().expect("it can still be shown").components().collect::<Vec<_>>(), ["a", "b"]);
    });
}

#[test]
fn a_foreign_id_is_refused_while_running() {
    let app = app();
    let foreign = idle(&crate::app(), "a").id();
    idle(&app, "a");
    let report = block_on(async move {
        let handle = app.handle();
        let (report, ()) = tokio::join!(app.run(), async {
            assert!(handle.wait_ready().await);
            assert!(handle.start(foreign).await.expect_err("another app's").is_unknown_component());
            assert!(handle.stop(foreign).await.expect_err("another app's").is_unknown_component());
            assert!(handle.is_ready(), "nothing of ours has stopped");
            handle.request_shutdown("enough");
        });
        report
    });
    assert_eq!(report.component("a").map(|a| a.outcome), Some(Outcome::Stopped));
}

#[test]
fn a_lease_after_the_resource_is_destroyed_is_refused_with_its_name() {
    let app = app();
    block_on(async move {
        let pool = app.resource("pool", async { anyhow::Ok(7) }).await.expect("it opens");
        idle(&app, "worker").uses(&pool);
        assert_eq!(*pool.lease("test").expect("it is there"), 7);
        app.handle().request_shutdown("at once");
        let report = app.run().await;
        assert_eq!(report.resource("pool").map(|r| r.outcome), Some(winddown::ResourceOutcome::Destroyed));
        let error = pool.lease("test").map(|_| ()).expect_err("it is destroyed");
        assert!(error.is_resource_gone() && !error.is_not_now());
        assert_eq!(error.to_string(), "the resource `pool` is being destroyed: take leases while the components that use it run");
    });
}

#[test]
fn an_empty_app_is_allowed_and_waits_for_shutdown() {
    let app = app();
    let plan = app.plan().expect("nothing is wrong with it");
    assert_eq!((plan.components().count(), plan.critical_path().len()), (0, 0));
    let report = block_on(async move {
        let handle = app.handle();
        let run = tokio::spawn(async move { app.run().await });
        assert!(handle.wait_ready().await, "it is up, for all that there is");
        assert!(!run.is_finished() && !handle.is_over() && !handle.is_stopping());
        handle.request_shutdown("enough");
        run.await.expect("it ends")
    });
    assert_eq!((report.verdict(), report.exit_code(), report.components().len()), (Verdict::Clean, 0, 0));
    assert_eq!(report.trigger().map(|t| t.to_string()).as_deref(), Some("asked: enough"));
}
