//! The component that does as its script says.

use crate::model::{Run, Script, Start, Stop};
use anyhow::bail;
use std::future::pending;
use std::time::Duration;
use winddown::{Lifecycle, StartCx, StopCx, async_trait};

pub(crate) struct Scripted(pub(crate) Script);

#[async_trait]
impl Lifecycle for Scripted {
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        match self.0.start {
            Start::Takes(span) => pause(span).await,
            Start::Fail => bail!("the start fails, as scripted"),
            Start::Panic => panic!("the start panics, as scripted"),
            Start::Hang => pending().await,
            Start::Block(span) => std::thread::sleep(span),
        }
        cx.spawn("run", run(self.0.run, cx.clone()));
        Ok(())
    }

    async fn stop(&mut self, cx: &StopCx) -> anyhow::Result<()> {
        // A local of this future: it is dropped with it, at whatever await that happens.
        let _blocks = self.0.drop_blocks.map(BlocksWhenDropped);
        match self.0.stop {
            Stop::Takes(span) => pause(span).await,
            Stop::Fail => bail!("the stop fails, as scripted"),
            Stop::Panic => panic!("the stop panics, as scripted"),
            Stop::Hang => pending().await,
            Stop::Stubborn(span) => {
                cx.cancelled().wait().await;
                pause(span).await;
            }
            Stop::Block(span) => std::thread::sleep(span),
        }
        Ok(())
    }
}

/// The background work. All of it is well behaved in one point: what has not happened yet when the component is asked
/// to stop does not happen any more.
async fn run(script: Run, cx: StartCx) -> anyhow::Result<()> {
    match script {
        Run::Idle => {}
        Run::Finish(after) => {
            cx.until_stopping(pause(after)).await;
            return Ok(());
        }
        Run::Fail(after) => {
            if cx.until_stopping(pause(after)).await.is_some() {
                bail!("the run fails, as scripted");
            }
        }
        Run::Panic(after) => {
            if cx.until_stopping(pause(after)).await.is_some() {
                panic!("the run panics, as scripted");
            }
        }
        Run::Block { lasts, after } => {
            if cx.until_stopping(pause(after)).await.is_some() {
                std::thread::sleep(lasts);
            }
        }
        Run::Blocking { lasts, after } => {
            if cx.until_stopping(pause(after)).await.is_some() {
                cx.spawn_blocking("blocking", move || {
                    std::thread::sleep(lasts);
                    Ok(())
                });
            }
        }
    }
    cx.stopping().wait().await;
    Ok(())
}

struct BlocksWhenDropped(Duration);

impl Drop for BlocksWhenDropped {
    fn drop(&mut self) {
        std::thread::sleep(self.0);
    }
}

/// A timer that is due at once would still wait for the runtime's next tick: none is made for zero.
pub(crate) async fn pause(span: Duration) {
    if !span.is_zero() {
        tokio::time::sleep(span).await;
    }
}
