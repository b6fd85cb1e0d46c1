//! Every way that a run can go: all plans of up to four components in up to three phases, and at each step everything that can happen next.
//!
//! The machine is driven like in `world`, only that nothing is scripted: whatever a component may do in its present state is done, each in a copy of
//! the whole, and so are every signal, request and timeout. The model watches each copy; so the invariants that are checked in each state are
//! the model's: O1–O3, S1–S4, T1, T3–T8, T10–T12, D1–D2, P1–P3, and no illegal pair of the table. What was seen before is not gone through again.
//!
//! - E1. *Time.* Things happen at an instant at which a timer ends, at the beginning, or once in between (a tick: half of the way to the next timer).
//!   Between two timers the machine does not look at the clock, so other instants differ in numbers only.
//! - E2. *Sameness.* Two states are the same if everything that the machine, the model and the components' scopes can still act on is the same.
//!   What is only told later (timeline, texts) is left out. Keys are 128 bits of the state's text.
//! - E3. *It always ends.* No state but a final one is without a next step, a timeout that is due changes the state, and every state of a shutdown
//!   has its next timeout within the deadline (T1, by the model); since time only rises and each fact is said once, no run goes on for ever.
//!
//! `WINDDOWN_EXPLORE=full` goes through all of it (docs/proof.md says how long that takes), without it through what takes seconds.

mod key;

mod node;
mod plans;

use super::case::Case;
use node::{Choice, Node};
use std::collections::HashSet;
use std::rc::Rc;

/// What the components of an exploration may do, and what may come from outside.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// A call or a task may panic, too, not only fail.
    panics: bool,
    /// How many signals may come.
    signals: u8,
    /// A shutdown may be asked for by the program.
    requests: bool,
    /// Instants between two timers, so many in a run.
    ticks: u8,
    /// What is on demand may be started and stopped, so often in a run.
    singles: u8,
}

/// Counts of one exploration.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    plans: u64,
    states: u64,
    steps: u64,
    ends: u64,
    deepest: u32,
}

/// How a state was reached.
struct Trail {
    choice: Choice,
    before: Option<Rc<Trail>>,
}

/// Goes through everything that can become of one case; the first broken invariant ends it, with the way to it.
fn explore(case: &Case, reach: Reach, seen: &mut Seen) -> Result<(), String> {
    let mut known: HashSet<u128> = HashSet::new();
    let begin = Node::new(case, reach)?;
    known.insert(begin.key());
    let mut open: Vec<(Node<'_>, Option<Rc<Trail>>, u32)> = vec![(begin, None, 0)];
    seen.plans += 1;
    while let Some((node, trail, depth)) = open.pop() {
        seen.states += 1;
        seen.deepest = seen.deepest.max(depth);
        let mut going = false;
        for choice in node.choices() {
            seen.steps += 1;
            going = true;
            let trail = Rc::new(Trail { choice, before: trail.clone() });
            let next = node.after(choice).map_err(|complaint| told(case, &complaint, Some(&trail)))?;
            if next.is_over() {
                seen.ends += 1;
            } else if known.insert(next.key()) {
                open.push((next, Some(trail), depth + 1));
            } else if matches!(choice, Choice::Timeout) && next.key() == node.key() {
                return Err(told(case, "E3: a timeout that is due changes nothing", Some(&trail)));
            }
        }
        if !going {
            return Err(told(case, "E3: nothing can happen any more", trail.as_deref()));
        }
    }
    Ok(())
}

fn told(case: &Case, complaint: &str, trail: Option<&Trail>) -> String {
    let mut way = Vec::new();
    let mut at = trail;
    while let Some(trail) = at {
        way.push(format!("{:?}", trail.choice));
        at = trail.before.as_deref();
    }
    way.reverse();
    let parts: Vec<_> = case.parts.iter().map(|p| (p.phase, &p.after, p.on_demand)).collect();
    format!("{complaint}\n  after {}\n  of a plan with (phase, after, on demand) {parts:?}", way.join(", "))
}

const ALL: Reach = Reach { panics: true, signals: 3, requests: true, ticks: 1, singles: 2 };
const MOST: Reach = Reach { panics: false, signals: 3, requests: true, ticks: 0, singles: 1 };
const CORE: Reach = Reach { panics: false, signals: 2, requests: false, ticks: 0, singles: 1 };

#[expect(clippy::print_stdout, reason = "a line of the table in docs/proof.md, for who wants to see it")]
fn all(cases: impl Iterator<Item = Case>, reach: Reach, what: &str) {
    let (mut seen, began) = (Seen::default(), std::time::Instant::now());
    for case in cases {
        if let Err(complaint) = explore(&case, reach, &mut seen) {
            panic!("{complaint}");
        }
    }
    let Seen { plans, states, steps, ends, deepest } = seen;
    let ms = began.elapsed().as_millis();
    println!("| {what} | {plans} | {states} | {steps} | {ends} | {deepest} | {:.1} |", ms as f64 / 1000.0);
}

fn full() -> bool {
    std::env::var("WINDDOWN_EXPLORE").is_ok_and(|wanted| wanted == "full")
}

#[test]
fn every_run_of_one_component() {
    all(plans::flavoured(1), if full() { ALL } else { MOST }, "1 component, of every kind");
}

#[test]
fn every_run_of_several_components() {
    if !full() {
        return all(plans::plain(2), CORE, "2 components");
    }
    all(plans::plain(2), ALL, "2 components");
    all(plans::flavoured(2), MOST, "2 components, one of a special kind");
    all(plans::plain(3), MOST, "3 components");
    all(plans::flavoured(3), CORE, "3 components, one of a special kind");
    all(plans::plain(4), CORE, "4 components");
}
