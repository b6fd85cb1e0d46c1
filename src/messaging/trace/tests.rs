//! The gate by itself: whom it wakes and when, and what its accounts say step by step.

use super::gate::{Gate, Landing, Shape, TraceCounts, Turn, Why};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Wake, Waker};

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicU64);

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn new() -> (Arc<Bell>, Waker) {
        let bell = Arc::new(Bell::default());
        (bell.clone(), bell.into())
    }

    /// Since it was last asked.
    fn rang(&self) -> u64 {
        self.0.swap(0, Ordering::SeqCst)
    }
}

const SHAPE: Shape = Shape { capacity: 50, batch: 20, bytes: 1000, exports: 2 };

fn batch(gate: &Gate<u32>, waker: &Waker, due: bool) -> (u64, Vec<u32>) {
    match gate.next(waker, due) {
        Turn::Batch { number, records } => (number, records),
        other => panic!("no batch: {other:?}"),
    }
}

#[test]
fn m11_the_owner_is_woken_for_the_first_record_and_for_a_full_batch_only() {
    let (gate, (bell, waker)) = (Gate::new(SHAPE), Bell::new());
    assert_eq!(gate.next(&waker, false), Turn::Empty);
    gate.append(0, 10).unwrap();
    assert_eq!(bell.rang(), 1, "the first starts its age");
    gate.append(1, 10).unwrap();
    assert_eq!(bell.rang(), 0, "who was woken and has not looked yet is not woken again");
    assert_eq!(gate.next(&waker, false), Turn::Filling);
    (2..19).for_each(|record| gate.append(record, 10).unwrap());
    assert_eq!(bell.rang(), 0);
    gate.append(19, 10).unwrap();
    assert_eq!(bell.rang(), 1, "full by count");
    (20..40).for_each(|record| gate.append(record, 10).unwrap());
    assert_eq!(bell.rang(), 0);
    assert_eq!(batch(&gate, &waker, false).1, (0..20).collect::<Vec<_>>());
    assert_eq!(batch(&gate, &waker, false).1, (20..40).collect::<Vec<_>>());

    gate.append(40, 10).unwrap();
    assert_eq!(gate.next(&waker, true), Turn::Busy { waiting: true }, "two fly");
    (41..50).for_each(|record| gate.append(record, 200).unwrap());
    assert_eq!(bell.rang(), 0, "who cannot take anything is not woken by records");
    gate.settle(1, Landing::Sent);
    assert_eq!(bell.rang(), 1, "but by room");
    assert_eq!(batch(&gate, &waker, false).1, [40, 41, 42, 43, 44], "full by bytes: 810 of 1000, and the next has 200");
}

#[test]
fn m11_bytes_wake_the_owner_too() {
    let (gate, (bell, waker)) = (Gate::new(SHAPE), Bell::new());
    gate.append(0, 400).unwrap();
    assert_eq!(gate.next(&waker, false), Turn::Filling);
    gate.append(1, 400).unwrap();
    assert_eq!(bell.rang(), 0);
    gate.append(2, 400).unwrap();
    assert_eq!(bell.rang(), 1);
    assert_eq!(batch(&gate, &waker, false).1, [0, 1]);
}

#[test]
fn m11_an_owner_without_room_still_hears_of_the_first_record() {
    let (gate, (bell, waker)) = (Gate::new(Shape { exports: 1, batch: 1, ..SHAPE }), Bell::new());
    gate.append(0, 10).unwrap();
    let (number, _) = batch(&gate, &waker, false);
    assert_eq!(gate.next(&waker, false), Turn::Busy { waiting: false });
    gate.append(1, 10).unwrap();
    assert_eq!(bell.rang(), 1, "its age begins");
    assert_eq!(gate.next(&waker, false), Turn::Busy { waiting: true });
    assert_eq!(gate.settle(number, Landing::Failed), 1);
    assert_eq!(bell.rang(), 1);
}

#[test]
fn m10_m12_stage_by_stage() {
    let (gate, (owner, waker)) = (Gate::new(SHAPE), Bell::new());
    let (stopper, stop) = Bell::new();
    (0..30).for_each(|record| gate.append(record, 10).unwrap());
    let (first, records) = batch(&gate, &waker, false);
    assert_eq!((records.len(), gate.next(&waker, false)), (20, Turn::Filling));
    assert!(gate.poll_over(&stop).is_pending(), "open");
    let at_gate = gate.drain();
    assert_eq!((at_gate.buffered, at_gate.in_flight, owner.rang()), (10, 20, 1));
    assert_eq!(gate.append(99, 10), Err((99, Why::Closed)));
    let (second, records) = batch(&gate, &waker, false);
    assert_eq!(records.len(), 10, "not full and not due, and yet it leaves");
    assert_eq!(gate.next(&waker, false), Turn::End);
    assert!(gate.poll_over(&stop).is_pending(), "two still fly");
    assert_eq!(gate.settle(second, Landing::Sent), 10);
    assert_eq!(stopper.rang(), 0);
    assert_eq!(gate.settle(first, Landing::Abandoned), 20);
    assert_eq!((stopper.rang(), gate.poll_over(&stop)), (1, Poll::Ready(())));
    assert_eq!((gate.settle(first, Landing::Sent), gate.close()), (0, 0), "each ends once");
    let expected = TraceCounts { accepted: 30, sent: 10, abandoned: 20, dropped_closed: 1, ..TraceCounts::default() };
    assert_eq!(gate.counts(), expected);

    gate.open();
    gate.append(1, 10).unwrap();
    assert_eq!((gate.drain().buffered, gate.close()), (1, 1));
    assert_eq!(gate.append(2, 10), Err((2, Why::Closed)));
    assert_eq!(gate.next(&waker, true), Turn::End);
}

#[test]
fn m12_closing_writes_off_what_flies_and_what_waits_and_wakes_everybody() {
    let (gate, (owner, waker)) = (Gate::new(SHAPE), Bell::new());
    let (stopper, stop) = Bell::new();
    (0..50).for_each(|record| gate.append(record, 10).unwrap());
    let flying = [batch(&gate, &waker, false).0, batch(&gate, &waker, false).0];
    assert_eq!(gate.next(&waker, false), Turn::Busy { waiting: true });
    assert!(gate.poll_over(&stop).is_pending());
    assert_eq!(gate.close(), 50);
    assert_eq!((owner.rang(), stopper.rang()), (1, 1));
    for number in flying {
        assert_eq!(gate.settle(number, Landing::Sent), 0);
    }
    let expected = TraceCounts { accepted: 50, abandoned: 50, ..TraceCounts::default() };
    assert_eq!(gate.counts(), expected);
}
