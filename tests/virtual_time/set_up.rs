//! S4–S6: set-up, a stop asked for early, a registration that comes late.

use crate::kit::{Act, Actor, Log, Tell, event, idle, of, run, story, when};
use std::sync::{Arc, Mutex};
use winddown::{App, EventKind, Outcome, Phase, ReasonKind, Resource, ResourceOutcome, Verdict, millis, secs};

#[tokio::test(start_paused = true)]
async fn s4_set_up_registers_and_opens_before_anything_starts() {
    let log = Log::default();
    let actor = Actor::new("worker", &log);
    let seen = log.clone();
    let app = App::new("set-up").setup(|app| async move {
        tokio::time::sleep(secs(2)).await;
        app.resource("pool", async { anyhow::Ok(1) }).await?;
        app.add(actor).phase(Phase::INTAKE);
        app.handle().request_shutdown("seen enough");
        seen.say("set up");
        Ok(())
    });
    let report = run(&app).await;
    assert_eq!((report.trigger().unwrap().kind(), report.exit_code()), (ReasonKind::Request, 0));
    assert_eq!(when(&report, "", "set_up_began"), secs(0));
    assert!(log.count("set up") <= 1);
    assert_eq!(report.resource("pool").unwrap().outcome, ResourceOutcome::Destroyed);
}

#[tokio::test(start_paused = true)]
async fn s4_an_error_of_set_up_ends_with_one_and_destroys_what_was_opened() {
    let log = Log::default();
    let seen = log.clone();
    let actor = Actor::new("worker", &log);
    let app = App::new("set-up").setup(|app| async move {
        let destroy = move |_: Arc<i32>| async move {
            seen.say("destroyed");
            Ok(())
        };
        app.resource("first", async { anyhow::Ok(1) }).destroy_with(destroy).await?;
        app.add(actor);
        app.resource("second", async { Err::<(), _>(anyhow::anyhow!("no such host")) }).await?;
        Ok(())
    });
    let report = run(&app).await;
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Failed, 1));
    let trigger = report.trigger().unwrap();
    assert_eq!(trigger.kind(), ReasonKind::SetupFailed);
    assert!(trigger.detail().contains("no such host"), "{}", trigger.detail());
    assert_eq!(log.lines(), ["destroyed"], "and nothing was started");
    assert_eq!(report.resource("first").unwrap().outcome, ResourceOutcome::Destroyed);
    let second = report.resource("second").unwrap();
    assert_eq!((second.outcome, second.error.as_deref()), (ResourceOutcome::NotCreated, Some("no such host")));
    assert_eq!(of(&report, "worker").outcome, Outcome::NotStarted);
}

#[tokio::test(start_paused = true)]
async fn s4_set_up_that_is_late_is_dropped_and_has_failed() {
    let log = Log::default();
    let tell = Tell(log.clone(), "dropped");
    let app = App::new("set-up").setup_budget(secs(9)).setup(|app| async move {
        let _tell = tell;
        app.resource("pool", async { anyhow::Ok(1) }).await?;
        std::future::pending().await
    });
    let report = run(&app).await;
    assert_eq!(when(&report, "", "set_up_ended"), secs(9));
    assert_eq!((report.trigger().unwrap().kind(), report.exit_code()), (ReasonKind::SetupFailed, 1));
    assert_eq!(log.lines(), ["dropped"]);
    assert_eq!(report.resource("pool").unwrap().outcome, ResourceOutcome::Destroyed);
}

#[tokio::test(start_paused = true)]
async fn s4_a_stop_during_set_up_drops_it_at_its_next_await() {
    let log = Log::default();
    let (tell, actor) = (Tell(log.clone(), "dropped"), Actor::new("worker", &log));
    let app = App::new("set-up").setup(|app| async move {
        let _tell = tell;
        app.add(actor);
        std::future::pending().await
    });
    let handle = app.handle();
    tokio::spawn(async move {
        tokio::time::sleep(secs(3)).await;
        handle.request_shutdown("changed my mind");
    });
    let report = run(&app).await;
    assert_eq!(log.lines(), ["dropped"]);
    assert_eq!((when(&report, "", "run_ended"), report.exit_code()), (secs(3), 0));
    assert_eq!(of(&report, "worker").outcome, Outcome::NotStarted);
}

#[tokio::test(start_paused = true)]
async fn s4_a_panic_of_set_up_is_its_failure() {
    let app = App::new("set-up").setup(|_| async { panic!("bad configuration") });
    let report = run(&app).await;
    assert_eq!((report.trigger().unwrap().detail(), report.exit_code()), ("bad configuration", 1));
}

#[tokio::test(start_paused = true)]
async fn s4_a_plan_refused_after_set_up_starts_nothing_and_destroys_what_was_opened() {
    let log = Log::default();
    let actors = [Actor::new("twin", &log), Actor::new("twin", &log)];
    let app = App::new("set-up").setup(|app| async move {
        app.resource("pool", async { anyhow::Ok(1) }).await?;
        actors.into_iter().for_each(|actor| {
            app.add(actor);
        });
        Ok(())
    });
    let report = run(&app).await;
    assert_eq!((report.verdict(), report.exit_code(), report.problems().len()), (Verdict::Refused, 2, 1));
    assert!(report.trigger().is_none() && log.lines().is_empty());
    assert_eq!(report.resource("pool").unwrap().outcome, ResourceOutcome::Destroyed);
}

#[tokio::test(start_paused = true)]
async fn s5_a_stop_asked_for_before_the_run_is_remembered() {
    let (app, log) = (App::new("early"), Log::default());
    app.handle().request_shutdown("before it began");
    app.handle().request_shutdown("and again");
    app.add(Actor::new("worker", &log));
    let report = run(&app).await;
    assert_eq!(log.lines(), Vec::<String>::new());
    let trigger = report.trigger().unwrap();
    assert_eq!((trigger.kind(), trigger.detail(), report.exit_code()), (ReasonKind::Request, "before it began", 0));
    assert_eq!((of(&report, "worker").outcome, story(&report, "worker").len()), (Outcome::NotStarted, 0));
}

#[tokio::test(start_paused = true)]
async fn s5_with_a_set_up_it_is_not_even_begun() {
    let log = Log::default();
    let seen = log.clone();
    let app = App::new("early").setup(|_| async move {
        seen.say("set-up ran");
        Ok(())
    });
    app.handle().request_shutdown("before it began");
    let report = run(&app).await;
    assert_eq!((log.lines(), report.exit_code()), (vec![], 0));
    assert_eq!(report.trigger().unwrap().detail(), "before it began");
}

#[tokio::test(start_paused = true)]
async fn s6_a_component_or_resource_registered_while_running_is_refused_with_an_error() {
    let (app, log) = (App::new("late"), Log::default());
    let late = app.clone();
    let actor = Actor::new("latecomer", &log);
    app.task("worker", move |_| async move {
        let added = late.add(actor);
        assert!(added.error().is_some_and(|error| error.is_sealed()));
        let id = added.id();
        assert!(late.handle().start(id).await.is_err());
        let error = late.resource("pool", async { anyhow::Ok(1) }).await.unwrap_err();
        assert!(error.downcast_ref::<winddown::Error>().is_some_and(|error| error.is_sealed()), "{error}");
        Ok(())
    });
    let report = run(&app).await;
    assert_eq!((report.exit_code(), report.trigger().unwrap().kind()), (0, ReasonKind::Finished), "{report}");
    assert!(matches!(event(&report, "", "registration_refused").kind(), EventKind::RegistrationRefused));
    assert!(report.component("latecomer").is_none() && report.resource("pool").is_none());
    assert_eq!(log.count("start latecomer"), 0);
}

#[tokio::test(start_paused = true)]
async fn s6_a_registration_from_within_set_up_works_as_planned() {
    let kept: Arc<Mutex<Option<Resource<i32>>>> = Arc::default();
    let keep = kept.clone();
    let app = App::new("late").setup(|app| async move {
        let pool = app.resource("pool", async { anyhow::Ok(7) }).await?;
        *keep.lock().unwrap() = Some(pool.clone());
        app.task("reader", move |cx| async move { if *cx.lease(&pool)? == 7 { Ok(()) } else { anyhow::bail!("not seven") } });
        Ok(())
    });
    let report = run(&app).await;
    assert_eq!((of(&report, "reader").outcome, report.exit_code()), (Outcome::Finished, 0));
    let pool = kept.lock().unwrap().take().unwrap();
    assert!(pool.lease("afterwards").unwrap_err().is_resource_gone());
}

#[tokio::test(start_paused = true)]
async fn s6_an_app_runs_once() {
    let app = App::new("once");
    idle(&app, "worker", 0);
    app.handle().request_shutdown("enough");
    assert_eq!(run(&app).await.exit_code(), 0);
    let again = run(&app).await;
    assert_eq!((again.verdict(), again.exit_code()), (Verdict::Refused, 2));
    assert!(again.problems()[0].contains("run already"), "{:?}", again.problems());
}

#[tokio::test(start_paused = true)]
async fn s4_the_deadline_of_a_stop_during_start_counts_from_the_stop() {
    let (app, log) = (App::new("set-up").grace(secs(10)), Log::default());
    app.add(Actor::new("up", &log).stop(Act::Hang)).phase(1);
    app.add(Actor::new("starting", &log).start(Act::HeedCancel)).phase(2);
    let handle = app.handle();
    tokio::spawn(async move {
        tokio::time::sleep(secs(8)).await;
        handle.request_shutdown("never mind");
    });
    let report = run(&app).await;
    assert_eq!((when(&report, "", "shutdown_began"), report.grace()), (secs(8), secs(10)));
    assert_eq!(of(&report, "up").outcome, Outcome::Aborted);
    let rungs =
        [("stop_began", 0), ("cancel_began", 5000), ("abort_began", 5500)].map(|(kind, after)| (when(&report, "up", kind), secs(8) + millis(after)));
    assert!(rungs.iter().all(|(at, planned)| at == planned), "{rungs:?}");
}
