//! A plan as text, JSON and Mermaid, compared letter by letter (O6).

use crate::{app, block_on, idle};
use serde_json::{Value, json};
use std::time::Duration;
use winddown::{App, Phase, Policy, Restart, millis, secs};

/// Parallel components, dependencies, explicit and defaulted budgets, policies, an on-demand component and two resources.
fn shop(grace: Duration) -> App {
    let app = app().grace(grace).start_budget(secs(10));
    let opener = app.clone();
    let (pool, journal) = block_on(async move {
        let pool = opener.resource("pool", async { anyhow::Ok(0) }).await.expect("it opens");
        (pool, opener.resource("journal \"j\"", async { anyhow::Ok(0) }).budget(secs(2)).await.expect("it opens"))
    });
    let producer = idle(&app, "producer").phase(Phase::CLIENTS).stop_budget(secs(3)).uses(&journal).id();
    idle(&app, "metrics").phase(Phase::CLIENTS).policy(Policy::Ignore);
    let worker = app.task_factory("worker", |_| async { Ok(()) }).policy(Policy::Restart(Restart::new(3, secs(10)))).uses(&pool).id();
    idle(&app, "reporter \"r\"").after(worker).after(producer).start_budget(millis(500)).cancel_wait(millis(100));
    idle(&app, "backfill").phase(50).auto_startup(false);
    app
}

#[test]
fn o6_the_plan_as_text() {
    // 5.75 s for backfill, 5.35 s for the reporter, 5.75 s each for the worker and for metrics, 3 s for the resources, and the report.
    let expected = r#"plan of shop: 5 components in 3 phases, 2 resources
starts from the top down, stops from the bottom up; what shares a phase does so at once unless `after` orders it
phase -100
  producer      start 10 s, stop 3 s (explicit) + 500 ms + 250 ms; uses journal "j"
  metrics       start 10 s, stop 5 s + 500 ms + 250 ms; failures ignored
phase 0
  worker        start 10 s, stop 5 s + 500 ms + 250 ms; uses pool; restarted up to 3 times in 10 s
  reporter "r"  start 500 ms, stop 5 s + 100 ms + 250 ms; after worker, producer
phase 50
  backfill      start 10 s, stop 5 s + 500 ms + 250 ms; started on demand
resources, destroyed when every component is terminal: journal "j" (2 s), then pool (1 s)
worst case of a shutdown: 25.6 s of 30 s grace
critical path: backfill -> reporter "r" -> worker -> metrics
"#;
    assert_eq!(shop(secs(30)).plan().expect("a good plan").to_string(), expected);
}

#[test]
fn o6_a_plan_whose_defaults_had_to_be_shortened_as_text() {
    // 14.98 s are there; 5 s of them are explicit, and the 18.6 s of the rest share what is left.
    let expected = r#"plan of shop: 5 components in 3 phases, 2 resources
starts from the top down, stops from the bottom up; what shares a phase does so at once unless `after` orders it
phase -100
  producer      start 10 s, stop 3 s (explicit) + 268 ms + 134 ms; uses journal "j"
  metrics       start 10 s, stop 2.7 s + 268 ms + 134 ms; failures ignored
phase 0
  worker        start 10 s, stop 2.7 s + 268 ms + 134 ms; uses pool; restarted up to 3 times in 10 s
  reporter "r"  start 500 ms, stop 2.7 s + 54 ms + 134 ms; after worker, producer
phase 50
  backfill      start 10 s, stop 2.7 s + 268 ms + 134 ms; started on demand
resources, destroyed when every component is terminal: journal "j" (2 s), then pool (537 ms)
worst case of a shutdown: 15 s of 15 s grace; defaulted budgets and waits shortened to 53.7 %
critical path: backfill -> reporter "r" -> worker -> producer
"#;
    assert_eq!(shop(secs(15)).plan().expect("a good plan").to_string(), expected);
}

/// A component of the plan's JSON; most of it is the same for all of them.
fn component(name: &str, phase: i32, differs: &Value) -> Value {
    let mut component = json!({
        "name": name, "phase": phase, "after": [], "uses": [], "auto_startup": true, "start_budget_ms": 10000.0, "stop_budget_ms": 5000.0,
        "stop_budget_explicit": false, "cancel_wait_ms": 500.0, "abort_wait_ms": 250.0, "policy": "shutdown",
    });
    for (key, value) in differs.as_object().expect("an object") {
        component[key] = value.clone();
    }
    component
}

#[test]
fn o6_the_plan_as_json() {
    let expected = json!({
        "schema": "winddown.plan/1",
        "app": "shop",
        "grace_ms": 30000.0,
        "factor": 1.0,
        "worst_case_ms": 25620.0,
        "critical_path": ["backfill", "reporter \"r\"", "worker", "metrics"],
        "phases": [
            { "phase": -100, "components": ["producer", "metrics"] },
            { "phase": 0, "components": ["worker", "reporter \"r\""] },
            { "phase": 50, "components": ["backfill"] },
        ],
        "components": [
            component("producer", -100, &json!({ "stop_budget_ms": 3000.0, "stop_budget_explicit": true, "uses": ["journal \"j\""] })),
            component("metrics", -100, &json!({ "policy": "ignore" })),
            component("worker", 0, &json!({ "policy": "restart", "uses": ["pool"] })),
            component("reporter \"r\"", 0, &json!({ "after": ["worker", "producer"], "start_budget_ms": 500.0, "cancel_wait_ms": 100.0 })),
            component("backfill", 50, &json!({ "auto_startup": false })),
        ],
        "resources": [
            { "name": "pool", "budget_ms": 1000.0, "explicit": false },
            { "name": "journal \"j\"", "budget_ms": 2000.0, "explicit": true },
        ],
    });
    assert_eq!(shop(secs(30)).plan().expect("a good plan").to_json(), format!("{expected:#}"));
}

#[test]
fn o6_the_plan_as_mermaid() {
    let expected = r#"flowchart LR
  subgraph pm100 ["phase -100"]
    c0["producer"]
    c1["metrics"]
  end
  subgraph p0 ["phase 0"]
    c2["worker"]
    c3["reporter #quot;r#quot;"]
  end
  subgraph p50 ["phase 50"]
    c4["backfill"]
  end
  pm100 --> p0
  p0 --> p50
  r1 -.-> c0
  r0 -.-> c2
  c2 --> c3
  c0 --> c3
  r0[("pool")]
  r1[("journal #quot;j#quot;")]
"#;
    assert_eq!(shop(secs(30)).plan().expect("a good plan").to_mermaid(), expected);
}

#[test]
fn o6_an_empty_plan_in_all_three_forms() {
    let plan = app().plan().expect("an empty plan is a plan");
    let text = "plan of shop: 0 components in 0 phases, 0 resources\n\
                starts from the top down, stops from the bottom up; what shares a phase does so at once unless `after` orders it\n\
                worst case of a shutdown: 20 ms of 25 s grace\n";
    assert_eq!(plan.to_string(), text);
    assert_eq!(plan.to_mermaid(), "flowchart LR\n");
    let expected = json!({
        "schema": "winddown.plan/1", "app": "shop", "grace_ms": 25000.0, "factor": 1.0, "worst_case_ms": 20.0, "critical_path": [], "phases": [],
        "components": [], "resources": [],
    });
    assert_eq!(plan.to_json(), format!("{expected:#}"));
}

#[test]
fn o6_the_same_registrations_give_the_same_plan() {
    let (one, other) = (shop(secs(15)).plan().expect("a good plan"), shop(secs(15)).plan().expect("the same plan"));
    assert_eq!(one.to_string(), other.to_string());
    assert_eq!(one.to_json(), other.to_json());
    assert_eq!(one.to_mermaid(), other.to_mermaid());
}
