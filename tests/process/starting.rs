//! S3–S5: signals before, during and after a start that does not go well.

use crate::common::child::Setup;
use crate::common::{PATIENCE, millis};
use std::time::Instant;

const SIGTERM: u32 = 15;

#[test]
fn s5_signal_before_the_first_start_is_remembered() {
    let toml = "
        grace = '5s'
        [[resource]]
        name = 'db'
        [[component]]
        name = 'first'
        uses = ['db']
        start = '30s'
        [[component]]
        name = 'second'
        phase = 1
    ";
    let child = Setup::of("early", toml).spawn();
    // As early as can be: the moment the handler stands, which is before set-up and the first start.
    child.catches(SIGTERM);
    child.signal("TERM");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    assert_eq!((end.code(), end.report().text("verdict")), (0, "clean"), "{}", end.stderr);
    assert_eq!(end.report().0["trigger"]["kind"], "signal");
    assert_eq!(end.report().outcome("first"), "not_started");
    assert_eq!(end.report().outcome("second"), "not_started");
    assert!(end.at - asked < millis(1_000), "{:?}", end.at - asked);
}

#[test]
fn s4_signal_during_start_drops_it_at_once_and_rolls_back() {
    let toml = "
        grace = '20s'
        [[component]]
        name = 'runs'
        stop = '200ms'
        [[component]]
        name = 'starting'
        phase = 1
        start = 'hang'
    ";
    let child = Setup::of("during", toml).args(["--trace"]).spawn();
    child.event("start_began", Some("starting"));
    child.signal("TERM");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    let report = end.report();
    assert_eq!(end.code(), 0, "{}", end.stderr);
    assert_eq!((report.outcome("runs"), report.outcome("starting")), ("stopped", "not_started"));
    assert!(report.component("starting")["stop"].is_null(), "a start that was interrupted is never given stop");
    assert!(end.at - asked < millis(1_200), "{:?}", end.at - asked);
}

#[test]
fn s4_signal_during_a_start_that_blocks_leaves_within_the_grace() {
    let toml = "grace = '1s'\n[[component]]\nname = 'stuck'\nstart = 'block 30s'\n";
    let child = Setup::of("stuck", toml).args(["--trace"]).spawn();
    child.event("start_began", Some("stuck"));
    child.signal("TERM");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    assert_eq!((end.code(), end.report().outcome("stuck")), (124, "abandoned"), "{}", end.stderr);
    assert!(end.at - asked < millis(1_200), "{:?}", end.at - asked);
}

const UNDONE: &str = "
grace = '1m'
[[component]]
name = 'runs'
stop = '30s'
stop_budget = '40s'
[[component]]
name = 'broken'
phase = 1
start = 'fail'
";

#[test]
fn s3_the_first_cause_is_reported_also_when_signals_follow() {
    let child = Setup::of("undone", UNDONE).args(["--trace"]).spawn();
    child.event("stop_began", Some("runs"));
    child.signal_and_wait("TERM");
    child.signal("INT");
    let end = child.end(PATIENCE);
    let trigger = &end.report().0["trigger"];
    assert_eq!((&trigger["kind"], &trigger["component"]), (&"start_failed".into(), &"broken".into()));
    assert_eq!(end.report().outcome("broken"), "failed");
}

#[test]
fn s4_signals_during_a_rollback_hurry_it_and_then_leave() {
    let child = Setup::of("hurried", UNDONE).args(["--trace"]).spawn();
    child.event("stop_began", Some("runs"));
    for signal in ["TERM", "INT"] {
        child.signal_and_wait(signal);
    }
    child.signal("QUIT");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    assert!(matches!(end.code(), 124 | 131), "{}", end.status);
    assert!(end.at - asked < millis(2_000), "{:?}", end.at - asked);
}

#[test]
fn d1_signals_during_destroy_destroy_nothing_twice() {
    let toml = "
        grace = '5s'
        [[resource]]
        name = 'inner'
        destroy = '50ms'
        [[resource]]
        name = 'outer'
        destroy = '300ms'
        [[component]]
        name = 'a'
    ";
    let child = Setup::of("destroy", toml).args(["--trace"]).spawn();
    child.ready();
    child.signal("TERM");
    child.event("destroy_began", Some("outer"));
    child.signal("INT");
    let end = child.end(PATIENCE);
    let report = end.report();
    assert_eq!(report.count_events("destroy_began"), 2, "{}", end.stderr);
    assert_eq!(report.count_events("destroy_ended"), 2, "{}", end.stderr);
    assert_eq!(report.outcome("a"), "stopped");
    assert!(report.instant("outer.destroyed") <= report.instant("inner.destroyed"));
}

#[test]
fn d1_third_signal_during_destroy_leaves_at_once() {
    let toml = "grace = '1m'\n[[resource]]\nname = 'db'\ndestroy = 'hang'\n[[component]]\nname = 'a'\n";
    let child = Setup::of("leave", toml).args(["--trace"]).spawn();
    child.ready();
    child.signal("TERM");
    child.event("destroy_began", Some("db"));
    child.signal_and_wait("INT");
    child.signal("QUIT");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    // A second signal may have ended the destroy before the third came.
    assert!(matches!(end.code(), 124 | 131), "{}", end.status);
    assert!(end.at - asked < millis(1_000), "{:?}", end.at - asked);
}
