//! T4–T6: stop, the rungs, and results that come with their deadline.

use crate::kit::{Act, Actor, Log, TICK, Tell, idle, of, run, run_for, story, when};
use winddown::{App, Lifecycle, Outcome, ReasonKind, Rung, StartCx, StopCx, Tracked, Verdict, async_trait, millis, secs};

#[tokio::test(start_paused = true)]
async fn t4_stop_is_called_once_for_a_start_and_only_on_what_started() {
    let (app, log) = (App::new("stop"), Log::default());
    app.add(Actor::new("a", &log).stop(Act::Hang)).phase(1);
    app.add(Actor::new("b", &log).start(Act::Fail("no"))).phase(2);
    app.add(Actor::new("c", &log)).phase(3);
    run(&app).await;
    assert_eq!((log.count("stop a"), log.count("stop b"), log.count("stop c")), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn t4_stop_never_meets_a_start_that_still_runs() {
    let (app, log) = (App::new("stop"), Log::default());
    app.add(Actor::new("slow", &log).start(Act::Take(secs(10))));
    let handle = app.handle();
    tokio::spawn(async move {
        tokio::time::sleep(secs(1)).await;
        handle.request_shutdown("enough");
    });
    let report = run(&app).await;
    assert_eq!((log.lines(), of(&report, "slow").outcome), (vec!["start slow".to_owned()], Outcome::NotStarted));
}

#[tokio::test(start_paused = true)]
async fn t5_one_that_ends_when_asked_is_stopped() {
    let (app, log) = (App::new("rungs"), Log::default());
    app.add(Actor::new("good", &log).stop(Act::Take(secs(2))));
    let report = run_for(&app, secs(1)).await;
    let good = of(&report, "good");
    assert_eq!((good.outcome, good.rung, report.exit_code()), (Outcome::Stopped, Rung::Graceful, 0));
    assert!(!story(&report, "good").contains(&"cancel_began"));
}

#[tokio::test(start_paused = true)]
async fn t5_one_that_heeds_cancel_is_cancelled() {
    let (app, log) = (App::new("rungs"), Log::default());
    app.add(Actor::new("late", &log).stop(Act::HeedCancel));
    let report = run_for(&app, secs(1)).await;
    let late = of(&report, "late");
    assert_eq!((late.outcome, late.rung, report.exit_code()), (Outcome::Cancelled, Rung::Cancel, 124));
    assert_eq!(when(&report, "late", "cancel_began") - late.stop.unwrap().began, secs(5));
    assert!(!story(&report, "late").contains(&"abort_began") && log.count("down late") == 1);
}

#[tokio::test(start_paused = true)]
async fn t5_a_component_that_ignores_cancel_is_aborted() {
    let (app, log) = (App::new("rungs"), Log::default());
    let tell = Tell(log.clone(), "future dropped");
    app.task("deaf", |_| async move {
        let _tell = tell;
        std::future::pending().await
    });
    let report = run_for(&app, secs(1)).await;
    let deaf = of(&report, "deaf");
    assert_eq!((deaf.outcome, deaf.rung, report.verdict(), report.exit_code()), (Outcome::Aborted, Rung::Abort, Verdict::Forced, 124));
    assert_eq!(story(&report, "deaf"), ["start_began", "start_ended", "stop_began", "cancel_began", "abort_began", "component_ended"]);
    assert_eq!(log.lines(), ["future dropped"]);
    assert_eq!(report.shutdown_took(), Some(millis(5500) + TICK), "the drop is seen at once, one step after the decision");
}

#[tokio::test(start_paused = true)]
async fn t5_one_that_cannot_be_dropped_is_abandoned_and_never_waited_for_again() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let (app, log) = (App::new("rungs"), Log::default());
    let wait = move |_: &winddown::ThreadCx| {
        let _ = held.lock().map(|held| held.recv());
        Ok(())
    };
    app.thread("stuck", wait).phase(2);
    app.add(Actor::new("below", &log).stop(Act::Take(secs(1)))).phase(1);
    let report = run_for(&app, secs(1)).await;
    let stuck = of(&report, "stuck");
    assert_eq!((stuck.outcome, stuck.rung, report.exit_code()), (Outcome::Abandoned, Rung::Abandon, 124));
    assert_eq!(of(&report, "below").stop.unwrap().began, stuck.stop.unwrap().ended);
    assert_eq!(stuck.stop.unwrap().ended - stuck.stop.unwrap().began, millis(5750));
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn t5_stopping_comes_first_and_cancelled_at_its_rung() {
    let (app, log) = (App::new("rungs"), Log::default());
    let seen = log.clone();
    app.task("watcher", move |cx| async move {
        assert!(!cx.stopping().is_set() && !cx.cancelled().is_set());
        cx.stopping().await;
        seen.say(if cx.cancelled().is_set() { "both at once" } else { "asked" });
        let asked = tokio::time::Instant::now();
        cx.cancelled().await;
        seen.say(format!("cancelled after {:?}", asked.elapsed().saturating_sub(TICK)));
        Ok(())
    });
    run_for(&app, secs(1)).await;
    assert_eq!(log.lines(), ["asked", "cancelled after 5s"]);
}

/// Its stop returns, or fails, or panics, at once; a task of its is left over.
struct LeavesWork {
    stop: Act,
    task: std::time::Duration,
    log: Log,
}

#[async_trait]
impl Lifecycle for LeavesWork {
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let (told, log, span) = (cx.clone(), self.log.clone(), self.task);
        cx.spawn("left over", async move {
            told.stopping().await;
            tokio::time::sleep(span).await;
            log.say("left over ended");
            Ok(())
        });
        Ok(())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        match self.stop {
            Act::Fail(text) => anyhow::bail!("{text}"),
            Act::Panic(text) => panic!("{text}"),
            _ => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn t5_tasks_left_when_stop_returned_end_as_part_of_graceful() {
    let cases = [(Act::Return, Outcome::Stopped, 0), (Act::Fail("bad"), Outcome::Failed, 1), (Act::Panic("bad"), Outcome::Panicked, 1)];
    for (stop, outcome, code) in cases {
        let (app, log) = (App::new("rungs"), Log::default());
        app.add(LeavesWork { stop, task: secs(4), log: log.clone() });
        let report = run_for(&app, secs(1)).await;
        let c = of(&report, "LeavesWork");
        assert_eq!((c.outcome, c.rung, report.exit_code()), (outcome, Rung::Graceful, code));
        assert_eq!((report.shutdown_took(), log.count("left over ended")), (Some(secs(4)), 1), "terminal means that its scope is empty");
        assert!(story(&report, "LeavesWork").contains(&"stop_returned"));
    }
}

#[tokio::test(start_paused = true)]
async fn t5_tasks_left_past_the_budget_are_forced_though_stop_returned() {
    let (app, log) = (App::new("rungs"), Log::default());
    app.add(LeavesWork { stop: Act::Return, task: secs(3600), log: log.clone() });
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "LeavesWork").outcome, log.lines().len()), (Outcome::Aborted, 0));
}

#[tokio::test(start_paused = true)]
async fn t5_a_failure_after_the_ask_is_the_components() {
    let app = App::new("rungs");
    app.task("fails late", |cx| async move {
        cx.stopping().await;
        anyhow::bail!("the last batch was refused")
    });
    let report = run_for(&app, secs(1)).await;
    let c = of(&report, "fails late");
    assert_eq!((c.outcome, c.error.as_deref(), report.exit_code()), (Outcome::Failed, Some("the last batch was refused"), 1));
    assert_eq!(report.trigger().unwrap().kind(), ReasonKind::Request);
}

#[tokio::test(start_paused = true)]
async fn t5_one_late_member_does_not_cut_its_neighbours_short() {
    let (app, log) = (App::new("rungs"), Log::default());
    app.add(Actor::new("deaf", &log).stop(Act::Hang)).stop_budget(secs(1));
    app.add(Actor::new("busy", &log).stop(Act::Take(secs(5))));
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "deaf").outcome, of(&report, "busy").outcome), (Outcome::Aborted, Outcome::Stopped));
}

#[tokio::test(start_paused = true)]
async fn t5_a_future_that_knows_nothing_of_stopping_is_dropped_when_asked() {
    let (app, log) = (App::new("rungs"), Log::default());
    let tell = Tell(log.clone(), "dropped");
    app.future("plain", async move {
        let _tell = tell;
        std::future::pending().await
    });
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "plain").outcome, report.shutdown_took(), log.lines().len()), (Outcome::Stopped, Some(secs(0)), 1));
}

#[tokio::test(start_paused = true)]
async fn t5_a_token_and_a_tracker_that_are_there_already_are_a_component() {
    let (token, tracker) = (tokio_util::sync::CancellationToken::new(), tokio_util::task::TaskTracker::new());
    let (told, log) = (token.clone(), Log::default());
    let seen = log.clone();
    tracker.spawn(async move {
        told.cancelled().await;
        tokio::time::sleep(secs(2)).await;
        seen.say("flushed");
    });
    let app = App::new("rungs");
    app.add(Tracked::new("legacy", token, tracker));
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "legacy").outcome, report.shutdown_took(), log.lines().len()), (Outcome::Stopped, Some(secs(2)), 1));
}

#[tokio::test(start_paused = true)]
async fn t6_a_stop_that_returns_with_its_deadline_was_in_time() {
    for (over, outcome) in [(millis(0), Outcome::Stopped), (millis(1), Outcome::Cancelled)] {
        let (app, log) = (App::new("tie"), Log::default());
        app.add(Actor::new("just", &log).stop(Act::Take(secs(3) + over))).stop_budget(secs(3));
        let report = run_for(&app, secs(1)).await;
        assert_eq!(of(&report, "just").outcome, outcome, "{over:?} over its budget");
    }
}

#[tokio::test(start_paused = true)]
async fn t4_stop_is_told_why() {
    struct Asks(Log);
    #[async_trait]
    impl Lifecycle for Asks {
        async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
            assert!(cx.stopping().is_set(), "the token is set before stop is called");
            self.0.say(cx.reason().name());
            Ok(())
        }
    }
    let (app, log) = (App::new("why"), Log::default());
    app.add(Asks(log.clone()));
    run_for(&app, secs(1)).await;
    let app = App::new("why");
    app.add(Asks(log.clone()));
    idle(&app, "other", 0);
    app.task("job", |_| async { anyhow::bail!("no") }).phase(1);
    run(&app).await;
    assert_eq!(log.lines(), ["request", "component_failed"]);
}
