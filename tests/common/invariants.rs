//! What holds for every report, whatever the scenario: checked on each run of each file.

use super::report::Report;
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything in this report that may not be so, given the scenario that it reports on.
pub(crate) fn broken(report: &Report, scenario: &toml::Table) -> Vec<String> {
    let mut broken = Vec::new();
    let mut check = |holds: bool, text: String| {
        if !holds {
            broken.push(text);
        }
    };
    check(report.text("schema") == "winddown.report/1", "the schema".to_owned());
    if report.text("verdict") == "refused" {
        check(report.0["trigger"].is_null(), "P3: a refused run has a trigger".to_owned());
        return broken;
    }
    p1_one_outcome_each(report, scenario, &mut check);
    p2_every_beginning_has_an_end(report, &mut check);
    p3_exit_code(report, &mut check);
    o1_order(report, scenario, &mut check);
    d1_resources_last(report, &mut check);
    events_in_order(report, &mut check);
    broken
}

type Check<'a> = dyn FnMut(bool, String) + 'a;

fn tables<'a>(scenario: &'a toml::Table, key: &str) -> Vec<&'a toml::Table> {
    let list = scenario.get(key).and_then(toml::Value::as_array);
    list.into_iter().flatten().filter_map(toml::Value::as_table).collect()
}

fn name(table: &toml::Table) -> &str {
    table.get("name").and_then(toml::Value::as_str).unwrap_or_default()
}

fn p1_one_outcome_each(report: &Report, scenario: &toml::Table, check: &mut Check<'_>) {
    for (key, there) in [("component", report.components()), ("resource", report.resources())] {
        let mut planned: Vec<&str> = tables(scenario, key).into_iter().map(name).collect();
        let mut reported: Vec<&str> = there.iter().filter_map(|entry| entry["name"].as_str()).collect();
        planned.sort_unstable();
        reported.sort_unstable();
        check(planned == reported, format!("P1: planned {planned:?}, reported {reported:?}"));
    }
    for component in report.components() {
        let (outcome, rung) = (component["outcome"].as_str().unwrap_or("-"), component["rung"].as_str().unwrap_or("-"));
        let fits = match outcome {
            "stopped" => rung == "graceful",
            "not_started" => rung == "none",
            "finished" | "failed" | "panicked" => matches!(rung, "none" | "graceful"),
            "cancelled" => rung == "cancel",
            "aborted" => rung == "abort",
            "abandoned" => rung == "abandon",
            _ => false,
        };
        check(fits, format!("P1: {} is {outcome} on the rung {rung}", component["name"]));
    }
}

fn p2_every_beginning_has_an_end(report: &Report, check: &mut Check<'_>) {
    for component in report.components() {
        let name = &component["name"];
        for key in ["start", "stop"] {
            let span = &component[key];
            let whole = match (span["began_ms"].as_f64(), span["ended_ms"].as_f64()) {
                (Some(began), Some(ended)) => 0.0 <= began && began <= ended,
                _ => span.is_null(),
            };
            check(whole, format!("P2: the {key} of {name} is {span}"));
        }
        let (started, stopping) = (component["start"]["ended_ms"].as_f64(), component["stop"]["began_ms"].as_f64());
        if let Some(stopping) = stopping {
            check(started.is_some_and(|started| started <= stopping), format!("T4: {name} was stopped before it had started"));
        }
    }
}

fn p3_exit_code(report: &Report, check: &mut Check<'_>) {
    let any = |list: &[Value], outcomes: &[&str]| list.iter().any(|one| outcomes.iter().any(|outcome| one["outcome"] == *outcome));
    let forced = any(report.components(), &["cancelled", "aborted", "abandoned"]) || any(report.resources(), &["late"]);
    let failed = any(report.components(), &["failed", "panicked"])
        || any(report.resources(), &["failed"])
        || matches!(report.0["trigger"]["kind"].as_str(), Some("setup_failed" | "start_failed" | "component_failed"));
    let code = report.exit_code();
    let (fits, wanted) = match report.text("verdict") {
        "immediate" => (code > 128, "more than 128"),
        "forced" => (code == 124 && forced, "124 with something forced"),
        "failed" => (code == 1 && failed && !forced, "1 with something failed and nothing forced"),
        "clean" => (code == 0 && !failed && !forced, "0 with nothing failed or forced"),
        _ => (false, "a known verdict"),
    };
    check(fits, format!("P3: {} with {code}, wanted {wanted}", report.text("verdict")));
}

fn o1_order(report: &Report, scenario: &toml::Table, check: &mut Check<'_>) {
    let components = tables(scenario, "component");
    let phase = |table: &toml::Table| table.get("phase").and_then(toml::Value::as_integer).unwrap_or(0);
    let after = |table: &toml::Table, other: &str| {
        let list = table.get("after").and_then(toml::Value::as_array);
        list.into_iter().flatten().any(|one| one.as_str() == Some(other))
    };
    // A component that was started again has its latest start in the report: nothing can be said of that one's order.
    let restarted: BTreeMap<&str, bool> =
        components.iter().map(|table| (name(table), report.find_component(name(table)).is_none_or(|one| one["restarts"] != 0))).collect();
    for lower in &components {
        for upper in components.iter().filter(|upper| phase(lower) < phase(upper) || after(upper, name(lower))) {
            let (low, high) = (name(lower), name(upper));
            let instant = |who: &str, what: &str| report.instant(&format!("{who}.{what}"));
            let mut ordered = |first: Option<f64>, second: Option<f64>, what: &str| {
                if let (Some(first), Some(second)) = (first, second) {
                    check(first <= second, format!("O1: {what} of {low} and {high}: {first} and {second}"));
                }
            };
            if !restarted[low] && !restarted[high] {
                ordered(instant(low, "start.ended"), instant(high, "start.began"), "the starts");
            }
            ordered(instant(high, "stop.ended"), instant(low, "stop.began"), "the stops");
        }
    }
}

fn d1_resources_last(report: &Report, check: &mut Check<'_>) {
    let last = report.components().iter().filter_map(|one| one["stop"]["ended_ms"].as_f64()).fold(0.0, f64::max);
    let began = report.events().iter().filter(|event| event["kind"] == "destroy_began");
    let order: Vec<&str> = began.clone().filter_map(|event| event["subject"].as_str()).collect();
    for event in began {
        let at = event["at_ms"].as_f64().unwrap_or_default();
        check(at >= last, format!("D1: {} was destroyed at {at}, the last component ended at {last}", event["subject"]));
    }
    let registered: Vec<&str> = report.resources().iter().filter_map(|one| one["name"].as_str()).collect();
    let reverse: Vec<&str> = registered.iter().rev().copied().filter(|name| order.contains(name)).collect();
    check(order == reverse, format!("D1: registered {registered:?}, destroyed {order:?}"));
}

fn events_in_order(report: &Report, check: &mut Check<'_>) {
    let at: Vec<f64> = report.events().iter().filter_map(|event| event["at_ms"].as_f64()).collect();
    check(at.len() == report.events().len(), "an event has no instant".to_owned());
    check(at.is_sorted(), "the events are not in order".to_owned());
    check(report.events().first().is_some_and(|event| event["kind"] == "run_began"), "the first event is not run_began".to_owned());
    let mut ended: BTreeMap<String, u32> = BTreeMap::new();
    for event in report.events().iter().filter(|event| event["kind"] == "component_ended") {
        *ended.entry(event["subject"].to_string()).or_default() += 1;
    }
    for (subject, times) in ended {
        check(times == 1, format!("P1: {subject} ended {times} times"));
    }
}
