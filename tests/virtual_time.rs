//! Whole apps in virtual time, through the public door only: real components, tokio's paused clock, no waiting.
//!
//! A test's name begins with the rule that it proves; the rules stand in `docs/semantics.md`.

#[path = "virtual_time/critical.rs"]
mod critical;
#[path = "virtual_time/deadlines.rs"]
mod deadlines;
#[path = "virtual_time/kit.rs"]
mod kit;
#[path = "virtual_time/links.rs"]
mod links;
#[path = "virtual_time/on_demand.rs"]
mod on_demand;
#[path = "virtual_time/order.rs"]
mod order;
#[path = "virtual_time/panics.rs"]
mod panics;
#[path = "virtual_time/profiles.rs"]
mod profiles;
#[path = "virtual_time/report.rs"]
mod report;
#[path = "virtual_time/resources.rs"]
mod resources;
#[path = "virtual_time/scope.rs"]
mod scope;
#[path = "virtual_time/set_up.rs"]
mod set_up;
#[path = "virtual_time/starting.rs"]
mod starting;
#[path = "virtual_time/stopping.rs"]
mod stopping;
#[path = "virtual_time/supervision.rs"]
mod supervision;
#[path = "virtual_time/watching.rs"]
mod watching;
