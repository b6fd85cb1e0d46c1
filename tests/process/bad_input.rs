//! What cannot be run is refused before anything starts: with the file, the line, and what is allowed.

use crate::common::PATIENCE;
use crate::common::child::{Ended, Setup, binary};
use std::process::Command;

/// A file, the line that is wrong in it, and words that the error has to have.
const CASES: &[(&str, u32, &[&str])] = &[
    ("name = 'x'\n[[component]\nname = 'a'\n", 2, &["]"]),
    ("name = 'x'\nname = 'y'\n", 2, &["duplicate key"]),
    ("grace = '2s'\ngrase = '3s'\n", 2, &["unknown key", "grase", "grace"]),
    ("[[component]]\nname = 'a'\nstrat = '3s'\n", 3, &["unknown key", "`a`", "strat", "start"]),
    ("[[resource]]\nname = 'db'\nphase = 3\n", 3, &["unknown key", "`db`", "phase", "destroy"]),
    ("grace = 'soon'\n", 1, &["grace", "soon", "50ms"]),
    ("grace = '2'\n", 1, &["grace", "50ms"]),
    ("grace = 2\n", 1, &["grace", "50ms"]),
    ("grace = '0s'\n", 1, &["grace", "zero"]),
    ("stop_budget = '0ms'\n", 1, &["stop_budget", "zero"]),
    ("grace = '-1s'\n", 1, &["grace", "-1s", "50ms"]),
    ("grace = '99999999999999999999s'\n", 1, &["grace", "366 days"]),
    ("grace = '400000h'\n", 1, &["grace", "366 days"]),
    ("worker_threads = 0\n", 1, &["worker_threads", "1"]),
    ("worker_threads = 'two'\n", 1, &["worker_threads", "whole number"]),
    ("stop_after = true\n", 1, &["stop_after", "50ms"]),
    ("component = 3\n", 1, &["component", "[[component]]"]),
    ("[component]\nname = 'a'\n", 1, &["component", "[[component]]"]),
    ("[[component]]\nphase = 1\n", 1, &["component", "name", "missing"]),
    ("\n[[resource]]\ndestroy = '1s'\n", 2, &["resource", "name", "missing"]),
    ("[[component]]\nname = ''\n", 2, &["name", "empty"]),
    ("[[component]]\nname = 'a'\nphase = 3000000000\n", 3, &["phase", "2147483647"]),
    ("[[component]]\nname = 'a'\nphase = 1.5\n", 3, &["phase", "whole number"]),
    ("[[component]]\nname = 'a'\nafter = 'b'\n", 3, &["after", "list"]),
    ("[[component]]\nname = 'a'\nuses = [1]\n", 3, &["uses", "names"]),
    ("[[component]]\nname = 'a'\nstart = 'slowly'\n", 3, &["start", "slowly", "hang", "block 5s"]),
    ("[[component]]\nname = 'a'\nstart = 'block'\n", 3, &["start", "block 5s"]),
    ("[[component]]\nname = 'a'\nrun = 'block 3s'\n", 3, &["run", "block 30s after 100ms"]),
    ("[[component]]\nname = 'a'\nrun = 'finish'\n", 3, &["run", "finish 500ms"]),
    ("[[component]]\nname = 'a'\nrun = 'idle 3s'\n", 3, &["run", "idle"]),
    ("[[component]]\nname = 'a'\nstop = 'stubborn'\n", 3, &["stop", "stubborn 300ms"]),
    ("[[component]]\nname = 'a'\nstop = 300\n", 3, &["stop", "300ms"]),
    ("[[component]]\nname = 'a'\ndrop = '5s'\n", 3, &["drop", "block 5s"]),
    ("[[component]]\nname = 'a'\nstart_budget = '0ms'\n", 3, &["start_budget", "zero"]),
    ("[[component]]\nname = 'a'\nstop_budget = '0ms'\n", 3, &["stop_budget", "zero"]),
    ("[[component]]\nname = 'a'\npolicy = 'restrat'\n", 3, &["policy", "restart", "ignore", "shutdown"]),
    ("[[component]]\nname = 'a'\nmax_restarts = 3\n", 3, &["max_restarts", "policy"]),
    ("[[component]]\nname = 'a'\npolicy = 'restart'\nmax_restarts = -1\n", 4, &["max_restarts", "0"]),
    ("[[component]]\nname = 'a'\nauto_startup = 'yes'\n", 3, &["auto_startup", "true or false"]),
    ("[[resource]]\nname = 'db'\ndestroy = 'block 5s'\n", 3, &["destroy", "hang"]),
];

#[track_caller]
fn refused(end: &Ended, told: &str) {
    assert_eq!(end.code(), 2, "{told}\n{}", end.stderr);
    assert_eq!(end.stdout, "", "{told}");
    let report = end.report();
    assert_eq!((report.text("verdict"), report.exit_code()), ("refused", 2), "{told}");
    assert!(report.0["trigger"].is_null(), "{told}");
    assert!(!report.has_event("start_began", None), "{told}");
}

#[test]
fn p3_bad_values_are_told_with_line_and_what_is_allowed() {
    for (toml, line, words) in CASES {
        let end = Setup::of("bad", toml).spawn().end(PATIENCE);
        refused(&end, toml);
        let place = format!("bad.toml:{line}: ");
        let told = end.stderr.lines().find(|told| told.contains(&place) && words.iter().all(|word| told.contains(word)));
        assert!(told.is_some(), "{toml}\nwanted {place} and {words:?}, got\n{}", end.stderr);
    }
}

#[test]
fn o4_all_that_is_wrong_is_told_at_once() {
    let toml = "grace = '0s'\n[[component]]\nname = 'a'\nstrat = 1\nstop = 'never'\n[[resource]]\ndestroy = 'x'\n";
    let end = Setup::of("several", toml).spawn().end(PATIENCE);
    refused(&end, toml);
    for line in [1, 4, 5, 6, 7] {
        assert!(end.stderr.contains(&format!("several.toml:{line}: ")), "line {line} is not told:\n{}", end.stderr);
    }
}

/// What only the whole plan shows: each with words that its error has to have.
const PLANS: &[(&str, &[&str])] = &[
    ("[[component]]\nname = 'a'\n[[component]]\nname = 'a'\n", &["`a`", "twice"]),
    ("[[resource]]\nname = 'a'\n[[resource]]\nname = 'a'\n", &["`a`", "twice"]),
    ("[[component]]\nname = 'a'\nafter = ['b']\n", &["`a`", "`b`"]),
    ("[[component]]\nname = 'a'\nuses = ['b']\n", &["`a`", "`b`"]),
    ("[[component]]\nname = 'a'\nafter = ['a']\n", &["cycle", "a -> a"]),
    ("[[component]]\nname = 'a'\nafter = ['b']\n[[component]]\nname = 'b'\nafter = ['a']\n", &["cycle", "->"]),
    ("[[component]]\nname = 'a'\nafter = ['b']\n[[component]]\nname = 'b'\nphase = 1\n", &["`a`", "`b`", "phase"]),
    ("[[component]]\nname = 'a'\nafter = ['b']\n[[component]]\nname = 'b'\nauto_startup = false\n", &["`a`", "`b`", "automatically"]),
    ("grace = '1s'\n[[component]]\nname = 'a'\nstop_budget = '2s'\n", &["a", "2 s", "1 s"]),
];

#[test]
fn o4_plans_that_contradict_themselves_are_refused() {
    for (toml, words) in PLANS {
        for args in [&[][..], &["--plan"], &["--rehearse"]] {
            let end = Setup::of("plan", toml).args(args).spawn().end(PATIENCE);
            refused(&end, toml);
            assert!(words.iter().all(|word| end.stderr.contains(word)), "{toml}\nwanted {words:?}, got\n{}", end.stderr);
        }
    }
}

#[test]
fn o6_p5_plan_and_rehearsal_start_nothing_and_leave_with_0() {
    let toml = "[[component]]\nname = 'alpha'\nstart = 'panic'\n";
    for args in [&["--plan"][..], &["--rehearse"], &["--plan", "--rehearse"]] {
        let end = Setup::of("shown", toml).args(args).spawn().end(PATIENCE);
        assert_eq!(end.code(), 0, "{}", end.stderr);
        assert!(end.stdout.contains("alpha"), "{}", end.stdout);
        assert!(end.report.is_none(), "nothing ran, so there is nothing to report");
    }
}

#[test]
fn p3_bad_command_lines_are_refused() {
    for args in [&[][..], &["--no-such-flag"], &["a.toml", "b.toml"], &["a.toml", "--report"], &["/no/such/file.toml"]] {
        let output = Command::new(binary()).args(args).output().expect("it can be run");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}
