//! R1: work that ends though nobody asked, and the three policies.

use crate::kit::{Act, Actor, Log, Tell, event, idle, of, run, run_for, story, when};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use winddown::{App, EventKind, Lifecycle, Outcome, Policy, ReasonKind, Report, Restart, RunCx, Service, StartCx, StopCx, async_trait, millis, secs};

/// A service that fails its first runs.
struct Flaky {
    log: Log,
    runs: u32,
    bad: u32,
    each: Duration,
}

impl Flaky {
    fn new(log: &Log, bad: u32, each: Duration) -> Flaky {
        Flaky { log: log.clone(), runs: 0, bad, each }
    }
}

#[async_trait]
impl Service for Flaky {
    async fn run(&mut self, cx: &RunCx) -> anyhow::Result<()> {
        self.runs += 1;
        self.log.say(format!("run {}", self.runs));
        if self.runs <= self.bad {
            tokio::time::sleep(self.each).await;
            anyhow::bail!("failure {}", self.runs);
        }
        cx.stopping().await;
        Ok(())
    }
}

fn pauses(report: &Report, name: &str) -> Vec<Duration> {
    let pause = |e: &winddown::Event| match e.kind() {
        EventKind::RestartScheduled { pause, .. } if e.subject() == Some(name) => Some(*pause),
        _ => None,
    };
    report.events().iter().filter_map(pause).collect()
}

fn within_a_quarter(pause: Duration, of: Duration) -> bool {
    pause >= of.mul_f64(0.75) && pause <= of.mul_f64(1.25)
}

#[tokio::test(start_paused = true)]
async fn r1_by_default_work_that_ends_well_finishes_the_program() {
    let (app, log) = (App::new("policy"), Log::default());
    app.add(Actor::new("other", &log));
    app.task("job", |_| async {
        tokio::time::sleep(secs(3)).await;
        Ok(())
    });
    let report = run(&app).await;
    let trigger = report.trigger().unwrap();
    assert_eq!((trigger.kind(), trigger.component(), report.exit_code()), (ReasonKind::Finished, Some("job"), 0));
    assert_eq!((of(&report, "job").outcome, of(&report, "other").outcome), (Outcome::Finished, Outcome::Stopped));
    assert_eq!(when(&report, "", "shutdown_began"), secs(3));
}

#[tokio::test(start_paused = true)]
async fn r1_by_default_an_error_or_panic_shuts_down_as_a_failure() {
    for (panics, outcome) in [(false, Outcome::Failed), (true, Outcome::Panicked)] {
        let app = App::new("policy");
        idle(&app, "other", 0);
        app.task("job", move |_| async move { if panics { panic!("broken") } else { anyhow::bail!("broken") } });
        let report = run(&app).await;
        let trigger = report.trigger().unwrap();
        assert_eq!((trigger.kind(), trigger.component(), trigger.detail()), (ReasonKind::ComponentFailed, Some("job"), "broken"));
        assert_eq!((of(&report, "job").outcome, report.exit_code()), (outcome, 1));
        assert_eq!(of(&report, "job").error.as_deref(), Some("broken"));
        assert_eq!(of(&report, "other").outcome, Outcome::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_task_of_the_scope_is_known_by_its_name() {
    struct Parent;
    #[async_trait]
    impl Lifecycle for Parent {
        async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
            cx.spawn("heartbeat", async {
                tokio::time::sleep(secs(1)).await;
                anyhow::bail!("no pulse")
            });
            Ok(())
        }
        async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
            Ok(())
        }
    }
    let app = App::new("policy");
    app.add(Parent);
    let report = run(&app).await;
    let EventKind::TaskEnded { task, error } = event(&report, "Parent", "task_ended").kind() else { unreachable!() };
    assert_eq!((&**task, error.as_deref()), ("heartbeat", Some("no pulse")));
    assert_eq!(report.trigger().unwrap().component(), Some("Parent"));
}

#[tokio::test(start_paused = true)]
async fn r1_ignore_keeps_the_error_and_nothing_else() {
    let app = App::new("policy");
    idle(&app, "other", 0);
    app.task("optional", |_| async { anyhow::bail!("not there") }).policy(Policy::Ignore);
    app.task("short", |_| async { Ok(()) }).policy(Policy::Ignore);
    app.task("rude", |_| async { panic!("ouch") }).policy(Policy::Ignore);
    let report = run_for(&app, secs(5)).await;
    assert_eq!((report.trigger().unwrap().kind(), report.exit_code()), (ReasonKind::Request, 0));
    for (name, error) in [("optional", Some("not there")), ("short", None), ("rude", Some("ouch"))] {
        assert_eq!((of(&report, name).outcome, of(&report, name).error.as_deref()), (Outcome::Stopped, error), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn r1_ignore_does_not_excuse_the_stop() {
    let (app, log) = (App::new("policy"), Log::default());
    app.add(Actor::new("bad", &log).stop(Act::Fail("cannot"))).policy(Policy::Ignore);
    let report = run_for(&app, secs(5)).await;
    assert_eq!((of(&report, "bad").outcome, report.exit_code()), (Outcome::Failed, 1));
}

#[tokio::test(start_paused = true)]
async fn r1_a_service_is_run_again_and_a_cured_failure_costs_nothing() {
    let (app, log) = (App::new("policy"), Log::default());
    app.service(Flaky::new(&log, 2, secs(1))).policy(Policy::Restart(Restart::new(3, secs(60))));
    let report = run_for(&app, secs(20)).await;
    assert_eq!(log.lines(), ["run 1", "run 2", "run 3"]);
    let flaky = of(&report, "Flaky");
    assert_eq!((flaky.restarts, flaky.outcome, flaky.error.as_deref()), (2, Outcome::Stopped, Some("failure 1")));
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn r1_a_lifecycle_is_started_again_without_a_stop() {
    struct Parent(Log, u32);
    #[async_trait]
    impl Lifecycle for Parent {
        async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
            self.1 += 1;
            self.0.say(format!("start {}", self.1));
            let (first, stubborn, told) = (self.1 == 1, Tell(self.0.clone(), "stubborn dropped"), cx.clone());
            cx.spawn("stubborn", async move {
                let _stubborn = stubborn;
                if first {
                    std::future::pending().await
                } else {
                    told.stopping().await
                }
                Ok(())
            });
            cx.spawn("flaky", async move {
                tokio::time::sleep(secs(1)).await;
                anyhow::ensure!(!first, "the first one fails");
                std::future::pending().await
            });
            Ok(())
        }
        async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
            self.0.say("stop");
            Ok(())
        }
    }
    let (app, log) = (App::new("policy"), Log::default());
    app.add(Parent(log.clone(), 0)).policy(Policy::Restart(Restart::new(3, secs(60)))).stop_budget(millis(10));
    let report = run_for(&app, secs(20)).await;
    assert_eq!(log.lines()[..3], ["start 1", "stubborn dropped", "start 2"], "the old scope is empty before the new start");
    assert_eq!((log.lines().len(), log.count("stop")), (5, 1));
    assert_eq!((of(&report, "Parent").restarts, of(&report, "Parent").outcome), (1, Outcome::Aborted));
}

#[tokio::test(start_paused = true)]
async fn r1_a_task_factory_makes_a_new_task_for_each_restart() {
    let (app, made) = (App::new("policy"), Arc::new(AtomicU32::new(0)));
    let count = made.clone();
    let make = move |cx: RunCx| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match n {
                0 => anyhow::bail!("first"),
                1 => panic!("second"),
                2 => Ok(()),
                _ => cx.until_stopping(std::future::pending()).await.unwrap_or(Ok(())),
            }
        }
    };
    app.task_factory("maker", make).policy(Policy::Restart(Restart::new(5, secs(60))));
    let report = run_for(&app, secs(60)).await;
    assert_eq!((made.load(Ordering::SeqCst), of(&report, "maker").restarts, report.exit_code()), (4, 3, 0));
    assert_eq!(of(&report, "maker").error.as_deref(), Some("first"));
}

#[tokio::test(start_paused = true)]
async fn r1_a_task_that_runs_once_cannot_have_the_restart_policy() {
    let app = App::new("policy");
    app.task("once", |_| async { Ok(()) }).policy(Policy::Restart(Restart::new(1, secs(1))));
    assert!(matches!(app.plan().unwrap_err().problems(), [winddown::Problem::NotRestartable { component }] if component == "once"));
}

#[tokio::test(start_paused = true)]
async fn r1_the_pause_doubles_with_jitter_up_to_its_cap() {
    let (app, log) = (App::new("policy"), Log::default());
    let restart = Restart::new(10, secs(3600)).backoff(millis(200)).max_backoff(secs(1));
    app.service(Flaky::new(&log, 6, secs(1))).policy(Policy::Restart(restart));
    let report = run_for(&app, secs(60)).await;
    let pauses = pauses(&report, "Flaky");
    assert_eq!(pauses.len(), 6);
    for (pause, planned) in pauses.iter().zip([200, 400, 800, 1000, 1000, 1000]) {
        assert!(within_a_quarter(*pause, millis(planned)) && *pause <= secs(1), "{pauses:?}");
    }
    assert!(pauses.iter().zip([200, 400, 800]).any(|(pause, planned)| *pause != millis(planned)), "without jitter many would return at once");
    let times = |kind: &str| report.events().iter().filter(|e| e.kind().name() == kind).map(|e| e.at()).collect::<Vec<_>>();
    for ((scheduled, pause), again) in times("restart_scheduled").iter().zip(&pauses).zip(times("start_began").iter().skip(1)) {
        assert_eq!(*again, *scheduled + *pause, "it is started when the pause is over, not before and not later");
    }
}

#[tokio::test(start_paused = true)]
async fn r1_after_a_quiet_window_the_pause_begins_again_at_the_first() {
    let (app, log) = (App::new("policy"), Log::default());
    app.service(Flaky::new(&log, 4, secs(11))).policy(Policy::Restart(Restart::new(1, secs(10)).backoff(millis(100))));
    let report = run_for(&app, secs(100)).await;
    let pauses = pauses(&report, "Flaky");
    assert_eq!(pauses.len(), 4, "one in each window is allowed: {report}");
    assert!(pauses.iter().all(|pause| within_a_quarter(*pause, millis(100))), "{pauses:?}");
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn r1_one_failure_more_than_the_limit_shuts_down() {
    let (app, log) = (App::new("policy"), Log::default());
    idle(&app, "other", 0);
    app.service(Flaky::new(&log, u32::MAX, millis(10))).policy(Policy::Restart(Restart::new(3, secs(60))));
    let report = run(&app).await;
    assert_eq!(log.lines().len(), 4);
    let (trigger, flaky) = (report.trigger().unwrap(), of(&report, "Flaky"));
    assert_eq!((trigger.kind(), trigger.component(), trigger.detail()), (ReasonKind::ComponentFailed, Some("Flaky"), "failure 4"));
    assert_eq!((flaky.restarts, flaky.outcome, report.exit_code()), (3, Outcome::Failed, 1));
    assert_eq!(of(&report, "other").outcome, Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn r1_a_restart_that_fails_in_start_counts_towards_the_limit() {
    struct Parent(u32);
    #[async_trait]
    impl Lifecycle for Parent {
        async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
            self.0 += 1;
            anyhow::ensure!(self.0 == 1, "start {} failed", self.0);
            cx.spawn_job("job", async { anyhow::bail!("work failed") });
            Ok(())
        }
        async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
            unreachable!("it is never given a stop")
        }
    }
    let app = App::new("policy");
    app.add(Parent(0)).policy(Policy::Restart(Restart::new(2, secs(60))));
    let report = run(&app).await;
    let (trigger, parent) = (report.trigger().unwrap(), of(&report, "Parent"));
    assert_eq!((trigger.kind(), trigger.detail()), (ReasonKind::ComponentFailed, "start 3 failed"));
    assert_eq!((parent.restarts, parent.outcome, parent.error.as_deref()), (2, Outcome::Failed, Some("work failed")));
    assert_eq!(story(&report, "Parent").iter().filter(|kind| **kind == "start_began").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn r1_a_shutdown_while_it_waits_for_its_restart_finds_it_failed() {
    let (app, log) = (App::new("policy"), Log::default());
    app.service(Flaky::new(&log, u32::MAX, secs(1))).policy(Policy::Restart(Restart::new(3, secs(60)).backoff(secs(20))));
    let report = run_for(&app, secs(5)).await;
    assert_eq!(log.lines(), ["run 1"]);
    assert_eq!((of(&report, "Flaky").outcome, of(&report, "Flaky").stop, report.exit_code()), (Outcome::Failed, None, 1));
    assert_eq!(report.shutdown_took(), Some(secs(0)), "a pause holds nobody up");
}

#[tokio::test(start_paused = true)]
async fn r1_a_failure_during_the_shutdown_is_not_restarted() {
    let (app, log) = (App::new("policy"), Log::default());
    app.add(Actor::new("above", &log).stop(Act::Take(secs(4)))).phase(1);
    app.service(Flaky::new(&log, u32::MAX, secs(7))).policy(Policy::Restart(Restart::new(3, secs(60)))).phase(0);
    let report = run_for(&app, secs(5)).await;
    assert_eq!(log.count("run 2"), 0);
    assert_eq!((report.trigger().unwrap().kind(), of(&report, "Flaky").outcome, report.exit_code()), (ReasonKind::Request, Outcome::Failed, 1));
}
