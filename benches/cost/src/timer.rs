//! A timer beside a task that blocks its worker.
//!
//! The blocker is woken by a timer itself. So the worker that was waiting for timers takes it,
//! and nobody takes that worker's place: the others sleep on, and no timer fires.

use crate::sample::{millis, runtime};
use crate::stats::{figure, median, worst};
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::sleep;
use winddown::{App, Output, Signals};

const BEFORE: Duration = Duration::from_millis(50);
const BLOCKS: Duration = Duration::from_secs(3);
const SLEEP: Duration = Duration::from_millis(300);

/// How long the sleep took, in milliseconds.
pub(crate) fn child(side: &str, workers: usize) -> Result<f64> {
    let runtime = runtime(workers)?;
    let took = match side {
        "bare" => runtime.block_on(bare()),
        "winddown" => runtime.block_on(inside()),
        _ => bail!("a side is bare or winddown"),
    }?;
    runtime.shutdown_background();
    Ok(millis(took))
}

async fn bare() -> Result<Duration> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(timed(tell));
    tokio::spawn(block());
    told.await.context("the sleep was lost")
}

async fn inside() -> Result<Duration> {
    let (tell, told) = oneshot::channel();
    let app = App::new("timer").signals(Signals::Ignore).output(Output::Quiet);
    app.task("sleeper", |cx| async move {
        timed(tell).await;
        cx.stopping().await;
        Ok(())
    });
    app.task("blocker", |cx| async move {
        block().await;
        cx.stopping().await;
        Ok(())
    });
    tokio::spawn(async move { app.run().await });
    told.await.context("the sleep was lost")
}

async fn timed(tell: oneshot::Sender<Duration>) {
    let began = Instant::now();
    sleep(SLEEP).await;
    // Nobody listens any more only when the program is on its way out.
    let _ = tell.send(began.elapsed());
}

async fn block() {
    sleep(BEFORE).await;
    std::thread::sleep(BLOCKS);
}

pub(crate) fn run(quick: bool) -> Result<()> {
    let rounds = if quick { 2 } else { 10 };
    println!("\n**a sleep of 300 ms beside a task that blocks for 3 s, ms** ({rounds} runs each)\n");
    println!("| workers | tokio: median | worst | with winddown: median | worst |");
    println!("|---:|---:|---:|---:|---:|");
    for workers in [2, 8] {
        let (mut bare, mut inside) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            bare.push(once("bare", workers)?);
            inside.push(once("winddown", workers)?);
        }
        println!(
            "| {workers} | {} | {} | {} | {} |",
            figure(median(bare.clone())),
            figure(worst(&bare)),
            figure(median(inside.clone())),
            figure(worst(&inside)),
        );
    }
    Ok(())
}

fn once(side: &str, workers: usize) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?).args(["timer", side, &workers.to_string()]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("timer {side} {workers}: {text}"))
}
