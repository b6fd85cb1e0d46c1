//! What requests are answered.

use crate::audit::{accepted, counts, handled};
use crate::child::{Child, fresh, until};
use crate::http::Reply;
use crate::{get, order, post};

fn is_handled(child: &Child, id: &str) -> Reply {
    let path = format!("/orders/{id}");
    until("the order is handled", || get(child.address, &path).status == 200);
    get(child.address, &path)
}

#[test]
fn answers_say_what_became_of_an_order() {
    let data = fresh();
    let child = Child::serving(data.path(), &[]);
    let at = child.address;

    assert_eq!(post(at, &order("a")).status, 202);
    assert_eq!(post(at, &order("a")).status, 202, "the same order again is harmless");
    assert_eq!(is_handled(&child, "a").json(), serde_json::from_str::<serde_json::Value>(&order("a")).unwrap());
    assert_eq!(post(at, &order("a")).status, 202, "after it was handled too");
    let other = post(at, r#"{"id":"a","item":"teapot","quantity":3}"#);
    assert_eq!((other.status, other.field()), (409, "id".into()), "another order cannot have its id");
    assert_eq!(get(at, "/orders/b").status, 404);
    assert_eq!(get(at, "/nowhere").status, 404);
    assert_eq!(post(at, &order("\u{fc} / ?")).status, 202);
    until("the other order is handled", || handled(data.path()).len() == 2);
    assert_eq!(get(at, "/orders/%C3%BC%20%2F%20%3F").json()["id"], "\u{fc} / ?");
    assert_eq!((get(at, "/healthz").status, get(at, "/readyz").status), (200, 200));
    let counts = counts(data.path());
    assert_eq!((counts.accepted, counts.handled, counts.duplicates, counts.lost), (2, 2, 0, 0), "repeated requests make no repeated work");
}

#[test]
fn an_order_is_found_once_it_is_handled_and_keeps_its_id_before() {
    let data = fresh();
    let child = Child::serving(data.path(), &["--handler-delay", "700ms"]);
    assert_eq!(post(child.address, &order("a")).status, 202);
    assert_eq!(get(child.address, "/orders/a").status, 404, "accepted, not handled yet");
    assert_eq!(post(child.address, r#"{"id":"a","item":"kettle","quantity":2}"#).status, 409, "accepted is taken");
    assert_eq!(counts(data.path()).pending, 1);
    assert_eq!(is_handled(&child, "a").json()["item"], "teapot");
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
    assert!(accepted(data.path()).is_empty());
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
    assert!(accepted(data.path()).is_empty(), "what was refused was not promised");
    assert_eq!(post(child.address, &order("a")).status, 202);
    is_handled(&child, "a");
}

#[test]
fn m3_a_broker_that_refuses_means_202_all_the_same_by_way_of_the_outbox() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--faults", "busy=1", "--grace", "2s"]);
    assert_eq!(post(child.address, &order("a")).status, 202, "once the producer has given up, which takes its 3 s");
    assert_eq!(counts(data.path()).pending, 1);
    child.signal("TERM");
    assert_eq!(child.wait(), 0, "{}", child.errors());
    assert_eq!((counts(data.path()).pending, handled(data.path()).len()), (1, 0), "it waits on");

    let again = Child::serving(data.path(), &[]);
    is_handled(&again, "a");
    assert_eq!(counts(data.path()).pending, 0);
}
