//! M10: what `append` answers, stage by stage.

use crate::kit::{Act, Spy, append, number, record, run, settled};
use std::sync::{Arc, OnceLock};
use winddown::messaging::trace::{Exporter, TraceDispatcher, TraceRecord, Why};
use winddown::{async_trait, secs};

#[test]
fn m10_full_gives_the_record_back_and_counts_it() {
    let traces = TraceDispatcher::builder(Spy::sending()).capacity(3).build();
    append(&traces, 0..3);
    let rejected = traces.append(record(3)).unwrap_err();
    assert_eq!((number(&rejected.record), rejected.why), (3, Why::Full));
    assert!(rejected.to_string().contains("more capacity"), "it says what to do: {rejected}");
    let counts = traces.counts();
    assert_eq!((counts.accepted, counts.buffered, counts.dropped_full, counts.dropped_closed), (3, 3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn m10_records_from_before_the_start_are_kept_and_those_after_the_stop_given_back() {
    let spy = Spy::sending();
    let traces = TraceDispatcher::new(spy.clone());
    append(&traces, 0..5);
    run(&traces, |_| async {}).await;
    let rejected = traces.append(record(9)).unwrap_err();
    assert_eq!((number(&rejected.record), rejected.why), (9, Why::Closed));
    let counts = traces.counts();
    assert_eq!((counts.accepted, counts.sent, counts.dropped_closed), (5, 5, 1));
    assert_eq!(spy.numbers(), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn m10_room_that_a_batch_leaves_is_used_again() {
    let traces = TraceDispatcher::builder(Spy::sending()).capacity(20).build();
    run(&traces, |_| async {
        for round in 0..10 {
            append(&traces, round * 20..round * 20 + 20);
            assert_eq!(traces.append(record(0)).unwrap_err().why, Why::Full);
            tokio::time::sleep(secs(1)).await;
        }
    })
    .await;
    let counts = traces.counts();
    assert_eq!((counts.accepted, counts.sent, counts.dropped_full), (200, 200, 10));
}

/// For every batch that it exports it appends another record: as a producer does whose sends are traced and which carries the traces itself.
struct Echo(OnceLock<TraceDispatcher>);

#[async_trait]
impl Exporter for Echo {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        tokio::task::yield_now().await;
        if let Some(traces) = self.0.get() {
            let _ = traces.append(batch[0].clone());
            let _ = traces.append(batch[0].clone());
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn m10_nothing_is_let_in_while_it_is_flushed_so_the_flush_ends() {
    let echo = Arc::new(Echo(OnceLock::new()));
    let traces = TraceDispatcher::builder(echo.clone()).batch(1).build();
    let report = run(&traces, |_| async {
        assert!(echo.0.set(traces.clone()).is_ok());
        append(&traces, 0..5);
    })
    .await;
    let counts = traces.counts();
    assert!(settled(&counts), "{counts:?}");
    assert_eq!(counts.abandoned, 0, "the flush came to an end by itself: {counts:?}");
    assert!(counts.dropped_closed > 0, "and was fed all the time: {counts:?}");
    assert_eq!(report.shutdown_took().map(|took| took < secs(1)), Some(true));
}

#[tokio::test(start_paused = true)]
async fn m10_an_exporter_that_hangs_blocks_nobody_who_appends() {
    let traces = TraceDispatcher::builder(Spy::new(|_, _| Act::Hang)).capacity(100).build();
    run(&traces, |_| async {
        for number in 0..1000 {
            let _ = traces.append(record(number));
        }
        // Not a task was let run in between: the buffer is what it can be.
        let counts = traces.counts();
        assert_eq!((counts.accepted, counts.dropped_full), (100, 900));
    })
    .await;
    assert!(settled(&traces.counts()));
}
