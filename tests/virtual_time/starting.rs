//! S2, S3: ready, late starts, and the rollback of a partial start.

use crate::kit::{Act, Actor, Log, Tell, event, idle, of, once_ready, run, run_for, story, when};
use winddown::{App, EventKind, Lifecycle, Outcome, ReasonKind, Rung, Service, StartCx, StopCx, Verdict, async_trait, millis, secs};

/// Its start returns at once; it is ready some time later, said from a task of its scope.
struct SlowlyReady(&'static str);

#[async_trait]
impl Lifecycle for SlowlyReady {
    fn name(&self) -> String {
        self.0.into()
    }
    fn declares_ready(&self) -> bool {
        true
    }
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let task = cx.clone();
        cx.spawn("warm up", async move {
            tokio::time::sleep(secs(4)).await;
            task.ready();
            task.stopping().await;
            Ok(())
        });
        Ok(())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn s2_ready_means_returned_and_where_declared_said() {
    let (app, log) = (App::new("start"), Log::default());
    let slow = app.add(SlowlyReady("slow")).id();
    app.add(Actor::new("next", &log)).after(slow);
    let report = run_for(&app, secs(1)).await;
    assert_eq!(of(&report, "slow").start.unwrap().ended, secs(4));
    assert_eq!(of(&report, "next").start.unwrap().began, secs(4));
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn s2_ready_said_before_start_has_returned_waits_for_the_return() {
    struct Eager;
    #[async_trait]
    impl Lifecycle for Eager {
        async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
            cx.ready();
            tokio::time::sleep(secs(2)).await;
            Ok(())
        }
        async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
            Ok(())
        }
    }
    let app = App::new("start");
    app.add(Eager).waits_for_ready();
    let report = run_for(&app, secs(1)).await;
    assert_eq!(of(&report, "Eager").start.unwrap().ended, secs(2));
    assert_eq!(when(&report, "", "ready"), secs(2));
}

#[tokio::test(start_paused = true)]
async fn s2_ready_that_is_never_said_is_a_late_start() {
    let app = App::new("start");
    idle(&app, "mute", 0);
    app.configure(app.task("mute too", |cx| async move { cx.until_stopping(std::future::pending()).await.unwrap_or(Ok(())) }).id())
        .waits_for_ready()
        .start_budget(secs(7));
    let report = run(&app).await;
    assert_eq!(when(&report, "", "shutdown_began"), secs(7));
    let trigger = report.trigger().unwrap();
    assert_eq!((trigger.kind(), trigger.component()), (ReasonKind::StartFailed, Some("mute too")));
    assert_eq!(of(&report, "mute too").outcome, Outcome::Failed);
    assert_eq!(of(&report, "mute").outcome, Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn s2_work_that_ends_before_it_is_ready_fails_the_start() {
    struct Short;
    #[async_trait]
    impl Service for Short {
        fn declares_ready(&self) -> bool {
            true
        }
        async fn run(&mut self, _cx: &winddown::RunCx) -> anyhow::Result<()> {
            Ok(())
        }
    }
    let app = App::new("start");
    app.service(Short);
    let report = run(&app).await;
    assert_eq!(report.trigger().unwrap().kind(), ReasonKind::StartFailed);
    assert!(of(&report, "Short").error.as_deref().unwrap().contains("before it said that it was ready"));
}

#[tokio::test(start_paused = true)]
async fn s2_a_start_has_thirty_seconds_unless_it_says_otherwise() {
    for (app, budget) in [(App::new("start"), secs(30)), (App::new("start").start_budget(secs(4)), secs(4))] {
        let log = Log::default();
        app.add(Actor::new("late", &log).start(Act::Hang));
        let report = run(&app).await;
        assert_eq!(when(&report, "late", "start_ended"), budget);
        let error = of(&report, "late").error.clone().unwrap();
        assert!(error.contains("longer than"), "{error}");
        assert_eq!((of(&report, "late").outcome, report.exit_code()), (Outcome::Failed, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn s2_a_start_that_returns_with_its_deadline_is_in_time() {
    let log = Log::default();
    let app = App::new("start");
    app.add(Actor::new("just", &log).start(Act::Take(secs(3)))).start_budget(secs(3));
    assert_eq!(run_for(&app, secs(1)).await.exit_code(), 0);

    let app = App::new("start");
    app.add(Actor::new("late", &log).start(Act::Take(secs(3) + millis(1)))).start_budget(secs(3));
    assert_eq!(run_for(&app, secs(1)).await.exit_code(), 1);
}

#[tokio::test(start_paused = true)]
async fn s3_a_failed_start_stops_exactly_what_started_in_reverse() {
    let (app, log) = (App::new("start"), Log::default());
    let a = app.add(Actor::new("a", &log)).id();
    let b = app.add(Actor::new("b", &log).stop(Act::Take(secs(2)))).after(a).id();
    let c = app.add(Actor::new("c", &log).start(Act::Fail("no port"))).after(b).id();
    app.add(Actor::new("d", &log)).after(c);
    let report = run(&app).await;
    assert_eq!(log.lines(), ["start a", "up a", "start b", "up b", "start c", "stop b", "down b", "stop a", "down a"]);
    let outcomes: Vec<_> = report.components().iter().map(|c| c.outcome).collect();
    assert_eq!(outcomes, [Outcome::Stopped, Outcome::Stopped, Outcome::Failed, Outcome::NotStarted]);
    let trigger = report.trigger().unwrap();
    assert_eq!((trigger.kind(), trigger.component(), trigger.detail()), (ReasonKind::StartFailed, Some("c"), "no port"));
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Failed, 1));
    assert_eq!(of(&report, "d").start, None);
    assert_eq!(of(&report, "c").stop, None, "a start that failed is never given a stop");
}

#[tokio::test(start_paused = true)]
async fn s3_the_rollback_has_a_fresh_budget() {
    let (app, log) = (App::new("start").start_budget(secs(60)).grace(secs(20)), Log::default());
    let a = app.add(Actor::new("a", &log).stop(Act::Take(secs(4)))).id();
    app.add(Actor::new("late", &log).start(Act::Hang)).after(a);
    let report = run(&app).await;
    let EventKind::ShutdownBegan { grace, .. } = event(&report, "", "shutdown_began").kind() else { unreachable!() };
    assert_eq!((*grace, when(&report, "", "shutdown_began")), (secs(20), secs(60)));
    assert_eq!(of(&report, "a").outcome, Outcome::Stopped);
    let EventKind::StopBegan { budget } = event(&report, "a", "stop_began").kind() else { unreachable!() };
    assert_eq!(*budget, secs(5));
}

#[tokio::test(start_paused = true)]
async fn s3_a_start_beside_the_failed_one_is_interrupted_and_not_forced() {
    let (app, log) = (App::new("start"), Log::default());
    app.add(Actor::new("bad", &log).start(Act::Fail("no"))).phase(1);
    app.add(Actor::new("heeds", &log).start(Act::HeedCancel)).phase(1);
    app.add(Actor::new("hangs", &log).start(Act::Hang)).phase(1);
    let report = run(&app).await;
    for name in ["heeds", "hangs"] {
        let c = of(&report, name);
        assert_eq!((c.outcome, c.rung, c.stop), (Outcome::NotStarted, Rung::None, None), "{name}");
        assert_eq!(log.count(&format!("stop {name}")), 0);
        assert!(c.start.unwrap().ended >= c.start.unwrap().began);
    }
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Failed, 1));
    assert!(when(&report, "heeds", "component_ended") <= millis(1));
    assert_eq!(when(&report, "hangs", "component_ended"), millis(501), "dropped once the cancel wait is over");
}

#[tokio::test(start_paused = true)]
async fn s3_what_a_failed_start_had_spawned_is_told_and_then_dropped() {
    struct HalfStarted(Log);
    #[async_trait]
    impl Lifecycle for HalfStarted {
        async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
            let (told, log) = (cx.clone(), self.0.clone());
            cx.spawn("good", async move {
                told.cancelled().await;
                assert!(told.stopping().is_set());
                log.say("good was told");
                Ok(())
            });
            let tell = Tell(self.0.clone(), "bad was dropped");
            cx.spawn("bad", async move {
                let _tell = tell;
                std::future::pending().await
            });
            tokio::task::yield_now().await;
            anyhow::bail!("no")
        }
        async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
            self.0.say("stop");
            Ok(())
        }
    }
    let (app, log) = (App::new("start"), Log::default());
    app.add(HalfStarted(log.clone()));
    let report = run(&app).await;
    assert_eq!(log.lines(), ["good was told", "bad was dropped"]);
    assert_eq!((of(&report, "HalfStarted").outcome, report.exit_code()), (Outcome::Failed, 1));
}

#[tokio::test(start_paused = true)]
async fn s3_the_cause_that_came_first_is_the_one_reported() {
    let (app, log) = (App::new("start"), Log::default());
    app.add(Actor::new("second", &log).start(Act::Take(secs(1))).stop(Act::Fail("later")));
    struct Late;
    #[async_trait]
    impl Lifecycle for Late {
        async fn start(&mut self, _cx: &StartCx) -> anyhow::Result<()> {
            tokio::time::sleep(secs(2)).await;
            anyhow::bail!("first")
        }
        async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
            Ok(())
        }
    }
    app.add(Late);
    let handle = app.handle();
    tokio::spawn(async move {
        handle.stopping().await;
        handle.request_shutdown("too late to be the reason");
    });
    let report = run(&app).await;
    assert_eq!(report.trigger().unwrap().detail(), "first");
    assert_eq!(of(&report, "second").error.as_deref(), Some("later"));
}

#[tokio::test(start_paused = true)]
async fn s3_resources_are_destroyed_after_the_rollback() {
    let (app, log) = (App::new("start"), Log::default());
    let ended = log.clone();
    let destroy = move |_| async move {
        ended.say("destroyed");
        Ok(())
    };
    app.resource("pool", async { anyhow::Ok(1) }).destroy_with(destroy).await.unwrap();
    app.add(Actor::new("a", &log).stop(Act::Take(secs(1)))).phase(1);
    app.add(Actor::new("b", &log).start(Act::Fail("no"))).phase(2);
    run(&app).await;
    assert!(log.before("down a", "destroyed"));
}

#[tokio::test(start_paused = true)]
async fn s4_a_stop_during_start_takes_the_running_starts_back_at_once_and_starts_nothing_more() {
    let (app, log) = (App::new("start"), Log::default());
    app.add(Actor::new("up", &log)).phase(1);
    app.add(Actor::new("starting", &log).start(Act::HeedCancel)).phase(2);
    app.add(Actor::new("next", &log)).phase(3);
    let handle = app.handle();
    tokio::spawn(async move {
        tokio::time::sleep(secs(5)).await;
        handle.request_shutdown("never mind");
    });
    let beside = once_ready(&app, |_| async { panic!("it must not become ready") });
    let report = run(&app).await;
    beside.await.unwrap();
    assert_eq!(log.lines(), ["start up", "up up", "start starting", "up starting", "stop up", "down up"]);
    assert_eq!(of(&report, "starting").outcome, Outcome::NotStarted);
    assert_eq!(story(&report, "next"), Vec::<&str>::new());
    assert_eq!((when(&report, "", "shutdown_began"), report.exit_code()), (secs(5), 0), "interrupted and rolled back is clean");
}
