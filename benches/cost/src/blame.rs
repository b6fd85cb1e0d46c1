//! What a poll costs more inside a component, where it is known whose poll it is.
//!
//! A plain task and two components take turns at the same loop, in the same process: one component
//! does nothing else, the other waits for `stopping` at the same time.

use crate::sample::runtime;
use crate::stats::{figure, median};
use anyhow::{Context as _, Result, ensure};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use winddown::{App, Output, Signals};

const POLLS: u32 = 300_000;

/// How a task asks to be polled again.
#[derive(Debug, Clone, Copy)]
enum Again {
    /// `yield_now`: by way of the runtime's own queue of deferred wake-ups.
    Yield,
    /// Waking itself: the shortest way that a scheduler knows.
    WakeSelf,
}

/// Somebody who does the loop when told, and answers with nanoseconds a poll.
struct Runner {
    tell: UnboundedSender<Again>,
    told: UnboundedReceiver<f64>,
}

pub(crate) fn run(quick: bool) -> Result<()> {
    let rounds = if quick { 5 } else { 41 };
    runtime(2)?.block_on(async {
        let app = App::new("blame").signals(Signals::Ignore).output(Output::Quiet);
        let (mut plain, work, answers) = runner();
        tokio::spawn(serve(work, answers));
        let (mut component, work, answers) = runner();
        app.task("looping", |_| serve(work, answers));
        let (mut stoppable, work, answers) = runner();
        app.task("stoppable", |cx| async move {
            let served = cx.until_stopping(serve(work, answers)).await;
            served.unwrap_or(Ok(()))
        });
        let handle = app.handle();
        let run = tokio::spawn(async move { app.run().await });
        ensure!(handle.wait_ready().await, "not everything was started");

        println!("\n**a poll, ns**\n");
        println!("| polled again by | plain task | component | ratio | in `until_stopping` | ratio |");
        println!("|---|---:|---:|---:|---:|---:|");
        let ways = [(Again::Yield, "`yield_now`"), (Again::WakeSelf, "waking itself")];
        for (again, title) in ways {
            let mut times = [const { Vec::new() }; 3];
            for _ in 0..rounds {
                times[0].push(plain.time(again).await?);
                times[1].push(component.time(again).await?);
                times[2].push(stoppable.time(again).await?);
            }
            let ratio = |which: usize| {
                let pairs = times[which].iter().zip(&times[0]);
                median(pairs.map(|(ours, theirs)| ours / theirs).collect())
            };
            println!(
                "| {title} | {} | {} | {:.2} | {} | {:.2} |",
                figure(median(times[0].clone())),
                figure(median(times[1].clone())),
                ratio(1),
                figure(median(times[2].clone())),
                ratio(2),
            );
        }
        let _shutdown = handle.shutdown("measured");
        drop((component, stoppable));
        run.await?;
        Ok(())
    })
}

fn runner() -> (Runner, UnboundedReceiver<Again>, UnboundedSender<f64>) {
    let (tell, work) = unbounded_channel();
    let (answers, told) = unbounded_channel();
    (Runner { tell, told }, work, answers)
}

impl Runner {
    async fn time(&mut self, again: Again) -> Result<f64> {
        self.tell.send(again)?;
        self.told.recv().await.context("the loop has ended")
    }
}

async fn serve(mut work: UnboundedReceiver<Again>, answers: UnboundedSender<f64>) -> Result<()> {
    while let Some(again) = work.recv().await {
        let began = Instant::now();
        for _ in 0..POLLS {
            match again {
                Again::Yield => tokio::task::yield_now().await,
                Again::WakeSelf => wake_self().await,
            }
        }
        let each = began.elapsed().as_nanos() as f64 / f64::from(POLLS);
        if answers.send(each).is_err() {
            break;
        }
    }
    Ok(())
}

async fn wake_self() {
    let mut woken = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut woken, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
