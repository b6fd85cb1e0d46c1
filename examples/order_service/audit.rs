//! The audit: what clients were promised against what the files hold.

use crate::evidence::Evidence;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Where an accepted order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Handled,
    /// In the broker or the outbox.
    Pending,
    /// A dead letter of the broker or the outbox.
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
    /// Reads a data directory's files; a service may be running on them.
    pub(crate) fn of(data: &Path) -> anyhow::Result<Audit> {
        let Evidence { accepted, pending, dead, handled, duplicates } = Evidence::read(data)?;
        let mut counts = Counts { accepted: accepted.len() as u64, duplicates, ..Counts::default() };
        let unasked = handled.iter().filter(|id| accepted.binary_search(id).is_err()).count();
        let state = |id: &String| match () {
            // A copy may wait or be dead as well; that changes nothing for its client.
            () if handled.contains(id) => State::Handled,
            () if pending.contains(id) => State::Pending,
            () if dead.contains(id) => State::Dead,
            () => State::Lost,
        };
        let states: Vec<_> = accepted.into_iter().map(|id| (state(&id), id)).map(|(state, id)| (id, state)).collect();
        for (_, state) in &states {
            *match state {
                State::Handled => &mut counts.handled,
                State::Pending => &mut counts.pending,
                State::Dead => &mut counts.dead,
                State::Lost => &mut counts.lost,
            } += 1;
        }
        Ok(Audit { counts, states, unasked })
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
        writeln!(f, "{lost} accepted orders are nowhere, among them {}", some.join(", "))
    }
}
