//! Assertions on who came before whom.

use crate::actors::{Log, Part, orders};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use winddown::testkit::{World, assert_start_order, assert_stop_order};
use winddown::{App, Phase, Report, Where, millis};

fn complaint(check: impl FnOnce()) -> String {
    *catch_unwind(AssertUnwindSafe(check)).expect_err("it holds").downcast::<String>().expect("a text")
}

async fn side_by_side() -> Arc<Report> {
    let app = App::new("orders");
    for (name, takes) in [("quick", 1), ("slow", 5)] {
        app.add(Part { name, phase: Phase::WORKERS, takes: millis(takes), log: Log::default() });
    }
    World::new(&app).shutdown_when("ready").run().await
}

#[tokio::test(start_paused = true)]
async fn o1_phases_start_upwards_and_stop_downwards() {
    let report = World::new(&orders()).shutdown_when("ready").run().await;
    assert_start_order(&report, &["trace", "producer", "consumer"]);
    assert_stop_order(&report, &["consumer", "producer", "trace"]);
    // Any part of it.
    assert_stop_order(&report, &["consumer", "trace"]);
    assert_stop_order(&report, &["producer"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_otherwise_is_shown() {
    let report = World::new(&orders()).shutdown_when("ready").run().await;
    let text = complaint(|| assert_stop_order(&report, &["consumer", "trace", "producer"]));
    assert!(text.starts_with("`trace` was not over when the stop of `producer` began\nwanted in this order:\n  consumer  stop began"), "{text}");
    let text = complaint(|| assert_start_order(&report, &["producer", "trace"]));
    assert!(text.starts_with("`producer` was not over when the start of `trace` began"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn o2_side_by_side_is_no_order_in_either_direction() {
    let report = side_by_side().await;
    for pair in [["quick", "slow"], ["slow", "quick"]] {
        complaint(|| assert_stop_order(&report, &pair));
        complaint(|| assert_start_order(&report, &pair));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_there_or_never_ran_is_told() {
    let report = World::new(&orders()).fail("producer", Where::Start, "no route").run().await;
    let text = complaint(|| assert_stop_order(&report, &["consmer"]));
    assert!(text.starts_with("no component is called `consmer`; there are trace, producer, consumer"), "{text}");
    let text = complaint(|| assert_stop_order(&report, &["consumer", "trace"]));
    assert!(text.starts_with("`consumer` did not stop"), "{text}");
    let text = complaint(|| assert_start_order(&report, &["trace", "producer"]));
    assert!(text.starts_with("`producer` did not start"), "{text}");
}
