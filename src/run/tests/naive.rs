//! Order and shares reckoned in the plainest way: all pairs, no barriers, no counters, bisection.

use super::case::Case;
use crate::reason::ReasonKind;

/// Milliseconds as nanoseconds.
const MS: f64 = 1e6;

/// The relation of a case.
#[derive(Clone, Debug)]
pub(super) struct Naive {
    /// `before[a][b]`: b comes directly before a.
    pub(super) before: Vec<Vec<bool>>,
    /// `behind[a][b]`: b comes, directly or not, behind a.
    pub(super) behind: Vec<Vec<bool>>,
}

impl Naive {
    pub(super) fn new(case: &Case) -> Naive {
        let n = case.parts.len();
        let direct = |a: usize, b: usize| case.parts[b].phase < case.parts[a].phase || case.parts[a].after.contains(&(b as u32));
        let before: Vec<Vec<bool>> = (0..n).map(|a| (0..n).map(|b| direct(a, b)).collect()).collect();
        let mut behind: Vec<Vec<bool>> = (0..n).map(|a| (0..n).map(|b| before[b][a]).collect()).collect();
        for via in 0..n {
            for a in 0..n {
                for b in 0..n {
                    behind[a][b] |= behind[a][via] && behind[via][b];
                }
            }
        }
        Naive { before, behind }
    }

    /// The longest chain of slots in nanoseconds, when what may shrink is multiplied by `factor`.
    fn longest(&self, case: &Case, factor: f64) -> f64 {
        let default = 1000.0;
        let resources: f64 = case.resources.iter().map(|(b, _)| b.map_or(default * factor, |b| b as f64)).sum();
        let slot = |c: usize| {
            let part = &case.parts[c];
            let waits = (part.waits.0 + part.waits.1) as f64 * factor;
            waits + part.stop_budget.map_or(case.stop_budget as f64 * factor, |b| b as f64)
        };
        let mut known = vec![None; case.parts.len()];
        let below = (0..case.parts.len()).map(|c| self.chain(c, &slot, &mut known)).fold(0.0, f64::max);
        (below + resources) * MS
    }

    fn chain(&self, c: usize, slot: &dyn Fn(usize) -> f64, known: &mut Vec<Option<f64>>) -> f64 {
        if let Some(length) = known[c] {
            return length;
        }
        let mut below = 0.0f64;
        for b in 0..self.before.len() {
            if self.before[c][b] {
                below = below.max(self.chain(b, slot, known));
            }
        }
        known[c] = Some(below + slot(c));
        below + slot(c)
    }

    /// The common factor with which everything fits into so much time.
    pub(super) fn factor(&self, case: &Case, room: f64) -> f64 {
        if self.longest(case, 1.0) <= room {
            return 1.0;
        }
        let (mut fits, mut does_not) = (0.0, 1.0);
        for _ in 0..40 {
            let middle = (fits + does_not) / 2.0;
            if self.longest(case, middle) <= room { fits = middle } else { does_not = middle }
        }
        fits
    }

    /// Do the stated budgets fit, under every grace period that may apply?
    pub(super) fn can_be_carried_out(&self, case: &Case) -> bool {
        let least = self.longest(case, 0.0);
        let fits = |grace: f64, delay: f64| least <= grace - delay && (delay == 0.0 || delay < grace);
        let own = case.grace as f64 * MS;
        fits(own, 0.0) && case.profiles.iter().all(|(_, p)| fits(p.grace.map_or(own, |g| g.as_nanos() as f64), p.drain_delay.as_nanos() as f64))
    }
}

/// The grace period, what is kept of it for the report, and the drain delay, in nanoseconds.
pub(super) fn terms(case: &Case, kind: ReasonKind) -> (u64, u64, u64) {
    let profile = case.profiles.iter().filter(|(k, _)| *k == kind).map(|(_, p)| *p).next_back().unwrap_or_default();
    let grace = profile.grace.map_or(case.grace * 1_000_000, |g| g.as_nanos() as u64);
    (grace, (grace / 10).min(20_000_000), profile.drain_delay.as_nanos() as u64)
}
