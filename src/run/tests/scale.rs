//! I5: time roughly linear in the size of the plan. Small and large are measured in one process, and only compared.

use crate::id::ComponentId;
use crate::phase::Phase;
use crate::plan::spec::{Dependency, Registry, Spec};
use crate::run::machine::{Machine, Stage};
use crate::run::{Action, Input};
use crate::span::Moment;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A whole run in which everything takes no time at all; how long that took, planning aside.
fn run(plan: Arc<crate::Plan>) -> Duration {
    let began = Instant::now();
    let now = Moment::default();
    let mut machine = Machine::new(1);
    let (mut starts, mut asks) = (0, 0);
    machine.planned(now, plan.clone());
    loop {
        while let Some(action) = machine.poll_action() {
            match action {
                Action::Start { id, epoch, .. } => {
                    starts += 1;
                    machine.handle(now, Input::StartReturned { id, epoch, result: Ok(()) });
                }
                Action::AskStop { id, .. } => {
                    asks += 1;
                    machine.handle(now, Input::StopReturned { id, epoch: 1, result: Ok(()) });
                    machine.handle(now, Input::ScopeEmpty { id, epoch: 1 });
                }
                _ => {}
            }
        }
        match machine.stage {
            Stage::Done => break,
            Stage::Running => machine.handle(now, Input::Request { why: "end".into() }),
            stage => panic!("stuck while {stage:?}"),
        }
    }
    let all = plan.components().count();
    assert_eq!((starts, asks), (all, all));
    began.elapsed()
}

fn plan(n: u32, phase: impl Fn(u32) -> i32, after: impl Fn(u32) -> Option<u32>) -> Arc<crate::Plan> {
    let component = |index| Spec {
        name: format!("c{index}").into(),
        phase: Phase::new(phase(index)),
        after: after(index).into_iter().map(|index| Dependency::Id(ComponentId { app: 0, index })).collect(),
        ..Spec::default()
    };
    let registry = Registry { app: "large".into(), components: (0..n).map(component).collect(), ..Registry::default() };
    Arc::new(registry.plan().unwrap())
}

/// One at a time: they would measure each other.
static ONE: Mutex<()> = Mutex::new(());

/// Four times the components take about four times as long (both are too many for a processor's cache). Others use the same processors, so it
/// is tried more than once; what grows with the square takes sixteen times as long every time.
fn linear(make: impl Fn(u32) -> Arc<crate::Plan>) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (small, large) = (make(25_000), make(100_000));
    let ratio = || run(large.clone()).as_secs_f64() / run(small.clone()).as_secs_f64();
    let best = (0..8).map(|_| ratio()).find(|&ratio| ratio < 12.0);
    assert!(best.is_some(), "four times the components took more than twelve times as long, eight times");
}

#[test]
fn i5_a_hundred_thousand_in_one_phase() {
    linear(|n| plan(n, |_| 0, |_| None));
}

#[test]
fn i5_a_hundred_phases() {
    linear(|n| plan(n, |id| (id % 100) as i32, |_| None));
}

#[test]
fn i5_one_long_chain() {
    linear(|n| plan(n, |_| 0, |id| id.checked_sub(1)));
}

#[test]
fn i5_a_phase_each() {
    linear(|n| plan(n, |id| id as i32, |_| None));
}
