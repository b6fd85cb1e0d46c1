//! S1–S5: starts, and what takes them back.

use super::case::{BLOCKS, Call, Case, Force, How, IGNORES, Outside, part};
use super::ms;
use crate::outcome::{Outcome, Rung};
use crate::plan::Plan;
use crate::reason::ReasonKind;
use crate::run::machine::{Machine, Stage};
use crate::run::{Action, Failure, Input};
use crate::span::{Moment, secs};
use std::sync::Arc;

#[test]
fn s1_on_demand_is_started_on_request_and_stopped_if_it_runs() {
    let case = Case::new().with(part().on_demand()).with(part().on_demand()).at(100, Outside::StartOne(0)).at(500, Outside::Request);
    let end = case.run();
    assert_eq!((end.starts(0), end.asks(0)[0].0), (vec![100], 500));
    assert_eq!(end.answers(), [(110, true)]);
    assert_eq!(end.of(0).outcome, Outcome::Stopped);
    assert_eq!((end.of(1).outcome, end.asks(1).len()), (Outcome::NotStarted, 0));
}

#[test]
fn s1_one_component_stops_and_starts_again() {
    let case = Case::new().with(part()).at(100, Outside::StopOne(0)).at(200, Outside::StartOne(0)).at(300, Outside::Request);
    let end = case.run();
    assert_eq!(end.starts(0), [0, 200]);
    assert_eq!(end.asks(0).iter().map(|a| a.0).collect::<Vec<_>>(), [100, 300]);
    assert_eq!(end.answers(), [(110, true), (210, true)]);
    assert_eq!((end.of(0).outcome, end.report.exit_code()), (Outcome::Stopped, 0));
}

#[test]
fn s1_a_single_start_that_fails_is_told_and_ends_nothing() {
    let failing = part().on_demand().start(10, How::Fails);
    let end = Case::new().with(failing).at(100, Outside::StartOne(0)).at(500, Outside::Request).run();
    assert_eq!(end.answers(), [(110, false)]);
    assert_eq!(end.report.trigger().unwrap().kind(), ReasonKind::Request);
    assert_eq!(end.of(0).outcome, Outcome::Failed);
}

#[test]
fn s1_who_waits_for_an_automatic_start_is_told_that_it_failed() {
    let end = Case::new().with(part().start(50, How::Fails)).at(20, Outside::StartOne(0)).run();
    assert_eq!(end.answers(), [(50, false)]);
}

#[test]
fn s1_what_would_break_the_order_is_refused() {
    let upper = part().on_demand().after(0);
    let case = Case::new().with(part().on_demand()).with(upper).at(100, Outside::StartOne(1)).at(200, Outside::StartOne(0));
    let case = case.at(300, Outside::StartOne(1)).at(400, Outside::StopOne(0)).at(500, Outside::Request).at(500, Outside::StopOne(1));
    let end = case.run();
    assert_eq!(end.answers(), [(100, false), (210, true), (310, true), (400, false), (500, false)]);
}

#[test]
fn s2_a_start_that_is_late_by_a_nanosecond_is_late() {
    let mut slow = part().start(101, How::Ok);
    slow.start_budget = 100;
    let end = Case::new().with(slow).run();
    assert_eq!((end.ended, end.of(0).outcome), (ms(100), Outcome::Failed));
    assert_eq!(end.of(0).error.as_deref(), Some("start took longer than 100 ms"));
}

#[test]
fn s2_ready_counts_where_it_is_declared() {
    let mut slow = part();
    (slow.declares_ready, slow.script.ready) = (true, Some(300));
    let end = Case::new().with(slow.clone()).with(part().phase(1)).at(1000, Outside::Request).run();
    assert_eq!(end.starts(1), [300]);
    (slow.script.ready, slow.start_budget) = (None, 400);
    let end = Case::new().with(slow.clone()).with(part().phase(1)).run();
    assert_eq!((end.starts(1), end.of(0).outcome), (vec![], Outcome::Failed));
    // Its task may say so before `start` returns; if it ends without, it never will.
    (slow.script.ready, slow.script.start) = (Some(5), Call(200, How::Ok));
    assert_eq!(Case::new().with(slow.clone()).with(part().phase(1)).at(1000, Outside::Request).run().starts(1), [200]);
    let end = Case::new().with(Case::new().with(slow).parts.remove(0).run(3, How::Ok)).run();
    assert_eq!((end.ended, end.report.trigger().unwrap().kind()), (ms(3), ReasonKind::StartFailed));
}

#[test]
fn s3_a_failed_start_takes_back_exactly_what_started() {
    let case = Case::new().with(part()).with(part().phase(1).start(20, How::Panics)).with(part().phase(1).start(500, How::Ok)).with(part().phase(2));
    let end = case.resource(5, How::Ok).run();
    let outcomes = [0, 1, 2, 3].map(|id| end.of(id).outcome);
    assert_eq!(outcomes, [Outcome::Stopped, Outcome::Panicked, Outcome::NotStarted, Outcome::NotStarted]);
    assert!(end.asks(1).is_empty() && end.asks(2).is_empty(), "no stop for what never started");
    assert!(end.starts(3).is_empty());
    // On a grace period of its own, which begins with the failure.
    assert_eq!(end.asks(0), [(30, secs(5))]);
    assert_eq!(end.report.trigger().unwrap().component(), Some("c1"));
    assert_eq!((end.ended, end.report.exit_code()), (ms(45), 1));
}

#[test]
fn s3_a_late_start_is_undone_and_counts_as_failed() {
    let mut late = part().start(0, How::Hangs);
    late.start_budget = 200;
    let end = Case::new().with(part()).with(late).run();
    assert_eq!((end.of(1).outcome, end.of(1).rung), (Outcome::Failed, Rung::None));
    assert_eq!((end.of(0).outcome, end.asks(0)[0].0), (Outcome::Stopped, 200));
    assert_eq!(end.report.exit_code(), 1);
}

#[test]
fn s3_dropping_a_start_is_no_force_unless_it_cannot_be_dropped() {
    let hangs = part().start(0, How::Hangs);
    let end = Case::new().with(hangs.clone().start_force(IGNORES)).at(100, Outside::Signal(15)).run();
    assert_eq!((end.of(0).outcome, end.report.exit_code(), end.ended), (Outcome::NotStarted, 0, ms(600)));
    let end = Case::new().with(hangs.start_force(BLOCKS)).at(100, Outside::Signal(15)).run();
    assert_eq!((end.of(0).outcome, end.report.exit_code(), end.ended), (Outcome::Abandoned, 124, ms(850)));
}

#[test]
fn r2_a_panic_of_a_start_that_is_taken_back_is_not_lost() {
    for (how, outcome, code) in [(How::Panics, Outcome::Panicked, 1), (How::Fails, Outcome::NotStarted, 0)] {
        let end = Case::new().with(part().start(300, how).start_force(IGNORES)).at(100, Outside::Signal(15)).run();
        assert_eq!((end.of(0).outcome, end.report.exit_code()), (outcome, code));
    }
}

#[test]
fn s3_the_first_cause_is_the_one_reported() {
    let end = Case::new().with(part().start(20, How::Fails)).with(part().run(50, How::Fails)).at(20, Outside::Signal(15)).run();
    let trigger = end.report.trigger().unwrap();
    assert_eq!(trigger.kind(), ReasonKind::Signal, "it was first in that instant");
    assert_eq!(end.report.exit_code(), 0, "the start had been interrupted when it failed");
}

#[test]
fn s4_a_signal_during_start_interrupts_and_starts_nothing_further() {
    let slow = part().phase(1).start(5000, How::Ok).start_force(Force { cancel: Some(30), dropped: Some(0) });
    let end = Case::new().with(part()).with(slow).with(part().phase(2)).at(100, Outside::Signal(15)).run();
    assert_eq!(end.over(1), [130]);
    assert_eq!(end.asks(0), [(130, secs(5))]);
    assert!(end.asks(1).is_empty() && end.starts(2).is_empty());
    assert_eq!(end.report.shutdown_took(), Some(crate::millis(40)), "counted from the signal");
    assert_eq!(end.report.exit_code(), 0);
}

#[test]
fn s4_what_ended_before_it_ran_starts_nothing_on_top_of_it() {
    let short = part().start(100, How::Ok).run(50, How::Ok);
    let end = Case::new().with(short).with(part().phase(1)).run();
    assert_eq!((end.starts(1), end.asks(0)[0].0), (vec![], 100));
    assert_eq!(end.report.trigger().unwrap().kind(), ReasonKind::Finished);
}

fn actions(machine: &mut Machine) -> Vec<Action> {
    std::iter::from_fn(|| machine.poll_action()).collect()
}

fn only_resource() -> Plan {
    Case::new().resource(0, How::Ok).registry().plan().unwrap()
}

#[test]
fn s4_set_up_is_bounded_and_interruptible() {
    for late in [false, true] {
        let mut machine = Machine::new(1);
        machine.begin(Moment::default(), only_resource(), true);
        assert_eq!(machine.next_timeout(), Some(ms(30_000)));
        if late {
            machine.handle_timeout(ms(30_000));
        } else {
            machine.handle(ms(30_000), Input::Signal { number: 15, name: "SIGTERM" });
        }
        assert_eq!(actions(&mut machine), [Action::DropSetUp]);
        machine.handle(ms(30_001), Input::SetUpDropped);
        assert_eq!(actions(&mut machine), [Action::PlanForUnwinding]);
        machine.opened(vec![(true, None)]);
        machine.planned(ms(30_001), Arc::new(only_resource()));
        assert_eq!(actions(&mut machine), [Action::Destroy { id: 0 }]);
        let kind = machine.shutdown.as_ref().map(|s| s.cause.kind);
        assert_eq!(kind, Some(if late { ReasonKind::SetupFailed } else { ReasonKind::Signal }));
    }
}

#[test]
fn s4_set_up_that_cannot_be_dropped_leaks_what_it_may_use() {
    let mut machine = Machine::new(1);
    machine.begin(Moment::default(), only_resource(), true);
    machine.handle(ms(10), Input::Signal { number: 15, name: "SIGTERM" });
    machine.handle_timeout(ms(260));
    assert_eq!(actions(&mut machine), [Action::DropSetUp, Action::PlanForUnwinding]);
    machine.opened(vec![(true, None)]);
    machine.planned(ms(260), Arc::new(only_resource()));
    assert_eq!(actions(&mut machine), [Action::Leak { id: 0 }, Action::Finish]);
    assert!(machine.set_up_abandoned);
}

#[test]
fn s4_an_error_of_set_up_destroys_what_was_opened() {
    let mut machine = Machine::new(1);
    machine.begin(Moment::default(), only_resource(), true);
    machine.set_up_failed(ms(5), Failure::error("no database"));
    assert_eq!(actions(&mut machine), [Action::PlanForUnwinding]);
    machine.opened(vec![(true, None)]);
    machine.planned(ms(5), Arc::new(only_resource()));
    machine.handle(ms(6), Input::ResourceEnded { id: 0, result: Ok(()) });
    assert_eq!(actions(&mut machine), [Action::Destroy { id: 0 }, Action::Finish]);
    assert_eq!(machine.stage, Stage::Done);
}

#[test]
fn s5_a_stop_asked_for_before_the_run_is_remembered() {
    for set_up in [false, true] {
        let mut machine = Machine::new(1);
        machine.handle(Moment::default(), Input::Request { why: "early".into() });
        machine.handle(Moment::default(), Input::Request { why: "later".into() });
        machine.begin(ms(1), only_resource(), set_up);
        if set_up {
            assert_eq!(actions(&mut machine), [Action::DropSetUp]);
            machine.handle(ms(1), Input::SetUpDropped);
            assert_eq!(actions(&mut machine), [Action::PlanForUnwinding]);
        }
        machine.planned(ms(1), Arc::new(Case::new().with(part()).registry().plan().unwrap()));
        assert_eq!(actions(&mut machine), [Action::Ended { id: 0, abandoned: false }, Action::Finish]);
        assert_eq!(machine.shutdown.as_ref().map(|s| s.cause.detail.as_str()), Some("early"));
    }
}
