//! R2: a panic anywhere in user code is an outcome with its text.

use crate::kit::{Act, Actor, Log, idle, of, once_ready, run, run_for};
use std::fmt;
use winddown::{App, Lifecycle, Outcome, Policy, ReasonKind, ResourceOutcome, Restart, StopCx, async_trait, secs};

/// Panics when it is dropped.
struct BadDrop(&'static str);

impl Drop for BadDrop {
    fn drop(&mut self) {
        panic!("{}", self.0)
    }
}

#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Unspeakable {}

/// A panic's payload that panics so many times more while it is dropped.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if let Some(left) = self.0.checked_sub(1) {
            std::panic::panic_any(Bomb(left));
        }
    }
}

fn panicked(report: &winddown::Report, name: &str, text: &str) {
    let c = of(report, name);
    assert_eq!((c.outcome, c.error.as_deref()), (Outcome::Panicked, Some(text)), "{report}");
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_start_rolls_back() {
    let (app, log) = (App::new("panic"), Log::default());
    app.add(Actor::new("a", &log)).phase(1);
    app.add(Actor::new("b", &log).start(Act::Panic("boom"))).phase(2);
    let report = run(&app).await;
    panicked(&report, "b", "boom");
    assert_eq!((report.trigger().unwrap().kind(), log.count("stop b"), log.count("down a")), (ReasonKind::StartFailed, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_the_work_is_an_outcome_with_its_text() {
    let app = App::new("panic");
    app.task("static", |_| async { panic!("a plain text") });
    panicked(&*run(&app).await, "static", "a plain text");

    let app = App::new("panic");
    let n = 3;
    app.task("formatted", move |_| async move { panic!("text {n}") });
    panicked(&*run(&app).await, "formatted", "text 3");
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_the_closure_that_makes_the_task_is_the_tasks() {
    let app = App::new("panic");
    app.task("maker", |_| -> std::future::Ready<anyhow::Result<()>> { panic!("not even a future") });
    panicked(&*run(&app).await, "maker", "not even a future");
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_stop_ends_it_and_the_rest_is_stopped() {
    let (app, log) = (App::new("panic"), Log::default());
    app.add(Actor::new("below", &log)).phase(1);
    app.add(Actor::new("bad", &log).stop(Act::Panic("halfway"))).phase(2);
    let report = run_for(&app, secs(1)).await;
    panicked(&report, "bad", "halfway");
    assert_eq!((log.count("down below"), report.shutdown_took()), (1, Some(secs(0))));
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_the_drop_of_a_future_that_ended_well_counts() {
    let app = App::new("panic");
    app.task("careless", |cx| async move {
        let _bad = BadDrop("on the way out");
        cx.stopping().await;
        Ok(())
    });
    let report = run_for(&app, secs(1)).await;
    panicked(&report, "careless", "on the way out");
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_the_drop_of_an_aborted_future_is_kept_as_text() {
    let app = App::new("panic");
    app.task("stuck", |_| async move {
        let _bad = BadDrop("while being dropped");
        std::future::pending().await
    });
    let report = run_for(&app, secs(1)).await;
    let stuck = of(&report, "stuck");
    assert_eq!((stuck.outcome, stuck.error.as_deref()), (Outcome::Aborted, Some("while being dropped")), "the worst wins, the text stays");
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_the_drop_of_the_component_itself_is_its_stops() {
    struct Component(#[expect(dead_code, reason = "its drop is what it is for")] BadDrop);
    #[async_trait]
    impl Lifecycle for Component {
        async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
            Ok(())
        }
    }
    let app = App::new("panic");
    app.add(Component(BadDrop("the component")));
    let report = run_for(&app, secs(1)).await;
    panicked(&report, "Component", "the component");
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_an_errors_text_is_a_panic_of_its_component() {
    let app = App::new("panic");
    app.task("mute", |_| async { Err(Unspeakable.into()) });
    let report = run(&app).await;
    let mute = of(&report, "mute");
    assert_eq!(mute.outcome, Outcome::Panicked);
    assert!(mute.error.as_deref().unwrap().contains("no words"), "{:?}", mute.error);
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_the_drop_of_a_panics_payload_harms_nobody() {
    let app = App::new("panic");
    idle(&app, "other", 0);
    app.task("bomb", |_| async { std::panic::panic_any(Bomb(1)) });
    let report = run(&app).await;
    assert_eq!((of(&report, "bomb").outcome, of(&report, "other").outcome), (Outcome::Panicked, Outcome::Stopped));
    assert_eq!(report.trigger().unwrap().component(), Some("bomb"));
}

#[tokio::test(start_paused = true)]
async fn r2_a_panicking_service_can_be_restarted() {
    struct Shaky(u32);
    #[async_trait]
    impl winddown::Service for Shaky {
        async fn run(&mut self, cx: &winddown::RunCx) -> anyhow::Result<()> {
            self.0 += 1;
            assert!(self.0 > 2, "run {} panics", self.0);
            cx.stopping().await;
            Ok(())
        }
    }
    let app = App::new("panic");
    app.service(Shaky(0)).policy(Policy::Restart(Restart::new(5, secs(60))));
    let report = run_for(&app, secs(10)).await;
    let shaky = of(&report, "Shaky");
    assert_eq!((shaky.restarts, shaky.outcome, shaky.error.as_deref()), (2, Outcome::Stopped, Some("run 1 panics")));
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_the_destruction_of_a_resource_is_its_failure() {
    let app = App::new("panic");
    app.resource("dropped", async { anyhow::Ok(BadDrop("in its drop")) }).await.unwrap();
    app.resource("destroyed", async { anyhow::Ok(1) }).destroy_with(|_| async { panic!("in its end") }).await.unwrap();
    idle(&app, "worker", 0);
    let report = run_for(&app, secs(1)).await;
    for (name, text) in [("dropped", "in its drop"), ("destroyed", "in its end")] {
        let resource = report.resource(name).unwrap();
        assert_eq!((resource.outcome, resource.error.as_deref()), (ResourceOutcome::Failed, Some(text)));
    }
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test(start_paused = true)]
async fn r2_a_component_stopped_alone_whose_drop_panics_harms_nobody() {
    struct Component(#[expect(dead_code, reason = "its drop is what it is for")] BadDrop);
    #[async_trait]
    impl Lifecycle for Component {
        async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
            Ok(())
        }
    }
    let app = App::new("panic");
    let id = app.add(Component(BadDrop("long after its stop"))).id();
    idle(&app, "other", 0);
    let beside = once_ready(&app, move |handle| async move {
        handle.stop(id).await.unwrap();
        handle.request_shutdown("the test is over");
    });
    let report = run(&app).await;
    beside.await.unwrap();
    assert_eq!(of(&report, "other").outcome, Outcome::Stopped);
}
