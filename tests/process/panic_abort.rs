//! R2 where a panic ends the process: `cargo build --profile abort --example scenario` makes the program for it.

use crate::common::PATIENCE;
use crate::common::child::{Setup, binary};
use std::path::{Path, PathBuf};

/// Beside the profile of the running tests. Not built by `cargo test`, so its absence is said and nothing is proven.
fn program() -> Option<PathBuf> {
    let target = binary().ancestors().nth(3).map(Path::to_owned)?;
    let program = target.join("abort/examples/scenario");
    if program.is_file() {
        return Some(program);
    }
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not built", program.display());
    None
}

#[test]
fn r2_a_panic_that_aborts_still_names_the_component_and_leaves_a_report() {
    let Some(program) = program() else { return };
    for (name, line) in [("start", "start = 'panic'"), ("run", "run = 'panic 50ms'"), ("stop", "stop = 'panic'")] {
        let toml = format!("grace = '2s'\nstop_after = '200ms'\n[[component]]\nname = 'culprit'\n{line}\n");
        let end = Setup::of(name, &toml).program(&program).spawn().end(PATIENCE);
        // By the panic's own SIGABRT, or by leaving once the report was written: whichever comes first.
        assert!(!end.status.success(), "{name}: {}", end.status);
        assert!(end.stderr.contains("culprit"), "{name}: it is not named:\n{}", end.stderr);
        let component = end.report().component("culprit").clone();
        assert_eq!(component["outcome"], "panicked", "{name}");
        assert!(component["error"].as_str().is_some_and(|error| error.contains("as scripted")), "{name}: {component}");
    }
}

#[test]
fn r2_without_a_panic_nothing_differs() {
    let Some(program) = program() else { return };
    let toml = "grace = '2s'\nstop_after = '50ms'\n[[component]]\nname = 'a'\nstop = 'hang'\nstop_budget = '100ms'\n";
    let end = Setup::of("calm", toml).program(&program).spawn().end(PATIENCE);
    assert_eq!((end.code(), end.report().outcome("a")), (124, "aborted"), "{}", end.stderr);
}
