//! Which route to take: in turn, without those that failed or were slow a moment ago.
//!
//! A route that answers well is remembered nowhere. One that fails or is slow is avoided for a while, by [`AVOIDED`]. When the while is over, one
//! message tries it; for as long as that may take, the others keep away, so a route that still hangs costs one try and not all. If it
//! answers well it is as good as any.
//!
//! Messages of an ordered key stay on one route, chosen by the key: two routes may be two servers, and no order holds between those.

use crate::messaging::{BrokerError, Class, ErrorKind, Message, Route, Routes};
use crate::sync::{Mutex, lock};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// From this latency on, a route is avoided for so long: six times the latency, so a route that gets a message each time it is tried again costs
/// a seventh of one sender's time at most. Below 200 ms it is spread: that is how long a busy RocketMQ broker lets a request wait before it
/// answers "busy". At the end stands half a minute: a server that was restarted is not kept waiting for longer.
const AVOIDED: [(Duration, Duration); 5] = [
    (Duration::from_secs(5), Duration::from_secs(30)),
    (Duration::from_secs(2), Duration::from_secs(12)),
    (Duration::from_secs(1), Duration::from_secs(6)),
    (Duration::from_millis(500), Duration::from_secs(3)),
    (Duration::from_millis(200), Duration::from_millis(1200)),
];
/// "Busy" comes fast and passes fast: it counts as the least that is slow.
const BUSY_COUNTS_AS: Duration = Duration::from_millis(200);
/// No answer, or none from the other side: it counts as slow however fast it came.
const FAILED_COUNTS_AS: Duration = Duration::from_secs(1);
/// A full disk does not pass in seconds.
const FULL_COUNTS_AS: Duration = Duration::from_secs(5);
/// A bad route that nobody has come back to for this long has gone from the routes.
const FORGOTTEN: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(super) struct RouteTable(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Whose turn it is, by topic: one counter for all would favour some where topics alternate.
    turns: HashMap<Arc<str>, usize>,
    /// Until when, of those that are avoided.
    bad: HashMap<Route, Instant>,
}

/// For how long a route is avoided after a try.
fn avoided(took: Duration, error: Option<&BrokerError>) -> Duration {
    let counts = match error {
        None => took,
        // It answered, and what is wrong is the message.
        Some(error) if error.class() == Class::Fatal => took,
        Some(error) => took.max(match error.kind() {
            ErrorKind::Busy => BUSY_COUNTS_AS,
            ErrorKind::Full => FULL_COUNTS_AS,
            _ => FAILED_COUNTS_AS,
        }),
    };
    AVOIDED.iter().find(|(latency, _)| counts >= *latency).map_or(Duration::ZERO, |(_, avoided)| *avoided)
}

impl RouteTable {
    /// The route for this message; none where there is no choice. `last` is the one that failed last for it, `may_take` how long the try may take.
    pub(super) fn choose(&self, routes: &Routes, message: &Message, last: Option<&Route>, may_take: Duration) -> Option<Route> {
        if routes.len() < 2 {
            return routes.first().cloned();
        }
        if let (true, Some(key)) = (message.is_ordered(), message.key()) {
            return routes.iter().max_by_key(|route| weight(key, route)).cloned();
        }
        let now = Instant::now();
        let mut inner = lock(&self.0);
        let turn = match inner.turns.get_mut(message.topic()) {
            Some(turn) => turn,
            None => inner.turns.entry(message.topic_shared()).or_default(),
        };
        *turn = turn.wrapping_add(1);
        let turn = *turn;
        // In turn, from the one whose turn it is; and not the last one, since there is another.
        let in_turn = (0..routes.len()).map(|i| &routes[(turn + i) % routes.len()]).filter(|route| Some(*route) != last);
        let free = |route: &&Route| inner.bad.get(*route).is_none_or(|until| *until <= now);
        let chosen = match in_turn.clone().find(free) {
            Some(route) => route.clone(),
            // All are avoided: the one that is free soonest. Several at one instant: in turn.
            None => in_turn.min_by_key(|route| inner.bad.get(*route).copied())?.clone(),
        };
        if let Some(until) = inner.bad.get_mut(&chosen) {
            // On probation: one try at a time.
            *until = (*until).max(now + may_take);
        }
        Some(chosen)
    }

    /// A try was given up, without an answer, after so long: it says something only if that was long.
    pub(super) fn given_up(&self, route: Option<&Route>, took: Duration) {
        if !avoided(took, None).is_zero() {
            self.went(route, took, None);
        }
    }

    /// How a try went.
    pub(super) fn went(&self, route: Option<&Route>, took: Duration, error: Option<&BrokerError>) {
        let Some(route) = route else { return };
        let avoided = avoided(took, error);
        let now = Instant::now();
        let mut inner = lock(&self.0);
        if avoided.is_zero() {
            inner.bad.remove(route);
            return;
        }
        inner.bad.retain(|_, until| now.saturating_duration_since(*until) < FORGOTTEN);
        let until = inner.bad.entry(route.clone()).or_insert(now);
        *until = now + avoided;
    }
}

/// The same for everybody who has the same key and routes, and little changed when routes come and go: each route draws a number by the key, and
/// the highest has it.
fn weight(key: &str, route: &Route) -> u64 {
    // FNV-1a, then a mix: stable across processes and versions, which the standard hasher does not promise.
    let bytes = key.bytes().chain([0]).chain(route.name().bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}
