//! Faults in components that are one task.

use crate::actors::{Log, TICK, of, when};
use winddown::testkit::{Sabotage, World};
use winddown::{App, Outcome, ReasonKind, Where, millis, secs};

/// A task that says when it begins, every second, and when it ends.
fn counting(log: &Log) -> App {
    let (app, log) = (App::new("orders"), log.clone());
    app.task("counter", move |cx| async move {
        log.say("began");
        while cx.until_stopping(tokio::time::sleep(secs(1))).await.is_some() {
            log.say("tick");
        }
        log.say("ended");
        Ok(())
    });
    app
}

#[tokio::test(start_paused = true)]
async fn t5_a_task_that_would_end_the_moment_it_is_asked_can_hang_then() {
    let log = Log::default();
    let report = World::new(&counting(&log)).hang("counter", Where::Stop).shutdown_when(millis(3500)).run().await;
    assert_eq!(of(&report, "counter").outcome, Outcome::Cancelled);
    assert_eq!(log.lines(), ["began", "tick", "tick", "tick"]);
}

#[tokio::test(start_paused = true)]
async fn t5_a_task_that_ignores_the_cancel_is_dropped() {
    let log = Log::default();
    let report = World::new(&counting(&log)).ignore_cancel("counter", Where::Run).shutdown_when("ready").run().await;
    assert_eq!(of(&report, "counter").outcome, Outcome::Aborted);
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn r1_a_task_that_fails_after_a_while_has_worked_until_then() {
    let log = Log::default();
    let report = World::new(&counting(&log)).sabotage("counter", Where::Run, Sabotage::fail("gone").after(millis(2500))).run().await;
    let trigger = report.trigger().unwrap();
    assert_eq!((trigger.kind(), trigger.detail()), (ReasonKind::ComponentFailed, "gone"));
    assert_eq!(when(&report, "", "shutdown_began"), millis(2500));
    assert_eq!(log.lines(), ["began", "tick", "tick"]);
}

#[tokio::test(start_paused = true)]
async fn r2_a_task_can_panic_when_asked_to_stop() {
    let log = Log::default();
    let report = World::new(&counting(&log)).panic("counter", Where::Stop, "on the way out").shutdown_when("ready").run().await;
    let counter = of(&report, "counter");
    assert_eq!((counter.outcome, counter.error.as_deref()), (Outcome::Panicked, Some("on the way out")));
    assert_eq!(report.trigger().unwrap().kind(), ReasonKind::Request);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_task_stands_still_and_then_ends_by_itself() {
    let log = Log::default();
    let report = World::new(&counting(&log)).delay("counter", Where::Stop, secs(2)).shutdown_when(millis(1500)).run().await;
    let counter = of(&report, "counter");
    let took = counter.stop.unwrap().ended - counter.stop.unwrap().began;
    assert!(counter.outcome == Outcome::Stopped && took >= secs(2) && took <= secs(2) + 2 * TICK, "{took:?}");
    // Its own code goes on where it stood: the second that was running is over by then.
    assert_eq!(log.lines(), ["began", "tick", "tick", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_future_and_a_made_task_can_be_sabotaged_too() {
    let app = App::new("orders");
    app.future("endless", std::future::pending());
    app.task_factory("made", |cx| async move {
        cx.stopping().await;
        Ok(())
    });
    let report = World::new(&app).hang("endless", Where::Stop).fail("made", Where::Stop, "no").shutdown_when("ready").run().await;
    assert_eq!(of(&report, "endless").outcome, Outcome::Cancelled);
    assert_eq!(of(&report, "made").outcome, Outcome::Failed);
}
