//! M11: exports that fail, hang and panic.

use crate::kit::{Act, Spy, append, run, settled};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use winddown::messaging::trace::{Exporter, TraceDispatcher, TraceRecord};
use winddown::{Outcome, async_trait, secs};

#[tokio::test(start_paused = true)]
async fn m11_an_export_that_fails_is_counted_and_not_tried_again() {
    let spy = Spy::new(|call, _| if call == 0 { Act::Fail } else { Act::Send });
    let traces = TraceDispatcher::new(spy.clone());
    run(&traces, |_| async {
        append(&traces, 0..40);
        tokio::time::sleep(secs(1)).await;
        let counts = traces.counts();
        assert_eq!((counts.sent, counts.failed, counts.in_flight), (20, 20, 0));
        assert_eq!(spy.arrivals().len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn m11_an_export_that_hangs_is_dropped_when_its_time_is_over() {
    let spy = Spy::new(|call, _| if call < 4 { Act::Hang } else { Act::Send });
    let traces = TraceDispatcher::new(spy.clone());
    run(&traces, |_| async {
        append(&traces, 0..100);
        tokio::time::sleep(secs(10)).await;
        let moments: Vec<u64> = spy.batches().iter().map(|batch| batch.at.as_secs()).collect();
        assert_eq!(moments, [0, 0, 0, 0, 3], "the fifth takes a place that became free after 3 s");
        let counts = traces.counts();
        assert_eq!((counts.sent, counts.failed, counts.in_flight), (20, 80, 0));
    })
    .await;
}

/// What else can go wrong.
#[derive(Clone, Copy)]
enum Wicked {
    PanicsAtTheCall,
    PanicsInPoll,
    PanicsWithoutText,
    PanicsInDrop,
    PanicsInPollAndDrop,
    ItsErrorPanics,
}

struct Imp(Wicked, AtomicUsize);

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as told, in the drop");
    }
}

struct Hanging(Bomb);

impl Future for Hanging {
    type Output = anyhow::Result<()>;
    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<anyhow::Result<()>> {
        let _ = &self.0;
        Poll::Pending
    }
}

struct PanickingTwice(Bomb);

impl Future for PanickingTwice {
    type Output = anyhow::Result<()>;
    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<anyhow::Result<()>> {
        let _ = &self.0;
        panic!("as told, in the poll")
    }
}

#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("as told, in the error's text")
    }
}

impl std::error::Error for Unspeakable {}

// By hand: what `async_trait` makes has no way to panic before the first poll.
impl Exporter for Imp {
    fn export<'a, 'b, 'c>(&'a self, _batch: &'b [TraceRecord]) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'c>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        if self.1.fetch_add(1, Ordering::SeqCst) > 0 {
            return Box::pin(async { Ok(()) });
        }
        match self.0 {
            Wicked::PanicsAtTheCall => panic!("as told, at the call"),
            Wicked::PanicsInPoll => Box::pin(async { panic!("as told, in the poll") }),
            Wicked::PanicsWithoutText => Box::pin(async { std::panic::panic_any(7) }),
            Wicked::PanicsInDrop => Box::pin(Hanging(Bomb)),
            Wicked::PanicsInPollAndDrop => Box::pin(PanickingTwice(Bomb)),
            Wicked::ItsErrorPanics => Box::pin(async { Err(Unspeakable.into()) }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m11_whatever_an_exporter_does_is_contained_and_counted() {
    use Wicked::{ItsErrorPanics, PanicsAtTheCall, PanicsInDrop, PanicsInPoll, PanicsInPollAndDrop, PanicsWithoutText};
    for wicked in [PanicsAtTheCall, PanicsInPoll, PanicsWithoutText, PanicsInDrop, PanicsInPollAndDrop, ItsErrorPanics] {
        let traces = TraceDispatcher::new(Imp(wicked, AtomicUsize::new(0)));
        let report = run(&traces, |_| async {
            append(&traces, 0..20);
            tokio::time::sleep(secs(5)).await;
            append(&traces, 20..40);
            tokio::time::sleep(secs(1)).await;
        })
        .await;
        let counts = traces.counts();
        assert!(settled(&counts), "{counts:?}");
        assert_eq!((counts.sent, counts.failed, counts.abandoned), (20, 20, 0));
        assert_eq!(report.component("trace").unwrap().outcome, Outcome::Stopped, "it is no failure of the component");
        assert_eq!(report.exit_code(), 0);
    }
}

/// Its `close` goes wrong.
struct BadEnd(Act);

#[async_trait]
impl Exporter for BadEnd {
    async fn export(&self, _batch: &[TraceRecord]) -> anyhow::Result<()> {
        Ok(())
    }
    async fn close(&self) -> anyhow::Result<()> {
        match self.0 {
            Act::Hang => std::future::pending().await,
            Act::Panic => panic!("as told, in close"),
            _ => anyhow::bail!("the disk is gone"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m12_an_exporter_that_cannot_be_closed_is_bounded_and_reported() {
    for (act, word) in [(Act::Hang, "no answer within"), (Act::Panic, "as told, in close"), (Act::Fail, "the disk is gone")] {
        let traces = TraceDispatcher::new(BadEnd(act));
        let report = run(&traces, |_| async { append(&traces, 0..3) }).await;
        let trace = report.component("trace").unwrap();
        assert_eq!(trace.outcome, Outcome::Failed);
        assert!(trace.error.as_ref().is_some_and(|error| error.contains(word)), "{:?}", trace.error);
        let stop = trace.stop.unwrap();
        assert!(stop.ended - stop.began < secs(5), "inside the stop budget");
        assert_eq!(traces.counts().sent, 3);
    }
}
