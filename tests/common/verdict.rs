//! Compares what a story expects with what happened.
//!
//! ```text
//! exit CODE · verdict WORD · trigger KIND [TEXT in its detail or component]
//! component NAME KEY WORD [KEY WORD…]     KEY: outcome, rung, restarts, blocked_worker (its task), error (a part of it),
//!                                         start or stop (`null` or `some`)
//! resource NAME KEY WORD [KEY WORD…]      KEY: outcome, held_by, error
//! order INSTANT <= INSTANT                see `Report::instant`
//! within SPAN · lasts SPAN                the shutdown takes at most, at least that long
//! event KIND [SUBJECT] · no event KIND [SUBJECT] · stdout TEXT · stderr TEXT
//! ```

use super::SLACK;
use super::child::Ended;
use super::report::Report;
use serde_json::Value;
use std::time::Duration;

/// `None` when it is so; else what is there instead.
pub(crate) fn judge(words: &[String], end: &Ended) -> Option<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let failure = match words[..] {
        ["exit", code] => unless(end.status.code().map(|code| code.to_string()).as_deref() == Some(code), || end.status.to_string()),
        ["stdout", text] => unless(end.stdout.contains(text), || format!("stdout is\n{}", end.stdout)),
        ["stderr", text] => unless(end.stderr.contains(text), || format!("stderr is\n{}", end.stderr)),
        _ => match &end.report {
            Some(report) => of_report(&words, report),
            None => Some("no report".to_owned()),
        },
    };
    failure.map(|instead| format!("expected {}, but: {instead}", words.join(" ")))
}

fn of_report(words: &[&str], report: &Report) -> Option<String> {
    match words {
        ["verdict", word] => unless(report.text("verdict") == *word, || report.text("verdict").to_owned()),
        ["trigger", kind, rest @ ..] => {
            let trigger = &report.0["trigger"];
            let told = trigger.to_string();
            unless(trigger["kind"] == *kind && rest.iter().all(|text| told.contains(text)), || told.clone())
        }
        ["component", name, pairs @ ..] => all(pairs, report.find_component(name)),
        ["resource", name, pairs @ ..] => all(pairs, report.find_resource(name)),
        ["order", first, "<=", second] => match (report.instant(first), report.instant(second)) {
            (Some(a), Some(b)) => unless(a <= b, || format!("{a} and {b}")),
            other => Some(format!("{other:?}")),
        },
        ["within", span] => took(report, |ms| ms <= in_ms(winddown::parse_span(span).expect("a span") + SLACK)),
        ["lasts", span] => took(report, |ms| ms >= in_ms(winddown::parse_span(span).expect("a span"))),
        ["event", kind] => unless(report.has_event(kind, None), || "there is none".to_owned()),
        ["event", kind, subject] => unless(report.has_event(kind, Some(subject)), || "there is none".to_owned()),
        ["no", "event", kind] => unless(!report.has_event(kind, None), || "there is one".to_owned()),
        ["no", "event", kind, subject] => unless(!report.has_event(kind, Some(subject)), || "there is one".to_owned()),
        _ => Some("no such expectation is known".to_owned()),
    }
}

/// Pairs of a key and what it has to be, on one component or resource.
fn all(pairs: &[&str], subject: Option<&Value>) -> Option<String> {
    let Some(subject) = subject else { return Some("it is not in the report".to_owned()) };
    let holds = |pair: &[&str]| match *pair {
        [key @ ("start" | "stop"), "null"] => subject[key].is_null(),
        [key @ ("start" | "stop"), "some"] => subject[key].is_object(),
        ["error", text] => subject["error"].as_str().is_some_and(|error| error.contains(text)),
        ["restarts", number] => subject["restarts"].as_u64() == number.parse().ok(),
        ["blocked_worker", "null"] => subject["blocked_worker"].is_null(),
        ["blocked_worker", task] => subject["blocked_worker"]["task"] == task,
        ["held_by", holder] => subject["held_by"].to_string().contains(holder),
        [key @ ("outcome" | "rung"), word] => subject[key] == word,
        _ => false,
    };
    unless(pairs.chunks(2).all(holds), || subject.to_string())
}

fn took(report: &Report, fits: impl Fn(f64) -> bool) -> Option<String> {
    let ms = report.number("shutdown_ms");
    unless(fits(ms), || format!("it took {ms} ms"))
}

fn in_ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

fn unless(holds: bool, instead: impl FnOnce() -> String) -> Option<String> {
    if holds { None } else { Some(instead()) }
}
