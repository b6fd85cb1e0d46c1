//! O1–O4: in which order components start and stop.

use crate::kit::{Act, Actor, Log, event, idle, of, run, run_for, story, when};
use winddown::{App, EventKind, Outcome, Phase, Problem, Verdict, millis, secs};

#[tokio::test(start_paused = true)]
async fn o1_phases_start_upwards_and_stop_downwards() {
    let (app, log) = (App::new("order"), Log::default());
    for (name, phase) in [("edge", Phase::EDGE), ("pool", Phase::CONNECTIONS), ("worker", Phase::WORKERS), ("metrics", Phase::TELEMETRY)] {
        app.add(Actor::new(name, &log).start(Act::Take(millis(30))).stop(Act::Take(millis(20)))).phase(phase);
    }
    let report = run_for(&app, secs(1)).await;
    let up = ["metrics", "pool", "worker", "edge"];
    let mut expected: Vec<String> = up.iter().flat_map(|n| [format!("start {n}"), format!("up {n}")]).collect();
    expected.extend(up.iter().rev().flat_map(|n| [format!("stop {n}"), format!("down {n}")]));
    assert_eq!(log.lines(), expected);
    assert_eq!(report.exit_code(), 0);
    assert_eq!(of(&report, "worker").phase, 0);
}

#[tokio::test(start_paused = true)]
async fn o1_a_lower_phase_is_asked_the_moment_the_higher_one_is_terminal() {
    let app = App::new("order");
    let log = Log::default();
    app.add(Actor::new("high", &log).stop(Act::Take(secs(2)))).phase(10);
    app.add(Actor::new("low", &log)).phase(9);
    let report = run_for(&app, secs(1)).await;
    let (high, low) = (of(&report, "high").stop.unwrap(), of(&report, "low").stop.unwrap());
    assert_eq!(high.ended - high.began, secs(2));
    assert_eq!(low.began, high.ended);
}

#[tokio::test(start_paused = true)]
async fn o2_members_of_one_phase_start_and_stop_side_by_side() {
    let (app, log) = (App::new("order"), Log::default());
    for name in ["a", "b", "c"] {
        app.add(Actor::new(name, &log).start(Act::Take(secs(3))).stop(Act::Take(secs(2))));
    }
    let report = run_for(&app, secs(1)).await;
    assert_eq!(when(&report, "", "ready"), secs(3), "one start after the other would have taken nine seconds");
    assert_eq!(report.shutdown_took(), Some(secs(2)));
}

#[tokio::test(start_paused = true)]
async fn o2_after_orders_members_of_one_phase() {
    let (app, log) = (App::new("order"), Log::default());
    let first = app.add(Actor::new("first", &log).start(Act::Take(secs(1))).stop(Act::Take(millis(10)))).id();
    app.add(Actor::new("second", &log).stop(Act::Take(secs(2)))).after(first);
    app.add(Actor::new("beside", &log).start(Act::Take(millis(1))));
    app.add(Actor::new("third", &log)).after_named("second");
    run_for(&app, secs(1)).await;
    assert!(log.before("up first", "start second") && log.before("up second", "start third"));
    assert!(log.before("up beside", "up first"), "nobody ordered these two: {:?}", log.lines());
    assert!(log.before("down third", "stop second") && log.before("down second", "stop first"));
    assert!(log.before("stop beside", "down second"), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn o3_a_phase_is_a_barrier_for_all_of_the_next() {
    let (app, log) = (App::new("order"), Log::default());
    for (name, start, stop) in [("low 1", 1, 1), ("low 2", 5, 1)] {
        app.add(Actor::new(name, &log).start(Act::Take(secs(start))).stop(Act::Take(secs(stop)))).phase(1);
    }
    for (name, stop) in [("high 1", 1), ("high 2", 4)] {
        app.add(Actor::new(name, &log).stop(Act::Take(secs(stop)))).phase(2);
    }
    let report = run_for(&app, secs(1)).await;
    for low in ["low 1", "low 2"] {
        for high in ["high 1", "high 2"] {
            assert!(log.before(&format!("up {low}"), &format!("start {high}")));
            assert!(log.before(&format!("down {high}"), &format!("stop {low}")));
        }
    }
    assert_eq!(of(&report, "high 1").start.unwrap().began, secs(5));
    assert_eq!(of(&report, "low 1").stop.unwrap().began, of(&report, "high 2").stop.unwrap().ended);
}

#[tokio::test(start_paused = true)]
async fn o3_empty_phases_between_hold_nobody() {
    let app = App::new("order");
    idle(&app, "top", 1_000_000);
    idle(&app, "bottom", -1_000_000);
    let report = run_for(&app, secs(1)).await;
    assert_eq!(when(&report, "", "ready"), secs(0));
    assert_eq!(report.shutdown_took(), Some(secs(0)));
}

#[tokio::test(start_paused = true)]
async fn o3_a_failed_member_neither_ends_its_phase_early_nor_skips_the_next() {
    let (app, log) = (App::new("order"), Log::default());
    app.add(Actor::new("bad", &log).stop(Act::Fail("no"))).phase(2);
    app.add(Actor::new("slow", &log).stop(Act::Take(secs(3)))).phase(2);
    app.add(Actor::new("below", &log)).phase(1);
    let report = run_for(&app, secs(1)).await;
    assert_eq!(of(&report, "bad").outcome, Outcome::Failed);
    assert_eq!(of(&report, "slow").outcome, Outcome::Stopped);
    assert!(log.before("down slow", "stop below"));
    assert_eq!(log.count("down below"), 1);
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test(start_paused = true)]
async fn o4_a_plan_with_problems_names_all_of_them_and_starts_nothing() {
    let (app, log) = (App::new("order"), Log::default());
    let a = app.add(Actor::new("a", &log)).after_named("b").id();
    app.add(Actor::new("b", &log)).after(a);
    app.add(Actor::new("twin", &log));
    app.add(Actor::new("twin", &log)).after_named("nobody");
    app.add(Actor::new("low", &log)).phase(-5).after_named("twin");
    app.add(Actor::new("greedy", &log)).stop_budget(secs(26)).phase(300);
    let problems = app.plan().unwrap_err().problems().to_vec();
    let has = |fits: fn(&Problem) -> bool| problems.iter().any(fits);
    assert!(has(|p| matches!(p, Problem::Cycle { path } if path.len() == 3 && path.first() == path.last())), "{problems:?}");
    assert!(has(|p| matches!(p, Problem::DuplicateName { name } if name == "twin")), "{problems:?}");
    assert!(has(|p| matches!(p, Problem::UnknownDependency { dependency, .. } if dependency == "nobody")), "{problems:?}");

    let report = run(&app).await;
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Refused, 2));
    assert_eq!(report.problems().len(), problems.len());
    assert!(report.trigger().is_none());
    assert!(log.lines().iter().all(|line| !line.starts_with("start")), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn o4_a_dependency_against_the_phases_and_budgets_that_cannot_fit_are_refused() {
    let app = App::new("order");
    let high = idle(&app, "high", 5);
    app.future("low", async { Ok(()) }).phase(4).after(high);
    let problems = app.plan().unwrap_err().problems().to_vec();
    assert!(matches!(&problems[..], [Problem::AgainstPhases { component, .. }] if component == "low"), "{problems:?}");

    let app = App::new("order").grace(secs(10));
    app.task("a", |_| async { Ok(()) }).phase(1).stop_budget(secs(6));
    app.task("b", |_| async { Ok(()) }).phase(2).stop_budget(secs(6));
    let problems = app.plan().unwrap_err().problems().to_vec();
    let [Problem::BudgetsExceedGrace { chain, needed, .. }] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!((chain, *needed), (&vec!["b".to_owned(), "a".to_owned()], secs(12)));
}

#[tokio::test(start_paused = true)]
async fn o1_the_timeline_tells_the_same_story_as_the_components() {
    let app = App::new("order");
    idle(&app, "worker", 0);
    let report = run_for(&app, secs(7)).await;
    assert_eq!(story(&report, "worker"), ["start_began", "start_ended", "stop_began", "component_ended"]);
    let run: Vec<_> = report.events().iter().filter(|e| e.subject().is_none()).map(|e| e.kind().name()).collect();
    assert_eq!(run, ["run_began", "ready", "shutdown_began", "run_ended"]);
    assert!(matches!(event(&report, "worker", "component_ended").kind(), EventKind::ComponentEnded { outcome: Outcome::Stopped }));
    assert_eq!(when(&report, "", "shutdown_began"), secs(7));
}
