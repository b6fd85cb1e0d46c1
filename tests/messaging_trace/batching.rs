//! M11: batches by count, bytes and age; so many exports at a time.

use crate::kit::{Act, Spy, append, record, run};
use std::sync::atomic::Ordering;
use winddown::messaging::trace::TraceDispatcher;
use winddown::{millis, secs};

#[tokio::test(start_paused = true)]
async fn m11_a_full_batch_leaves_at_once() {
    let spy = Spy::sending();
    let traces = TraceDispatcher::new(spy.clone());
    run(&traces, |_| async {
        tokio::time::sleep(secs(1)).await;
        append(&traces, 0..20);
        tokio::time::sleep(millis(1)).await;
        assert_eq!(spy.arrivals(), [(secs(1), 20)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m11_a_record_waits_exactly_its_age() {
    let spy = Spy::sending();
    let traces = TraceDispatcher::new(spy.clone());
    run(&traces, |_| async {
        tokio::time::sleep(secs(1)).await;
        append(&traces, [0]);
        tokio::time::sleep(secs(2)).await;
        // Counted from the first of the batch, not from the last.
        append(&traces, [1]);
        tokio::time::sleep(secs(4)).await;
        append(&traces, [2]);
        tokio::time::sleep(secs(10)).await;
        assert_eq!(spy.arrivals(), [(secs(6), 2), (secs(12), 1)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m11_what_a_full_batch_leaves_behind_waits_from_then_on() {
    let spy = Spy::sending();
    let traces = TraceDispatcher::builder(spy.clone()).max_age(secs(2)).build();
    run(&traces, |_| async {
        append(&traces, [0]);
        tokio::time::sleep(secs(1)).await;
        append(&traces, 1..23);
        tokio::time::sleep(secs(9)).await;
        assert_eq!(spy.arrivals(), [(secs(1), 20), (secs(3), 3)]);
        assert_eq!(spy.numbers(), (0..23).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m11_age_counts_while_all_exports_are_taken() {
    // One export at a time, which takes 3 s: what came at 0.5 s is old enough when it ends, and leaves at that moment.
    let spy = Spy::new(|_, _| Act::SendAfter(secs(3)));
    let traces = TraceDispatcher::builder(spy.clone()).exports(1).batch(4).max_age(secs(2)).export_timeout(secs(9)).build();
    run(&traces, |_| async {
        append(&traces, 0..4);
        tokio::time::sleep(millis(500)).await;
        append(&traces, [4]);
        tokio::time::sleep(secs(20)).await;
        assert_eq!(spy.arrivals(), [(secs(0), 4), (secs(3), 1)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m11_bytes_are_looked_at_before_a_record_is_added() {
    let spy = Spy::sending();
    let size = record(0).size();
    let traces = TraceDispatcher::builder(spy.clone()).batch_bytes(3 * size + size / 2).build();
    run(&traces, |_| async {
        append(&traces, 0..3);
        tokio::time::sleep(secs(1)).await;
        assert_eq!(spy.arrivals(), [], "three fit, and more could come");
        append(&traces, [3]);
        tokio::time::sleep(secs(1)).await;
        assert_eq!(spy.arrivals(), [(secs(1), 3)], "the fourth does not fit: the three leave without it, at once");
        tokio::time::sleep(secs(10)).await;
        assert_eq!(spy.arrivals(), [(secs(1), 3), (secs(6), 1)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m11_a_record_that_is_larger_than_a_batch_goes_alone() {
    let spy = Spy::sending();
    let traces = TraceDispatcher::builder(spy.clone()).batch_bytes(10).build();
    run(&traces, |_| async {
        append(&traces, 0..3);
        tokio::time::sleep(millis(1)).await;
        assert_eq!(spy.arrivals(), [(secs(0), 1), (secs(0), 1), (secs(0), 1)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m11_so_many_exports_at_a_time_and_no_more() {
    let spy = Spy::new(|_, _| Act::SendAfter(secs(1)));
    let traces = TraceDispatcher::new(spy.clone());
    run(&traces, |_| async {
        append(&traces, 0..200);
        tokio::time::sleep(millis(2500)).await;
        // 10 batches, 4 at a time.
        let moments: Vec<u64> = spy.batches().iter().map(|batch| batch.at.as_secs()).collect();
        assert_eq!(moments, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]);
    })
    .await;
    assert_eq!(spy.most.load(Ordering::SeqCst), 4);
    assert_eq!(spy.numbers(), (0..200).collect::<Vec<_>>(), "begun in the order of their records");
}

#[tokio::test(start_paused = true)]
async fn m11_zero_is_taken_for_one_and_no_age_for_at_once() {
    let spy = Spy::sending();
    let traces = TraceDispatcher::builder(spy.clone()).capacity(0).batch(0).exports(0).max_age(secs(0)).build();
    run(&traces, |_| async {
        for number in 0..3 {
            append(&traces, [number]);
            tokio::time::sleep(millis(1)).await;
        }
        assert_eq!(spy.numbers(), [0, 1, 2]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m11_ages_and_times_without_end_are_no_mistake() {
    let spy = Spy::sending();
    let forever = std::time::Duration::MAX;
    let traces = TraceDispatcher::builder(spy.clone()).max_age(forever).export_timeout(forever).build();
    run(&traces, |_| async {
        append(&traces, [0]);
        tokio::time::sleep(secs(3600)).await;
        assert_eq!(spy.arrivals(), []);
    })
    .await;
    assert_eq!(spy.numbers(), [0], "the stop asks for no age");
}
