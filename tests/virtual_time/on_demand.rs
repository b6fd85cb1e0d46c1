//! S1: one component, started and stopped through the handle.

use crate::kit::{Act, Actor, Log, idle, of, once_ready, run, run_for};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use winddown::{App, ComponentId, Handle, Lifecycle, Outcome, ReasonKind, StartCx, StopCx, async_trait, millis, secs};

/// Fails each start but the first.
struct OnlyOnce(Arc<AtomicUsize>);

#[async_trait]
impl Lifecycle for OnlyOnce {
    fn name(&self) -> String {
        "only once".into()
    }
    async fn start(&mut self, _cx: &StartCx) -> anyhow::Result<()> {
        anyhow::ensure!(self.0.fetch_add(1, Ordering::SeqCst) == 0, "not again");
        Ok(())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        Ok(())
    }
}

async fn end(handle: Handle) {
    handle.request_shutdown("the test is over");
}

#[tokio::test(start_paused = true)]
async fn s1_what_is_on_demand_is_not_started_by_itself_and_not_stopped() {
    let (app, log) = (App::new("demand"), Log::default());
    app.add(Actor::new("lazy", &log)).auto_startup(false);
    idle(&app, "worker", 0);
    let report = run_for(&app, secs(1)).await;
    assert_eq!(log.lines(), Vec::<String>::new());
    assert_eq!((of(&report, "lazy").outcome, of(&report, "lazy").start, report.exit_code()), (Outcome::NotStarted, None, 0));
}

#[tokio::test(start_paused = true)]
async fn s1_it_is_started_through_the_handle_and_stopped_in_order_with_the_rest() {
    let (app, log) = (App::new("demand"), Log::default());
    let lazy = app.add(Actor::new("lazy", &log).start(Act::Take(secs(2))).stop(Act::Take(secs(1)))).phase(5).auto_startup(false).id();
    app.add(Actor::new("worker", &log));
    let seen = log.clone();
    let beside = once_ready(&app, move |handle| async move {
        handle.start(lazy).await.unwrap();
        seen.say("it runs");
        handle.start(lazy).await.unwrap();
        end(handle).await;
    });
    let report = run(&app).await;
    beside.await.unwrap();
    assert!(log.before("up lazy", "it runs"));
    assert!(log.before("down lazy", "stop worker"), "its phase is above: {:?}", log.lines());
    assert_eq!(log.count("start lazy"), 1, "starting what runs changes nothing");
    assert_eq!((of(&report, "lazy").outcome, report.exit_code()), (Outcome::Stopped, 0));
}

#[tokio::test(start_paused = true)]
async fn s1_two_who_ask_for_the_same_start_share_it() {
    let (app, log) = (App::new("demand"), Log::default());
    let lazy = app.add(Actor::new("lazy", &log).start(Act::Take(secs(2)))).auto_startup(false).id();
    let beside = once_ready(&app, move |handle| async move {
        let (a, b) = tokio::join!(handle.start(lazy), handle.start(lazy));
        assert!(a.is_ok() && b.is_ok());
        end(handle).await;
    });
    run(&app).await;
    beside.await.unwrap();
    assert_eq!(log.count("start lazy"), 1);
}

#[tokio::test(start_paused = true)]
async fn s1_one_component_can_be_stopped_and_started_again() {
    let (app, log) = (App::new("demand"), Log::default());
    let id = app.add(Actor::new("it", &log).stop(Act::Take(secs(1)))).id();
    let seen = log.clone();
    let beside = once_ready(&app, move |handle| async move {
        handle.stop(id).await.unwrap();
        seen.say("stopped alone");
        handle.stop(id).await.unwrap();
        handle.start(id).await.unwrap();
        assert!(handle.is_ready() && !handle.is_stopping(), "the program goes on all the while");
        end(handle).await;
    });
    let report = run(&app).await;
    beside.await.unwrap();
    let once = ["start it", "up it", "stop it", "down it"];
    let expected: Vec<&str> = once.into_iter().chain(["stopped alone"]).chain(once).collect();
    assert_eq!(log.lines(), expected);
    assert_eq!((of(&report, "it").outcome, of(&report, "it").restarts), (Outcome::Stopped, 0));
}

#[tokio::test(start_paused = true)]
async fn s1_a_failed_start_on_demand_is_told_to_who_asked_and_the_program_goes_on() {
    let (app, log) = (App::new("demand"), Log::default());
    let bad = app.add(Actor::new("bad", &log).start(Act::Fail("no port"))).auto_startup(false).id();
    let late = app.add(Actor::new("late", &log).start(Act::Hang)).auto_startup(false).start_budget(secs(3)).id();
    let beside = once_ready(&app, move |handle| async move {
        let error = handle.start(bad).await.unwrap_err();
        assert!(error.is_not_now() && error.to_string().contains("no port"), "{error}");
        assert!(handle.start(late).await.unwrap_err().is_not_now());
        tokio::time::sleep(secs(10)).await;
        assert!(handle.is_ready());
        end(handle).await;
    });
    let report = run(&app).await;
    beside.await.unwrap();
    assert_eq!(report.trigger().unwrap().kind(), ReasonKind::Request);
    assert_eq!((of(&report, "bad").outcome, of(&report, "late").outcome, report.exit_code()), (Outcome::Failed, Outcome::Failed, 1));
}

#[tokio::test(start_paused = true)]
async fn s1_a_start_on_demand_is_taken_back_by_a_shutdown_and_who_asked_is_told() {
    let (app, log) = (App::new("demand"), Log::default());
    let lazy = app.add(Actor::new("lazy", &log).start(Act::HeedCancel)).auto_startup(false).id();
    let beside = once_ready(&app, move |handle| async move {
        let ask = handle.start(lazy);
        let (answer, ()) = tokio::join!(ask, async {
            tokio::time::sleep(secs(1)).await;
            handle.request_shutdown("enough");
        });
        assert!(answer.unwrap_err().is_not_now());
    });
    let report = run(&app).await;
    beside.await.unwrap();
    assert_eq!((of(&report, "lazy").outcome, report.exit_code()), (Outcome::NotStarted, 0));
}

#[tokio::test(start_paused = true)]
async fn s1_what_is_not_possible_now_is_refused_with_a_reason() {
    let app = App::new("demand");
    let base = idle(&app, "base", 0);
    let top = app.configure(idle(&app, "top", 0)).after(base).id();
    let lazy = app.configure(idle(&app, "lazy", 0)).auto_startup(false).id();
    let upon = app.configure(idle(&app, "upon", 0)).auto_startup(false).after(lazy).id();
    let foreign: ComponentId = idle(&App::new("other"), "foreign", 0);
    let beside = once_ready(&app, move |handle| async move {
        let refused = |error: winddown::Error, what: &str| assert!(error.is_not_now() && error.to_string().contains(what), "{error}");
        refused(handle.stop(base).await.unwrap_err(), "`top`");
        refused(handle.start(upon).await.unwrap_err(), "`lazy`");
        handle.stop(top).await.unwrap();
        refused(handle.start(top).await.unwrap_err(), "only once");
        handle.stop(base).await.unwrap();
        assert!(handle.start(foreign).await.unwrap_err().is_unknown_component());
        handle.shutdown("enough").await;
        refused(handle.start(lazy).await.unwrap_err(), "over");
        refused(handle.stop(lazy).await.unwrap_err(), "over");
    });
    let handle = app.handle();
    let late = tokio::spawn(async move {
        handle.stopping().await;
        handle.start(lazy).await.unwrap_err().is_not_now()
    });
    run(&app).await;
    beside.await.unwrap();
    assert!(late.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn s1_a_request_goes_on_though_nobody_awaits_it() {
    let (app, log) = (App::new("demand"), Log::default());
    let lazy = app.add(Actor::new("lazy", &log).start(Act::Take(secs(2)))).auto_startup(false).id();
    let beside = once_ready(&app, move |handle| async move {
        let _ = tokio::time::timeout(millis(10), handle.start(lazy)).await.unwrap_err();
        tokio::time::sleep(secs(5)).await;
        end(handle).await;
    });
    run(&app).await;
    beside.await.unwrap();
    assert_eq!(log.lines(), ["start lazy", "up lazy", "stop lazy", "down lazy"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_stop_of_one_component_climbs_the_rungs_like_any_other() {
    let (app, log) = (App::new("demand"), Log::default());
    let id = app.add(Actor::new("stuck", &log).stop(Act::Hang)).id();
    let beside = once_ready(&app, move |handle| async move {
        handle.stop(id).await.unwrap();
        end(handle).await;
    });
    let report = run(&app).await;
    beside.await.unwrap();
    assert_eq!((of(&report, "stuck").outcome, report.exit_code()), (Outcome::Aborted, 124));
}

#[tokio::test(start_paused = true)]
async fn s1_a_start_asked_for_again_that_fails_is_not_reported_as_a_success() {
    let app = App::new("demand");
    let id = app.add(OnlyOnce(Arc::default())).id();
    let answers = Log::default();
    let seen = answers.clone();
    let beside = once_ready(&app, move |handle| async move {
        handle.stop(id).await.unwrap();
        let answer = handle.start(id).await;
        seen.say(format!("{:?}", answer.map_err(|error| error.is_not_now())));
    });
    run(&app).await;
    beside.await.unwrap();
    assert_eq!(answers.lines(), ["Err(true)"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_start_asked_for_in_set_up_is_too_early_and_no_unknown_id() {
    let answers = Log::default();
    let seen = answers.clone();
    let app = App::new("demand").setup(|app| async move {
        let id = app.configure(idle(&app, "lazy", 0)).auto_startup(false).id();
        let error = app.handle().start(id).await.unwrap_err();
        seen.say(format!("not now: {}", error.is_not_now()));
        Ok(())
    });
    run_for(&app, secs(1)).await;
    assert_eq!(answers.lines(), ["not now: true"]);
}
