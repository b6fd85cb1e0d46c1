//! The list of clauses.

use super::bench::{Bench, Verdict};
use super::{crowd, ending, order, receiving, redelivery, sending, settling};
use std::pin::Pin;

/// One clause of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Clause {
    /// Its number, which stays.
    pub number: u32,
    /// What it says.
    pub text: &'static str,
}

/// All clauses, in order.
///
/// ```
/// let clauses = winddown::testkit::contract::clauses();
/// assert_eq!((clauses[0].number, clauses[0].text), (1, "a message arrives as it was sent"));
/// ```
pub fn clauses() -> Vec<Clause> {
    TABLE.iter().map(|entry| entry.clause).collect()
}

type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

pub(super) struct Entry {
    pub(super) clause: Clause,
    pub(super) run: for<'a> fn(&'a Bench<'a>) -> Running<'a>,
}

macro_rules! table {
    ($($number:literal $text:literal $run:path;)+) => {
        &[$(Entry { clause: Clause { number: $number, text: $text }, run: |bench| Box::pin($run(bench)) }),+]
    };
}

pub(super) static TABLE: &[Entry] = table! {
    1 "a message arrives as it was sent" sending::content;
    2 "what is too large is refused for good, what is just not is taken" sending::sizes;
    3 "a topic's name that cannot be is refused for good" sending::names;
    4 "an unknown topic is refused for good" sending::unknown;
    5 "a batch is answered in order, each message by itself" sending::batch;
    6 "a send that is dropped is stored or not, and does no harm" sending::dropped;
    7 "every group gets every message, whatever other groups and topics do" receiving::groups;
    8 "members of a group share without overlap" receiving::members;
    9 "tasks share one subscription without overlap" receiving::tasks;
    10 "a pull brings no more than it asked for" receiving::at_most;
    11 "a pull that finds nothing waits, then answers with nothing" receiving::empty;
    12 "a pull that waits gets what comes meanwhile" receiving::meanwhile;
    13 "a pull that is dropped loses nothing" receiving::dropped;
    14 "only the wanted tags come" receiving::tags;
    15 "a group that begins with the earliest gets what was there before it" receiving::earliest;
    16 "a group that begins with the latest gets what comes after it" receiving::latest;
    17 "a delayed message comes when it is due, not before" receiving::delayed;
    18 "what is acknowledged never comes again" settling::acknowledged;
    19 "what failed comes again, with a higher attempt each time" redelivery::failed;
    20 "what failed comes again after the delay, not before" redelivery::delay;
    21 "what was released comes at once, to anybody, uncounted" redelivery::released;
    22 "what is not settled comes again when its visibility is over, not before" redelivery::forgotten;
    23 "what is extended stays, until that is over" redelivery::extended;
    24 "what is settled too late does no harm" settling::stale;
    25 "a dead letter is moved, with reason, attempts and topic" settling::dead_letter;
    26 "many are settled at once, and none as well" settling::many;
    27 "of one key, the next comes when the one before is settled" order::one_by_one;
    28 "of one key, all are handled in the order they were sent" order::handled;
    29 "who leaves the group gives back what it held" ending::leaving;
    30 "after a close, everything is answered so; a second close is harmless" ending::closed;
    31 "a close ends what waits" ending::waiting;
    32 "what was committed does not come again after reopening; the rest does" ending::committed;
    33 "what was stored survives when all clients are gone" ending::durable;
    34 "a large number of messages arrives, each once" crowd::many;
    35 "with many senders and members, and what they drop and fail, nothing is lost" crowd::conserved;
    36 "the broker tells how much a group has left to do" crowd::backlog;
};
