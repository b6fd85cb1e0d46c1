//! T8: the first, the second, the third signal.

use super::case::{BLOCKS, Case, Force, How, IGNORES, Outside, part};
use super::ms;
use crate::outcome::{Outcome, Rung, Verdict};
use crate::run::Action;
use crate::run::machine::{Machine, Stage};
use crate::run::{Input, table::Life};
use crate::span::{Moment, millis, secs};
use std::sync::Arc;

fn slow() -> super::case::Part {
    part().stop(3000, How::Ok).force(Force { cancel: Some(100), dropped: Some(0) })
}

#[test]
fn t8_the_same_signal_within_200_ms_is_one() {
    let case = Case::new().with(slow()).at(100, Outside::Signal(15));
    let end = case.clone().at(100, Outside::Signal(15)).at(299, Outside::Signal(15)).run();
    assert_eq!((end.of(0).outcome, end.ended), (Outcome::Stopped, ms(3100)));
    let end = case.at(300, Outside::Signal(15)).run();
    assert_eq!((end.of(0).outcome, end.ended), (Outcome::Cancelled, ms(400)));
}

#[test]
fn t8_another_signal_within_200_ms_is_another() {
    let end = Case::new().with(slow()).at(100, Outside::Signal(15)).at(110, Outside::Signal(2)).run();
    assert_eq!(end.of(0).outcome, Outcome::Cancelled);
}

#[test]
fn t8_a_second_signal_moves_every_live_component_up_a_rung() {
    let stubborn = part().stop(0, How::Hangs).force(IGNORES).budget(50);
    let case = Case::new().with(slow()).with(stubborn).with(part().start(0, How::Hangs).start_force(BLOCKS)).at(100, Outside::Signal(15));
    // c0 is graceful, c1 cancelled since 150, c2 taken back since 100.
    let end = case.at(320, Outside::Signal(15)).run();
    assert_eq!([0, 1].map(|id| (end.of(id).rung, end.over(id)[0])), [(Rung::Cancel, 420), (Rung::Abort, 320)]);
    assert_eq!(end.when(|a| matches!(a, Action::Abort { id: 2 })), Some(320));
    assert_eq!((end.of(2).outcome, end.over(2)[0]), (Outcome::Abandoned, 570));
}

#[test]
fn t8_those_not_yet_asked_are_asked_in_order_with_at_most_250_ms() {
    let case = Case::new().with(part().budget(100)).with(slow().phase(1)).with(slow().phase(2)).at(100, Outside::Signal(15));
    let end = case.at(400, Outside::Signal(15)).run();
    assert_eq!(end.asks(2), [(100, secs(5))]);
    assert_eq!(end.asks(1), [(500, millis(250))]);
    assert_eq!(end.asks(0), [(850, millis(100))]);
    // The waits that were planned stay.
    assert_eq!(end.when(|a| matches!(a, Action::Cancel { id: 1, deadline } if *deadline == ms(1250))), Some(750));
}

#[test]
fn t8_who_is_asked_because_the_second_signal_gave_up_another_keeps_its_250_ms() {
    // c0 blocks and is aborted when the second signal comes, which abandons it: now it is the turn of c1.
    let case = Case::new().with(part().phase(1).stop(0, How::Hangs).force(BLOCKS).budget(50)).with(part().stop(200, How::Ok));
    let end = case.at(100, Outside::Signal(15)).at(700, Outside::Signal(15)).run();
    assert_eq!((end.over(0), end.asks(1)), (vec![700], vec![(700, millis(250))]));
    assert_eq!(end.of(1).outcome, Outcome::Stopped);
}

#[test]
fn t8_a_third_leaves_at_once() {
    let case = Case::new().with(slow()).with(part().phase(-1)).resource(0, How::Ok).at(100, Outside::Signal(15)).at(310, Outside::Signal(2));
    let end = case.at(320, Outside::Signal(1)).run();
    assert_eq!(end.ended, ms(320));
    assert!(end.log.contains(&(ms(320), Action::Leave)));
    assert_eq!((end.report.verdict(), end.report.exit_code()), (Verdict::Immediate, 129));
    assert!(end.asks(1).is_empty());
    assert_eq!([0, 1].map(|id| end.of(id).outcome), [Outcome::Abandoned; 2]);
}

#[test]
fn t8_the_first_signal_of_a_shutdown_that_is_on_cuts_nothing_short() {
    let case = Case::new().with(slow()).at(100, Outside::Request).at(200, Outside::Signal(15));
    assert_eq!(case.clone().run().of(0).outcome, Outcome::Stopped);
    assert_eq!(case.at(500, Outside::Signal(15)).run().of(0).outcome, Outcome::Cancelled);
}

#[test]
fn t8_signals_count_in_the_time_after_the_end_too() {
    let mut machine = Machine::new(1);
    machine.planned(Moment::default(), Arc::new(Case::new().with(part()).registry().plan().unwrap()));
    let signal = |machine: &mut Machine, at| machine.handle(ms(at), Input::Signal { number: 15, name: "SIGTERM" });
    signal(&mut machine, 1);
    machine.handle(ms(2), Input::ScopeEmpty { id: 0, epoch: 1 });
    assert_eq!((machine.stage, machine.comps[0].life), (Stage::Done, Life::Ended));
    signal(&mut machine, 300);
    assert_eq!(machine.cut, None);
    signal(&mut machine, 600);
    let last = std::iter::from_fn(|| machine.poll_action()).last();
    assert_eq!(last, Some(Action::Leave));
    assert_eq!(machine.comps[0].outcome, Outcome::NotStarted, "what had ended stays as it was");
}
