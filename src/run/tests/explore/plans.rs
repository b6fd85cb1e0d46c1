//! The plans that are gone through.

use super::super::case::{Case, How, Part, part};

/// Budgets that differ, so that timers do not all end together; the waits too.
fn sized(id: u64) -> Part {
    let mut part = part().budget(400 + 300 * id);
    part.start_budget = 1000 + 700 * id;
    part.waits = (100 + 30 * id, 50 + 20 * id);
    part
}

/// All plans of so many components: each in one of up to three phases, in order, and within a phase any of them after any before it.
pub(super) fn plain(count: u32) -> impl Iterator<Item = Case> {
    phases(count).into_iter().flat_map(move |phases| {
        let pairs: Vec<(u32, u32)> =
            (0..count).flat_map(|b| (0..b).map(move |a| (a, b))).filter(|&(a, b)| phases[a as usize] == phases[b as usize]).collect();
        (0u32..1 << pairs.len()).map(move |chosen| {
            let mut parts: Vec<Part> = (0..count).map(|id| sized(id.into()).phase(phases[id as usize])).collect();
            for (bit, &(a, b)) in pairs.iter().enumerate() {
                if chosen & (1 << bit) != 0 {
                    parts[b as usize] = parts[b as usize].clone().after(a);
                }
            }
            // Less than all the budgets together: time is short for some.
            parts.into_iter().fold(Case::new().grace(1500), Case::with)
        })
    })
}

/// Ways to put them into phases, in rising order and without a gap.
fn phases(count: u32) -> Vec<Vec<i32>> {
    let mut all = vec![vec![0]];
    for _ in 1..count {
        all = all
            .into_iter()
            .flat_map(|ways: Vec<i32>| {
                let last = ways[ways.len() - 1];
                let more = move |phase| [ways.clone(), vec![phase]].concat();
                (last..=(last + 1).min(2)).map(more).collect::<Vec<_>>()
            })
            .collect();
    }
    all
}

/// The same, each with one component of a special kind, each kind in each place; and each with a resource.
pub(super) fn flavoured(count: u32) -> impl Iterator<Item = Case> {
    let kinds: [fn(Part) -> Part; 7] = [
        |part| part,
        |part| part.restart(1, 3_600_000),
        |part| part.restart(2, 3_600_000),
        |part| part.ignore(),
        |part| part.on_demand(),
        |mut part| {
            part.declares_ready = true;
            part
        },
        |mut part| {
            part.script.critical = Some((70, 0));
            part
        },
    ];
    plain(count).flat_map(move |case| {
        (0..count as usize).flat_map(move |place| {
            let case = case.clone();
            kinds.into_iter().map(move |kind| {
                let mut case = case.clone();
                case.parts[place] = kind(case.parts[place].clone());
                case.parts[place].uses = vec![0];
                case.resource(0, How::Ok)
            })
        })
    })
}

#[test]
fn the_plans_are_all_there_are() {
    // By hand: one phase 1, two phases 1; for three components 1+2+1 ways, with 8, 2 and 1 sets of pairs each.
    assert_eq!(plain(1).count(), 1);
    assert_eq!(plain(2).count(), 3);
    assert_eq!(plain(3).count(), 8 + 2 + 2 + 1);
}
