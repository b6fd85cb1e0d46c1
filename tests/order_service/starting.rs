//! What it says when it cannot start, and what a run that loads itself prints.

use crate::audit::accepted;
use crate::child::{Child, fresh, options, out_of};
use std::collections::HashSet;
use std::fs;

const NO_DATABASE: &str = "this is no database, whatever its name may say. ";

#[test]
fn what_cannot_be_opened_is_said_and_ends_with_1() {
    let data = fresh();
    let file = data.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let fails = |directory: &std::path::Path, says: &str| {
        let (code, _, errors) = out_of(&["--listen", "127.0.0.1:0", "--data", directory.to_str().unwrap()]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(says), "{says}? {errors}");
    };
    fails(&file, "data directory");
    for name in ["orders.sqlite", "broker.db", "outbox.db"] {
        let corrupt = fresh();
        fs::write(corrupt.path().join(name), NO_DATABASE.repeat(100)).unwrap();
        fails(corrupt.path(), name);
        assert_eq!(fs::read_to_string(corrupt.path().join(name)).unwrap(), NO_DATABASE.repeat(100), "it is left as it was");
    }

    let first = Child::serving(data.path(), &[]);
    let taken = first.address.to_string();
    let (code, _, errors) = out_of(&["--listen", &taken, "--data", fresh().path().to_str().unwrap()]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains(&format!("cannot listen on {taken}")), "{errors}");
}

#[test]
fn the_command_line_is_checked() {
    let wrongs: &[&[&str]] = &[
        &["--load", "0"],
        &["--for", "1s"],
        &["--grace", "1"],
        &["--listen"],
        &["--nonsense"],
        &["stray"],
        &["--faults", "nonsense=1"],
        &["--faults", "busy=2"],
        &["--handler-fail", "1.5"],
        &["--handler-delay", "soon"],
        &["--handler-poison", "2"],
        &["--concurrency", "0"],
        &["audit"],
        &["audit", "--data"],
        &["audit", "--data", ".", "--load", "5"],
        &["--data", ".", "audit"],
    ];
    for wrong in wrongs {
        let (code, out, errors) = out_of(wrong);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{wrong:?}: {errors}");
        assert!(errors.contains("usage:"), "{errors}");
    }
    assert_eq!(out_of(&["--help"]).0, Some(0));
    assert_eq!(out_of(&["audit", "--help"]).0, Some(0));
}

#[test]
fn loading_itself_it_prints_the_timeline_and_the_audit() {
    let data = fresh();
    let report = data.path().join("report.json");
    let mut arguments = vec!["--load", "200", "--for", "500ms"];
    arguments.extend(options(data.path()));
    arguments.extend(["--report", report.to_str().unwrap()]);
    let (code, out, errors) = out_of(&arguments);
    assert_eq!(code, Some(0), "{out}{errors}");
    assert!(out.starts_with("listening on http://127.0.0.1:"), "{out}");
    let count = |label: &str| -> usize {
        let line = out.lines().find(|line| line.trim_start().starts_with(label)).unwrap_or_else(|| panic!("{label} in {out}"));
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    assert_eq!((count("lost"), count("dead"), count("other")), (0, 0, 0), "{out}");
    assert_eq!(count("sent"), count("accepted (202)") + count("refused"), "{out}");
    assert!(count("accepted (202)") > 0 && count("handled") + count("pending") == count("accepted (202)"), "{out}");
    assert_eq!(accepted(data.path()).len(), count("accepted (202)"));

    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!((&report["trigger"]["detail"], &report["verdict"]), (&"SIGTERM".into(), &"clean".into()));
    let names: HashSet<_> = report["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, HashSet::from(["http", "orders-consumer", "orders-graveyard", "orders-producer", "trace"]));
    for resource in report["resources"].as_array().unwrap() {
        assert_eq!(resource["outcome"], "destroyed", "{resource}");
    }
    let trace = fs::read_to_string(data.path().join("trace.jsonl")).unwrap();
    assert!(trace.lines().count() >= count("accepted (202)"), "each order leaves its trace");
    assert!(trace.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}
