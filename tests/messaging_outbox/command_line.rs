//! `examples/outbox.rs`: what it prints, and the codes that it leaves with.

use super::Scratch;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use winddown::messaging::rusqlite::Connection;

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
    }
}

fn outbox(scratch: &Scratch, args: &[&str], input: &[u8]) -> Said {
    let mut child = Command::new(super::example("outbox"));
    child.current_dir(&scratch.0).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // It may have ended before it read anything.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Said { code: output.status.code().unwrap(), out: String::from_utf8(output.stdout).unwrap(), err: String::from_utf8(output.stderr).unwrap() }
}

#[test]
fn m3_an_operator_puts_lists_retries_and_purges() {
    let scratch = Scratch::new("operator");
    let run = |line: &str| outbox(&scratch, &line.split(' ').collect::<Vec<_>>(), b"");
    assert_eq!(run("put outbox.db orders one --create").code, 0);
    let put =
        outbox(&scratch, &["put", "outbox.db", "orders", "-", "--key", "k", "--ordered", "--tag", "t", "--property", "a=b=c", "--json"], b"\xff\x00");
    assert_eq!(put.code, 0, "{}", put.err);
    let id = put.json()[0]["stored"].as_str().unwrap().to_owned();
    assert_eq!(
        run("stats outbox.db --json").json(),
        [json!({"pending": 2, "dead": 0, "damaged": 0, "bytes": "ordersone".len() + "orderskt".len() + 2 + "{'a':'b=c'}".len()})]
    );

    let listed = run("list outbox.db --json --bodies");
    assert_eq!(listed.code, 0, "{}", listed.err);
    let rows = listed.json();
    assert_eq!((&rows[0]["body"], &rows[0]["state"], &rows[0]["row"]), (&json!("one"), &json!("pending"), &json!(1)));
    assert_eq!((&rows[1]["body_hex"], &rows[1]["id"], &rows[1]["properties"]), (&json!("ff00"), &json!(id), &json!({"a": "b=c"})));
    assert_eq!(run("list outbox.db --json --limit 1 --after 1").json()[0]["row"], json!(2));

    let db = Connection::open(scratch.file()).unwrap();
    db.execute("UPDATE winddown_outbox SET state = 'dead', error = 'too\u{7} large', attempts = 16", []).unwrap();
    let table = run("list outbox.db --dead");
    assert!(table.out.contains("too\\u{7} large") && table.out.lines().count() == 3 && !table.out.contains('\u{7}'), "{}", table.out);
    assert_eq!((run("list outbox.db --pending").out, run("list outbox.db --damaged --json").out), (String::new(), String::new()));
    let retried = run(&format!("retry outbox.db {id} --json"));
    assert_eq!((retried.code, retried.json()), (0, vec![json!({"retried": 1})]));
    assert_eq!((run("purge outbox.db --row 1").code, run("purge outbox.db --row 1").code), (0, 3), "the second time there is nothing");
    assert_eq!((run("purge outbox.db --dead").code, run("retry outbox.db --damaged").code), (3, 3));
    assert_eq!(run("stats outbox.db").out.lines().next(), Some("pending 1"));
}

#[test]
fn m3_a_mistyped_path_makes_nothing_and_says_what_is_wrong() {
    let scratch = Scratch::new("mistyped");
    Connection::open(scratch.0.join("other.db")).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    std::fs::write(scratch.0.join("notes.txt"), "no database ".repeat(100)).unwrap();
    let before = std::fs::read(scratch.0.join("other.db")).unwrap();
    for (file, says) in [("missing.db", "is not there"), ("other.db", "without an outbox"), ("notes.txt", "not a database")] {
        for args in [&["stats", file][..], &["list", file], &["retry", file, "--dead"], &["purge", file, "--dead"], &["put", file, "t", "b"]] {
            let said = outbox(&scratch, args, b"");
            assert!(
                said.code == 1 && said.err.contains(file) && said.err.contains(says) && said.out.is_empty(),
                "{args:?}: {} {}",
                said.code,
                said.err
            );
        }
    }
    assert!(!scratch.0.join("missing.db").exists());
    assert_eq!(std::fs::read(scratch.0.join("other.db")).unwrap(), before);
}

#[test]
fn m3_what_is_not_understood_is_said_with_the_usage() {
    let scratch = Scratch::new("usage");
    assert_eq!(outbox(&scratch, &["put", "outbox.db", "t", "b", "--create"], b"").code, 0);
    for args in [
        &[][..],
        &["list"],
        &["burn", "outbox.db"],
        &["list", "outbox.db", "more"],
        &["list", "outbox.db", "--pending", "--dead"],
        &["list", "outbox.db", "--row", "1"],
        &["stats", "outbox.db", "--bodies"],
        &["retry", "outbox.db"],
        &["retry", "outbox.db", "--pending"],
        &["retry", "outbox.db", "--dead", "--row", "1"],
        &["purge", "outbox.db", "no-id"],
        &["purge", "outbox.db", "--row", "one"],
        &["put", "outbox.db", "t"],
        &["put", "outbox.db", "t", "b", "--ordered"],
        &["put", "outbox.db", "t", "b", "--property", "x"],
        &["put", "outbox.db", "t", "b", "--delay", "soon"],
    ] {
        let said = outbox(&scratch, args, b"");
        assert!(said.code == 2 && said.err.contains("usage:") && said.out.is_empty(), "{args:?}: {} {}", said.code, said.err);
    }
    let help = outbox(&scratch, &["--help"], b"");
    assert!(help.code == 0 && help.out.contains("usage:") && help.err.is_empty());
}
