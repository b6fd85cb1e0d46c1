//! T7, and what watches a run: callers of shutdown, who waits for readiness, observers.

use crate::kit::{Act, Actor, Log, idle, of, once_ready, run, run_for};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use winddown::{App, Event, EventKind, Observer, secs};

/// Observers are told on a thread of their own. Everything up to the end of the run; a test that waits in vain has failed.
fn all(told: &Receiver<(Option<String>, &'static str)>) -> Vec<(Option<String>, &'static str)> {
    let mut events = Vec::new();
    while events.last().is_none_or(|(_, kind)| *kind != "run_ended") {
        events.push(told.recv_timeout(Duration::from_secs(60)).expect("the observer was not told of the end"));
    }
    events
}

fn teller(tell: Sender<(Option<String>, &'static str)>) -> impl Observer {
    move |event: &Event| {
        let _ = tell.send((event.subject().map(str::to_owned), event.kind().name()));
    }
}

#[tokio::test(start_paused = true)]
async fn t7_every_caller_of_shutdown_gets_the_same_report() {
    let (app, log) = (App::new("callers"), Log::default());
    app.add(Actor::new("slow", &log).stop(Act::Take(secs(2))));
    let (sooner, later) = (app.handle(), app.handle());
    let callers = once_ready(&app, |handle| async move {
        let first = handle.shutdown("first");
        let during = tokio::spawn(async move {
            tokio::time::sleep(secs(1)).await;
            later.shutdown("second").await
        });
        let (a, b, c, d) = tokio::join!(first, handle.shutdown("third"), during, sooner.report());
        let c = c.unwrap();
        assert!(Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&b, &c) && Arc::ptr_eq(&c, &d));
    });
    let report = run(&app).await;
    callers.await.unwrap();
    assert_eq!((report.trigger().unwrap().detail(), log.count("stop slow")), ("first", 1));
    let afterwards = app.handle().shutdown("long after").await;
    assert!(Arc::ptr_eq(&report, &afterwards));
    assert!(app.handle().is_over() && !app.handle().is_ready());
}

#[tokio::test(start_paused = true)]
async fn t7_who_asks_need_not_wait() {
    let app = App::new("callers");
    idle(&app, "worker", 0);
    let asked = once_ready(&app, |handle| async move { drop(handle.shutdown("and goes")) });
    assert_eq!(run(&app).await.trigger().unwrap().detail(), "and goes");
    asked.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn t7_a_component_may_ask_for_the_shutdown_of_its_own_program() {
    let app = App::new("callers");
    app.task("worker", |cx| async move {
        cx.handle().request_shutdown("the licence ran out");
        cx.stopping().await;
        Ok(())
    });
    assert_eq!(run(&app).await.trigger().unwrap().to_string(), "asked: the licence ran out");
}

#[tokio::test(start_paused = true)]
async fn s2_wait_ready_ends_when_everything_runs() {
    let (app, log) = (App::new("ready"), Log::default());
    app.add(Actor::new("slow", &log).start(Act::Take(secs(4))));
    app.add(Actor::new("lazy", &log)).auto_startup(false);
    let handle = app.handle();
    let began = tokio::time::Instant::now();
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move { (handle.is_ready(), handle.wait_ready().await, handle.is_ready(), began.elapsed()) })
        })
        .collect();
    run_for(&app, secs(1)).await;
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), (false, true, true, secs(4)));
    }
    assert!(!handle.wait_ready().await, "it is over");
}

#[tokio::test(start_paused = true)]
async fn s2_wait_ready_is_false_when_a_shutdown_comes_first() {
    let (app, log) = (App::new("ready"), Log::default());
    app.add(Actor::new("bad", &log).start(Act::Fail("no")));
    let handle = app.handle();
    let waiter = tokio::spawn(async move { handle.wait_ready().await });
    run(&app).await;
    assert!(!waiter.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn p2_observers_see_the_same_timeline_as_the_report_in_order() {
    let (app, log) = (App::new("observed"), Log::default());
    let (tell, told) = channel();
    app.observe(teller(tell));
    app.add(Actor::new("low", &log).stop(Act::Hang)).phase(1);
    app.add(Actor::new("high", &log).start(Act::Take(secs(1)))).phase(2);
    let report = run_for(&app, secs(1)).await;
    let expected: Vec<_> = report.events().iter().map(|e| (e.subject().map(str::to_owned), e.kind().name())).collect();
    assert_eq!(all(&told), expected);
}

#[tokio::test(start_paused = true)]
async fn p2_whatever_lasts_comes_as_a_pair_begin_before_end() {
    let (app, log) = (App::new("observed"), Log::default());
    let (tell, told) = channel();
    app.observe(teller(tell));
    app.resource("pool", async { anyhow::Ok(1) }).await.unwrap();
    app.resource("stuck", async { anyhow::Ok(1) }).destroy_with(|_| std::future::pending()).await.unwrap();
    app.add(Actor::new("good", &log));
    app.add(Actor::new("deaf", &log).stop(Act::Hang)).phase(1);
    app.add(Actor::new("bad", &log).start(Act::Fail("no"))).phase(2);
    app.add(Actor::new("interrupted", &log).start(Act::Hang)).phase(2);
    run(&app).await;
    let events = all(&told);
    let at = |subject: &str, kind: &str| events.iter().position(|(s, k)| s.as_deref() == Some(subject) && *k == kind);
    for name in ["good", "deaf", "bad", "interrupted"] {
        assert!(at(name, "start_began").unwrap() < at(name, "start_ended").unwrap());
        assert!(at(name, "start_ended").unwrap() < at(name, "component_ended").unwrap());
    }
    for name in ["good", "deaf"] {
        assert!(at(name, "stop_began").unwrap() < at(name, "component_ended").unwrap());
    }
    for name in ["pool", "stuck"] {
        assert!(at(name, "destroy_began").unwrap() < at(name, "destroy_ended").unwrap());
    }
    assert_eq!((events[0].1, events.last().unwrap().1), ("run_began", "run_ended"));
}

#[tokio::test(start_paused = true)]
async fn r2_a_panicking_observer_is_dropped_and_the_others_go_on() {
    struct Touchy(Sender<&'static str>);
    impl Observer for Touchy {
        fn on_event(&mut self, _event: &Event) {
            let _ = self.0.send("told");
            panic!("not my day");
        }
    }
    impl Drop for Touchy {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }
    let app = App::new("observed");
    let ((touchy, touched), (tell, told)) = (channel(), channel());
    app.observe(Touchy(touchy));
    app.observe(teller(tell));
    idle(&app, "worker", 0);
    let report = run_for(&app, secs(1)).await;
    assert_eq!(all(&told).len(), report.events().len());
    assert_eq!(touched.iter().collect::<Vec<_>>(), ["told", "dropped"], "asked once, and never again");
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn p7_a_slow_observer_holds_nobody() {
    let app = App::new("observed");
    let (release, held) = channel::<()>();
    app.observe(move |_: &Event| {
        let _ = held.recv();
    });
    idle(&app, "worker", 0);
    let report = run_for(&app, secs(1)).await;
    assert_eq!((report.shutdown_took(), report.exit_code()), (Some(secs(0)), 0));
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn r1_observers_hear_of_a_failure_and_of_the_restart() {
    let app = App::new("observed");
    let (tell, told) = channel();
    app.observe(move |event: &Event| {
        if let EventKind::TaskEnded { task, error } = event.kind() {
            let _ = tell.send(format!("{task}: {}", error.as_deref().unwrap_or("ended")));
        }
        if let EventKind::RestartScheduled { restart, .. } = event.kind() {
            let _ = tell.send(format!("restart {restart}"));
        }
    });
    let mut runs = 0;
    let make = move |cx: winddown::RunCx| {
        runs += 1;
        let good = runs > 1;
        async move {
            anyhow::ensure!(good, "broken pipe");
            cx.stopping().await;
            Ok(())
        }
    };
    app.task_factory("it", make).policy(winddown::Policy::Restart(winddown::Restart::new(1, secs(60))));
    let report = run_for(&app, secs(5)).await;
    assert_eq!(of(&report, "it").restarts, 1);
    drop((report, app));
    assert_eq!(told.iter().collect::<Vec<_>>(), ["run: broken pipe", "restart 1"]);
}
