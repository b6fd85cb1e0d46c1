//! Faults in components that have a start and a stop.

use crate::actors::{Log, Part, TICK, of, orders, parts, when};
use winddown::testkit::{Sabotage, World};
use winddown::{App, Fault, Outcome, Phase, Policy, ReasonKind, Restart, RunCx, Rung, Service, Verdict, Where, async_trait, millis, secs};

#[tokio::test(start_paused = true)]
async fn p5_what_a_rehearsal_says_of_a_fault_is_what_happens_in_a_world() {
    let rehearsal = orders().plan().unwrap().rehearse();
    let mut played = 0;
    for case in rehearsal.cases() {
        let mut world = World::new(&orders()).signal_at("ready", "SIGTERM");
        if let Some((who, place, fault)) = &case.fault {
            if *fault == Fault::Blocks {
                continue;
            }
            world = world.fault(&**who, *place, *fault);
        }
        let report = world.run().await;
        let forced: Vec<&str> = report.components().iter().filter(|c| c.outcome >= Outcome::Cancelled).map(|c| &*c.name).collect();
        let rehearsed: Vec<&str> = case.cut_short.iter().map(|name| &**name).collect();
        assert_eq!((report.exit_code(), report.verdict(), forced), (case.exit_code, case.verdict, rehearsed), "{case}\n{report}");
        let (took, said) = (report.shutdown_took().unwrap(), case.leaves_after);
        // A rehearsed failure comes at the end of the typical time, a played one at its beginning.
        let early = if matches!(case.fault, Some((_, _, Fault::Fails | Fault::Panics))) { millis(100) } else { millis(0) };
        // Each hand-over between the core and user code costs up to a tick; the longest chain here has three components.
        assert!(took + early >= said && took <= said + 10 * TICK, "{case}: {took:?}\n{report}");
        played += 1;
    }
    // Nobody; and four faults in the start and the stop of three components.
    assert_eq!(played, 1 + 4 * 2 * 3);
}

#[tokio::test(start_paused = true)]
async fn t5_a_hang_in_stop_is_cancelled_and_one_that_ignores_that_is_aborted() {
    let report = World::new(&orders()).hang("consumer", Where::Stop).ignore_cancel("producer", Where::Stop).shutdown_when("ready").run().await;
    assert_eq!((of(&report, "consumer").outcome, of(&report, "consumer").rung), (Outcome::Cancelled, Rung::Cancel));
    assert_eq!((of(&report, "producer").outcome, of(&report, "producer").rung), (Outcome::Aborted, Rung::Abort));
    assert_eq!((of(&report, "trace").outcome, of(&report, "trace").rung), (Outcome::Stopped, Rung::Graceful));
    let consumer = of(&report, "consumer").stop.unwrap();
    // Its stop budget, and nothing of the cancel wait: it obeyed.
    let took = consumer.ended - consumer.began;
    assert!(took >= secs(5) && took <= secs(5) + 2 * TICK, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn s3_a_start_that_fails_rolls_back_what_runs_and_its_stop_is_never_called() {
    let (app, log) = (App::new("orders"), Log::default());
    parts(&app, &log);
    let report = World::new(&app).fail("producer", Where::Start, "no route").shutdown_when("ready").run().await;
    let trigger = report.trigger().unwrap();
    assert_eq!((trigger.kind(), trigger.detail(), trigger.component()), (ReasonKind::StartFailed, "no route", Some("producer")));
    assert_eq!(report.exit_code(), 1);
    assert_eq!(of(&report, "consumer").outcome, Outcome::NotStarted);
    assert_eq!(log.lines(), ["start trace", "up trace", "stop trace", "down trace"]);
}

#[tokio::test(start_paused = true)]
async fn s3_a_start_that_hangs_is_late_whether_it_obeys_or_not() {
    for place in [Sabotage::hang(), Sabotage::ignore_cancel()] {
        let report = World::new(&orders()).sabotage("producer", Where::Start, place).shutdown_when("ready").run().await;
        let producer = of(&report, "producer");
        assert_eq!(producer.outcome, Outcome::Failed, "{report}");
        assert_eq!(report.trigger().unwrap().kind(), ReasonKind::StartFailed);
        // What may be dropped at any await is not forced.
        assert_eq!(report.verdict(), Verdict::Failed);
        assert_eq!(when(&report, "", "shutdown_began"), millis(100) + secs(30));
    }
}

#[tokio::test(start_paused = true)]
async fn s4_a_start_that_hangs_until_it_is_taken_back_has_no_run() {
    let world = World::new(&orders()).hang("producer", Where::Start).ignore_cancel("producer", Where::Run);
    let report = world.shutdown_when(secs(1)).run().await;
    assert_eq!((of(&report, "producer").outcome, report.exit_code()), (Outcome::NotStarted, 0));
    assert!(report.shutdown_took().unwrap() <= millis(100) + 5 * TICK, "{report}");
}

#[tokio::test(start_paused = true)]
async fn r2_a_panic_in_start_stop_or_run_is_an_outcome_with_its_text() {
    for place in [Where::Start, Where::Run, Where::Stop] {
        let report = World::new(&orders()).panic("producer", place, "out of cheese").shutdown_when(("start_ended", "consumer")).run().await;
        let producer = of(&report, "producer");
        assert_eq!((producer.outcome, producer.error.as_deref()), (Outcome::Panicked, Some("out of cheese")), "{place:?}\n{report}");
        assert_eq!(report.exit_code(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_stop_takes_the_place_of_the_stop_and_the_others_go_on() {
    let (app, log) = (App::new("orders"), Log::default());
    parts(&app, &log);
    let report = World::new(&app).fail("consumer", Where::Stop, "no answer").shutdown_when("ready").run().await;
    assert_eq!(of(&report, "consumer").error.as_deref(), Some("no answer"));
    assert!(!log.lines().contains(&"stop consumer".to_owned()));
    assert_eq!(of(&report, "producer").outcome, Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_delay_only_delays() {
    let report =
        World::new(&orders()).delay("producer", Where::Start, secs(7)).delay("producer", Where::Stop, secs(3)).shutdown_when("ready").run().await;
    let producer = of(&report, "producer");
    let (start, stop) = (producer.start.unwrap(), producer.stop.unwrap());
    assert_eq!(start.ended - start.began, secs(7) + millis(100));
    assert_eq!(stop.ended - stop.began, secs(3) + millis(100));
    assert_eq!((producer.outcome, report.exit_code()), (Outcome::Stopped, 0));
}

#[tokio::test(start_paused = true)]
async fn a_fault_after_a_while_lets_the_components_own_code_run_until_then() {
    let (app, log) = (App::new("orders"), Log::default());
    app.add(Part { name: "slow", phase: Phase::WORKERS, takes: secs(2), log: log.clone() });
    app.add(Part { name: "quick", phase: Phase::WORKERS, takes: millis(10), log: log.clone() });
    let hang = || Sabotage::fail("half way").after(secs(1));
    let report = World::new(&app).sabotage("slow", Where::Stop, hang()).sabotage("quick", Where::Stop, hang()).shutdown_when("ready").run().await;
    let slow = of(&report, "slow");
    assert_eq!((slow.outcome, slow.error.as_deref()), (Outcome::Failed, Some("half way")));
    assert_eq!(slow.stop.unwrap().ended - slow.stop.unwrap().began, secs(1));
    // It had begun, and was dropped before its end.
    assert!(log.lines().contains(&"stop slow".to_owned()) && !log.lines().contains(&"down slow".to_owned()));
    // Over before its moment came.
    assert_eq!(of(&report, "quick").outcome, Outcome::Stopped);
}

struct Listener;

#[async_trait]
impl Service for Listener {
    fn name(&self) -> String {
        "listener".into()
    }
    async fn run(&mut self, cx: &RunCx) -> anyhow::Result<()> {
        cx.stopping().await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_run_that_fails_the_first_times_is_restarted_and_then_runs() {
    let app = App::new("orders");
    app.service(Listener).policy(Policy::Restart(Restart::new(5, secs(60))));
    let fail = Sabotage::fail("connection lost").after(secs(5)).times(2);
    let report = World::new(&app).sabotage("listener", Where::Run, fail).shutdown_when(secs(60)).run().await;
    let listener = of(&report, "listener");
    assert_eq!((listener.restarts, listener.outcome, listener.error.as_deref()), (2, Outcome::Stopped, Some("connection lost")));
    let failures = report.events().iter().filter(|e| e.kind().name() == "task_ended").count();
    assert_eq!(failures, 2);
    assert_eq!(when(&report, "listener", "task_ended"), secs(5));
}

#[tokio::test(start_paused = true)]
async fn r1_a_run_that_fails_each_time_is_given_up() {
    let app = App::new("orders");
    app.service(Listener).policy(Policy::Restart(Restart::new(5, secs(60))));
    let report = World::new(&app).fail("listener", Where::Run, "connection lost").run().await;
    assert_eq!(report.trigger().unwrap().kind(), ReasonKind::ComponentFailed);
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test(start_paused = true)]
async fn t5_a_hang_in_run_lasts_beyond_stop() {
    let report = World::new(&orders()).hang("producer", Where::Run).ignore_cancel("trace", Where::Run).shutdown_when("ready").run().await;
    assert_eq!(of(&report, "producer").outcome, Outcome::Cancelled);
    assert_eq!(of(&report, "trace").outcome, Outcome::Aborted);
    assert_eq!(of(&report, "consumer").outcome, Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn faults_of_one_place_happen_one_after_the_other() {
    let report =
        World::new(&orders()).delay("trace", Where::Stop, secs(2)).fail("trace", Where::Stop, "then this").shutdown_when("ready").run().await;
    let trace = of(&report, "trace");
    assert_eq!(trace.error.as_deref(), Some("then this"));
    assert_eq!(trace.stop.unwrap().ended - trace.stop.unwrap().began, secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_component_is_found_by_its_id_and_by_the_name_it_was_given() {
    let app = App::new("orders");
    let log = Log::default();
    let part = |name| Part { name, phase: Phase::WORKERS, takes: millis(1), log: log.clone() };
    let first = app.add(part("first")).id();
    app.add(part("second")).named("renamed");
    let report = World::new(&app).fail(first, Where::Stop, "by id").fail("renamed", Where::Stop, "by name").shutdown_when("ready").run().await;
    assert_eq!(of(&report, "first").error.as_deref(), Some("by id"));
    assert_eq!(of(&report, "renamed").error.as_deref(), Some("by name"));
}
