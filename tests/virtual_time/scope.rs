//! What a component's scope gives: tasks by name, tokens, blocking work; and what comes after it has closed.

use crate::kit::{Log, TICK, Tell, event, idle, of, once_ready, run, run_for, when};
use std::sync::{Arc, Mutex};
use winddown::{App, EventKind, Lifecycle, Outcome, Policy, ReasonKind, Restart, RunCx, StartCx, StopCx, async_trait, millis, secs};

/// A component whose start does what a closure says.
struct Starts<F>(F);

#[async_trait]
impl<F: FnMut(&StartCx) + Send + 'static> Lifecycle for Starts<F> {
    fn name(&self) -> String {
        "it".into()
    }
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        (self.0)(cx);
        Ok(())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_lasting_task_that_ends_well_finishes_its_component() {
    let app = App::new("scope");
    app.add(Starts(|cx: &StartCx| {
        cx.spawn("lasting", async {
            tokio::time::sleep(secs(2)).await;
            Ok(())
        });
    }));
    let report = run(&app).await;
    assert_eq!((report.trigger().unwrap().kind(), of(&report, "it").outcome), (ReasonKind::Finished, Outcome::Finished));
    assert_eq!(when(&report, "", "shutdown_began"), secs(2));
}

#[tokio::test(start_paused = true)]
async fn r1_a_job_may_end_well_at_any_time_but_not_fail() {
    let app = App::new("scope");
    app.add(Starts(|cx: &StartCx| {
        for n in 0..100 {
            cx.spawn_job(format!("connection {n}"), async move {
                tokio::time::sleep(millis(n)).await;
                anyhow::ensure!(n < 99, "connection {n} broke");
                Ok(())
            });
        }
    }));
    let report = run(&app).await;
    let EventKind::TaskEnded { task, error } = event(&report, "it", "task_ended").kind() else { unreachable!() };
    assert_eq!((&**task, error.as_deref()), ("connection 99", Some("connection 99 broke")));
    assert_eq!((when(&report, "", "shutdown_began"), report.exit_code()), (millis(99), 1));
}

#[tokio::test(start_paused = true)]
async fn t5_a_component_is_not_terminal_before_its_jobs_are_over() {
    let (app, log) = (App::new("scope"), Log::default());
    let seen = log.clone();
    app.task("server", move |cx: RunCx| async move {
        for n in 1..=3 {
            let seen = seen.clone();
            cx.spawn_job("request", async move {
                tokio::time::sleep(secs(n)).await;
                seen.say(format!("answered {n}"));
                Ok(())
            });
        }
        cx.stopping().await;
        Ok(())
    });
    let report = run_for(&app, millis(500)).await;
    assert_eq!(log.lines(), ["answered 1", "answered 2", "answered 3"]);
    assert_eq!((of(&report, "server").outcome, report.shutdown_took()), (Outcome::Stopped, Some(millis(2500))));
}

#[tokio::test(start_paused = true)]
async fn t5_all_tasks_of_a_scope_are_dropped_by_an_abort() {
    let (app, log) = (App::new("scope"), Log::default());
    let seen = log.clone();
    app.add(Starts(move |cx: &StartCx| {
        for name in ["one", "two", "three"] {
            let tell = Tell(seen.clone(), name);
            cx.spawn_job(name, async move {
                let _tell = tell;
                std::future::pending().await
            });
        }
    }));
    let report = run_for(&app, secs(1)).await;
    let mut lines = log.lines();
    lines.sort_unstable();
    assert_eq!((lines, of(&report, "it").outcome), (["one", "three", "two"].map(String::from).to_vec(), Outcome::Aborted));
}

#[tokio::test(start_paused = true)]
async fn t5_what_is_spawned_while_stopping_is_waited_for_as_well() {
    let (app, log) = (App::new("scope"), Log::default());
    let seen = log.clone();
    app.task("flusher", move |cx: RunCx| async move {
        cx.stopping().await;
        cx.spawn("flush", async move {
            tokio::time::sleep(secs(2)).await;
            seen.say("flushed");
            Ok(())
        });
        Ok(())
    });
    let report = run_for(&app, secs(1)).await;
    assert_eq!((log.lines().len(), of(&report, "flusher").outcome, report.shutdown_took()), (1, Outcome::Stopped, Some(secs(2))));
}

#[tokio::test(start_paused = true)]
async fn t5_what_comes_after_the_scope_has_closed_is_dropped_and_not_run() {
    let (app, log) = (App::new("scope"), Log::default());
    let kept: Arc<Mutex<Option<StartCx>>> = Arc::default();
    let keep = kept.clone();
    app.add(Starts(move |cx: &StartCx| *keep.lock().unwrap() = Some(cx.clone())));
    let report = run_for(&app, secs(1)).await;
    assert_eq!(report.exit_code(), 0);
    let cx = kept.lock().unwrap().take().unwrap();
    for (name, job) in [("task", false), ("job", true)] {
        let (tell, ran) = (Tell(log.clone(), name), log.clone());
        let future = async move {
            ran.say("it ran");
            drop(tell);
            Ok(())
        };
        if job { cx.spawn_job(name, future) } else { cx.spawn(name, future) }
    }
    let (tell, ran) = (Tell(log.clone(), "blocking"), log.clone());
    cx.spawn_blocking("blocking", move || {
        ran.say("it ran");
        drop(tell);
        Ok(())
    });
    assert_eq!(log.lines(), ["task", "job", "blocking"], "dropped where it was spawned, without being run");
    tokio::time::sleep(secs(1)).await;
    assert_eq!(log.lines().len(), 3);
    assert!(cx.stopping().is_set() && cx.child_token().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn r1_blocking_work_is_a_member_and_may_end_well() {
    let (app, log) = (App::new("blocking"), Log::default());
    let seen = log.clone();
    app.task("hasher", move |cx: RunCx| async move {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        cx.spawn_blocking("first", || Ok(()));
        cx.stopping().await;
        let said = seen.clone();
        cx.spawn_blocking("last", move || {
            wait.recv()?;
            said.say("hashed");
            Ok(())
        });
        seen.say("the task ends before its work");
        go.send(())?;
        Ok(())
    });
    let report = run_for(&app, secs(1)).await;
    assert_eq!(log.lines(), ["the task ends before its work", "hashed"]);
    assert_eq!((of(&report, "hasher").outcome, report.exit_code()), (Outcome::Stopped, 0));
}

#[tokio::test(start_paused = true)]
async fn r1_blocking_work_that_fails_or_panics_goes_to_the_policy() {
    for (panics, outcome) in [(false, Outcome::Failed), (true, Outcome::Panicked)] {
        let app = App::new("blocking");
        app.task("hasher", move |cx: RunCx| async move {
            cx.spawn_blocking("hash", move || if panics { panic!("bad block") } else { anyhow::bail!("bad block") });
            cx.stopping().await;
            Ok(())
        });
        let report = run(&app).await;
        assert_eq!((of(&report, "hasher").outcome, of(&report, "hasher").error.as_deref()), (outcome, Some("bad block")));
        let EventKind::TaskEnded { task, .. } = event(&report, "hasher", "task_ended").kind() else { unreachable!() };
        assert_eq!((&**task, report.trigger().unwrap().kind()), ("hash", ReasonKind::ComponentFailed));
    }
}

#[tokio::test(start_paused = true)]
async fn t5_child_tokens_are_cancelled_with_stopping_and_never_the_other_way_round() {
    let (app, log) = (App::new("tokens"), Log::default());
    let seen = log.clone();
    app.task("server", move |cx: RunCx| async move {
        let (request, given_up) = (cx.child_token(), cx.child_token());
        given_up.cancel();
        assert!(!request.is_cancelled() && !cx.stopping().is_set(), "a request's end is nobody else's");
        let of_request = request.child_token();
        let cancelled = cx.cancelled().to_cancellation_token();
        of_request.cancelled().await;
        assert!(cx.stopping().is_set() && !cancelled.is_cancelled());
        cancelled.cancelled().await;
        seen.say("cancelled");
        Ok(())
    });
    let whole = app.handle().stopping().to_cancellation_token();
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "server").outcome, log.lines().len(), whole.is_cancelled()), (Outcome::Cancelled, 1, true));
}

#[tokio::test(start_paused = true)]
async fn t5_only_the_apps_token_is_set_before_a_components_turn() {
    let (app, log) = (App::new("tokens"), Log::default());
    let seen = log.clone();
    app.task("below", move |cx: RunCx| async move {
        cx.handle().stopping().await;
        seen.say(if cx.stopping().is_set() { "asked at once" } else { "not asked yet" });
        cx.stopping().await;
        Ok(())
    })
    .phase(1);
    let above = |cx: RunCx| async move {
        cx.stopping().await;
        tokio::time::sleep(secs(1)).await;
        Ok(())
    };
    app.task("above", above).phase(2);
    run_for(&app, secs(1)).await;
    assert_eq!(log.lines(), ["not asked yet"]);
}

#[tokio::test(start_paused = true)]
async fn t5_an_output_that_is_ready_wins_over_the_token() {
    let (app, log) = (App::new("tokens"), Log::default());
    let (seen, tell) = (log.clone(), Tell(log.clone(), "dropped"));
    app.task("reader", move |cx: RunCx| async move {
        let waiting = cx.until_stopping(async move {
            let _tell = tell;
            std::future::pending::<()>().await
        });
        assert!(waiting.await.is_none());
        assert_eq!(cx.until_stopping(async { 7 }).await, Some(7));
        assert_eq!(cx.until_cancelled(tokio::time::sleep(TICK)).await, Some(()));
        seen.say("ended");
        Ok(())
    });
    let report = run_for(&app, secs(1)).await;
    assert_eq!((log.lines(), report.exit_code()), (vec!["dropped".to_owned(), "ended".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn s1_a_component_started_again_has_fresh_tokens() {
    let (app, log) = (App::new("tokens"), Log::default());
    let seen = log.clone();
    let id = app.add(Starts(move |cx: &StartCx| seen.say(format!("{} {}", cx.name(), cx.stopping().is_set())))).id();
    idle(&app, "other", 0);
    let beside = once_ready(&app, move |handle| async move {
        handle.stop(id).await.unwrap();
        handle.start(id).await.unwrap();
        handle.request_shutdown("the test is over");
    });
    run(&app).await;
    beside.await.unwrap();
    assert_eq!(log.lines(), ["it false", "it false"]);
}

#[tokio::test(start_paused = true)]
async fn r1_ready_said_from_outside_while_a_restart_is_pending_changes_nothing() {
    let app = App::new("outside");
    let mut starts = 0;
    let it = Starts(move |cx: &StartCx| {
        starts += 1;
        if starts == 1 {
            cx.spawn("work", async { anyhow::bail!("no") });
            let cx = cx.clone();
            tokio::spawn(async move {
                tokio::time::sleep(secs(5)).await;
                cx.ready();
            });
        }
    });
    app.add(it).policy(Policy::Restart(Restart::new(1, secs(60)).backoff(secs(20))));
    let report = run_for(&app, secs(60)).await;
    assert_eq!((of(&report, "it").restarts, of(&report, "it").outcome, report.exit_code()), (1, Outcome::Stopped, 0));
}
