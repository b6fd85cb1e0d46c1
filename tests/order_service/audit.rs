//! What the service's files say: by its own audit, and read here.

use crate::child::out_of;
use serde::Deserialize;
use std::collections::HashSet;
use std::path::Path;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) handled: u64,
    pub(crate) duplicates: u64,
    pub(crate) pending: u64,
    pub(crate) dead: u64,
    pub(crate) lost: u64,
}

/// The audit's counts. Its exit code must go with them, and they must add up.
pub(crate) fn counts(data: &Path) -> Counts {
    let (code, out, errors) = out_of(&["audit", "--json", "--data", data.to_str().unwrap()]);
    assert_eq!((out.lines().count(), errors.as_str()), (1, ""), "{code:?}: {out}");
    let counts: Counts = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some((counts.lost > 0).into()), "{out}");
    assert_eq!(counts.accepted, counts.handled + counts.pending + counts.dead + counts.lost, "{out}");
    counts
}

/// The ids that were answered 202, as the service logged them.
pub(crate) fn accepted(data: &Path) -> HashSet<String> {
    ids(data, "SELECT id FROM accepted")
}

/// The ids of the orders that were handled.
pub(crate) fn handled(data: &Path) -> HashSet<String> {
    ids(data, "SELECT id FROM orders")
}

fn ids(data: &Path, select: &str) -> HashSet<String> {
    let database = rusqlite::Connection::open(data.join("orders.sqlite")).unwrap();
    let mut select = database.prepare(select).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}
