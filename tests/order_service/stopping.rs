//! What a stop does, and what it must not do.

use crate::audit::{accepted, counts, handled};
use crate::child::{self, Child, fresh};
use crate::http::Connection;
use crate::{get, order, post};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

#[test]
fn a_stop_answers_what_was_begun_and_refuses_the_rest() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--faults", "slow=2s"]);
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
    assert_eq!(accepted(data.path()), HashSet::from(["begun".into()]));
    assert_eq!(counts(data.path()).lost, 0);
}

#[test]
fn m9_under_load_a_stop_loses_no_order_that_was_answered() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--handler-delay", "20ms", "--concurrency", "2"]);
    let at = child.address;
    let count = AtomicUsize::new(0);
    let ids = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn({
                    let count = &count;
                    move || load(at, n, count)
                })
            })
            .collect();
        child::until("orders are accepted", || count.load(Ordering::Relaxed) > 200);
        child.signal("TERM");
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<HashSet<_>>()
    });
    assert_eq!(child.wait(), 0, "{}", child.errors());
    let log = accepted(data.path());
    assert!(ids.is_subset(&log), "{:?}", ids.difference(&log).collect::<Vec<_>>());
    assert!(log.is_subset(&ids), "what was refused is not promised: {:?}", log.difference(&ids).collect::<Vec<_>>());
    let left = counts(data.path());
    assert!(left.pending > 0 && left.lost == 0, "the handlers could not have kept up: {left:?}");

    let _again = Child::serving(data.path(), &[]);
    child::until("all are handled", || counts(data.path()).pending == 0);
    assert!(ids.is_subset(&handled(data.path())));
}

/// Posts over one connection until told to go away; the ids that were accepted.
fn load(at: SocketAddr, client: usize, count: &AtomicUsize) -> HashSet<String> {
    let mut ids = HashSet::new();
    let mut connection = Connection::to(at);
    for n in 0.. {
        let id = format!("{client}-{n}");
        let reply = connection.exchange("POST", "/orders", &order(&id)).expect("an answer to each order");
        match reply.status {
            202 => {
                ids.insert(id);
                count.fetch_add(1, Ordering::Relaxed);
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
fn m4_a_slow_broker_does_not_hold_a_short_grace() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--faults", "slow=30s", "--grace", "1s"]);
    let waiting: Vec<_> = (0..20).map(|n| child.in_flight(&order(&n.to_string()))).collect();
    let began = std::time::Instant::now();
    child.signal("TERM");
    for connection in waiting {
        let reply = connection.read().expect("an answer before the connection ends");
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    }
    assert_eq!(child.wait(), 0, "{}", child.errors());
    assert!(began.elapsed().as_millis() < 1100, "{:?}", began.elapsed());
    assert!(accepted(data.path()).is_empty(), "what was handed back was not promised");
}

#[test]
fn m6_slow_handlers_do_not_hold_a_short_grace_and_lose_nothing() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--handler-delay", "30s", "--grace", "2s"]);
    for n in 0..40 {
        assert_eq!(post(child.address, &order(&n.to_string())).status, 202);
    }
    child.signal("TERM");
    assert_eq!(child.wait(), 0, "{}", child.errors());
    let left = counts(data.path());
    assert_eq!((left.accepted, left.pending, left.lost), (40, 40, 0), "{left:?}");
    let began = std::time::Instant::now();
    let _again = Child::serving(data.path(), &[]);
    child::until("all are handled", || counts(data.path()).handled == 40);
    assert!(began.elapsed().as_secs() < 8, "what a stop hands back is there at once: {:?}", began.elapsed());
}

#[test]
fn a_second_signal_hurries_the_stop_and_still_answers() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--faults", "slow=30s"]);
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
