//! O1–O3 and the table: who starts and stops when.

use super::case::{Case, How, OBEYS, Outside, part};
use super::ms;
use crate::outcome::Outcome;
use crate::run::machine::Machine;
use crate::run::table::{Happening, Life};
use crate::run::{Failure, Input};
use crate::span::Moment;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// One phase above the other; the upper one is registered first.
fn two_phases() -> Case {
    Case::new().with(part().phase(1)).with(part().phase(0)).at(1000, Outside::Signal(15))
}

#[test]
fn o1_start_goes_up_the_phases_and_stop_down() {
    let end = two_phases().run();
    assert_eq!((end.starts(1), end.starts(0)), (vec![0], vec![10]));
    assert_eq!((end.asks(0)[0].0, end.asks(1)[0].0), (1000, 1010));
    assert_eq!(end.ended, ms(1020));
    assert_eq!(end.report.exit_code(), 0);
}

#[test]
fn o2_inside_a_phase_all_start_and_stop_side_by_side() {
    let case = (1..=5).fold(Case::new(), |case, n| case.with(part().start(n * 100, How::Ok).stop(n * 100, How::Ok)));
    let end = case.at(1000, Outside::Request).run();
    assert!((0..5).all(|id| end.starts(id) == [0] && end.asks(id)[0].0 == 1000));
    assert_eq!(end.ended, ms(1500));
}

#[test]
fn o2_after_orders_inside_a_phase() {
    let end = Case::new().with(part().after(1)).with(part()).at(100, Outside::Request).run();
    assert_eq!((end.starts(1), end.starts(0)), (vec![0], vec![10]));
    assert_eq!((end.asks(0)[0].0, end.asks(1)[0].0), (100, 110));
}

#[test]
fn o3_who_starts_on_demand_holds_nobody() {
    let end = Case::new().with(part().on_demand()).with(part().phase(1)).at(100, Outside::Request).run();
    assert!(end.starts(0).is_empty());
    assert_eq!(end.starts(1), [0]);
    assert_eq!(end.of(0).outcome, Outcome::NotStarted);
    assert_eq!(end.asks(1)[0].0, 100);
}

#[test]
fn o3_a_phase_waits_for_the_slowest_of_the_one_before() {
    let case = Case::new().with(part()).with(part().start(700, How::Ok)).with(part().phase(5)).with(part().phase(9));
    let end = case.at(2000, Outside::Request).run();
    assert_eq!((end.starts(2), end.starts(3)), (vec![700], vec![710]));
}

#[test]
fn o3_the_relation_reaches_over_what_is_terminal_early() {
    // c2 after c1 after c0. c1 fails and waits for its restart when the shutdown comes: it is terminal at once, but c2 still uses c0.
    let middle = part().after(0).run(50, How::Fails).restart(3, 10_000);
    let end = Case::new().with(part()).with(middle).with(part().after(1).stop(300, How::Ok)).at(100, Outside::Request).run();
    assert_eq!(end.over(1), [100]);
    assert_eq!(end.asks(2)[0].0, 100);
    assert_eq!(end.asks(0)[0].0, 400);
}

/// A machine with one component that runs.
fn running() -> Machine {
    let plan = Arc::new(Case::new().with(part()).registry().plan().unwrap());
    let mut machine = Machine::new(1);
    machine.planned(Moment::default(), plan);
    machine.handle(ms(1), Input::StartReturned { id: 0, epoch: 1, result: Ok(()) });
    while machine.poll_action().is_some() {}
    machine
}

#[test]
fn illegal_pairs_are_named_and_change_nothing() {
    let mut machine = running();
    // Nobody has asked it to stop, so its stop cannot return. Where debug assertions are on, that is also said aloud.
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for _ in 0..100 {
        let input = Input::StopReturned { id: 0, epoch: 1, result: Err(Failure::error("how?")) };
        let _ = catch_unwind(AssertUnwindSafe(|| machine.handle(ms(2), input)));
    }
    std::panic::set_hook(silent);
    assert_eq!(machine.illegal[0], "c0: Running + StopReturned");
    assert_eq!(machine.illegal.len(), 16, "bounded");
    assert_eq!((machine.comps[0].life, machine.comps[0].outcome), (Life::Running, Outcome::NotStarted));
    assert!(machine.comps[0].error().is_none() && machine.poll_action().is_none());
}

#[test]
fn what_comes_from_an_earlier_start_is_no_illegal_pair() {
    let mut machine = running();
    machine.handle(ms(2), Input::StopReturned { id: 0, epoch: 0, result: Ok(()) });
    machine.handle(ms(2), Input::ScopeEmpty { id: 7, epoch: 1 });
    assert!(machine.illegal.is_empty() && machine.poll_action().is_none());
}

#[test]
fn what_a_leaked_handle_says_during_a_pause_is_no_illegal_pair() {
    // `ready` and the end of a critical section can be said by whoever was handed them, also when the scope is clear.
    let mut machine = Machine::new(1);
    machine.planned(Moment::default(), Arc::new(Case::new().with(part().restart(3, 1000).force(OBEYS)).registry().plan().unwrap()));
    machine.handle(ms(1), Input::StartReturned { id: 0, epoch: 1, result: Ok(()) });
    let failed = Input::TaskEnded { id: 0, epoch: 1, task: "run".into(), result: Err(Failure::error("no")), lasting: true };
    machine.handle(ms(2), failed);
    machine.handle(ms(3), Input::ScopeEmpty { id: 0, epoch: 1 });
    assert_eq!(machine.comps[0].life, Life::BackingOff);
    machine.handle(ms(4), Input::ReadyCalled { id: 0, epoch: 1 });
    machine.handle(ms(4), Input::Released { id: 0, epoch: 1 });
    assert!(machine.illegal.is_empty());
    assert_eq!(crate::run::table::judge(Life::BackingOff, Happening::Late), crate::run::table::Verdict::Do(crate::run::table::Move::Start));
}
