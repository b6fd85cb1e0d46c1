//! Each thing that can be wrong with names, dependencies, budgets and policies (O4).

use crate::{app, block_on, has_problem, has_problems, idle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use winddown::{App, Phase, Policy, Problem, Profile, ReasonKind, Restart, millis, secs};

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn o4_a_name_used_twice_is_told_once_for_each_name() {
    let app = app();
    for name in ["a", "a", "b", "a", "b"] {
        idle(&app, name);
    }
    has_problems(
        &app,
        &[Problem::DuplicateName { name: text("a") }, Problem::DuplicateName { name: text("b") }],
        &[
            "the name `a` is used twice: names must be unique, use `named` to tell them apart",
            "the name `b` is used twice: names must be unique, use `named` to tell them apart",
        ],
    );
}

#[test]
fn o4_two_resources_of_one_name() {
    let app = app();
    let both = app.clone();
    block_on(async move {
        both.resource("db", async { anyhow::Ok(1) }).await.expect("the first");
        both.resource("db", async { anyhow::Ok(2) }).await.expect("the second, too, until the plan is made");
    });
    idle(&app, "db");
    has_problem(
        &app,
        Problem::DuplicateName { name: text("db") },
        "the name `db` is used twice: names must be unique, use `named` to tell them apart",
    );
}

#[test]
fn o4_an_empty_name() {
    for name in ["", " ", "\t\n"] {
        let app = app();
        idle(&app, name);
        has_problem(&app, Problem::EmptyName, "a component or resource has an empty name: give it one with `named`");
    }
    let app = app();
    idle(&app, "").named("better");
    assert_eq!(app.plan().expect("it has a name now").components().collect::<Vec<_>>(), ["better"]);
}

#[test]
fn o4_an_unknown_dependency_by_name() {
    let app = app();
    idle(&app, "a").after_named("b");
    has_problem(&app, Problem::UnknownDependency { component: text("a"), dependency: text("b") }, "`a` is after `b`, which is not registered here");
}

#[test]
fn o4_a_dependency_on_another_apps_component() {
    let (app, other) = (app(), crate::app());
    let foreign = idle(&other, "b").id();
    // An id of the same number is there: only the app tells them apart.
    idle(&app, "a").after(foreign);
    has_problem(
        &app,
        Problem::UnknownDependency { component: text("a"), dependency: text("component #0 of another app") },
        "`a` is after `component #0 of another app`, which is not registered here",
    );
}

#[test]
fn o4_an_unknown_resource_by_name_and_by_another_apps_handle() {
    let (app, other) = (app(), crate::app());
    let foreign = block_on(async move { other.resource("pool", async { anyhow::Ok(0) }).await.expect("a resource") });
    idle(&app, "a").uses_named("disk");
    idle(&app, "b").uses(&foreign);
    has_problems(
        &app,
        &[
            Problem::UnknownResource { component: text("a"), resource: text("disk") },
            Problem::UnknownResource { component: text("b"), resource: text("pool") },
        ],
        &["`a` uses `disk`, which is not a resource registered here", "`b` uses `pool`, which is not a resource registered here"],
    );
}

#[test]
fn o4_a_cycle_is_told_with_its_path() {
    let app = app();
    idle(&app, "a").after_named("c");
    idle(&app, "b").after_named("a");
    idle(&app, "c").after_named("b");
    idle(&app, "beside");
    let error = app.plan().expect_err("a cycle");
    let [Problem::Cycle { path }] = error.problems() else { panic!("{error}") };
    assert_eq!((path.len(), path.first()), (4, path.last()), "the first is repeated at the end");
    let mut round = path[1..].to_vec();
    round.sort_unstable();
    assert_eq!(round, ["a", "b", "c"]);
    // Each step goes from a component to one that is after it, or each the other way: never a mix.
    let forward = path.windows(2).all(|pair| matches!((&*pair[0], &*pair[1]), ("c", "a") | ("a", "b") | ("b", "c")));
    let backward = path.windows(2).all(|pair| matches!((&*pair[0], &*pair[1]), ("a", "c") | ("b", "a") | ("c", "b")));
    assert!(forward || backward, "{path:?}");
    assert_eq!(error.problems()[0].to_string(), format!("a cycle, nothing in it could ever start: {}", path.join(" -> ")));
    has_problem(&app, error.problems()[0].clone(), &error.problems()[0].to_string());
}

#[test]
fn o4_a_component_after_itself_is_a_cycle() {
    let app = app();
    let id = idle(&app, "a").id();
    app.configure(id).after(id);
    has_problem(&app, Problem::Cycle { path: vec![text("a"), text("a")] }, "a cycle, nothing in it could ever start: a -> a");
}

#[test]
fn o4_a_dependency_against_the_phases() {
    let app = app();
    let edge = idle(&app, "http").phase(Phase::EDGE).id();
    idle(&app, "pool").phase(Phase::CONNECTIONS).after(edge);
    has_problem(
        &app,
        Problem::AgainstPhases { component: text("pool"), phase: -200, dependency: text("http"), dependency_phase: 200 },
        "`pool` (phase -200) is after `http` (phase 200), which starts later: change a phase or drop the dependency",
    );
}

#[test]
fn o4_a_dependency_on_what_is_started_on_demand() {
    let build = |both: bool| {
        let app = app();
        let demanded = idle(&app, "demanded").auto_startup(false).id();
        idle(&app, "a").after(demanded).auto_startup(!both);
        app
    };
    has_problem(
        &build(false),
        Problem::NotStartedAutomatically { component: text("a"), dependency: text("demanded") },
        "`a` is after `demanded`, which is not started automatically: give both `auto_startup(false)` or neither",
    );
    build(true).plan().expect("neither is started by itself");
}

#[test]
fn o4_explicit_budgets_longer_than_the_grace_period() {
    let build = |grace: Duration| {
        let app = app().grace(grace);
        let pool = idle(&app, "pool").stop_budget(millis(1500)).id();
        idle(&app, "worker").after(pool).stop_budget(secs(2));
        // In parallel, so it adds nothing; its budget is defaulted, so it is no reason either.
        idle(&app, "beside").stop_budget(millis(100));
        app
    };
    has_problem(
        &build(secs(3)),
        Problem::BudgetsExceedGrace { chain: vec![text("worker"), text("pool")], needed: millis(3500), grace: secs(3) },
        "the explicit stop budgets of worker -> pool add up to 3.5 s, the grace period is 3 s: shorten them or raise the grace",
    );
    build(secs(4)).plan().expect("they fit");
}

#[test]
fn o4_budgets_that_only_one_reasons_grace_period_is_too_short_for() {
    let build = |grace: u64| {
        let app = app().profile(ReasonKind::ComponentFailed, Profile::new().grace(secs(grace)));
        idle(&app, "a").stop_budget(secs(5));
        app
    };
    has_problem(
        &build(4),
        Problem::BudgetsExceedGrace { chain: vec![text("a")], needed: secs(5), grace: secs(4) },
        "the explicit stop budgets of a add up to 5 s, the grace period is 4 s: shorten them or raise the grace",
    );
    build(6).plan().expect("they fit");
}

#[test]
fn o4_defaulted_budgets_never_make_a_plan_fail() {
    let app = app().grace(millis(10)).stop_budget(secs(3600)).cancel_wait(secs(3600));
    (0..20).for_each(|n| {
        idle(&app, &format!("c{n}")).phase(n);
    });
    let plan = app.plan().expect("defaults shrink");
    assert!(plan.factor() < 1.0 && plan.worst_case() <= millis(10), "{plan}");
}

#[test]
fn o4_a_task_that_can_run_only_once_cannot_be_restarted() {
    let app = app();
    let policy = || Policy::Restart(Restart::new(3, secs(10)));
    idle(&app, "a").policy(policy());
    app.future("b", async { Ok(()) }).policy(policy());
    app.task_factory("c", |_| async { Ok(()) }).policy(policy());
    app.thread("d", |_| Ok(())).policy(policy());
    has_problems(
        &app,
        &[Problem::NotRestartable { component: text("a") }, Problem::NotRestartable { component: text("b") }],
        &[
            "`a` can run only once and so cannot be restarted: use `task_factory`, `service` or `add`",
            "`b` can run only once and so cannot be restarted: use `task_factory`, `service` or `add`",
        ],
    );
}

#[test]
fn o4_a_restart_policy_that_makes_no_sense() {
    let good = || Restart::new(3, secs(10));
    let bad = [
        Restart::new(3, Duration::ZERO),
        Restart::new(3, Duration::MAX),
        good().backoff(Duration::ZERO),
        good().backoff(secs(31)),
        good().backoff(secs(2)).max_backoff(secs(1)),
        good().max_backoff(Duration::MAX),
        good().backoff(Duration::MAX).max_backoff(Duration::MAX),
    ];
    let build = |restart: Restart| {
        let app = app();
        app.task_factory("a", |_| async { Ok(()) }).policy(Policy::Restart(restart));
        app
    };
    for restart in bad {
        has_problem(
            &build(restart),
            Problem::InvalidRestart { component: text("a") },
            "the restart policy of `a` needs a window and a backoff above zero, and a cap not below the backoff",
        );
    }
    for restart in [good(), Restart::new(0, secs(1)), Restart::new(u32::MAX, millis(1)), good().backoff(secs(30))] {
        build(restart).plan().expect("an odd policy, and a possible one");
    }
}

#[test]
fn o4_everything_that_is_wrong_is_told_at_once() {
    let started = Arc::new(AtomicBool::new(false));
    let app: App = app().grace(Duration::ZERO).stop_budget(Duration::MAX);
    let seen = started.clone();
    app.task("fine", move |_| async move {
        seen.store(true, Ordering::SeqCst);
        Ok(())
    });
    idle(&app, "twice");
    idle(&app, "twice");
    idle(&app, "");
    idle(&app, "lonely").after_named("nobody").uses_named("nothing");
    let high = idle(&app, "high").phase(7).auto_startup(false).id();
    idle(&app, "low").after(high);
    idle(&app, "once").policy(Policy::Restart(Restart::new(1, Duration::ZERO)));
    idle(&app, "left").after_named("right");
    idle(&app, "right").after_named("left");
    let error = app.plan().expect_err("nearly all of it is wrong");
    let mut told: Vec<&str> = Vec::new();
    for problem in error.problems() {
        told.push(match problem {
            Problem::ZeroSpan { .. } => "zero",
            Problem::SpanTooLong { .. } => "long",
            Problem::NotRestartable { .. } => "once",
            Problem::InvalidRestart { .. } => "restart",
            Problem::EmptyName => "empty",
            Problem::DuplicateName { .. } => "twice",
            Problem::UnknownDependency { .. } => "dependency",
            Problem::AgainstPhases { .. } => "phases",
            Problem::NotStartedAutomatically { .. } => "demand",
            Problem::UnknownResource { .. } => "resource",
            Problem::Cycle { .. } => "cycle",
            other => panic!("{other}"),
        });
    }
    told.sort_unstable();
    assert_eq!(told, ["cycle", "demand", "dependency", "empty", "long", "once", "phases", "resource", "restart", "twice", "zero"]);
    assert_eq!(error.to_string().lines().count(), 12);
    assert_eq!(app.run_blocking().problems().len(), 11);
    assert!(!started.load(Ordering::SeqCst), "nothing has started");
}
