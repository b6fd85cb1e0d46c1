//! A short storm: the order service killed a few times under load and faults. `scripts/storm` is the long one.

use std::path::Path;
use std::process::Command;

#[test]
fn m9_kills_at_any_moment_lose_no_accepted_order() {
    let test = std::env::current_exe().unwrap();
    let examples = test.parent().and_then(Path::parent).unwrap().join("examples");
    let storm = examples.join("storm");
    // `cargo test` builds the examples too, `cargo test --test storm` does not.
    assert!(storm.is_file(), "{} is not there (cargo build --example storm --example order_service makes it)", storm.display());
    let out = Command::new(storm).arg("7").output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{}: {text}{errors}", out.status);
    assert!(text.contains("nothing was lost"), "{text}");
}
