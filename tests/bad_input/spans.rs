//! Spans that are zero, or longer than any process lives (O4).

use crate::{app, block_on, has_problem, idle, is_told};
use std::time::Duration;
use winddown::{App, Problem, Profile, ReasonKind, millis, secs};

const YEAR: Duration = secs(366 * 24 * 60 * 60);

/// Sets one span of an app.
type Put = fn(Duration) -> App;

/// Each span that may be said: of whom, which, may it be zero, and how it is said.
const SPANS: &[(&str, &str, bool, Put)] = &[
    ("shop", "grace period", false, |span| app().grace(span)),
    ("shop", "set-up budget", false, |span| app().setup_budget(span)),
    ("shop", "start budget", false, |span| app().start_budget(span)),
    ("shop", "stop budget", false, |span| app().stop_budget(span)),
    ("shop", "cancel wait", true, |span| app().cancel_wait(span)),
    ("shop", "abort wait", true, |span| app().abort_wait(span)),
    ("shop", "grace period of a profile", false, |span| app().profile(ReasonKind::Signal, Profile::new().grace(span))),
    ("shop", "drain delay of a profile", true, |span| app().grace(YEAR).profile(ReasonKind::Signal, Profile::new().drain_delay(span))),
    ("a", "start budget", false, |span| {
        let app = app();
        idle(&app, "a").start_budget(span);
        app
    }),
    ("a", "stop budget", false, |span| {
        let app = app().grace(YEAR);
        idle(&app, "a").stop_budget(span);
        app
    }),
    ("a", "cancel wait", true, |span| {
        let app = app();
        idle(&app, "a").cancel_wait(span);
        app
    }),
    ("a", "abort wait", true, |span| {
        let app = app();
        idle(&app, "a").abort_wait(span);
        app
    }),
    ("db", "budget", false, |span| {
        let app = app().grace(YEAR);
        let opener = app.clone();
        block_on(async move { opener.resource("db", async { anyhow::Ok(0) }).budget(span).await.expect("a resource") });
        app
    }),
];

#[test]
fn o4_a_span_of_zero() {
    for (of, which, may_be_zero, put) in SPANS {
        if *may_be_zero {
            put(Duration::ZERO).plan().unwrap_or_else(|error| panic!("the {which} of {of} may be zero: {error}"));
        } else {
            let (problem, text) =
                (Problem::ZeroSpan { of: (*of).to_owned(), which }, format!("the {which} of `{of}` is zero: give it at least 1 ms"));
            let app = put(Duration::ZERO);
            // A resource that is open is given this very budget when the refused run lets go of it.
            if *of == "db" { is_told(&app, &[problem], &[&text]) } else { has_problem(&app, problem, &text) }
        }
    }
}

#[test]
fn o4_a_span_that_is_too_long() {
    for (of, which, _, put) in SPANS {
        for span in [Duration::MAX, secs(u64::MAX), YEAR + Duration::from_nanos(1)] {
            let problem = Problem::SpanTooLong { of: (*of).to_owned(), which };
            has_problem(&put(span), problem, &format!("the {which} of `{of}` is longer than 366 days"));
        }
    }
}

#[test]
fn o4_the_shortest_and_the_longest_span_that_are_taken() {
    for (of, which, _, put) in SPANS {
        put(Duration::from_nanos(1)).plan().unwrap_or_else(|error| panic!("a short {which} of {of}: {error}"));
        // As long as the grace period itself leaves no time for the report: refused for that, not for its length.
        let fits = !matches!(*which, "stop budget" | "budget" | "drain delay of a profile") || (*of, *which) == ("shop", "stop budget");
        let plan = put(YEAR).plan();
        assert!(plan.is_ok() || !fits, "a long {which} of {of}: {plan:?}");
        put(YEAR - secs(1)).plan().unwrap_or_else(|error| panic!("a long {which} of {of}: {error}"));
    }
}

#[test]
fn o4_a_drain_delay_that_takes_the_whole_grace_period() {
    let build = |delay: u64| app().grace(secs(2)).profile(ReasonKind::Request, Profile::new().drain_delay(secs(delay)));
    has_problem(
        &build(2),
        Problem::BudgetsExceedGrace { chain: vec!["drain delay".to_owned()], needed: secs(2), grace: secs(2) },
        "the explicit stop budgets of drain delay add up to 2 s, the grace period is 2 s: shorten them or raise the grace",
    );
    build(1).plan().expect("half of it is left");
}

#[test]
fn o6_typical_spans_of_any_length_do_not_upset_the_plan_or_its_rehearsal() {
    let app = app();
    idle(&app, "a").typical_start(Duration::MAX).typical_stop(Duration::MAX);
    idle(&app, "b").typical_start(Duration::ZERO).typical_stop(millis(3));
    let plan = app.plan().expect("they are only typical");
    assert!(plan.worst_case() <= secs(25));
    assert!(!plan.rehearse().to_string().is_empty());
}
