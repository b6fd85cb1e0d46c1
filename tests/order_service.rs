//! The order service as its clients and its operator meet it: a child process, HTTP over TCP, signals.

#[path = "order_service/child.rs"]
mod child;
#[path = "order_service/http.rs"]
mod http;

use child::{Child, fresh, options, out_of, saved};
use http::{Connection, Reply, exchange};
use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn order(id: &str) -> String {
    format!(r#"{{"id":"{id}","item":"teapot","quantity":2}}"#)
}

fn post(address: SocketAddr, body: &str) -> Reply {
    exchange(address, "POST", "/orders", body).expect("an answer")
}

fn get(address: SocketAddr, path: &str) -> Reply {
    exchange(address, "GET", path, "").expect("an answer")
}

#[test]
fn answers_say_what_became_of_an_order() {
    let data = fresh();
    let child = Child::serving(data.path(), &[]);
    let at = child.address;

    assert_eq!(post(at, &order("a")).status, 202);
    assert_eq!(post(at, &order("a")).status, 202, "the same order again is harmless");
    let other = post(at, r#"{"id":"a","item":"teapot","quantity":3}"#);
    assert_eq!((other.status, other.field()), (409, "id".into()), "another order cannot have its id");
    let found = get(at, "/orders/a");
    assert_eq!((found.status, found.json()), (200, serde_json::from_str(&order("a")).unwrap()));
    assert_eq!(get(at, "/orders/b").status, 404);
    assert_eq!(get(at, "/nowhere").status, 404);
    assert_eq!(post(at, &order("\u{fc} / ?")).status, 202);
    assert_eq!(get(at, "/orders/%C3%BC%20%2F%20%3F").json()["id"], "\u{fc} / ?");
    assert_eq!((get(at, "/healthz").status, get(at, "/readyz").status), (200, 200));
    assert_eq!(saved(data.path()).len(), 2);
}

#[test]
fn what_is_no_order_is_refused_by_field() {
    let data = fresh();
    let child = Child::serving(data.path(), &[]);
    let cases = [
        ("body", ""),
        ("body", "{"),
        ("body", "[]"),
        ("id", r#"{"item":"x","quantity":1}"#),
        ("id", r#"{"id":7,"item":"x","quantity":1}"#),
        ("id", r#"{"id":"","item":"x","quantity":1}"#),
        ("item", r#"{"id":"a","quantity":1}"#),
        ("item", r#"{"id":"a","item":null,"quantity":1}"#),
        ("quantity", r#"{"id":"a","item":"x"}"#),
        ("quantity", r#"{"id":"a","item":"x","quantity":0}"#),
        ("quantity", r#"{"id":"a","item":"x","quantity":-1}"#),
        ("quantity", r#"{"id":"a","item":"x","quantity":1.5}"#),
        ("quantity", r#"{"id":"a","item":"x","quantity":"1"}"#),
        ("quantity", r#"{"id":"a","item":"x","quantity":true}"#),
        ("quantity", r#"{"id":"a","item":"x","quantity":99999999999999999999}"#),
    ];
    for (field, body) in cases {
        let reply = post(child.address, body);
        assert_eq!((reply.status, reply.field()), (400, field.into()), "{body}");
    }
    assert!(saved(data.path()).is_empty());
}

#[test]
fn a_body_that_is_too_large_gets_its_answer() {
    let data = fresh();
    let child = Child::serving(data.path(), &[]);
    // Several megabytes: more than fits the sockets' buffers, so the answer is seen only by a client that could send it all.
    let large = format!(r#"{{"id":"a","item":"{}","quantity":1}}"#, "x".repeat(8 << 20));
    assert_eq!(post(child.address, &large).status, 413);
    assert_eq!(post(child.address, &order("a")).status, 202, "and the service goes on");
}

#[test]
fn a_database_that_refuses_means_503_until_it_is_well_again() {
    let data = fresh();
    let child = Child::serving(data.path(), &[]);
    let intruder = rusqlite::Connection::open(data.path().join("orders.sqlite")).unwrap();
    intruder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let refused = post(child.address, &order("a"));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.body);
    intruder.execute_batch("COMMIT").unwrap();
    assert_eq!(get(child.address, "/orders/a").status, 404, "what was refused is not in");
    assert_eq!(post(child.address, &order("a")).status, 202);
}

#[test]
fn a_stop_answers_what_was_begun_and_refuses_the_rest() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--worker-delay", "2s"]);
    let at = child.address;
    let mut kept = Connection::to(at);
    assert_eq!(kept.exchange("GET", "/readyz", "").unwrap().status, 200);
    let begun = child.in_flight(&order("begun"));
    child.signal("TERM");
    child::until("readiness is down", || get(at, "/readyz").status == 503);
    let down = kept.exchange("GET", "/readyz", "").unwrap();
    assert_eq!((down.status, down.header("connection")), (503, Some("close")), "{}", down.body);
    let late = post(at, &order("late"));
    assert_eq!((late.status, late.header("retry-after"), late.header("connection")), (503, Some("1"), Some("close")));
    assert_eq!(get(at, "/healthz").status, 200, "health is not");
    assert_eq!(begun.read().unwrap().status, 202);
    assert_eq!(child.wait(), 0, "{}", child.errors());
    assert_eq!(saved(data.path()), HashSet::from(["begun".into()]));
}

#[test]
fn under_load_a_stop_loses_no_order_that_was_answered() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &[]);
    let at = child.address;
    let accepted = AtomicUsize::new(0);
    let ids = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn({
                    let accepted = &accepted;
                    move || load(at, n, accepted)
                })
            })
            .collect();
        child::until("orders are accepted", || accepted.load(Ordering::Relaxed) > 100);
        child.signal("TERM");
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<HashSet<_>>()
    });
    assert_eq!(child.wait(), 0, "{}", child.errors());
    let saved = saved(data.path());
    assert!(ids.len() > 100 && ids.is_subset(&saved), "{:?}", ids.difference(&saved).collect::<Vec<_>>());
    assert!(saved.is_subset(&ids), "what was refused is not in: {:?}", saved.difference(&ids).collect::<Vec<_>>());

    let again = Child::serving(data.path(), &[]);
    let known = ids.iter().next().unwrap();
    assert_eq!(get(again.address, &format!("/orders/{known}")).status, 200, "and it is there after a restart");
}

/// Posts over one connection until told to go away; the ids that were accepted.
fn load(at: SocketAddr, client: usize, accepted: &AtomicUsize) -> HashSet<String> {
    let mut ids = HashSet::new();
    let mut connection = Connection::to(at);
    for n in 0.. {
        let id = format!("{client}-{n}");
        let reply = connection.exchange("POST", "/orders", &order(&id)).expect("an answer to each order");
        match reply.status {
            202 => {
                ids.insert(id);
                accepted.fetch_add(1, Ordering::Relaxed);
            }
            503 => assert_eq!(reply.header("connection"), Some("close")),
            other => panic!("{other}: {}", reply.body),
        }
        if reply.header("connection") == Some("close") {
            break;
        }
    }
    ids
}

#[test]
fn slow_workers_do_not_hold_a_short_grace() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--worker-delay", "30s", "--grace", "1s"]);
    let waiting: Vec<_> = (0..20).map(|n| child.in_flight(&order(&n.to_string()))).collect();
    let began = std::time::Instant::now();
    child.signal("TERM");
    for connection in waiting {
        let reply = connection.read().expect("an answer before the connection ends");
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    }
    assert_eq!(child.wait(), 0, "{}", child.errors());
    assert!(began.elapsed().as_millis() < 1100, "{:?}", began.elapsed());
    assert!(saved(data.path()).is_empty(), "what was handed back is not saved behind the client's back");
}

#[test]
fn a_second_signal_hurries_the_stop_and_still_answers() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--worker-delay", "30s"]);
    let waiting: Vec<_> = (0..5).map(|n| child.in_flight(&order(&n.to_string()))).collect();
    child.signal("TERM");
    child::until("readiness is down", || get(child.address, "/readyz").status == 503);
    child.signal("INT");
    for connection in waiting {
        assert_eq!(connection.read().expect("an answer before the connection ends").status, 503);
    }
    assert_eq!(child.wait(), 124, "{}", child.errors());
}

#[test]
fn a_client_that_never_finishes_does_not_hold_the_stop() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--grace", "2s"]);
    let mut slow = Connection::to(child.address);
    slow.send_raw(b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
    let mut silent = Connection::to(child.address);
    silent.send_raw(b"GET /hea");
    assert_eq!(get(child.address, "/healthz").status, 200);
    child.signal("TERM");
    assert_eq!(child.wait(), 0, "{}", child.errors());
}

#[test]
fn what_cannot_be_opened_is_said_and_ends_with_1() {
    let data = fresh();
    let file = data.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let corrupt = fresh();
    fs::write(corrupt.path().join("orders.sqlite"), "this is no database, whatever its name may say. ".repeat(100)).unwrap();
    for (directory, says) in [(file.as_path(), "data directory"), (corrupt.path(), "not a database")] {
        let (code, _, errors) = out_of(&["--listen", "127.0.0.1:0", "--data", directory.to_str().unwrap()]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(says), "{errors}");
    }

    let first = Child::serving(data.path(), &[]);
    let taken = first.address.to_string();
    let (code, _, errors) = out_of(&["--listen", &taken, "--data", corrupt.path().join("new").to_str().unwrap()]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains(&format!("cannot listen on {taken}")), "{errors}");
}

#[test]
fn the_command_line_is_checked() {
    for wrong in [&["--load", "0"][..], &["--for", "1s"], &["--grace", "1"], &["--listen"], &["--nonsense"], &["stray"]] {
        let (code, out, errors) = out_of(wrong);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{wrong:?}: {errors}");
        assert!(errors.contains("usage:"), "{errors}");
    }
    assert_eq!(out_of(&["--help"]).0, Some(0));
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
    assert_eq!((count("missing"), count("other")), (0, 0), "{out}");
    assert_eq!(count("sent"), count("accepted") + count("refused"), "{out}");
    assert!(count("accepted") > 0 && count("in database") == count("accepted"), "{out}");
    assert_eq!(saved(data.path()).len(), count("accepted"));

    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!((&report["trigger"]["detail"], &report["verdict"]), (&"SIGTERM".into(), &"clean".into()));
    let names: HashSet<_> = report["components"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, HashSet::from(["http", "worker-1", "worker-2"]));
    assert_eq!(report["resources"][0]["outcome"], "destroyed");
}
