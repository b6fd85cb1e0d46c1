//! The one task that takes records out of the buffer, and the tasks that export them.
//!
//! Invariants:
//! - W1. Only this task calls [`Gate::next`], so batches keep the order in which records were appended.
//! - W2. Every batch is settled: by its export's end or, when the export's task is dropped, by the drop.
//! - W3. When this task ends before its time, cancelled or dropped, nobody takes records away any more: the gate is closed for good and what is
//!   left is written off.
//! - W4. Who writes records off also reports them as lost, and each is written off once (B4), so no loss is reported twice.
//!
//! [`Gate::next`]: super::gate::Gate::next

use super::TraceRecord;
use super::dispatcher::{Inner, TraceDispatcher};
use super::exporting::{self, Ended};
use super::gate::{Landing, Turn};
use crate::Cx;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Runs until the gate is closed and the buffer empty. `cut`: exports end now.
pub(super) async fn own(dispatcher: TraceDispatcher, cx: Cx, cut: CancellationToken) -> anyhow::Result<()> {
    let mut owner = Owner { dispatcher, cx, cut, ended: false };
    owner.run().await;
    Ok(())
}

struct Owner {
    dispatcher: TraceDispatcher,
    cx: Cx,
    cut: CancellationToken,
    ended: bool,
}

impl Owner {
    async fn run(&mut self) {
        let inner = &*self.dispatcher.inner;
        // Since when the oldest record waits, as far as it counts; the timer is set when that is known.
        let mut since: Option<Instant> = None;
        let mut timer = pin!(tokio::time::sleep(inner.max_age));
        let mut cancelled = pin!(self.cx.cancelled().wait());
        loop {
            let turn = poll_fn(|cx| {
                if cancelled.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                loop {
                    let due = since.is_some() && timer.as_mut().poll(cx).is_ready();
                    match inner.gate.next(cx.waker(), due) {
                        Turn::Batch { number, records } => return Poll::Ready(Some((number, records))),
                        Turn::End => return Poll::Ready(None),
                        Turn::Filling | Turn::Busy { waiting: true } if since.is_none() => {
                            since = Some(Instant::now());
                            timer.set(tokio::time::sleep(inner.max_age));
                        }
                        Turn::Filling | Turn::Busy { .. } | Turn::Empty => return Poll::Pending,
                    }
                }
            });
            let Some((number, records)) = turn.await else { break };
            since = None;
            let flight = Flight { dispatcher: self.dispatcher.clone(), cx: self.cx.clone(), number, landed: false };
            self.cx.spawn_job("export", flight.fly(records, self.cut.clone()));
        }
        self.ended = !self.cx.cancelled().is_set();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.ended {
            self.cx.lost(self.dispatcher.inner.gate.close());
            self.cut.cancel();
        }
    }
}

/// A batch on its way.
struct Flight {
    dispatcher: TraceDispatcher,
    cx: Cx,
    number: u64,
    landed: bool,
}

impl Flight {
    async fn fly(mut self, records: Vec<TraceRecord>, cut: CancellationToken) -> anyhow::Result<()> {
        let inner = self.dispatcher.inner.clone();
        // A result that is there counts, even if the end has come too.
        let ended = tokio::select! {
            biased;
            ended = exporting::export(&*inner.exporter, &records, inner.export_timeout) => ended,
            () = cut.cancelled() => return Ok(()),
        };
        self.landed = true;
        let landing = if matches!(ended, Ended::Well) { Landing::Sent } else { Landing::Failed };
        inner.gate.settle(self.number, landing);
        tell(&inner, records.len(), ended);
        Ok(())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.cx.lost(self.dispatcher.inner.gate.settle(self.number, Landing::Abandoned));
        }
    }
}

/// The first failure of a row, and the first success after it.
fn tell(inner: &Inner, records: usize, ended: Ended) {
    let dispatcher = &*inner.name;
    match ended {
        Ended::Well => {
            if inner.failing.swap(false, Ordering::Relaxed) {
                tracing::info!(dispatcher, "winddown: trace records are exported again");
            }
        }
        Ended::Badly(why) => {
            if !inner.failing.swap(true, Ordering::Relaxed) {
                tracing::warn!(dispatcher, records, %why, "winddown: trace records could not be exported; the next failures in a row are only counted");
            }
        }
    }
}
