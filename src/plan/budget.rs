//! How one deadline is shared out (T1–T3): pure sums over the precedence relation.
//!
//! A slot has a hard part (an explicit budget) and a soft part (defaulted budgets and all waits), which one common factor may
//! shrink. The longest chain of slots as a function of that factor is convex, piecewise linear and growing, so the largest factor
//! that fits is found by a few rounds of "longest chain at this factor, then the factor that makes it fit" (Newton's method, which
//! for such a function ends exactly); between two sampled factors a chord lies above it, so interpolating errs on the safe side.

use super::graph::Graph;
use crate::span::nanos;
use std::time::Duration;

/// What is kept of the grace period for the report: 20 ms, and 10 µs for each component whose report is written to a file (a sixth of that
/// was measured); never more than a tenth of a short one.
pub(crate) fn tail(grace: Duration, components: usize) -> Duration {
    let wanted = Duration::from_millis(20).max(Duration::from_micros(10) * u32::try_from(components).unwrap_or(u32::MAX));
    wanted.min(grace / 10)
}

/// One slot in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) hard: u64,
    pub(crate) soft: u64,
}

impl Slot {
    pub(crate) fn plus(self, other: Slot) -> Slot {
        Slot { hard: self.hard.saturating_add(other.hard), soft: self.soft.saturating_add(other.soft) }
    }
    pub(crate) fn at(self, factor: f64) -> u64 {
        self.hard.saturating_add((self.soft as f64 * factor) as u64)
    }
}

/// A soft span under a factor: never below 1 ms, never above itself.
pub(crate) fn shrink(span: Duration, factor: f64) -> Duration {
    if factor >= 1.0 {
        return span;
    }
    span.mul_f64(factor.max(0.0)).max(Duration::from_millis(1)).min(span)
}

/// The longest chain from each node downwards (itself, then all that stop after it, then the resources) at one factor.
pub(crate) fn chains(graph: &Graph, slot: impl Fn(u32) -> Slot, resources: Slot, factor: f64) -> Vec<Slot> {
    let mut chain = vec![Slot::default(); graph.nodes()];
    for &node in &graph.order {
        let mut below = resources;
        let mut most = resources.at(factor);
        for &p in graph.before.of(node) {
            let c = chain[p as usize];
            if c.at(factor) > most {
                (below, most) = (c, c.at(factor));
            }
        }
        chain[node as usize] = below.plus(slot(node));
    }
    chain
}

/// The node that begins the longest chain at this factor, and the chain; `None` without components.
fn longest(graph: &Graph, chain: &[Slot], factor: f64) -> Option<(u32, Slot)> {
    (0..graph.components()).map(|n| (n, chain[n as usize])).max_by_key(|(_, c)| c.at(factor))
}

/// The largest factor up to 1 at which the longest chain fits; `Err` if it does not even at 0 (with the chain at 0).
pub(crate) fn fit(graph: &Graph, slot: impl Fn(u32) -> Slot + Copy, resources: Slot, room: Duration) -> Result<f64, Slot> {
    let room = nanos(room);
    let mut factor = 1.0f64;
    // Each round moves to another piece of the convex function; 64 is far above what any plan needs, and errs on the short side.
    for _ in 0..64 {
        let chain = longest(graph, &chains(graph, slot, resources, factor), factor).map_or(resources, |(_, c)| c);
        if chain.at(factor) <= room {
            return Ok(factor);
        }
        if chain.hard > room || chain.soft == 0 {
            let least = longest(graph, &chains(graph, slot, resources, 0.0), 0.0).map_or(resources, |(_, c)| c);
            return if least.hard > room { Err(least) } else { Ok(0.0) };
        }
        // One nanosecond off, so that rounding cannot keep it just above.
        factor = ((room - chain.hard).saturating_sub(1)) as f64 / chain.soft as f64;
    }
    Ok(0.0)
}

/// The components along the longest chain at a factor, in the order in which they stop.
pub(crate) fn path(graph: &Graph, slot: impl Fn(u32) -> Slot + Copy, resources: Slot, factor: f64) -> Vec<u32> {
    let chain = chains(graph, slot, resources, factor);
    let mut at = longest(graph, &chain, factor).map(|(n, _)| n);
    let mut found = Vec::new();
    while let Some(node) = at {
        if !graph.is_barrier(node) {
            found.push(node);
        }
        at = graph.before.of(node).iter().copied().max_by_key(|&p| chain[p as usize].at(factor));
    }
    found
}

/// What is reserved below each component during one shutdown; answers each ask in constant time.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
pub(crate) struct Reserve {
    /// The chain of each node at factor 1.
    full: Vec<u64>,
    /// Only once time is short: sampled factors from 0 to 1, and the chain of each node at each of them.
    samples: Option<Samples>,
}

#[cfg_attr(test, derive(Clone))]
#[derive(Debug)]
struct Samples {
    factors: Vec<f64>,
    rows: Vec<u64>,
}

impl Reserve {
    pub(crate) fn new(graph: &Graph, slot: impl Fn(u32) -> Slot + Copy, resources: Slot) -> Reserve {
        let full = chains(graph, slot, resources, 1.0).into_iter().map(|c| c.at(1.0)).collect();
        Reserve { full, samples: None }
    }

    /// The largest factor at which this node's chain fits into what is left.
    pub(crate) fn factor(&mut self, graph: &Graph, slot: impl Fn(u32) -> Slot + Copy, resources: Slot, node: u32, left: Duration) -> f64 {
        let left = nanos(left);
        if self.full[node as usize] <= left {
            return 1.0;
        }
        let samples = self.samples.get_or_insert_with(|| Samples::new(graph, slot, resources, left));
        samples.factor(node, left)
    }
}

impl Samples {
    /// The factor that fits exactly now is one of the samples: while every component uses up its time it stays the right one.
    fn new(graph: &Graph, slot: impl Fn(u32) -> Slot + Copy, resources: Slot, left: u64) -> Samples {
        let exact = fit(graph, slot, resources, Duration::from_nanos(left)).unwrap_or(0.0);
        let mut factors = vec![0.0];
        factors.extend((0..=6).map(|k| exact + (1.0 - exact) * f64::from(k) / 6.0));
        factors.dedup();
        let width = factors.len();
        let mut rows = vec![0u64; graph.nodes() * width];
        for (k, &factor) in factors.iter().enumerate() {
            for (node, chain) in chains(graph, slot, resources, factor).into_iter().enumerate() {
                rows[node * width + k] = chain.at(factor);
            }
        }
        Samples { factors, rows }
    }

    fn factor(&self, node: u32, left: u64) -> f64 {
        let width = self.factors.len();
        let row = &self.rows[node as usize * width..][..width];
        let fits = row.partition_point(|&chain| chain <= left);
        if fits == 0 {
            return 0.0;
        }
        if fits == width {
            return 1.0;
        }
        let (low, high) = (row[fits - 1], row[fits]);
        let share = (left - low) as f64 / (high - low) as f64;
        self.factors[fits - 1] + (self.factors[fits] - self.factors[fits - 1]) * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::{millis, secs};

    const MS: u64 = 1_000_000;

    fn hard(ms: u64) -> Slot {
        Slot { hard: ms * MS, soft: 0 }
    }
    fn soft(ms: u64) -> Slot {
        Slot { hard: 0, soft: ms * MS }
    }

    #[test]
    fn t2_one_common_factor_shrinks_defaults_and_keeps_explicit() {
        // Phase 1 over phase 0: 1 s explicit above 3 s defaulted, 2 s left: the default gets one second.
        let graph = Graph::new(&[0, 1], &[]).unwrap();
        let slot = |n: u32| [soft(3000), hard(1000), Slot::default()][n as usize];
        let factor = fit(&graph, slot, Slot::default(), secs(2)).unwrap();
        assert!((factor - 1.0 / 3.0).abs() < 1e-6, "{factor}");
        assert!(fit(&graph, slot, Slot::default(), millis(999)).is_err());
        assert_eq!(fit(&graph, slot, Slot::default(), secs(4)).unwrap(), 1.0);
        assert_eq!(path(&graph, slot, Slot::default(), 1.0), [1, 0]);
    }

    #[test]
    fn t2_nothing_shrinks_below_a_millisecond() {
        assert_eq!(shrink(secs(5), 0.0), millis(1));
        assert_eq!(shrink(Duration::from_micros(10), 0.0), Duration::from_micros(10));
        assert_eq!(shrink(secs(5), 1.0), secs(5));
    }

    #[test]
    fn t3_the_factor_at_an_ask_never_lets_the_chain_pass_what_is_left() {
        // Two ways down: one mostly hard, one all soft, so that the function has a bend.
        let graph = Graph::new(&[0, 0, 1], &[]).unwrap();
        let slot = |n: u32| [hard(900), soft(2000), soft(500), Slot::default()][n as usize];
        let mut reserve = Reserve::new(&graph, slot, soft(100));
        for left in (950..2700).step_by(10) {
            let factor = reserve.factor(&graph, slot, soft(100), 2, millis(left));
            let chain = chains(&graph, slot, soft(100), factor)[2].at(factor);
            assert!(chain <= left * MS + 2, "{left}: {factor} {chain}");
            let exact = fit(&graph, slot, soft(100), millis(left)).unwrap();
            assert!(factor <= exact + 1e-6 && factor > exact - 0.06, "{left}: {factor} against {exact}");
        }
    }
}
