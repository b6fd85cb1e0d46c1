//! T1–T7, T11: one deadline, shared out; rungs.

use super::case::{BLOCKS, Case, Force, How, IGNORES, OBEYS, Outside, part};
use super::ms;
use crate::outcome::{Outcome, Rung};
use crate::reason::ReasonKind;
use crate::run::Action;
use crate::span::{Moment, millis, secs};

fn hangs() -> super::case::Part {
    part().stop(0, How::Hangs)
}

#[test]
fn t1_everything_is_over_by_the_deadline_whatever_hangs() {
    let case = (0..10).fold(Case::new().grace(2000), |case, phase| case.with(hangs().phase(phase).force(BLOCKS)));
    let end = case.resource(0, How::Hangs).at(500, Outside::Signal(15)).run();
    // 20 ms are kept for the report; everybody was asked, and nobody lost their time.
    assert!(end.ended <= ms(2480) && end.ended >= ms(2470), "{:?}", end.ended);
    assert!((0..10).all(|id| end.asks(id).len() == 1 && end.of(id).outcome == Outcome::Abandoned));
    assert_eq!(end.report.exit_code(), 124);
}

#[test]
fn t2_a_slot_is_the_stop_budget_and_two_waits() {
    let end = Case::new().with(hangs().force(BLOCKS)).at(1000, Outside::Request).run();
    assert_eq!(end.asks(0), [(1000, secs(5))]);
    assert_eq!(end.when(|a| matches!(a, Action::Cancel { .. })), Some(6000));
    assert_eq!(end.when(|a| matches!(a, Action::Abort { .. })), Some(6500));
    assert_eq!(end.ended, ms(6750));
}

#[test]
fn t2_defaults_and_waits_shrink_by_one_factor_and_stated_budgets_do_not() {
    // 980 ms for 400 stated and 2 × 750 of waits and 5000 of default: (980 - 400) / 6500.
    let case = Case::new().grace(1000).with(hangs()).with(hangs().phase(1).budget(400)).at(100, Outside::Request);
    let end = case.run();
    assert_eq!(end.asks(1), [(100, millis(400))]);
    let factor = 580.0 / 6500.0;
    let waited = end.when(|a| matches!(a, Action::Cancel { id: 1, .. })).unwrap();
    assert_eq!(waited, 500);
    let (at, granted) = end.asks(0)[0];
    assert_eq!(at, 500, "it obeyed its cancel");
    // What its predecessor left over has flowed on.
    assert!(granted > secs(5).mul_f64(factor), "{granted:?}");
    assert_eq!(end.of(1).outcome, Outcome::Cancelled);
}

#[test]
fn t2_nothing_shrinks_below_a_millisecond() {
    let case = (0..10).fold(Case::new().grace(1000), |case, phase| case.with(hangs().phase(phase).budget(97)));
    let end = case.with(hangs().phase(-1)).at(100, Outside::Request).run();
    assert!(end.asks(10)[0].1 >= millis(1));
}

#[test]
fn t2_time_left_flows_on() {
    // The plan grants each a share of 2 s; the upper one needs none of it, so the lower one has all it can use.
    let case = Case::new().grace(6000).with(hangs()).with(part().phase(1).stop(0, How::Ok)).at(100, Outside::Request);
    let end = case.run();
    assert!(end.asks(1)[0].1 < millis(2700));
    assert_eq!(end.asks(0), [(100, secs(5))]);
    assert_eq!(end.report.exit_code(), 124);
}

#[test]
fn t3_who_hangs_early_does_not_eat_what_later_phases_need() {
    let flush = part().phase(0).budget(2000).stop(1990, How::Ok);
    let case = Case::new().grace(4000).with(flush).with(hangs().phase(1).force(BLOCKS)).resource(900, How::Ok);
    let end = case.at(100, Outside::Signal(15)).run();
    assert_eq!((end.of(1).outcome, end.of(0).outcome), (Outcome::Abandoned, Outcome::Stopped));
    assert_eq!(end.asks(0)[0].1, secs(2));
    assert!(end.ended <= ms(4080));
}

#[test]
fn t3_what_was_asked_alone_before_the_shutdown_gives_way_too() {
    // Asked to stop by request, with five seconds; then a shutdown with two for all.
    let case = Case::new().grace(2000).with(part()).with(hangs().phase(1).force(BLOCKS)).at(100, Outside::StopOne(1));
    let end = case.at(200, Outside::Signal(15)).run();
    assert_eq!(end.of(0).outcome, Outcome::Stopped, "it still has its turn");
    assert_eq!((end.of(1).outcome, end.of(1).rung), (Outcome::Abandoned, Rung::Abandon));
    assert!(end.when(|a| matches!(a, Action::Abort { id: 1 })).is_some(), "rung by rung");
}

#[test]
fn t4_stop_is_called_once_and_only_on_what_started() {
    let case = Case::new().with(hangs()).with(part().start(0, How::Hangs)).with(part().phase(1));
    let end = case.at(100, Outside::Signal(15)).at(110, Outside::Request).at(400, Outside::Signal(15)).run();
    assert_eq!([0, 1, 2].map(|id| end.asks(id).len()), [1, 0, 0]);
}

#[test]
fn t5_rungs_go_up_one_by_one() {
    for (force, outcome, rung, ended) in [
        (Force { cancel: Some(100), dropped: None }, Outcome::Cancelled, Rung::Cancel, 5200),
        (IGNORES, Outcome::Aborted, Rung::Abort, 5600),
        (BLOCKS, Outcome::Abandoned, Rung::Abandon, 5850),
    ] {
        let end = Case::new().with(hangs().force(force)).at(100, Outside::Signal(15)).run();
        assert_eq!((end.of(0).outcome, end.of(0).rung, end.ended), (outcome, rung, ms(ended)));
        assert_eq!(end.report.exit_code(), 124);
    }
}

#[test]
fn t5_tasks_left_after_stop_have_the_rest_of_the_budget() {
    let mut lingers = part().stop(100, How::Fails);
    lingers.script.linger = Some(2000);
    let end = Case::new().with(lingers.clone()).at(100, Outside::Request).run();
    assert_eq!((end.of(0).outcome, end.of(0).rung, end.ended), (Outcome::Failed, Rung::Graceful, ms(2200)));
    lingers.script.linger = None;
    let end = Case::new().with(lingers).at(100, Outside::Request).run();
    assert_eq!((end.of(0).outcome, end.ended), (Outcome::Cancelled, ms(5100)));
}

#[test]
fn t5_who_fails_or_is_late_ends_its_phase_for_nobody_else() {
    let case = Case::new().with(part()).with(part().phase(1).stop(10, How::Fails)).with(hangs().phase(1)).with(part().phase(1).stop(3000, How::Ok));
    let end = case.at(100, Outside::Request).run();
    assert_eq!([0, 1, 2, 3].map(|id| end.of(id).outcome), [Outcome::Stopped, Outcome::Failed, Outcome::Cancelled, Outcome::Stopped]);
    assert_eq!(end.asks(0)[0].0, 5100);
}

#[test]
fn t6_a_result_with_its_deadline_wins() {
    let end = Case::new().with(part().stop(5000, How::Ok)).at(100, Outside::Request).run();
    assert_eq!((end.of(0).outcome, end.ended), (Outcome::Stopped, ms(5100)));
    let mut exact = part().start(200, How::Ok);
    exact.start_budget = 200;
    let end = Case::new().with(exact).at(1000, Outside::Request).run();
    assert_eq!(end.of(0).outcome, Outcome::Stopped);
    let obeys_at_the_end = Force { cancel: Some(500), dropped: None };
    let end = Case::new().with(hangs().force(obeys_at_the_end)).at(100, Outside::Request).run();
    assert_eq!(end.of(0).outcome, Outcome::Cancelled);
}

#[test]
fn t7_asking_twice_changes_nothing() {
    let once = Case::new().with(part().stop(500, How::Ok)).at(100, Outside::Request);
    let twice = once.clone().at(200, Outside::Request).at(200, Outside::Signal(15));
    let (once, twice) = (once.run(), twice.run());
    assert_eq!((once.ended, &once.log), (twice.ended, &twice.log));
    assert_eq!(twice.report.trigger().unwrap().kind(), ReasonKind::Request);
}

#[test]
fn t7_whoever_fails_later_is_not_the_cause() {
    let end = Case::new().with(part().run(300, How::Fails)).with(part().phase(1).stop(500, How::Ok)).at(100, Outside::Request).run();
    assert_eq!(end.report.trigger().unwrap().kind(), ReasonKind::Request);
    assert_eq!((end.of(0).outcome, end.report.exit_code()), (Outcome::Failed, 1));
}

fn critical(bound: u64, lasts: u64) -> super::case::Part {
    let mut holds = hangs().force(IGNORES);
    holds.script.critical = Some((bound, lasts));
    holds
}

#[test]
fn t11_force_waits_for_a_critical_section() {
    let end = Case::new().with(critical(2000, 300)).at(100, Outside::Request).run();
    assert_eq!(end.when(|a| matches!(a, Action::AbortNow { .. })), Some(5900));
    assert_eq!((end.of(0).outcome, end.report.critical_holds()), (Outcome::Aborted, 1));
}

#[test]
fn t11_but_not_beyond_its_bound() {
    let end = Case::new().with(critical(2000, 9000)).at(100, Outside::Request).run();
    assert_eq!(end.when(|a| matches!(a, Action::AbortNow { .. })), Some(7600));
}

#[test]
fn t11_nor_beyond_the_deadline_and_what_others_stated() {
    let case = Case::new().grace(6000).with(part().budget(1000).stop(900, How::Ok)).with(critical(60_000, 60_000).phase(1));
    let end = case.at(100, Outside::Request).run();
    assert_eq!(end.asks(0)[0].1, secs(1));
    assert_eq!(end.of(0).outcome, Outcome::Stopped);
    assert!(end.ended <= ms(6080));
}

#[test]
fn t11_a_section_that_held_before_the_shutdown_leaves_others_what_they_stated() {
    let case = Case::new().grace(6000).with(part().budget(1000).stop(900, How::Ok)).with(critical(60_000, 60_000).phase(1));
    let end = case.at(100, Outside::StopOne(1)).at(6000, Outside::Signal(15)).run();
    assert_eq!((end.asks(0)[0].1, end.of(0).outcome), (secs(1), Outcome::Stopped));
    assert!(end.ended <= ms(11_980));
}

#[test]
fn t11_a_second_signal_waits_and_a_third_does_not() {
    let case = Case::new().with(critical(2000, 1000)).at(100, Outside::Signal(15)).at(5700, Outside::Signal(15));
    let end = case.clone().run();
    assert_eq!(end.when(|a| matches!(a, Action::AbortNow { .. })), Some(6600));
    let end = case.at(6000, Outside::Signal(15)).run();
    assert_eq!((end.ended, end.report.exit_code()), (ms(6000), 143));
}

#[test]
fn t11_the_end_of_a_section_that_held_nothing_means_nothing() {
    let mut obeys = hangs().force(OBEYS);
    obeys.script.critical = Some((2000, 300));
    let end = Case::new().with(obeys).at(100, Outside::Request).run();
    assert_eq!((end.of(0).outcome, end.report.critical_holds()), (Outcome::Cancelled, 0));
    assert_eq!(end.report.component("c0").unwrap().stop.unwrap().ended, Moment(5_100_000_000).since_start());
    assert!(matches!(end.log.last(), Some((_, Action::Finish))));
}
