//! The permits against their model, and the rules of M1 one by one.

use super::model::{Model, Place};
use super::{Acquire, AcquireError, Permit, Permits, TryAcquireError};
use futures_util::task::noop_waker;
use proptest::prelude::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&noop_waker()))
}

fn poll_with<F: Future + Unpin>(future: &mut F, bell: &Arc<Bell>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(bell.clone())))
}

fn waiter(permits: &Permits, bytes: usize) -> Acquire {
    let mut waiter = permits.acquire(bytes);
    assert!(poll(&mut waiter).is_pending());
    waiter
}

fn granted(waiter: &mut Acquire) -> Permit {
    match poll(waiter) {
        Poll::Ready(Ok(permit)) => permit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn m1_count_and_bytes_are_taken_together_or_not_at_all() {
    let permits = Permits::new(2, 100);
    let first = permits.try_acquire(80).unwrap();
    assert_eq!(permits.try_acquire(30).unwrap_err(), TryAcquireError::Full);
    let waiter = waiter(&permits, 30);
    assert_eq!(permits.in_flight(), (1, 80), "who waits for bytes holds no count");
    drop((waiter, first));
    assert_eq!(permits.in_flight(), (0, 0));
}

#[test]
fn m1_nobody_overtakes_who_waits() {
    let permits = Permits::new(10, 100);
    let big = permits.try_acquire(90).unwrap();
    let mut first = waiter(&permits, 50);
    let mut small = waiter(&permits, 1);
    assert_eq!(permits.try_acquire(1).unwrap_err(), TryAcquireError::Full, "one would fit, but others wait");
    drop(big);
    let (_a, _b) = (granted(&mut first), granted(&mut small));
    assert_eq!(permits.in_flight(), (2, 51));
}

#[test]
fn m1_larger_than_the_budget_is_refused_at_once() {
    let permits = Permits::new(10, 100);
    let _all = permits.try_acquire(100).unwrap();
    assert_eq!(permits.try_acquire(101).unwrap_err(), TryAcquireError::TooLarge { bytes: 101, limit: 100 });
    let answer = poll(&mut permits.acquire(101)).map(|a| a.map(drop));
    assert_eq!(answer, Poll::Ready(Err(AcquireError::TooLarge { bytes: 101, limit: 100 })));
}

#[test]
fn m1_a_waiter_that_became_too_large_is_told() {
    let permits = Permits::new(10, 100);
    let all = permits.try_acquire(100).unwrap();
    let (mut large, mut small) = (waiter(&permits, 60), waiter(&permits, 50));
    permits.resize(10, 50);
    assert!(matches!(poll(&mut large), Poll::Ready(Err(AcquireError::TooLarge { bytes: 60, limit: 50 }))));
    assert!(poll(&mut small).is_pending());
    drop(all);
    let _in = granted(&mut small);
}

#[test]
fn m1_resizing_while_everything_is_taken_works_both_ways() {
    let permits = Permits::new(2, 100);
    let (a, b) = (permits.try_acquire(50).unwrap(), permits.try_acquire(50).unwrap());
    let (mut third, mut fourth) = (waiter(&permits, 50), waiter(&permits, 50));
    permits.resize(3, 150);
    let third = granted(&mut third);
    permits.resize(1, 50);
    drop((a, b));
    assert!(poll(&mut fourth).is_pending(), "1 of 1 is out");
    assert_eq!(permits.in_flight(), (1, 50));
    drop(third);
    let _in = granted(&mut fourth);
    permits.resize(usize::MAX, usize::MAX);
    assert!(permits.try_acquire(usize::MAX - 50).is_ok());
}

#[test]
fn m1_a_count_of_zero_pauses_and_refuses_nobody() {
    let permits = Permits::new(0, 100);
    let mut first = waiter(&permits, 10);
    permits.resize(1, 100);
    let _in = granted(&mut first);
}

#[test]
fn m1_closing_wakes_every_waiter_and_keeps_what_is_out() {
    let permits = Permits::new(1, 100);
    let out = permits.try_acquire(1).unwrap();
    let bell = Arc::new(Bell::default());
    let mut waiters: Vec<Acquire> = (0..50).map(|_| permits.acquire(1)).collect();
    waiters.iter_mut().for_each(|w| assert!(poll_with(w, &bell).is_pending()));
    permits.close();
    assert_eq!(bell.rung(), 50);
    waiters.iter_mut().for_each(|w| assert!(matches!(poll(w), Poll::Ready(Err(AcquireError::Closed)))));
    assert_eq!(permits.try_acquire(1).unwrap_err(), TryAcquireError::Closed);
    assert_eq!(permits.in_flight(), (1, 1));
    drop(out);
    assert_eq!(permits.in_flight(), (0, 0));
}

#[test]
fn m1_who_was_let_in_and_leaves_before_it_knows_passes_it_on() {
    let permits = Permits::new(1, 100);
    let out = permits.try_acquire(1).unwrap();
    let (first, mut second) = (waiter(&permits, 1), permits.acquire(1));
    let bell = Arc::new(Bell::default());
    assert!(poll_with(&mut second, &bell).is_pending());
    drop(out);
    assert_eq!((permits.in_flight(), bell.rung()), ((1, 1), 0), "the first has it");
    drop(first);
    assert_eq!(bell.rung(), 1);
    let _in = granted(&mut second);
}

#[test]
fn m1_the_first_in_line_leaving_lets_the_next_in() {
    let permits = Permits::new(10, 100);
    let _out = permits.try_acquire(50).unwrap();
    let (large, mut small) = (waiter(&permits, 80), permits.acquire(10));
    let bell = Arc::new(Bell::default());
    assert!(poll_with(&mut small, &bell).is_pending());
    drop(large);
    assert_eq!(bell.rung(), 1, "it was only the large one that did not fit");
    let _in = granted(&mut small);
}

#[test]
fn m1_idle_is_seen_even_if_it_was_short() {
    let permits = Permits::new(1, 100);
    assert!(poll(&mut permits.idle()).is_ready());
    let out = permits.try_acquire(1).unwrap();
    let (mut idle, mut late) = (permits.idle(), permits.idle());
    let bell = Arc::new(Bell::default());
    assert!(poll_with(&mut idle, &bell).is_pending());
    drop(out);
    let _again = permits.try_acquire(1).unwrap();
    assert_eq!(bell.rung(), 1);
    assert!(poll(&mut idle).is_ready(), "nothing was in flight for a moment");
    assert!(poll(&mut late).is_pending(), "it had not asked yet");
}

#[test]
fn m1_a_waiter_is_woken_by_the_waker_of_its_last_poll() {
    let permits = Permits::new(1, 100);
    let out = permits.try_acquire(1).unwrap();
    let (old, new) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    let mut waiter = permits.acquire(1);
    assert!(poll_with(&mut waiter, &old).is_pending());
    assert!(poll_with(&mut waiter, &new).is_pending());
    drop(out);
    assert_eq!((old.rung(), new.rung()), (0, 1));
}

#[derive(Clone, Debug)]
enum Op {
    Try(usize),
    Acquire(usize),
    /// Of those who have a future or a permit, the how-manieth: fetches its answer, or gives its permit back.
    Poll(usize),
    Drop(usize),
    Resize(usize, usize),
    Close,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0usize..12).prop_map(Op::Try),
        6 => (0usize..12).prop_map(Op::Acquire),
        5 => any::<usize>().prop_map(Op::Poll),
        6 => any::<usize>().prop_map(Op::Drop),
        1 => (0usize..5, 0usize..14).prop_map(|(count, bytes)| Op::Resize(count, bytes)),
    ];
    (prop::collection::vec(op, 1..120), prop::option::weighted(0.3, 0usize..120)).prop_map(|(mut ops, close)| {
        if let Some(at) = close.filter(|at| *at < ops.len()) {
            ops[at] = Op::Close;
        }
        ops
    })
}

/// One who asked, on the real side.
enum Real {
    Waits(Acquire, Arc<Bell>),
    #[allow(dead_code)] // Held, not read.
    Holds(Permit),
    Nothing,
}

fn place(answer: &Result<Permit, AcquireError>) -> Place {
    match answer {
        Ok(_) => Place::In,
        Err(AcquireError::Closed) => Place::Closed,
        Err(AcquireError::TooLarge { .. }) => Place::TooLarge,
    }
}

fn held(answer: Result<Permit, AcquireError>) -> Real {
    answer.map_or(Real::Nothing, Real::Holds)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn m1_random_histories_are_as_the_model_says(count in 0usize..5, bytes in 0usize..14, ops in ops()) {
        let permits = Permits::new(count, bytes);
        let mut model = Model { count, bytes, closed: false, all: Vec::new() };
        let mut real: Vec<Real> = Vec::new();
        for op in ops {
            let live: Vec<usize> = (0..real.len()).filter(|i| !matches!(real[*i], Real::Nothing)).collect();
            match op {
                Op::Try(bytes) => {
                    let answer = permits.try_acquire(bytes);
                    let expected = model.ask(bytes, false);
                    let got = match &answer {
                        Ok(_) => Place::In,
                        Err(TryAcquireError::Full) => Place::Gone,
                        Err(TryAcquireError::TooLarge { .. }) => Place::TooLarge,
                        Err(TryAcquireError::Closed) => Place::Closed,
                    };
                    prop_assert_eq!(got, expected);
                    real.push(answer.map_or(Real::Nothing, Real::Holds));
                }
                Op::Acquire(bytes) => {
                    let (mut future, bell) = (permits.acquire(bytes), Arc::new(Bell::default()));
                    let expected = model.ask(bytes, true);
                    real.push(match poll_with(&mut future, &bell) {
                        Poll::Pending => {
                            prop_assert_eq!(Place::Waiting, expected);
                            Real::Waits(future, bell)
                        }
                        Poll::Ready(answer) => {
                            prop_assert_eq!(place(&answer), expected);
                            held(answer)
                        }
                    });
                }
                Op::Poll(which) => {
                    if let Some(i) = live.get(which % live.len().max(1)).copied()
                        && let Real::Waits(future, bell) = &mut real[i]
                    {
                        match poll_with(future, bell) {
                            Poll::Pending => prop_assert_eq!(model.all[i].1, Place::Waiting),
                            Poll::Ready(answer) => {
                                prop_assert_eq!(place(&answer), model.all[i].1);
                                real[i] = held(answer);
                            }
                        }
                    }
                }
                Op::Drop(which) => if let Some(i) = live.get(which % live.len().max(1)).copied() {
                    real[i] = Real::Nothing;
                    model.leave(i);
                },
                Op::Resize(count, bytes) => {
                    permits.resize(count, bytes);
                    model.resize(count, bytes);
                }
                Op::Close => {
                    permits.close();
                    model.close();
                }
            }
            prop_assert_eq!(permits.in_flight(), model.used());
            prop_assert_eq!(permits.waiting(), model.waiting());
            // Exactly those who have an answer to fetch were woken.
            for (i, one) in real.iter().enumerate() {
                if let Real::Waits(_, bell) = one {
                    prop_assert_eq!(bell.rung() > 0, model.all[i].1 != Place::Waiting, "{}", i);
                }
            }
        }
        drop(real);
        prop_assert_eq!((permits.in_flight(), permits.waiting()), ((0, 0), 0));
    }
}
