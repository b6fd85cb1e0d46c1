//! T9: deadlines and blame when workers are blocked.

use crate::common::child::Setup;
use crate::common::{PATIENCE, SLACK, millis};
use std::time::{Duration, Instant};

const BOTH: &str = "
grace = '2s'
worker_threads = 2
[[component]]
name = 'first'
run = 'block 30s after 100ms'
[[component]]
name = 'second'
run = 'block 30s after 150ms'
[[component]]
name = 'bystander'
stop = '50ms'
";

#[test]
fn t9_both_workers_blocked_leaves_within_the_grace_and_names_both() {
    let child = Setup::of("both", BOTH).args(["--trace"]).spawn();
    child.ready();
    child.event("worker_blocked", Some("first"));
    child.event("worker_blocked", Some("second"));
    child.signal("TERM");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    let (took, report) = (end.at - asked, end.report());
    assert_eq!((end.code(), report.text("verdict")), (124, "forced"), "{}", end.stderr);
    assert!(took <= Duration::from_secs(2) + SLACK, "it left {took:?} after the signal");
    for name in ["first", "second"] {
        let component = report.component(name);
        assert_eq!((&component["outcome"], &component["blocked_worker"]["task"]), (&"abandoned".into(), &"run".into()));
        assert!(component["blocked_worker"]["since_ms"].as_f64() > Some(50.0), "{component}");
        assert!(end.stderr.lines().any(|line| !line.starts_with('{') && line.contains(name)), "{name} is not told:\n{}", end.stderr);
    }
    assert!(report.component("bystander")["blocked_worker"].is_null(), "it blocked nothing");
}

#[test]
fn t9_the_only_worker_blocked_leaves_within_the_grace() {
    let toml = "grace = '1s'\nworker_threads = 1\n[[component]]\nname = 'greedy'\nrun = 'block 30s after 50ms'\n";
    let child = Setup::of("only", toml).args(["--trace"]).spawn();
    child.ready();
    child.event("worker_blocked", Some("greedy"));
    child.signal("TERM");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    assert_eq!(end.code(), 124, "{}", end.stderr);
    assert!(end.at - asked <= Duration::from_secs(1) + SLACK, "{:?}", end.at - asked);
    assert_eq!(end.report().component("greedy")["blocked_worker"]["task"], "run");
}

#[test]
fn t9_a_request_is_heard_although_all_workers_are_blocked() {
    let toml = "
        grace = '1s'
        stop_after = '300ms'
        [[component]]
        name = 'first'
        run = 'block 30s after 20ms'
        [[component]]
        name = 'second'
        run = 'block 30s after 40ms'
    ";
    let end = Setup::of("request", toml).spawn().end(PATIENCE);
    assert_eq!((end.code(), end.report().text("verdict")), (124, "forced"), "{}", end.stderr);
    assert!(end.report().number("shutdown_ms") <= 1_000.0 + SLACK.as_secs_f64() * 1e3);
}

#[test]
fn t9_timers_go_on_beside_a_blocked_worker() {
    for workers in [2, 8] {
        let toml = format!(
            "grace = '10s'\nworker_threads = {workers}\n\
             [[component]]\nname = 'greedy'\nrun = 'block 3s after 50ms'\n\
             [[component]]\nname = 'timer'\nphase = 1\nstop = '300ms'\n\
             [[component]]\nname = 'last'\nphase = -1\nstop = '300ms'\n"
        );
        let child = Setup::of("timers", &toml).args(["--trace"]).spawn();
        child.ready();
        child.event("worker_blocked", Some("greedy"));
        child.signal("TERM");
        let end = child.end(PATIENCE);
        let report = end.report();
        let took = report.instant("timer.stop.ended").unwrap() - report.instant("timer.stop.began").unwrap();
        assert!(took < 300.0 + 2.0 * SLACK.as_secs_f64() * 1e3, "{workers} workers: a 300 ms timer took {took} ms");
        // The one who blocked came back in time: named all the same, and not forced.
        assert_eq!((end.code(), report.outcome("greedy")), (0, "stopped"), "{}", end.stderr);
        assert_eq!(report.component("greedy")["blocked_worker"]["task"], "run");
        assert!(report.has_event("worker_freed", Some("greedy")));
    }
}

#[test]
fn t9_who_blocks_is_told_before_any_shutdown() {
    let child = Setup::of("warned", BOTH).spawn();
    child.ready();
    let told = child.stderr.wait_for(PATIENCE, |line| line.contains("first"));
    assert!(told.is_some(), "nothing was said:\n{}", child.stderr.text());
    child.signal("TERM");
    child.end(PATIENCE);
}

#[test]
fn t10_blocking_threads_do_not_keep_the_process() {
    let toml = "
        grace = '5s'
        [[component]]
        name = 'lookup'
        run = 'blocking 30s after 0ms'
        stop_budget = '100ms'
    ";
    let child = Setup::of("threads", toml).args(["--trace"]).spawn();
    child.ready();
    // Nothing tells when a blocking thread has begun; in this time it surely has.
    std::thread::sleep(millis(150));
    child.signal("TERM");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    assert_eq!((end.code(), end.report().outcome("lookup")), (124, "abandoned"), "{}", end.stderr);
    // 100 ms of its own, then the waits for cancel (500 ms) and abort (250 ms).
    assert!(end.at - asked < millis(1_500), "{:?}", end.at - asked);
}

#[test]
fn t5_a_drop_that_blocks_is_given_up() {
    let toml = "
        grace = '5s'
        stop_after = '50ms'
        [[component]]
        name = 'stuck'
        stop = 'hang'
        drop = 'block 30s'
        stop_budget = '100ms'
        [[component]]
        name = 'other'
        stop = '100ms'
    ";
    let end = Setup::of("drop", toml).spawn().end(PATIENCE);
    let report = end.report();
    assert_eq!((end.code(), report.outcome("stuck"), report.outcome("other")), (124, "abandoned", "stopped"), "{}", end.stderr);
    assert!(report.has_event("abort_began", Some("stuck")));
}
