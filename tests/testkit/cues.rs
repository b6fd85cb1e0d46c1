//! What happens when: shutdowns, signals and calls at events and at virtual times.

use crate::actors::{Log, TICK, of, orders, parts, when};
use std::cell::RefCell;
use std::rc::Rc;
use winddown::testkit::{When, World};
use winddown::{App, Event, EventKind, Outcome, Phase, ReasonKind, Verdict, Where, millis, secs};

#[tokio::test(start_paused = true)]
async fn a_shutdown_at_an_event_begins_at_its_instant() {
    let report = World::new(&orders()).shutdown_when(("start_ended", "producer")).run().await;
    let trigger = report.trigger().unwrap();
    assert_eq!((trigger.kind(), trigger.detail()), (ReasonKind::Request, "the test, at `start_ended` of `producer`"));
    assert_eq!(when(&report, "", "shutdown_began"), when(&report, "producer", "start_ended"));
    // What was behind it had no time to come up.
    assert_eq!(of(&report, "consumer").outcome, Outcome::NotStarted);
    assert_eq!(of(&report, "producer").outcome, Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_at_a_time_begins_then_even_if_that_is_no_whole_number_of_ticks() {
    let report = World::new(&orders()).shutdown_when(secs(7)).run().await;
    assert_eq!(when(&report, "", "shutdown_began"), secs(7));
    let odd = std::time::Duration::from_micros(7_000_300);
    let report = World::new(&orders()).shutdown_when(odd).run().await;
    assert_eq!(when(&report, "", "shutdown_began"), odd);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_some_time_after_an_event() {
    let report = World::new(&orders()).shutdown_when(When::event("ready").then(secs(2)).then(millis(500))).run().await;
    assert_eq!(when(&report, "", "shutdown_began"), when(&report, "", "ready") + millis(2500));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_when_a_closure_says_so() {
    let mut starts = 0;
    let second = move |event: &Event| {
        starts += u32::from(matches!(event.kind(), EventKind::StartEnded { error: None }));
        starts == 2
    };
    let report = World::new(&orders()).shutdown_when(second).run().await;
    assert_eq!(of(&report, "consumer").outcome, Outcome::NotStarted);
    assert_eq!(of(&report, "producer").outcome, Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn the_first_of_several_moments_counts() {
    let report = World::new(&orders()).shutdown_when(secs(9)).shutdown_when("ready").run().await;
    assert_eq!(report.trigger().unwrap().detail(), "the test, at `ready`");
}

#[tokio::test(start_paused = true)]
async fn a_step_of_a_component_is_a_moment_too() {
    let app = App::new("orders");
    app.task("batch", |cx| async move {
        for round in 0..5 {
            tokio::time::sleep(secs(1)).await;
            cx.step(if round == 2 { "third" } else { "other" }, round);
        }
        cx.stopping().await;
        Ok(())
    });
    let report = World::new(&app).shutdown_when(When::step("batch", "third")).run().await;
    assert_eq!(when(&report, "", "shutdown_began"), secs(3));
}

#[tokio::test(start_paused = true)]
async fn t8_the_second_signal_hurries_and_the_third_leaves_at_once() {
    let report = World::new(&orders()).ignore_cancel("consumer", Where::Stop).signal_at("ready", "SIGTERM").run().await;
    assert_eq!((report.verdict(), report.trigger().unwrap().detail()), (Verdict::Forced, "SIGTERM"));
    let alone = report.shutdown_took().unwrap();

    let world = World::new(&orders()).ignore_cancel("consumer", Where::Stop).signal_at("ready", "SIGTERM");
    let report = world.signal_at(When::event("shutdown_began").then(secs(1)), 2).run().await;
    // One second, then the consumer's cancel and abort waits, then the others in a hurry.
    assert!(report.shutdown_took().unwrap() < secs(3) && alone > secs(5), "{alone:?}\n{report}");
    assert_eq!(of(&report, "consumer").outcome, Outcome::Aborted);
    assert_eq!(of(&report, "producer").outcome, Outcome::Stopped);

    let world = World::new(&orders()).ignore_cancel("consumer", Where::Stop).signal_at("ready", "SIGTERM");
    let world = world.signal_at(When::event("shutdown_began").then(secs(1)), "SIGINT");
    let report = world.signal_at(When::event("shutdown_began").then(millis(1300)), "SIGQUIT").run().await;
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Immediate, 128 + 3));
    assert_eq!(report.shutdown_took().unwrap(), millis(1300));
    assert_eq!(of(&report, "consumer").outcome, Outcome::Abandoned);
}

#[tokio::test(start_paused = true)]
async fn t8_the_same_signal_twice_within_200_ms_is_one() {
    let twice = |gap| {
        let world = World::new(&orders()).signal_at("ready", "SIGTERM");
        world.signal_at(When::event("ready").then(gap), "SIGTERM").hang("consumer", Where::Stop).run()
    };
    let cancelled = |report: &winddown::Report| when(report, "consumer", "cancel_began") - when(report, "", "shutdown_began");
    assert_eq!(cancelled(&*twice(millis(150)).await), secs(5));
    assert_eq!(cancelled(&*twice(millis(250)).await), millis(250));
}

#[tokio::test(start_paused = true)]
async fn s4_a_signal_in_the_middle_of_set_up_takes_back_what_was_opened() {
    let set_up = |app: App| async move {
        let _pool = app.resource("pool", async { anyhow::Ok(1) }).await?;
        tokio::time::sleep(secs(10)).await;
        app.task("late", |cx| async move {
            cx.stopping().await;
            Ok(())
        });
        Ok(())
    };
    let report = World::of(set_up).signal_at(When::of("resource_created", "pool").then(secs(1)), "SIGTERM").run().await;
    assert_eq!((report.exit_code(), report.trigger().unwrap().detail()), (0, "SIGTERM"));
    assert_eq!(when(&report, "", "shutdown_began"), secs(1));
    assert_eq!(report.resource("pool").unwrap().outcome, winddown::ResourceOutcome::Destroyed);
    assert!(report.component("late").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_happens_at_its_moment_and_in_order() {
    let app = orders();
    let log = Log::default();
    let began = tokio::time::Instant::now();
    let heard: Rc<RefCell<Vec<(&str, std::time::Duration)>>> = Rc::default();
    let hear = |what: &'static str| {
        let heard = heard.clone();
        move || heard.borrow_mut().push((what, began.elapsed()))
    };
    let (says, handle) = (log.clone(), app.handle());
    let world = World::new(&app)
        .at("ready", hear("ready"))
        .at(secs(2), hear("2 s"))
        .at(secs(1), hear("1 s"))
        .at("ready", hear("again"))
        .at(secs(3), move || {
            says.say("asked");
            handle.request_shutdown("by hand");
        })
        // Together with the very end.
        .at("run_ended", hear("end"))
        .at("cancel_began", hear("never"));
    let report = world.run().await;
    let order: Vec<&str> = heard.borrow().iter().map(|(what, _)| *what).collect();
    assert_eq!(order, ["ready", "again", "1 s", "2 s", "end"]);
    for (what, at) in [("1 s", secs(1)), ("2 s", secs(2))] {
        let heard = heard.borrow().iter().find(|(w, _)| *w == what).unwrap().1;
        assert!(heard >= at && heard <= at + 2 * TICK, "{what}: {heard:?}");
    }
    assert_eq!(report.trigger().unwrap().detail(), "by hand");
    assert_eq!(log.lines(), ["asked"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_component_can_be_started_at_a_moment() {
    let (app, log) = (App::new("orders"), Log::default());
    parts(&app, &log);
    let extra = app.add(crate::actors::Part { name: "extra", phase: Phase::WORKERS, takes: millis(10), log: log.clone() }).auto_startup(false).id();
    let handle = app.handle();
    let start = move || {
        tokio::spawn(async move { handle.start(extra).await });
    };
    let report = World::new(&app).at(When::event("ready").then(secs(1)), start).shutdown_when(("start_ended", "extra")).run().await;
    assert_eq!(of(&report, "extra").outcome, Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn t6_what_is_directed_comes_before_a_deadline_of_the_same_moment() {
    // The consumer's stop budget ends 5 s after the shutdown begins; the second signal comes at that very moment.
    let world = World::new(&orders()).hang("consumer", Where::Stop).signal_at("ready", "SIGTERM");
    let report = world.signal_at(When::event("shutdown_began").then(secs(5)), "SIGINT").run().await;
    let story: Vec<&str> = report.events().iter().map(|e| e.kind().name()).filter(|k| ["signal_received", "cancel_began"].contains(k)).collect();
    assert_eq!(story, ["signal_received", "signal_received", "cancel_began"]);
}
