//! The audit: what it finds, and what it makes of files that are not as they should be.

use crate::audit::{counts, handled};
use crate::child::{Child, fresh, out_of, until};
use crate::{get, order, post};
use std::fs;
use std::path::Path;
use std::time::Duration;
use winddown::messaging::{Broker, Interest, SqliteBroker};

/// A data directory with so many orders accepted and none of them handled.
fn pending(data: &Path, number: usize) {
    let mut child = Child::serving(data, &["--handler-delay", "30s", "--grace", "1s"]);
    for n in 0..number {
        assert_eq!(post(child.address, &order(&n.to_string())).status, 202);
    }
    child.signal("TERM");
    child.wait(); // in time or not: nothing of it is handled
}

#[test]
fn what_is_nowhere_is_lost() {
    let data = fresh();
    pending(data.path(), 5);
    assert_eq!((counts(data.path()).pending, counts(data.path()).lost), (5, 0));
    for name in ["broker.db", "broker.db-wal", "broker.db-shm"] {
        let _ = fs::remove_file(data.path().join(name));
    }
    let counts = counts(data.path());
    assert_eq!((counts.accepted, counts.handled, counts.pending, counts.lost), (5, 0, 0, 5));
    let (code, out, _) = out_of(&["audit", "--data", data.path().to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(out.contains("5 accepted orders are nowhere, among them 0, 1, 2, 3, 4"), "{out}");
}

#[tokio::test]
async fn m8_a_dead_letter_is_not_lost() {
    let data = fresh();
    pending(data.path(), 2);
    let broker = SqliteBroker::open(data.path().join("broker.db")).unwrap();
    let member = broker.subscribe(&Interest::new("order-service", "orders")).await.unwrap();
    let first = member.pull(1, Duration::from_secs(5)).await.unwrap().remove(0);
    member.dead_letter(&first, "nobody wants it").await.unwrap();
    member.close().await.unwrap();
    broker.close().await.unwrap();
    let counts = counts(data.path());
    assert_eq!((counts.accepted, counts.pending, counts.dead, counts.lost), (2, 1, 1, 0));
    let (_, out, _) = out_of(&["audit", "--list", "--data", data.path().to_str().unwrap()]);
    let key = first.message().key().unwrap();
    assert!(out.lines().any(|line| line == format!(r#"{{"id":"{key}","state":"dead"}}"#)), "{out}");
}

#[test]
fn m8_the_service_keeps_its_dead_letters_itself() {
    let data = fresh();
    let child = Child::serving(data.path(), &["--handler-poison", "1"]);
    for n in 0..20 {
        assert_eq!(post(child.address, &order(&n.to_string())).status, 202);
    }
    until("all are kept", || dead(data.path()).len() == 20);
    for (id, reason, attempts) in dead(data.path()) {
        assert_eq!((reason.contains("nobody can do this order"), attempts), (true, 1), "{id}: {reason}");
        assert_eq!(get(child.address, &format!("/orders/{id}")).status, 404, "it was not handled");
    }
    let counts = counts(data.path());
    assert_eq!((counts.accepted, counts.dead, counts.handled, counts.pending, counts.lost), (20, 20, 0, 0, 0));
    // None of them is in the broker any more, once all are acknowledged.
    until("the broker has none of them", || {
        SqliteBroker::inspect(data.path().join("broker.db")).unwrap().dead_letters("order-service").unwrap().next().is_none()
    });
    assert_eq!(self::counts(data.path()).dead, 20);
}

#[test]
fn m8_a_dead_letter_that_cannot_be_kept_yet_stays_in_the_broker() {
    let data = fresh();
    let mut child = Child::serving(data.path(), &["--handler-poison", "1", "--grace", "2s"]);
    let intruder = rusqlite::Connection::open(data.path().join("orders.sqlite")).unwrap();
    assert_eq!(post(child.address, &order("a")).status, 202);
    until("it is dead", || counts(data.path()).dead == 1);
    intruder.execute_batch("DELETE FROM dead; CREATE TRIGGER no BEFORE INSERT ON dead BEGIN SELECT RAISE(ABORT, 'no room'); END").unwrap();
    assert_eq!(post(child.address, &order("b")).status, 202);
    until("it is dead", || counts(data.path()).dead == 1);
    child.signal("TERM");
    assert_eq!(child.wait(), 0, "{}", child.errors());
    assert_eq!((counts(data.path()).dead, dead(data.path()).len()), (1, 0), "it is still in the broker");
    intruder.execute_batch("DROP TRIGGER no").unwrap();
    let _again = Child::serving(data.path(), &[]);
    until("it is kept", || dead(data.path()).len() == 1);
    assert_eq!((dead(data.path())[0].0.as_str(), counts(data.path()).lost), ("b", 1), "and a's was thrown away by hand");
}

fn dead(data: &Path) -> Vec<(String, String, u32)> {
    let database = rusqlite::Connection::open(data.join("orders.sqlite")).unwrap();
    let mut select = database.prepare("SELECT id, reason, attempts FROM dead").unwrap();
    select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap().map(Result::unwrap).collect()
}

#[test]
fn several_instances_are_audited_together() {
    let (one, other) = (fresh(), fresh());
    pending(one.path(), 3);
    let child = Child::serving(other.path(), &[]);
    for n in 2..6 {
        assert_eq!(post(child.address, &order(&n.to_string())).status, 202);
    }
    until("all are handled", || counts(other.path()).handled == 4);
    let (one, other) = (one.path().to_str().unwrap(), other.path().to_str().unwrap());
    let (code, out, errors) = out_of(&["audit", "--json", "--data", one, "--data", other]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{out}");
    // 2 was given to both, and one of them has done it.
    assert_eq!(out.trim_end(), r#"{"accepted":6,"handled":4,"duplicates":0,"pending":2,"dead":0,"lost":0}"#);
}

#[test]
fn m9_what_is_handled_again_is_a_duplicate_and_changes_nothing() {
    let data = fresh();
    let child = Child::serving(data.path(), &["--faults", "ambiguous=0.5"]);
    for n in 0..30 {
        assert_eq!(post(child.address, &order(&n.to_string())).status, 202);
    }
    until("all are handled, and some again", || {
        let counts = counts(data.path());
        counts.handled == 30 && counts.duplicates > 0
    });
    assert_eq!(handled(data.path()).len(), 30);
}

#[test]
fn what_cannot_be_audited_is_said_and_ends_with_2() {
    let refused = |data: &Path, says: &str| {
        let (code, out, errors) = out_of(&["audit", "--json", "--data", data.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{errors}");
        assert!(errors.contains(says) && !errors.contains("panicked"), "{says}? {errors}");
    };
    let data = fresh();
    refused(&data.path().join("nowhere"), "nowhere");
    refused(data.path(), "no service has run");
    assert!(fs::read_dir(data.path()).unwrap().next().is_none(), "it leaves nothing behind");
    pending(data.path(), 50);
    for name in ["orders.sqlite", "broker.db", "outbox.db"] {
        let file = data.path().join(name);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, "garbage ".repeat(512)).unwrap();
        refused(data.path(), name);
        // The beginning is fine, the rest is not.
        let mut torn = whole.clone();
        torn[100..].fill(0x5a);
        fs::write(&file, torn).unwrap();
        refused(data.path(), name);
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        refused(data.path(), name);
        fs::write(&file, whole).unwrap();
        assert_eq!(counts(data.path()).pending, 50, "{name} is well again");
    }
}
