//! Stands in for a component: calls it, or does what was planned against it.
//!
//! A fault takes the place of the component's own code from its moment on: that code is not polled any more, and dropped when the call ends.

use super::sabotage::{Sabotage, What};
use crate::lifecycle::{Cx, Lifecycle, OnceTask, RunCx, StartCx, StopCx, Work};
use crate::phase::Phase;
use crate::scope::{Role, Scope, Wrapped};
use async_trait::async_trait;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// What was planned against one component.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) start: Vec<Sabotage>,
    pub(super) run: Vec<Sabotage>,
    pub(super) stop: Vec<Sabotage>,
}

/// Those that are to happen this time.
fn armed(faults: &mut [Sabotage]) -> Vec<Sabotage> {
    let mut armed = Vec::new();
    for fault in faults {
        if fault.left == Some(0) {
            continue;
        }
        fault.left = fault.left.map(|left| left - 1);
        armed.push(fault.clone());
    }
    armed
}

/// In the place of a component with a start and a stop.
pub(super) struct Saboteur {
    pub(super) component: Box<dyn Lifecycle>,
    pub(super) faults: Faults,
}

#[async_trait]
impl Lifecycle for Saboteur {
    fn name(&self) -> String {
        self.component.name()
    }
    fn phase(&self) -> Phase {
        self.component.phase()
    }
    fn declares_ready(&self) -> bool {
        self.component.declares_ready()
    }

    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        play(armed(&mut self.faults.start), cx, self.component.start(cx)).await?;
        if cx.stopping().is_set() {
            // Hung until its start was taken back: there is no run.
            return Ok(());
        }
        for fault in armed(&mut self.faults.run) {
            let task = cx.clone();
            // Beside the component's own tasks: those cannot be stood in for.
            cx.spawn_job("sabotage", async move {
                if !fault.after.is_zero() && task.until_stopping(sleep(fault.after)).await.is_none() {
                    // Asked to stop before its moment came.
                    return Ok(());
                }
                strike(&fault.what, &task).await.unwrap_or(Ok(()))
            });
        }
        Ok(())
    }

    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
        play(armed(&mut self.faults.stop), cx, self.component.stop(cx)).await
    }
}

/// In the place of a component that is one task.
pub(super) struct SabotagedTask {
    pub(super) task: Box<dyn OnceTask>,
    pub(super) faults: Faults,
}

impl OnceTask for SabotagedTask {
    fn spawn(self: Box<Self>, scope: Arc<Scope>, runtime: &Handle) -> AbortHandle {
        let cx = RunCx::new(scope.clone());
        runtime.spawn(Wrapped::new(self.work(cx), scope, Role::Run)).abort_handle()
    }

    fn work(self: Box<Self>, cx: RunCx) -> Work {
        let SabotagedTask { task, mut faults } = *self;
        Box::pin(async move {
            let mut work = pin!(play(armed(&mut faults.run), &cx, task.work(cx.clone())));
            let stop = armed(&mut faults.stop);
            if stop.is_empty() {
                return work.await;
            }
            let mut asked = pin!(cx.stopping().wait());
            // The token first: a task that ends the moment it is asked would be gone before its fault.
            let ended = poll_fn(|waker| match asked.as_mut().poll(waker) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => work.as_mut().poll(waker).map(Some),
            });
            match ended.await {
                Some(result) => result,
                None => play(stop, &cx, work).await,
            }
        })
    }
}

/// The call, with what goes wrong in it.
async fn play(faults: Vec<Sabotage>, cx: &Cx, call: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut call = pin!(call);
    for fault in faults {
        if !fault.after.is_zero()
            && let Some(result) = within(fault.after, call.as_mut()).await
        {
            return result;
        }
        if let Some(result) = strike(&fault.what, cx).await {
            return result;
        }
    }
    call.await
}

/// Polls a future for so long; its output if there is one by then.
async fn within<F: Future>(span: Duration, mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut elapsed = pin!(sleep(span));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => elapsed.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// One fault. `None`: it is over, and things go on.
async fn strike(what: &What, cx: &Cx) -> Option<anyhow::Result<()>> {
    match what {
        What::Hang => {
            cx.cancelled().await;
            Some(Ok(()))
        }
        // Refused before it came here, since the clock would stand still with it.
        What::IgnoreCancel | What::Block => std::future::pending().await,
        What::Fail(text) => Some(Err(anyhow::anyhow!("{text}"))),
        What::Panic(text) => panic!("{text}"),
        What::Delay(span) => {
            sleep(*span).await;
            None
        }
    }
}
