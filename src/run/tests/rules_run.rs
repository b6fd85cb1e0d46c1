//! R1, R2, T12: work that ends though nobody asked.

use super::case::{BLOCKS, Case, Force, How, IGNORES, Outside, Part, part};
use super::ms;
use crate::outcome::Outcome;
use crate::reason::{Profile, ReasonKind};
use crate::span::{millis, secs};

fn kind(end: &super::ending::Ending) -> ReasonKind {
    end.report.trigger().unwrap().kind()
}

#[test]
fn r1_work_that_ends_well_shuts_down_as_finished() {
    let end = Case::new().with(part().run(500, How::Ok)).with(part()).run();
    assert_eq!((kind(&end), end.report.exit_code()), (ReasonKind::Finished, 0));
    assert_eq!((end.of(0).outcome, end.of(1).outcome), (Outcome::Finished, Outcome::Stopped));
}

#[test]
fn r1_work_that_fails_shuts_down() {
    let end = Case::new().with(part().run(500, How::Fails)).run();
    assert_eq!((kind(&end), end.report.exit_code(), end.of(0).outcome), (ReasonKind::ComponentFailed, 1, Outcome::Failed));
    assert_eq!(end.asks(0)[0].0, 500, "it started, so it is asked");
}

#[test]
fn r2_a_panic_is_an_outcome_with_its_text() {
    for panics in [part().run(500, How::Panics), part().start(500, How::Panics), part().stop(10, How::Panics)] {
        let end = Case::new().with(panics).at(1000, Outside::Request).run();
        assert_eq!((end.of(0).outcome, end.of(0).error.as_deref()), (Outcome::Panicked, Some("it panicked")));
        assert_eq!(end.report.exit_code(), 1);
    }
}

#[test]
fn r1_a_restart_cures() {
    let mut flaky = part().run(500, How::Fails).restart(3, 10_000);
    flaky.script.run_bad = 0b11;
    let end = Case::new().with(flaky).at(5000, Outside::Request).run();
    assert_eq!((end.starts(0).len(), end.asks(0).len()), (3, 1), "no stop between");
    assert_eq!((end.of(0).outcome, end.of(0).restarts), (Outcome::Stopped, 2));
    assert_eq!(end.of(0).error.as_deref(), Some("it failed"));
    assert_eq!(end.report.exit_code(), 0);
    let (first, second) = (end.starts(0)[1] - 500, end.starts(0)[2] - end.starts(0)[1] - 500);
    assert!((75..=125).contains(&first) && (150..=250).contains(&second), "{first}, {second}");
}

#[test]
fn r1_more_restarts_than_allowed_within_the_window_shut_down() {
    let end = Case::new().with(part().run(50, How::Fails).restart(2, 10_000)).run();
    assert_eq!((end.starts(0).len(), kind(&end), end.of(0).outcome), (3, ReasonKind::ComponentFailed, Outcome::Failed));
    // Not within the window: it goes on.
    let end = Case::new().with(part().run(1000, How::Fails).restart(2, 1500)).at(60_000, Outside::Request).run();
    assert!(end.starts(0).len() > 20);
}

#[test]
fn r1_a_restart_that_fails_to_start_counts_too() {
    let mut broken = part().run(100, How::Fails).start(10, How::Fails).restart(3, 10_000);
    broken.script.start_bad = 0b1111_1110;
    let end = Case::new().with(broken).run();
    assert_eq!((end.starts(0).len(), end.asks(0).len()), (4, 0));
    assert_eq!((kind(&end), end.of(0).outcome), (ReasonKind::ComponentFailed, Outcome::Failed));
}

/// Its work fails; started again, it hangs, and is cleared away for the next start as far as it lets that happen.
fn stuck_when_started_again(force: Force) -> Part {
    let mut stuck = part().run(100, How::Fails).start(10, How::Hangs).start_force(force).restart(3, 10_000);
    (stuck.script.start_bad, stuck.script.run_bad, stuck.start_budget) = (0b10, 0b01, 50);
    stuck
}

#[test]
fn r1_a_shutdown_ends_a_restart_that_cured_nothing() {
    // While its scope is cleared, while it waits, and while it starts again.
    let clearing = stuck_when_started_again(IGNORES);
    let pausing = part().run(100, How::Fails).restart(3, 10_000);
    for (case, at) in [(clearing, 400), (pausing.clone(), 150), (pausing.start(90, How::Ok), 250)] {
        let end = Case::new().with(case).at(at, Outside::Signal(15)).run();
        assert_eq!((end.of(0).outcome, end.report.exit_code()), (Outcome::Failed, 1), "at {at}");
        assert!(end.asks(0).is_empty());
    }
}

#[test]
fn r1_work_that_ended_well_is_no_failure_while_it_waits_for_its_restart() {
    let end = Case::new().with(part().run(100, How::Ok).restart(3, 10_000)).at(150, Outside::Signal(15)).run();
    assert_eq!((end.of(0).outcome, end.report.exit_code()), (Outcome::Finished, 0));
}

#[test]
fn r1_what_was_started_again_on_request_has_nothing_to_be_cured_of() {
    let mut again = part().on_demand();
    again.script.start.0 = 100;
    let case = Case::new().with(again).at(0, Outside::StartOne(0)).at(200, Outside::StopOne(0)).at(300, Outside::StartOne(0));
    let end = case.at(350, Outside::Signal(15)).run();
    assert_eq!((end.of(0).outcome, end.report.exit_code()), (Outcome::Stopped, 0));
}

#[test]
fn r1_a_start_on_request_is_no_restart_whatever_was_before() {
    // Restarted once and well since; then stopped, started on request, and that fails.
    let mut flaky = part().run(100, How::Fails).start(10, How::Fails).restart(3, 10_000);
    (flaky.script.run_bad, flaky.script.start_bad) = (0b1, 0b100);
    let end = Case::new().with(flaky).at(1000, Outside::StopOne(0)).at(2000, Outside::StartOne(0)).run();
    assert_eq!((end.starts(0).len(), end.of(0).restarts, kind(&end)), (3, 1, ReasonKind::StartFailed));
}

#[test]
fn r1_what_cannot_be_cleared_is_abandoned_and_shuts_down() {
    let end = Case::new().with(stuck_when_started_again(BLOCKS)).with(part()).run();
    assert_eq!((end.over(0)[0], end.of(0).outcome), (end.starts(0)[1] + 50 + 750, Outcome::Abandoned));
    assert_eq!((kind(&end), end.of(1).outcome, end.report.exit_code()), (ReasonKind::ComponentFailed, Outcome::Stopped, 124));
}

#[test]
fn r1_ignored_is_only_in_the_report() {
    let end = Case::new().with(part().run(100, How::Panics).ignore()).at(1000, Outside::Request).run();
    assert_eq!((end.of(0).outcome, end.of(0).error.as_deref()), (Outcome::Stopped, Some("it panicked")));
    assert_eq!((end.report.exit_code(), end.asks(0)[0].0), (0, 1000));
}

#[test]
fn t12_a_profile_changes_delay_grace_and_exit_code() {
    let hurry = Profile::new().grace(secs(1)).exit_code(70);
    let drain = Profile::new().drain_delay(secs(3));
    let case = |part| Case::new().profile(ReasonKind::ComponentFailed, hurry).profile(ReasonKind::Signal, drain).with(part).with(super::case::part());
    let end = case(part().run(100, How::Fails)).run();
    assert_eq!((end.report.exit_code(), end.report.grace(), end.asks(1)[0].0), (70, secs(1), 100));
    let end = case(part()).at(100, Outside::Signal(15)).run();
    assert_eq!((end.report.exit_code(), end.asks(1)[0].0), (0, 3100));
    let end = case(part()).at(100, Outside::Request).run();
    assert_eq!((end.report.grace(), end.asks(1)[0].0), (secs(25), 100));
}

#[test]
fn t12_forced_keeps_its_own_exit_code() {
    let case = Case::new().profile(ReasonKind::Signal, Profile::new().exit_code(70)).with(part().stop(0, How::Hangs));
    assert_eq!(case.at(50, Outside::Signal(15)).run().report.exit_code(), 124);
}

#[test]
fn t12_a_second_signal_ends_the_drain_delay() {
    let case = Case::new().profile(ReasonKind::Signal, Profile::new().drain_delay(secs(3))).with(part().stop(600, How::Ok));
    let end = case.at(100, Outside::Signal(15)).at(500, Outside::Signal(15)).run();
    assert_eq!(end.asks(0), [(500, millis(250))]);
    assert_eq!((end.of(0).outcome, end.ended), (Outcome::Cancelled, ms(750)));
}
