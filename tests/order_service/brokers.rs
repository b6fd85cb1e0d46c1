//! The choice of a broker on the command line, and the arithmetic of an audit where a server has the orders.

#[path = "../../examples/order_service/reckoning.rs"]
mod reckoning;

use crate::audit::counts;
use crate::child::{Child, fresh, options, out_of};
use reckoning::{Unaccounted, reckon};

#[test]
fn a_broker_and_its_url_are_said_together() {
    let cases: &[(&[&str], &str)] = &[
        (&["--broker", "pigeon"], "there is no `pigeon`, only sqlite, rocketmq, kafka, rabbitmq, nats"),
        (&["--broker"], "--broker"),
        (&["--broker-url", "nats://127.0.0.1:4222"], "say with --broker which one it is"),
        (&["--broker", "sqlite", "--broker-url", "x"], "say with --broker which one it is"),
        (&["--load", "5", "--broker", "pigeon"], "there is no `pigeon`"),
        (&["audit", "--data", ".", "--broker", "pigeon"], "there is no `pigeon`"),
        (&["audit", "--data", ".", "--broker-url", "x"], "say with --broker which one it is"),
    ];
    for (arguments, says) in cases {
        refused(arguments, says);
    }
}

/// Which servers are built in depends on the features, but of each one something is to be said.
#[test]
fn a_server_that_is_not_built_in_is_refused_with_the_command_that_has_it() {
    let servers = [
        ("rocketmq", cfg!(feature = "rocketmq")),
        ("kafka", cfg!(feature = "kafka")),
        ("rabbitmq", cfg!(feature = "rabbitmq")),
        ("nats", cfg!(feature = "nats")),
    ];
    for (name, built_in) in servers {
        if built_in {
            refused(&["--broker", name], &format!("--broker {name} needs --broker-url, such as"));
        } else {
            refused(&["--broker", name], &format!("cargo run --release --features sqlite,{name} --example order_service"));
            refused(&["audit", "--data", ".", "--broker", name, "--broker-url", "x"], &format!("--features sqlite,{name}"));
        }
    }
}

#[test]
fn the_default_can_be_said() {
    let data = fresh();
    let (code, out, errors) = out_of(&["--broker", "sqlite", "--load", "50", "--for", "200ms", "--data", data.path().to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(data.path().join("broker.db").is_file());
}

#[test]
fn a_directory_belongs_to_the_broker_that_it_was_first_used_with() {
    let data = fresh();
    drop(Child::serving(data.path(), &[]));
    assert_eq!(counts(data.path()).lost, 0);
    std::fs::write(data.path().join("broker.name"), "nats").unwrap();
    let says = "belongs to the broker `nats`, not to sqlite: say --broker nats";
    let (code, _, errors) = out_of(&options(data.path()));
    assert!(code == Some(1) && errors.contains(says), "{code:?}: {errors}");
    let (code, out, errors) = out_of(&["audit", "--json", "--data", data.path().to_str().unwrap()]);
    assert!((code, out.as_str()) == (Some(2), "") && errors.contains(says), "{code:?}: {errors}");
}

fn refused(arguments: &[&str], says: &str) {
    let (code, out, errors) = out_of(arguments);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {errors}");
    assert!(errors.contains(says) && errors.contains("usage:"), "{arguments:?}: {says}? {errors}");
}

#[test]
fn m9_what_is_in_no_file_is_pending_as_far_as_the_broker_has_so_much_and_lost_beyond() {
    // Accepted and in no file; left on the broker; so many pending, so many lost.
    let cases = [
        (0, 0, 0, 0),
        (0, 7, 0, 0), // copies of what is known, or promised to nobody
        (5, 5, 5, 0),
        (5, 9, 5, 0),
        (5, 3, 3, 2),
        (5, 0, 0, 5),
        (1, u64::MAX, 1, 0),
        (u64::MAX, 1, 1, u64::MAX - 1),
    ];
    for (nowhere, left, pending, lost) in cases {
        assert_eq!(reckon(nowhere, left), Unaccounted { pending, lost }, "{nowhere} in no file, {left} left");
    }
}
