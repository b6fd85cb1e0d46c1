//! The audit: what clients were promised against what the files hold, and against what a server has left to do.

use crate::belongs;
use crate::brokers::Chosen;
use crate::evidence::Evidence;
use crate::inquiry::Inquiry;
use crate::reckoning::reckon;
use serde::Serialize;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a server may hold orders without counting them: a killed process's leases of 10 s, and the 15 s that the slowest one (RocketMQ)
/// may take after that to give them out again.
const UNCOUNTED: Duration = Duration::from_secs(25);

/// Between two looks.
const AGAIN: Duration = Duration::from_secs(1);

/// Where an accepted order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Handled,
    /// In the broker or the outbox; on a server it is only known that one of so many is.
    Pending,
    /// A dead letter: kept by the service, or still in the broker or the outbox.
    Dead,
    /// Nowhere.
    Lost,
}

/// Accepted orders, each counted once: accepted = handled + pending + dead + lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) handled: u64,
    /// How often an order was handled once more.
    pub(crate) duplicates: u64,
    pub(crate) pending: u64,
    pub(crate) dead: u64,
    pub(crate) lost: u64,
}

pub(crate) struct Audit {
    counts: Counts,
    /// Each accepted id.
    states: Vec<(String, State)>,
    /// Handled though no client was told that they were accepted: answered 503, or not at all.
    unasked: usize,
}

/// One line of the list.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    state: State,
}

impl Audit {
    /// Looks at data directories and, of a server, at what it has left to do; services may be running.
    ///
    /// Orders that a server does not count at the moment are looked for again before they are called lost, for half a minute at most.
    ///
    /// # Errors
    /// What cannot be read, or asked.
    pub(crate) fn of(data: &[PathBuf], broker: &Chosen) -> anyhow::Result<Audit> {
        for data in data {
            belongs::check(data, broker)?;
        }
        let server = Inquiry::of(broker)?;
        let began = Instant::now();
        let mut said = false;
        loop {
            let audit = Audit::from(Evidence::read(data, server.as_ref())?);
            if audit.holds() || server.is_none() || began.elapsed() > UNCOUNTED {
                return Ok(audit);
            }
            if !said {
                let lost = audit.counts.lost;
                let why = "a broker does not always count what a killed process held";
                let _ = writeln!(std::io::stderr(), "{lost} orders are nowhere yet; looking again for up to {UNCOUNTED:?}, since {why}");
                said = true;
            }
            sleep(AGAIN);
        }
    }

    fn from(evidence: Evidence) -> Audit {
        let Evidence { accepted, pending, dead, handled, duplicates, left } = evidence;
        let unasked = handled.iter().filter(|id| accepted.binary_search(id).is_err()).count();
        let found = |id: &String| match () {
            // A copy may wait or be dead as well; that changes nothing for its client.
            () if handled.contains(id) => Some(State::Handled),
            () if pending.contains(id) => Some(State::Pending),
            () if dead.contains(id) => Some(State::Dead),
            () => None,
        };
        let found: Vec<_> = accepted.into_iter().map(|id| (found(&id), id)).collect();
        let count = |state| found.iter().filter(|(found, _)| *found == state).count() as u64;
        let nowhere = reckon(count(None), left.unwrap_or(0));
        let counts = Counts {
            accepted: found.len() as u64,
            handled: count(Some(State::Handled)),
            duplicates,
            pending: count(Some(State::Pending)) + nowhere.pending,
            dead: count(Some(State::Dead)),
            lost: nowhere.lost,
        };
        // Which of them are lost, nobody knows: so each may be.
        let otherwise = if nowhere.lost > 0 { State::Lost } else { State::Pending };
        let states = found.into_iter().map(|(state, id)| (id, state.unwrap_or(otherwise))).collect();
        Audit { counts, states, unasked }
    }

    /// Whether every promise was or can be kept.
    pub(crate) fn holds(&self) -> bool {
        self.counts.lost == 0
    }

    /// Where an order is, if it was accepted.
    pub(crate) fn state(&self, id: &str) -> Option<State> {
        let place = self.states.binary_search_by(|(other, _)| other.as_str().cmp(id)).ok()?;
        Some(self.states[place].1)
    }

    /// The counts, as one line of JSON.
    pub(crate) fn json(&self) -> String {
        line(&self.counts)
    }

    /// A line of JSON for each accepted order.
    pub(crate) fn list(&self) -> String {
        self.states.iter().map(|(id, state)| line(&Line { id, state: *state })).collect()
    }

    fn lost(&self) -> impl Iterator<Item = &str> {
        self.states.iter().filter(|(_, state)| *state == State::Lost).map(|(id, _)| id.as_str())
    }
}

fn line(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default(); // plain texts and numbers have a JSON form
    text + "\n"
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { accepted, handled, duplicates, pending, dead, lost } = self.counts;
        writeln!(f, "audit of the files")?;
        writeln!(f, "  accepted        {accepted:>8}")?;
        writeln!(f, "  handled         {handled:>8}")?;
        writeln!(f, "  handled again   {duplicates:>8}")?;
        writeln!(f, "  pending         {pending:>8}")?;
        writeln!(f, "  dead            {dead:>8}")?;
        writeln!(f, "  lost            {lost:>8}")?;
        if self.unasked > 0 {
            writeln!(f, "{} more were handled whose clients were not told that they were accepted", self.unasked)?;
        }
        if self.holds() {
            return writeln!(f, "every accepted order is handled, waiting, or a dead letter");
        }
        let some: Vec<_> = self.lost().take(10).collect();
        let among = if lost < self.lost().count() as u64 { "they are among" } else { "among them" };
        writeln!(f, "{lost} accepted orders are nowhere, {among} {}", some.join(", "))
    }
}
