//! The dispatcher's life: start, stop, and the accounts at the end.

use super::dispatcher::{Inner, TraceDispatcher};
use super::exporting::{self, Ended};
use super::gate::TraceCounts;
use super::owner;
use crate::{Cx, Lifecycle, Link, Phase, StartCx, StopCx, millis};
use async_trait::async_trait;
use std::future::poll_fn;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The component of a [`TraceDispatcher`]; made by [`TraceDispatcher::component`].
///
/// Its stop (M12): close the gate; flush the buffer; wait for the exports themselves, until the stop budget's end less 500 ms (at most a fifth of
/// the budget); cancel what is left; close the exporter; say what became of the records. Steps: `gate_closed` with the records that were still to
/// go, `flushed` with those sent since, `abandoned` with those given up. In the report `drained` is what was sent during the stop, `lost` what failed
/// or was abandoned during it.
///
/// When it is dropped without having been started, its dispatcher is closed too, and what was appended counts as abandoned.
#[derive(Debug)]
pub struct TraceComponent {
    dispatcher: TraceDispatcher,
    /// Set when exports are to end at once; another one for each start.
    cut: CancellationToken,
}

impl TraceComponent {
    pub(super) fn new(dispatcher: TraceDispatcher) -> TraceComponent {
        TraceComponent { dispatcher, cut: CancellationToken::new() }
    }
}

#[async_trait]
impl Lifecycle for TraceComponent {
    fn name(&self) -> String {
        self.dispatcher.inner.name.clone()
    }

    fn phase(&self) -> Phase {
        Phase::TRACE
    }

    fn provides(&self) -> Option<Link> {
        Some(self.dispatcher.link())
    }

    fn needs(&self) -> Vec<Link> {
        self.dispatcher.inner.exporter.needs()
    }

    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        self.dispatcher.inner.gate.open();
        self.cut = CancellationToken::new();
        cx.spawn("batches", owner::own(self.dispatcher.clone(), (**cx).clone(), self.cut.clone()));
        Ok(())
    }

    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
        let inner = &self.dispatcher.inner;
        let margin = millis(500).min(cx.remaining() / 5);
        let flush = cx.remaining().saturating_sub(margin);
        let ending = Ending { inner, cx, cut: &self.cut, before: inner.gate.drain() };
        cx.step("gate_closed", ending.before.buffered + ending.before.in_flight);
        tokio::select! {
            biased;
            () = poll_fn(|task| inner.gate.poll_over(task.waker())) => {}
            () = tokio::time::sleep(flush) => {}
            () = cx.cancelled().wait() => {}
        }
        drop(ending);
        // Half of the margin is left for the way back: a timer may be late on a busy machine.
        close(inner, cx.remaining().saturating_sub(margin / 2)).await
    }
}

/// Without a component nobody takes records away: what one that was never started was given is written off.
impl Drop for TraceComponent {
    fn drop(&mut self) {
        let inner = &self.dispatcher.inner;
        if inner.gate.close() > 0 {
            summary(&inner.name, &inner.gate.counts());
        }
    }
}

/// The end of the flush, however it comes: its drop settles and states everything.
struct Ending<'a> {
    inner: &'a Inner,
    cx: &'a Cx,
    cut: &'a CancellationToken,
    before: TraceCounts,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        // First the accounts are closed: an export that is cut then has nothing left to settle.
        let written_off = self.inner.gate.close();
        self.cut.cancel();
        let after = self.inner.gate.counts();
        let sent = after.sent - self.before.sent;
        self.cx.step("flushed", sent);
        self.cx.step("abandoned", after.abandoned - self.before.abandoned);
        self.cx.drained(sent);
        // What others wrote off when they were dropped, they have reported.
        self.cx.lost(after.failed - self.before.failed + written_off);
        summary(&self.inner.name, &after);
    }
}

async fn close(inner: &Inner, within: Duration) -> anyhow::Result<()> {
    match exporting::close(&*inner.exporter, within).await {
        Ended::Well => Ok(()),
        Ended::Badly(why) => Err(anyhow::anyhow!("the trace exporter could not be closed, so what it was given last may not be safe: {why}")),
    }
}

fn summary(dispatcher: &str, counts: &TraceCounts) {
    let TraceCounts { accepted, sent, dropped_full, dropped_closed, failed, abandoned, .. } = *counts;
    if dropped_full + dropped_closed + failed + abandoned == 0 {
        tracing::info!(dispatcher, accepted, sent, "winddown: the trace dispatcher has ended, nothing was lost");
    } else {
        tracing::warn!(
            dispatcher,
            accepted,
            sent,
            dropped_full,
            dropped_closed,
            failed,
            abandoned,
            "winddown: the trace dispatcher has ended, records were lost"
        );
    }
}
