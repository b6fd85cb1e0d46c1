//! As PID 1 of a container: no default action comes to its help, every signal it heeds it has to handle itself.

use crate::common::PATIENCE;
use crate::common::child::{Running, Setup, eventually, signal};
use std::process::{Command, Stdio};

const UNSHARE: [&str; 4] = ["unshare", "-pf", "--mount-proc", "--kill-child"];

/// Making a PID namespace needs rights that not every machine gives. Only that is a reason to skip, and it is said.
fn allowed() -> bool {
    let tried = Command::new(UNSHARE[0]).args(&UNSHARE[1..]).arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let allowed = tried.is_ok_and(|status| status.success());
    if !allowed {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "SKIPPED: `{} true` is refused here", UNSHARE.join(" "));
    }
    allowed
}

/// The pid, as seen from here, of the one that is PID 1 in there.
fn inner(child: &Running) -> u32 {
    let children = format!("/proc/{0}/task/{0}/children", child.pid());
    let first = || std::fs::read_to_string(&children).ok()?.split_whitespace().next()?.parse().ok();
    eventually(PATIENCE, first).expect("unshare has a child")
}

#[test]
fn t8_pid_1_heeds_sigterm_and_leaves_with_its_own_code() {
    if !allowed() {
        return;
    }
    for (name, stop, code) in [("clean", "50ms", 0), ("forced", "hang", 124)] {
        let toml = format!("grace = '2s'\n[[component]]\nname = 'a'\nstop = '{stop}'\nstop_budget = '200ms'\n");
        let child = Setup::of(name, &toml).wrapped(UNSHARE).spawn();
        child.ready();
        signal(inner(&child), "TERM");
        let end = child.end(PATIENCE);
        assert_eq!(end.code(), code, "{}", end.stderr);
        assert_eq!(end.report().0["trigger"]["detail"], "SIGTERM");
    }
}

#[test]
fn t8_pid_1_leaves_on_the_third_signal() {
    if !allowed() {
        return;
    }
    let toml = "grace = '1m'\n[[component]]\nname = 'a'\nstop = 'block 30s'\nstop_budget = '50s'\n";
    let child = Setup::of("third", toml).wrapped(UNSHARE).args(["--trace"]).spawn();
    child.ready();
    let pid = inner(&child);
    signal(pid, "TERM");
    child.event("stop_began", Some("a"));
    signal(pid, "INT");
    child.took("INT", 1);
    signal(pid, "QUIT");
    let end = child.end(PATIENCE);
    assert_eq!(end.code(), 131, "{}", end.stderr);
}
