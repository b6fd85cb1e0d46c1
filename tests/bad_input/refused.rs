//! The report of what could not be run at all.

use crate::{app, idle};
use serde_json::{Value, json};
use winddown::{Phase, Report, SCHEMA};

/// Everything but the timeline, whose instants differ from run to run.
fn without_events(json: &str) -> Value {
    let mut report: Value = serde_json::from_str(json).expect("a report is JSON");
    report.as_object_mut().expect("an object").remove("events");
    report
}

fn refused(problems: &[&str]) -> Value {
    json!({
        "schema": "winddown.report/1",
        "app": "shop",
        "exit_code": 2,
        "verdict": "refused",
        "trigger": null,
        "grace_ms": 25000.0,
        "shutdown_ms": null,
        "problems": problems,
        "critical_holds": 0,
        "blocked_at_end": [],
        "dropped_events": 0,
        "components": [],
        "resources": [],
    })
}

#[test]
fn p3_a_refused_report_as_json() {
    let report = Report::refused("shop", vec!["shop.toml:3: no such key".to_owned(), "two".to_owned()]);
    assert_eq!(SCHEMA, "winddown.report/1");
    assert_eq!(without_events(&report.to_json()), refused(&["shop.toml:3: no such key", "two"]));
    assert_eq!((report.app(), report.exit_code(), report.grace()), ("shop", 2, winddown::secs(25)));
    assert!(report.events().is_empty() && report.components().is_empty());
    assert_eq!(Report::refused("shop", Vec::new()).problems().len(), 1, "never refused without a word");
}

#[test]
fn p3_the_report_of_a_refused_run_as_json_and_in_its_file() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("refused-{}.json", std::process::id()));
    let app = app().report_to(&file);
    idle(&app, "a").after_named("b");
    idle(&app, "c").after_named("d");
    let report = app.run_blocking();
    let problems = ["`a` is after `b`, which is not registered here", "`c` is after `d`, which is not registered here"];
    assert_eq!(without_events(&report.to_json()), refused(&problems));
    let written = std::fs::read_to_string(&file).expect("the report was written");
    std::fs::remove_file(&file).expect("it can be removed");
    assert_eq!(written.trim_end(), report.to_json());
}

#[test]
fn p3_a_refused_report_as_text_names_every_problem() {
    let app = app();
    idle(&app, "a").after_named("b");
    let edge = idle(&app, "edge").phase(Phase::EDGE).id();
    idle(&app, "low").after(edge);
    let text = app.run_blocking().to_text(false);
    for part in ["shop", "refused", "`a` is after `b`", "`low` (phase 0) is after `edge` (phase 200)", "2"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn an_app_that_was_refused_has_been_run() {
    let app = app();
    idle(&app, "a").after_named("b");
    assert_eq!(app.run_blocking().problems().len(), 1);
    let again = app.run_blocking();
    assert_eq!(again.problems(), ["this app has been run already: an app runs once, make a new one with `App::new`"]);
    assert_eq!(again.exit_code(), 2);
}
