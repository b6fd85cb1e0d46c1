//! Faults on demand, in front of any broker.
//!
//! [`Faults`] says what goes wrong and may be changed while things run; a [`FaultyBroker`] stands in front of a broker and makes it so.
//!
//! F1. One number from the seeded generator decides about one request, so a run in one thread repeats exactly.
//! F2. A fault takes an answer away, or a request, or time. It never takes a message that the broker behind it holds.
//! F3. The class of each injected error is true: safe means certainly not done.

mod broker;
mod gate;
mod parse;
mod subscription;
#[cfg(test)]
mod tests;

pub use broker::FaultyBroker;
pub use parse::FaultsError;

use super::random::Random;
use crate::sync::{Mutex, lock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What goes wrong between a client and its broker. Clones are the same faults; every setter takes effect at once, for calls under way too.
///
/// Probabilities are from 0 to 1 and add up: of 100 sends with `busy` 0.2 and `disconnect` 0.1, some 20 are answered busy and some 10 lose their
/// connection. What is beyond 1 in sum never happens.
///
/// ```
/// use winddown::{messaging::Faults, millis};
///
/// let faults = Faults::new().busy(0.2).slow(millis(5)).seed(7);
/// assert_eq!(faults.to_string(), "busy=0.2,slow=5ms");
/// faults.busy(0.0).down(true);                            // later, while everything runs
/// assert_eq!(faults.to_string(), "slow=5ms,down");
/// assert_eq!(Faults::parse("slow=5ms,down")?.to_string(), faults.to_string());
/// # Ok::<(), winddown::messaging::FaultsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// `down` or `stalled` may have changed.
    changed: Notify,
    routes: Mutex<BTreeMap<Arc<str>, Faults>>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    random: Random,
    counts: FaultCounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Settings {
    busy: f64,
    disconnect: f64,
    ambiguous: f64,
    duplicate: f64,
    slow: Duration,
    down: bool,
    stalled: bool,
}

/// How often which fault struck, from [`Faults::counts`]. Those of routes are counted there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultCounts {
    /// Calls that came through here, faulty or not.
    pub calls: u64,
    /// Sends answered [`Busy`](super::ErrorKind::Busy), not stored.
    pub busy: u64,
    /// Calls whose connection was lost, before or after they were carried out.
    pub disconnected: u64,
    /// Sends that were stored and answered with an ambiguous error.
    pub ambiguous: u64,
    /// Deliveries that were given a second time.
    pub duplicated: u64,
    /// Calls refused, or cut off, because the broker was down.
    pub down: u64,
    /// Calls that had to wait because the broker was stalled.
    pub stalled: u64,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Fine,
    Busy,
    /// The connection is lost before it was carried out.
    Lost,
    /// The connection is lost after it was carried out.
    Unanswered,
    Ambiguous,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults::new()
    }
}

impl Faults {
    /// None, yet.
    pub fn new() -> Faults {
        let state = State { settings: Settings::default(), random: Random::seeded(1), counts: FaultCounts::default() };
        Faults(Arc::new(Inner { state: Mutex::new(state), changed: Notify::new(), routes: Mutex::default() }))
    }

    /// This share of sends is answered [`Busy`](super::ErrorKind::Busy) with code 2 and not stored.
    pub fn busy(&self, probability: f64) -> Faults {
        self.set(|settings| settings.busy = share(probability))
    }

    /// In this share of calls of any kind the connection is lost: half of them before the call was carried out, half after. The error is the
    /// same, and ambiguous. Pulls lose it before, so nothing is taken.
    pub fn disconnect(&self, probability: f64) -> Faults {
        self.set(|settings| settings.disconnect = share(probability))
    }

    /// This share of sends is stored, and the answer says that nobody knows.
    pub fn ambiguous(&self, probability: f64) -> Faults {
        self.set(|settings| settings.ambiguous = share(probability))
    }

    /// This share of deliveries is given twice, the same attempt by the same receipt.
    pub fn duplicate(&self, probability: f64) -> Faults {
        self.set(|settings| settings.duplicate = share(probability))
    }

    /// Each call takes so much longer.
    pub fn slow(&self, by: Duration) -> Faults {
        self.set(|settings| settings.slow = by)
    }

    /// Connections are refused: every call is answered [`Disconnected`](super::ErrorKind::Disconnected), certainly not carried out. Calls under
    /// way are cut off, and may have been. Only closing works as ever.
    pub fn down(&self, down: bool) -> Faults {
        self.set(|settings| settings.down = down)
    }

    /// Nothing is answered until this is taken back. Calls that come meanwhile are carried out after that.
    pub fn stalled(&self, stalled: bool) -> Faults {
        self.set(|settings| settings.stalled = stalled)
    }

    /// Begins the random numbers anew from this seed. Default: 1.
    pub fn seed(&self, seed: u64) -> Faults {
        lock(&self.0.state).random = Random::seeded(seed);
        self.clone()
    }

    /// The faults of one route: they strike, after the general ones, what is sent by that [`Route`](super::Route) only.
    pub fn route(&self, name: &str) -> Faults {
        // Each has its own numbers, so that they do not strike in step.
        let fresh = || Faults::new().seed(name.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte)));
        lock(&self.0.routes).entry(name.into()).or_insert_with(fresh).clone()
    }

    /// What has struck so far.
    pub fn counts(&self) -> FaultCounts {
        lock(&self.0.state).counts
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) -> Faults {
        change(&mut lock(&self.0.state).settings);
        self.0.changed.notify_waiters();
        self.clone()
    }

    fn settings(&self) -> Settings {
        lock(&self.0.state).settings
    }

    fn count(&self, add: impl FnOnce(&mut FaultCounts)) {
        add(&mut lock(&self.0.state).counts);
    }

    /// Those of a route, if there are any.
    fn of_route(&self, name: &str) -> Option<Faults> {
        lock(&self.0.routes).get(name).cloned()
    }

    fn routes(&self) -> Vec<(Arc<str>, Faults)> {
        lock(&self.0.routes).iter().map(|(name, faults)| (name.clone(), faults.clone())).collect()
    }

    /// Draws the fate of one request. Only sends can meet what is said of sends only.
    fn draw(&self, send: bool) -> Fate {
        let mut state = lock(&self.0.state);
        let Settings { busy, disconnect, ambiguous, .. } = state.settings;
        let (busy, ambiguous) = if send { (busy, ambiguous) } else { (0.0, 0.0) };
        let drawn = state.random.unit();
        let counts = &mut state.counts;
        counts.calls += 1;
        if drawn < busy {
            counts.busy += 1;
            Fate::Busy
        } else if drawn < busy + disconnect {
            counts.disconnected += 1;
            if drawn < busy + disconnect / 2.0 { Fate::Lost } else { Fate::Unanswered }
        } else if drawn < busy + disconnect + ambiguous {
            counts.ambiguous += 1;
            Fate::Ambiguous
        } else {
            Fate::Fine
        }
    }

    fn draw_duplicate(&self) -> bool {
        let mut state = lock(&self.0.state);
        let probability = state.settings.duplicate;
        let twice = state.random.chance(probability);
        state.counts.duplicated += u64::from(twice);
        twice
    }
}

fn share(probability: f64) -> f64 {
    if probability.is_nan() { 0.0 } else { probability.clamp(0.0, 1.0) }
}
