//! Random plans, behaviours and moments against the model. `WINDDOWN_CASES` raises the number of cases, and takes new ones each time.

use super::case::{Call, Case, Force, How, Outside, Part, Script};
use super::naive::Naive;
use crate::policy::{Policy, Restart};
use crate::reason::{Profile, ReasonKind};
use crate::span::millis;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// Few different spans, so that many things happen at the same instant, and some odd ones.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![4 => prop::sample::select(vec![0u64, 1, 10, 100, 200, 250, 500, 1000, 5000]), 1 => 0u64..6000, 1 => 0u64..300]
}

fn budget() -> impl Strategy<Value = u64> {
    prop_oneof![prop::sample::select(vec![20u64, 100, 500, 1000, 5000]), 20u64..3000]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![4 => Just(How::Ok), 1 => Just(How::Fails), 1 => Just(How::Panics), 1 => Just(How::Hangs)]
}

fn call() -> impl Strategy<Value = Call> {
    (span(), how()).prop_map(|(takes, how)| Call(takes, how))
}

fn force() -> impl Strategy<Value = Force> {
    (option::weighted(0.7, span()), option::weighted(0.8, span())).prop_map(|(cancel, dropped)| Force { cancel, dropped })
}

fn script() -> impl Strategy<Value = Script> {
    let run = prop_oneof![6 => Just(Call(0, How::Hangs)), 1 => call()];
    let critical = option::weighted(0.15, (span(), span()));
    let forces = (force(), force());
    let bad = (prop_oneof![8 => Just(0u8), 1 => Just(255), 2 => any::<u8>()], prop_oneof![Just(255), any::<u8>()]);
    (call(), bad, forces, option::weighted(0.8, span()), run, call(), option::weighted(0.8, span()), critical).prop_map(
        |(start, (start_bad, run_bad), (start_force, stop_force), ready, run, stop, linger, critical)| Script {
            start,
            start_bad,
            start_force,
            ready,
            run,
            run_bad,
            stop,
            linger,
            stop_force,
            critical,
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let restart = (0u32..4, budget(), 1u64..500, 0u64..1000).prop_map(|(max, window, first, more)| {
        let (first, cap) = (millis(first), millis(first + more));
        Policy::Restart(Restart { max, window: millis(window), first, cap })
    });
    prop_oneof![4 => Just(Policy::ShutDown), 3 => restart, 1 => Just(Policy::Ignore)]
}

fn part() -> impl Strategy<Value = (Part, u16, u8)> {
    let kinds = (0i32..4, prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    let spans =
        (prop_oneof![Just(30_000u64), budget()], option::weighted(0.25, budget()), prop_oneof![Just((500u64, 250u64)), (20u64..600, 20u64..600)]);
    (kinds, spans, policy(), script(), any::<u16>(), any::<u8>()).prop_map(
        |((phase, on_demand, declares_ready), (start_budget, stop_budget, waits), policy, script, after, uses)| {
            let part =
                Part { phase, after: Vec::new(), on_demand, declares_ready, start_budget, stop_budget, waits, policy, uses: Vec::new(), script };
            (part, after, uses)
        },
    )
}

fn outside() -> impl Strategy<Value = (u64, Outside)> {
    let what = prop_oneof![
        3 => prop::sample::select(vec![2, 15, 15, 1]).prop_map(Outside::Signal),
        1 => Just(Outside::Request),
        2 => (0u32..4).prop_map(Outside::StartOne),
        2 => (0u32..4).prop_map(Outside::StopOne),
    ];
    (prop_oneof![span(), 0u64..20_000], what)
}

fn profile() -> impl Strategy<Value = (ReasonKind, Profile)> {
    let kinds = vec![ReasonKind::Signal, ReasonKind::Request, ReasonKind::ComponentFailed, ReasonKind::Finished];
    (prop::sample::select(kinds), option::of(span()), option::weighted(0.3, 1000u64..20_000), option::of(3u8..100)).prop_map(
        |(kind, delay, grace, code)| {
            let profile = Profile::new().drain_delay(millis(delay.unwrap_or_default()));
            (kind, Profile { grace: grace.map(millis), exit_code: code, ..profile })
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let parts = prop_oneof![3 => vec(part(), 1..5), 1 => vec(part(), 5..=12)];
    let resources = vec((option::weighted(0.2, budget()), call()), 0..4);
    let grace = prop_oneof![Just(25_000u64), 2000u64..30_000];
    let settings = (grace, prop_oneof![Just(5000), budget()], vec(profile(), 0..3));
    (settings, parts, resources, vec(outside(), 0..7)).prop_map(|((grace, stop_budget, profiles), parts, resources, mut outside)| {
        let n = parts.len() as u32;
        outside.retain(|(_, what)| !matches!(what, Outside::StartOne(id) | Outside::StopOne(id) if *id >= n));
        // It has to come to an end.
        outside.push((30_000, Outside::Request));
        let (kept, masks): (Vec<Part>, Vec<(u16, u8)>) = parts.into_iter().map(|(part, after, uses)| (part, (after, uses))).unzip();
        let mut case = Case { grace, stop_budget, profiles, parts: kept, resources, outside };
        for (id, (after, uses)) in masks.into_iter().enumerate() {
            case.parts[id].after = legal(&case.parts, id).into_iter().filter(|d| after >> d & 1 == 1 && after >> (d + 3) & 1 == 1).collect();
            case.parts[id].uses = (0..case.resources.len() as u32).filter(|r| uses >> r & 1 == 1 && uses & 64 == 0).collect();
        }
        case
    })
}

/// What a component may be after: earlier ones of its phase, any of a lower one.
fn legal(parts: &[Part], id: usize) -> Vec<u32> {
    let own = &parts[id];
    let before = |(d, other): &(usize, &Part)| other.phase < own.phase || (other.phase == own.phase && *d < id);
    let fits = |(d, other): (usize, &Part)| (!other.on_demand || own.on_demand).then_some(d as u32);
    parts.iter().enumerate().filter(before).filter_map(fits).collect()
}

#[test]
fn random_plans_behaviours_and_moments_keep_every_rule() {
    let wanted = std::env::var("WINDDOWN_CASES").ok().and_then(|n| n.parse().ok());
    let config = Config { cases: wanted.unwrap_or(8_000), failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut runner = match wanted {
        Some(_) => TestRunner::new(config),
        // The same cases every time: a change is judged by what it changed.
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let judged = runner.run(&case(), |case| {
        let possible = Naive::new(&case).can_be_carried_out(&case);
        match case.registry().plan() {
            Err(error) => prop_assert!(!possible, "O4, T2: refused, though it fits: {error}"),
            Ok(_) => {
                prop_assert!(possible, "O4, T2: not refused, though the stated budgets do not fit");
                case.judged().map(drop).map_err(TestCaseError::fail)?;
            }
        }
        Ok(())
    });
    match judged {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\n{case:?}"),
        Err(error) => panic!("{error}"),
    }
}
