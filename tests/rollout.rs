//! A short rollout: two order services restarted under load. `scripts/rollout` is the long one, on a real server.

use std::path::Path;
use std::process::{Command, Output};

fn example(name: &str, arguments: &[&str]) -> Output {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    // `cargo test` builds the examples too, `cargo test --test rollout` does not.
    assert!(program.is_file(), "{} is not there (cargo build --example rollout --example storm --example order_service makes it)", program.display());
    Command::new(program).args(arguments).output().unwrap()
}

#[test]
fn m9_a_rolling_restart_under_load_loses_no_accepted_order() {
    let out = example("rollout", &["--services", "2", "--rounds", "3", "--rate", "60"]);
    let (text, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{}: {text}{errors}", out.status);
    assert!(text.contains("nothing was lost") && text.contains("longest gap"), "{text}");
}

#[test]
fn storm_and_rollout_check_their_command_lines() {
    let cases: &[(&str, &[&str], &str)] = &[
        ("storm", &["--broker", "nats"], "belong together"),
        ("storm", &["--broker-url", "nats://127.0.0.1:4222"], "belong together"),
        ("storm", &["--broker-restarts", "3"], "a file cannot be restarted"),
        ("storm", &["many"], "many"),
        ("rollout", &["--broker", "nats"], "belong together"),
        ("rollout", &["--services", "0"], "a number from 1 to 16"),
        ("rollout", &["--rate", "0"], "a number from 1"),
        ("rollout", &["stray"], "stray"),
    ];
    for (name, arguments, says) in cases {
        let out = example(name, arguments);
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.code() == Some(2) && errors.contains(says) && errors.contains("usage:"), "{name} {arguments:?}: {errors}");
    }
}
