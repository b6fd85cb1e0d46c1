//! T7, T8: what one, two, three and ten thousand signals do.

use crate::common::child::{Running, Setup, eventually};
use crate::common::{PATIENCE, SLACK, millis};
use std::process::Command;
use std::time::Instant;

/// Would take a minute to stop, if it were left to it.
const SLOW: &str = "
grace = '2m'
[[component]]
name = 'slow'
phase = 1
stop = '1m'
stop_budget = '90s'
[[component]]
name = 'next'
phase = 0
stop = '50ms'
";

/// Cannot be hurried at all: its thread sleeps.
const STUCK: &str = "grace = '2m'\n[[component]]\nname = 'stuck'\nstop = 'block 1m'\nstop_budget = '90s'\n";

/// The same signal counts again only after this long.
const ONE_SIGNAL: u64 = 200;

fn ready(name: &str, toml: &str) -> Running {
    let child = Setup::of(name, toml).args(["--trace"]).spawn();
    child.ready();
    child
}

#[test]
fn t8_second_signal_moves_the_live_up_a_rung_and_still_asks_the_others() {
    let child = ready("second", SLOW);
    child.signal("TERM");
    child.event("stop_began", Some("slow"));
    child.signal("INT");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    let report = end.report();
    assert_eq!((end.code(), report.text("verdict")), (124, "forced"), "{}", end.stderr);
    assert!(matches!(report.outcome("slow"), "cancelled" | "aborted"), "{}", report.outcome("slow"));
    assert_eq!(report.outcome("next"), "stopped");
    assert!(report.instant("slow.stop.ended") <= report.instant("next.stop.began"));
    // The cancel wait (500 ms) and abort wait (250 ms) of the one, and the 50 ms of the other.
    assert!(end.at - asked < millis(1_500), "{:?}", end.at - asked);
}

#[test]
fn t8_second_signal_leaves_later_ones_a_quarter_of_a_second() {
    let toml = "
        grace = '2m'
        [[component]]
        name = 'first'
        phase = 1
        stop = '1m'
        [[component]]
        name = 'then'
        phase = 0
        stop = '1m'
    ";
    let child = ready("later", toml);
    child.signal("TERM");
    child.event("stop_began", Some("first"));
    child.signal("INT");
    let end = child.end(PATIENCE);
    let report = end.report();
    let cancelled = report.events().iter().find(|event| event["kind"] == "cancel_began" && event["subject"] == "then");
    let graceful = cancelled.expect("it was cancelled")["at_ms"].as_f64().unwrap() - report.instant("then.stop.began").unwrap();
    assert!(graceful <= 250.0 + SLACK.as_secs_f64() * 1e3, "asked, then left {graceful} ms");
}

#[test]
fn t8_third_signal_leaves_at_once() {
    let child = ready("third", STUCK);
    child.signal("TERM");
    child.event("stop_began", Some("stuck"));
    child.signal_and_wait("INT");
    child.signal("QUIT");
    let asked = Instant::now();
    let end = child.end(PATIENCE);
    assert_eq!(end.code(), 128 + 3, "{}", end.stderr);
    assert_eq!(end.report().text("verdict"), "immediate");
    assert!(end.at - asked < SLACK * 2, "it took {:?}", end.at - asked);
    assert_eq!(end.report().component("stuck")["stop"]["ended_ms"].as_f64().map(|ms| ms > 0.0), Some(true));
}

#[test]
fn t8_three_times_the_same_signal_counts_as_three_when_it_is_repeated_slowly() {
    let child = ready("thrice", STUCK);
    for n in 1..=2 {
        child.signal("TERM");
        child.took("TERM", n);
        std::thread::sleep(millis(ONE_SIGNAL + 50));
    }
    child.signal("TERM");
    let end = child.end(PATIENCE);
    assert_eq!(end.code(), 143, "{}", end.stderr);
    assert_eq!(end.report().text("verdict"), "immediate");
}

#[test]
fn t8_the_same_signal_within_200_ms_is_one() {
    let child = ready("twice", "grace = '5s'\n[[component]]\nname = 'a'\nstop = '600ms'\n");
    let script = "kill -TERM $0; kill -TERM $0; kill -TERM $0";
    let sent = Command::new("sh").args(["-c", script, &child.pid().to_string()]).status();
    assert!(sent.expect("sh can be run").success());
    let end = child.end(PATIENCE);
    assert_eq!(end.code(), 0, "{}", end.stderr);
    assert_eq!(end.report().outcome("a"), "stopped");
}

#[test]
fn t8_ten_thousand_sigterms_end_in_order_or_by_escalation_but_end() {
    let child = ready("many", "grace = '5s'\n[[component]]\nname = 'a'\nstop = '300ms'\n");
    let script = "i=0; while [ $i -lt 10000 ]; do kill -TERM $0 2>/dev/null || exit 0; i=$((i+1)); done";
    let mut storm = Command::new("sh").args(["-c", script, &child.pid().to_string()]).spawn().expect("sh can be run");
    let began = Instant::now();
    let end = child.end(PATIENCE);
    storm.wait().expect("the storm is over");
    // How many it counts as depends on how fast the machine sends them; whatever it is, it is one of the defined ends.
    assert!(matches!(end.code(), 0 | 124 | 143), "{}", end.status);
    assert_eq!(end.report().exit_code(), i64::from(end.code()));
    assert!(end.at - began < millis(5_000), "{:?}", end.at - began);
}

#[test]
fn t8_a_signal_ignored_from_the_beginning_stays_ignored() {
    for wrapper in [&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"][..], &["nohup"][..]] {
        let child = Setup::of("nohup", "grace = '5s'\n[[component]]\nname = 'a'\nstop = '50ms'\n").wrapped(wrapper).args(["--trace"]).spawn();
        child.ready();
        child.signal("HUP");
        child.signal("TERM");
        let end = child.end(PATIENCE);
        assert_eq!(end.code(), 0, "{}", end.stderr);
        assert_eq!(end.report().0["trigger"]["detail"], "SIGTERM");
        assert_eq!(end.report().count_events("signal_received"), 1);
    }
}

#[test]
fn t8_each_signal_tells_what_the_next_will_do() {
    let child = ready("tells", STUCK);
    let told = |signal: &str| child.stderr.wait_for(PATIENCE, |line| line.contains(signal) && !line.starts_with('{'));
    for signal in ["TERM", "INT"] {
        child.signal(signal);
        let line = told(&format!("SIG{signal}")).unwrap_or_else(|| panic!("nothing said on {signal}: {}", child.stderr.text()));
        assert!(line.len() > "SIGTERM".len() + 10, "too little: {line}");
    }
    child.signal("QUIT");
    child.end(PATIENCE);
}

#[test]
fn t8_all_four_signals_are_handled_before_anything_starts() {
    for (name, number) in [("TERM", 15), ("INT", 2), ("QUIT", 3), ("HUP", 1)] {
        let child = Setup::of(name, "grace = '2s'\n[[component]]\nname = 'a'\nstart = 'hang'\n").spawn();
        child.catches(number);
        child.signal(name);
        let end = child.end(PATIENCE);
        assert_eq!(end.code(), 0, "{name}: {}", end.stderr);
        assert_eq!(end.report().0["trigger"]["detail"], format!("SIG{name}"));
    }
}

#[test]
fn t7_a_request_and_signals_end_in_one_shutdown() {
    let child = ready("both", "grace = '5s'\nstop_after = '50ms'\n[[component]]\nname = 'a'\nstop = '500ms'\n");
    child.event("stop_began", Some("a"));
    child.signal("TERM");
    let end = child.end(PATIENCE);
    assert_eq!(end.report().count_events("shutdown_began"), 1);
    assert_eq!(end.report().0["trigger"]["kind"], "request");
}

#[test]
fn t10_a_quick_stop_is_over_quickly() {
    let mut child = ready("quick", "grace = '1m'\n[[component]]\nname = 'a'\n");
    child.signal("TERM");
    let gone = eventually(millis(1_000), || (!child.is_running()).then_some(()));
    assert!(gone.is_some(), "a minute's grace is no reason to stay");
}
