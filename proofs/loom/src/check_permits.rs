//! What the permits promise, in every interleaving of two or three threads.

use loom::future::block_on;
use loom::thread;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The part of `Permits` that is checked, so that sound and broken copies go through the same.
pub(crate) trait Admission: Clone + Send + 'static {
    type Permit: Send + 'static;
    type Acquire: Future<Output = Result<Self::Permit, crate::permits::error::AcquireError>> + Unpin + Send + 'static;
    fn new(count: usize, bytes: usize) -> Self;
    fn acquire(&self, bytes: usize) -> Self::Acquire;
    fn try_acquire(&self, bytes: usize) -> Option<Self::Permit>;
    fn resize(&self, count: usize, bytes: usize);
    fn close(&self);
    fn in_flight(&self) -> (usize, usize);
    fn idle(&self) -> impl Future<Output = ()> + Unpin + Send + 'static;
}

macro_rules! permits_to_check {
    ($module:ident) => {
        impl crate::check_permits::Admission for $module::Permits {
            type Permit = $module::Permit;
            type Acquire = $module::Acquire;
            fn new(count: usize, bytes: usize) -> Self {
                $module::Permits::new(count, bytes)
            }
            fn acquire(&self, bytes: usize) -> $module::Acquire {
                $module::Permits::acquire(self, bytes)
            }
            fn try_acquire(&self, bytes: usize) -> Option<$module::Permit> {
                $module::Permits::try_acquire(self, bytes).ok()
            }
            fn resize(&self, count: usize, bytes: usize) {
                $module::Permits::resize(self, count, bytes);
            }
            fn close(&self) {
                $module::Permits::close(self);
            }
            fn in_flight(&self) -> (usize, usize) {
                $module::Permits::in_flight(self)
            }
            fn idle(&self) -> impl std::future::Future<Output = ()> + Unpin + Send + 'static {
                $module::Permits::idle(self)
            }
        }
    };
}
pub(crate) use permits_to_check;

mod sound {
    use crate::permits::admission;
    permits_to_check!(admission);
}

type Sound = crate::permits::admission::Permits;

/// Polls once with the thread's own waker; the answer if there is one.
fn once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    block_on(std::future::poll_fn(|cx: &mut Context<'_>| {
        Poll::Ready(match Pin::new(&mut *future).poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    }))
}

/// Two threads share one permit: both get it, one after the other, and it comes back.
pub(crate) fn two_at_one<P: Admission>() {
    loom::model(|| {
        let permits = P::new(1, 10);
        let other = permits.clone();
        let thread = thread::spawn(move || drop(block_on(other.acquire(10)).unwrap()));
        let mine = block_on(permits.acquire(10)).unwrap();
        assert_eq!(permits.in_flight(), (1, 10));
        drop(mine);
        thread.join().unwrap();
        assert_eq!(permits.in_flight(), (0, 0));
    });
}

/// A waiter goes away while the permit comes back: whether it had been let in or not, nothing is kept, and the next is served.
pub(crate) fn a_waiter_that_goes<P: Admission>() {
    loom::model(|| {
        let permits = P::new(1, 10);
        let out = permits.try_acquire(10).unwrap();
        let mut gone = permits.acquire(10);
        assert!(once(&mut gone).is_none());
        let thread = thread::spawn(move || drop(out));
        drop(gone);
        drop(block_on(permits.acquire(10)).unwrap());
        thread.join().unwrap();
        assert_eq!(permits.in_flight(), (0, 0));
    });
}

/// The first in line does not fit and goes away: who stands behind it is let in without anything coming back.
pub(crate) fn a_large_waiter_that_goes<P: Admission>() {
    loom::model(|| {
        let permits = P::new(3, 10);
        let out = permits.try_acquire(6).unwrap();
        let mut large = permits.acquire(8);
        assert!(once(&mut large).is_none());
        let other = permits.clone();
        let small = thread::spawn(move || drop(block_on(other.acquire(2)).unwrap()));
        drop(large);
        small.join().unwrap();
        drop(out);
        assert_eq!(permits.in_flight(), (0, 0));
    });
}

/// One waits for much. Whoever comes later and asks for little does not get it before.
pub(crate) fn nobody_overtakes<P: Admission>() {
    loom::model(|| {
        let permits = P::new(3, 10);
        let out = permits.try_acquire(6).unwrap();
        let mut large = permits.acquire(8);
        assert!(once(&mut large).is_none());
        let other = permits.clone();
        let newcomer = thread::spawn(move || other.try_acquire(2).map(drop));
        drop(out);
        let had_it = newcomer.join().unwrap().is_some();
        // After the large one was let in 2 bytes are left, so the newcomer may have come after it, but never before.
        let large = once(&mut large).expect("nothing was in its way").unwrap();
        assert!(!had_it || permits.in_flight() == (1, 8));
        drop(large);
        assert_eq!(permits.in_flight(), (0, 0));
    });
}

/// As above, while the room is still too little: the newcomer is refused in every interleaving.
pub(crate) fn newcomers_are_refused<P: Admission>() {
    loom::model(|| {
        let permits = P::new(3, 10);
        let out = permits.try_acquire(6).unwrap();
        let mut large = permits.acquire(8);
        assert!(once(&mut large).is_none());
        let other = permits.clone();
        let newcomer = thread::spawn(move || other.try_acquire(2).is_none());
        assert!(newcomer.join().unwrap(), "it overtook");
        drop(out);
        drop(once(&mut large).expect("nothing was in its way").unwrap());
    });
}

/// Closing reaches a waiter wherever it is: in the line, about to join it, or let in a moment before.
fn closing<P: Admission>() {
    crate::with_few_cuts(|| {
        let permits = P::new(1, 10);
        let out = permits.try_acquire(10).unwrap();
        let (waiting, closing) = (permits.clone(), permits.clone());
        let waiter = thread::spawn(move || block_on(waiting.acquire(1)).map(drop));
        let closer = thread::spawn(move || closing.close());
        drop(out);
        let _either = waiter.join().unwrap();
        closer.join().unwrap();
        assert!(permits.try_acquire(1).is_none());
        assert_eq!(permits.in_flight(), (0, 0));
    });
}

/// A resize upwards while a waiter joins: it is let in by one of the two.
fn resizing<P: Admission>() {
    loom::model(|| {
        let permits = P::new(1, 10);
        let out = permits.try_acquire(10).unwrap();
        let other = permits.clone();
        let waiter = thread::spawn(move || drop(block_on(other.acquire(5)).unwrap()));
        permits.resize(2, 20);
        waiter.join().unwrap();
        drop(out);
        assert_eq!(permits.in_flight(), (0, 0));
    });
}

/// Who waits for nothing to be in flight is woken by the last permit.
fn idling<P: Admission>() {
    crate::with_few_cuts(|| {
        let permits = P::new(2, 10);
        let (a, b) = (permits.try_acquire(1).unwrap(), permits.try_acquire(1).unwrap());
        let first = thread::spawn(move || drop(a));
        let second = thread::spawn(move || drop(b));
        block_on(permits.idle());
        assert_eq!(permits.in_flight(), (0, 0));
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn two_threads_share_one_permit() {
    two_at_one::<Sound>();
}

#[test]
fn a_waiter_that_goes_leaves_nothing() {
    a_waiter_that_goes::<Sound>();
}

#[test]
fn a_large_waiter_that_goes_passes_its_turn_on() {
    a_large_waiter_that_goes::<Sound>();
}

#[test]
fn who_waits_is_not_overtaken() {
    nobody_overtakes::<Sound>();
    newcomers_are_refused::<Sound>();
}

#[test]
fn closing_reaches_every_waiter() {
    closing::<Sound>();
}

#[test]
fn a_resize_reaches_who_is_about_to_wait() {
    resizing::<Sound>();
}

#[test]
fn the_last_permit_wakes_who_waits_for_idle() {
    idling::<Sound>();
}
