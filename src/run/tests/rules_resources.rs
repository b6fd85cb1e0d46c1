//! D1–D3, P1–P3: resources, outcomes, exit codes.

use super::case::{BLOCKS, Call, Case, How, IGNORES, OBEYS, Outside, part};
use super::ms;
use crate::outcome::{Outcome, ResourceOutcome, Verdict};
use crate::run::machine::Machine;
use crate::run::{Action, Input};
use crate::span::{Moment, millis};
use std::sync::Arc;

#[test]
fn d1_resources_are_destroyed_last_in_reverse_one_by_one() {
    let case = Case::new().with(part().stop(300, How::Ok)).resource(100, How::Ok).resource(200, How::Fails).resource(50, How::Ok);
    let end = case.at(100, Outside::Request).run();
    let destroyed: Vec<_> = end.log.iter().filter_map(|(at, a)| if let Action::Destroy { id } = a { Some((*id, *at)) } else { None }).collect();
    assert_eq!(destroyed, [(2, ms(400)), (1, ms(450)), (0, ms(650))]);
    let outcomes: Vec<_> = end.report.resources().iter().map(|r| r.outcome).collect();
    assert_eq!(outcomes, [ResourceOutcome::Destroyed, ResourceOutcome::Failed, ResourceOutcome::Destroyed]);
    assert_eq!((end.ended, end.report.exit_code()), (ms(750), 1));
}

#[test]
fn d1_one_that_is_late_is_reported_so_and_counts_as_forced() {
    let mut case = Case::new().with(part()).resource(0, How::Hangs).resource(0, How::Panics).at(100, Outside::Request);
    case.resources.push((Some(300), Call(301, How::Ok)));
    let end = case.run();
    assert_eq!(end.when(|a| matches!(a, Action::DropDestroy { id: 2 })), Some(410));
    assert_eq!(end.when(|a| matches!(a, Action::DropDestroy { id: 0 })), Some(1410));
    assert_eq!(end.report.resources()[2].outcome, ResourceOutcome::Late);
    assert_eq!((end.report.verdict(), end.report.exit_code()), (Verdict::Forced, 124));
}

#[test]
fn d2_what_an_abandoned_component_uses_is_leaked_and_named() {
    let mut blocks = part().stop(0, How::Hangs).force(BLOCKS);
    blocks.uses = vec![1];
    let end = Case::new().with(blocks).resource(0, How::Ok).resource(0, How::Ok).at(100, Outside::Request).run();
    let resources = end.report.resources();
    assert_eq!([resources[0].outcome, resources[1].outcome], [ResourceOutcome::Destroyed, ResourceOutcome::Leaked]);
    assert_eq!(resources[1].held_by, ["c0".into()]);
}

#[test]
fn d2_what_was_only_aborted_uses_nothing_any_more() {
    let mut dropped = part().stop(0, How::Hangs).force(IGNORES);
    dropped.uses = vec![0];
    let end = Case::new().with(dropped).resource(0, How::Ok).at(100, Outside::Request).run();
    assert_eq!(end.report.resources()[0].outcome, ResourceOutcome::Destroyed);
}

#[test]
fn d3_a_lease_that_outlives_its_phase_is_named() {
    let mut machine = Machine::new(1);
    machine.planned(Moment::default(), Arc::new(Case::new().resource(0, How::Ok).registry().plan().unwrap()));
    machine.handle(ms(1), Input::Request { why: "end".into() });
    machine.handle(ms(1), Input::Leased { id: 0, holders: vec!["consumer".into()] });
    assert_eq!(machine.freeing.resources[0].held_by, ["consumer".into()]);
    machine.handle(ms(2), Input::ResourceEnded { id: 0, result: Ok(()) });
    assert_eq!(machine.freeing.resources[0].outcome, Some(ResourceOutcome::Destroyed));
}

#[test]
fn p1_the_worst_wins() {
    for (part, outcome) in [
        (part().stop(10, How::Ok), Outcome::Stopped),
        (part().run(50, How::Ok), Outcome::Finished),
        (part().run(50, How::Ok).stop(10, How::Fails), Outcome::Failed),
        (part().run(50, How::Fails).stop(10, How::Panics), Outcome::Panicked),
        (part().run(50, How::Panics).stop(10, How::Fails), Outcome::Panicked),
        (part().run(50, How::Panics).stop(0, How::Hangs).force(OBEYS), Outcome::Cancelled),
        (part().run(50, How::Panics).stop(0, How::Hangs).force(IGNORES), Outcome::Aborted),
        (part().run(50, How::Panics).stop(0, How::Hangs).force(BLOCKS), Outcome::Abandoned),
        (part().on_demand(), Outcome::NotStarted),
    ] {
        let end = Case::new().with(part).at(100, Outside::Request).run();
        assert_eq!(end.of(0).outcome, outcome);
    }
}

#[test]
fn p2_what_began_has_an_end() {
    let case = Case::new().with(part().stop(0, How::Hangs).force(BLOCKS)).with(part().phase(1).start(0, How::Hangs).start_force(BLOCKS));
    let end = case.at(100, Outside::Signal(15)).at(310, Outside::Signal(2)).at(320, Outside::Signal(1)).run();
    let (lower, upper) = (end.of(0), end.of(1));
    assert_eq!(upper.start.unwrap().ended, millis(320));
    assert!(upper.stop.is_none() && lower.stop.is_none());
    assert_eq!(lower.start.unwrap().ended, millis(10));
}

#[test]
fn p3_the_exit_code_follows_from_the_report() {
    let code = |case: Case| case.at(100, Outside::Signal(15)).run().report.exit_code();
    let with = |part| Case::new().with(part);
    assert_eq!(code(Case::new()), 0);
    assert_eq!(code(with(part())), 0);
    assert_eq!(code(with(part().run(50, How::Ok))), 0, "finished");
    assert_eq!(code(with(part().start(500, How::Ok))), 0, "interrupted and rolled back");
    assert_eq!(code(with(part().start(50, How::Fails))), 1);
    assert_eq!(code(with(part().run(50, How::Panics))), 1);
    assert_eq!(code(with(part().stop(50, How::Fails))), 1);
    assert_eq!(code(with(part()).resource(0, How::Panics)), 1);
    assert_eq!(code(with(part().stop(0, How::Hangs))), 124);
    assert_eq!(code(with(part().stop(0, How::Hangs).force(BLOCKS))), 124);
    assert_eq!(code(with(part()).resource(0, How::Hangs)), 124);
    assert_eq!(code(with(part().stop(900, How::Ok).force(BLOCKS)).at(310, Outside::Signal(2)).at(320, Outside::Signal(3))), 131);
}

#[test]
fn p3_a_plan_refused_after_set_up_destroys_what_was_opened() {
    let mut machine = Machine::new(1);
    let plan = Case::new().with(part()).resource(0, How::Ok).registry().plan().unwrap();
    machine.begin(Moment::default(), plan.clone(), true);
    assert!(machine.set_up_done(ms(1)));
    machine.refused = Some(vec!["no".into()]);
    machine.planned(ms(1), Arc::new(plan));
    assert_eq!(machine.poll_action(), Some(Action::Destroy { id: 0 }));
    machine.handle(ms(2), Input::ResourceEnded { id: 0, result: Ok(()) });
    assert_eq!((machine.poll_action(), machine.poll_action()), (Some(Action::Finish), None));
    assert_eq!(machine.comps[0].outcome, Outcome::NotStarted);
}
