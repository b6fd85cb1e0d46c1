//! P3: what the process leaves with.

use crate::common::PATIENCE;
use crate::common::child::{Ended, Setup};

fn run(name: &str, toml: &str) -> Ended {
    Setup::of(name, toml).spawn().end(PATIENCE)
}

#[track_caller]
fn leaves_with(end: &Ended, code: i32, verdict: &str) {
    assert_eq!((end.code(), end.report().text("verdict")), (code, verdict), "{}", end.stderr);
    assert_eq!(end.report().exit_code(), i64::from(code), "the report and the process disagree");
}

#[test]
fn p3_0_when_all_ended_as_asked() {
    let end = run("clean", "grace = '2s'\nstop_after = '50ms'\n[[component]]\nname = 'a'\nstop = '20ms'\n");
    leaves_with(&end, 0, "clean");
    assert_eq!(end.stdout, "ready");
}

#[test]
fn p3_0_when_the_work_was_done() {
    let end = run("done", "grace = '2s'\n[[component]]\nname = 'a'\nrun = 'finish 50ms'\n");
    leaves_with(&end, 0, "clean");
    assert_eq!(end.report().outcome("a"), "finished");
}

#[test]
fn p3_1_when_something_failed_without_force() {
    for (name, line) in [
        ("start-fails", "start = 'fail'"),
        ("start-panics", "start = 'panic'"),
        ("run-fails", "run = 'fail 20ms'"),
        ("run-panics", "run = 'panic 20ms'"),
        ("stop-fails", "stop = 'fail'"),
        ("stop-panics", "stop = 'panic'"),
    ] {
        let end = run(name, &format!("grace = '2s'\nstop_after = '100ms'\n[[component]]\nname = 'a'\n{line}\n"));
        leaves_with(&end, 1, "failed");
        let error = end.report().component("a")["error"].as_str().unwrap_or_default();
        assert!(error.contains("as scripted"), "{name}: {error}");
    }
}

#[test]
fn p3_1_when_a_destroy_failed() {
    for destroy in ["fail", "panic"] {
        let toml = format!("grace = '2s'\nstop_after = '50ms'\n[[resource]]\nname = 'db'\ndestroy = '{destroy}'\n");
        let end = run(destroy, &toml);
        leaves_with(&end, 1, "failed");
    }
}

#[test]
fn p3_2_when_refused() {
    let end = run("refused", "[[component]]\nname = 'a'\nafter = ['a']\n");
    leaves_with(&end, 2, "refused");
    assert!(end.report().0["trigger"].is_null());
    assert_eq!(end.stdout, "");
}

#[test]
fn p3_124_when_forced_whatever_else_failed() {
    for (name, line) in [("cancelled", "stop = 'stubborn 20ms'"), ("aborted", "stop = 'hang'"), ("abandoned", "stop = 'block 30s'")] {
        let toml = format!(
            "grace = '2s'\nstop_after = '50ms'\n[[component]]\nname = 'fails'\nstop = 'fail'\n\
             [[component]]\nname = 'a'\nstop_budget = '100ms'\n{line}\n"
        );
        let end = run(name, &toml);
        leaves_with(&end, 124, "forced");
        assert_eq!(end.report().outcome("a"), name);
        assert_eq!(end.report().outcome("fails"), "failed");
    }
}

#[test]
fn p3_124_when_a_resource_was_late() {
    let end = run("late", "grace = '1s'\nstop_after = '50ms'\n[[resource]]\nname = 'db'\ndestroy = 'hang'\n");
    leaves_with(&end, 124, "forced");
}

#[test]
fn p3_128_and_the_third_signals_number() {
    for (third, code) in [("INT", 130), ("QUIT", 131), ("HUP", 129)] {
        let toml = "grace = '1m'\n[[component]]\nname = 'a'\nstop = 'block 30s'\nstop_budget = '50s'\n";
        let child = Setup::of(third, toml).args(["--trace"]).spawn();
        child.ready();
        child.signal("TERM");
        child.event("stop_began", Some("a"));
        let second = if third == "INT" { "QUIT" } else { "INT" };
        child.signal_and_wait(second);
        child.signal(third);
        let end = child.end(PATIENCE);
        leaves_with(&end, code, "immediate");
    }
}
