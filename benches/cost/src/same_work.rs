//! The same work by hand: each component is asked, awaited and timed by itself.
//!
//! Each has its own token, its own join handle and its own stop future with a deadline of 5 s; the
//! stop futures of a phase run side by side, each in its own task, so that one which blocks does
//! not hold the others. What each came to is kept.

use crate::roll;
use crate::sample::{Figures, Watch, rss, shares};
use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const BUDGET: Duration = Duration::from_secs(5);

struct Member {
    token: CancellationToken,
    task: JoinHandle<Result<()>>,
}

enum End {
    Stopped,
    Failed,
    Panicked,
    Late,
}

pub(crate) async fn run(n: usize, phases: usize) -> Result<Figures> {
    let before = rss()?;
    let began = Watch::start();
    let mut running = Vec::with_capacity(phases);
    let mut spawned = 0;
    for share in shares(n, phases) {
        running.push((0..share).map(|_| start()).collect::<Vec<_>>());
        spawned += share;
        roll::wait_for(spawned).await;
    }
    let start = began.elapsed();
    let rss = rss()? - before;

    let asked = Watch::start();
    let mut ends = Vec::with_capacity(n);
    while let Some(members) = running.pop() {
        let mut stops = JoinSet::new();
        for member in members {
            stops.spawn(stop(member));
        }
        while let Some(end) = stops.join_next().await {
            ends.push(end.unwrap_or(End::Panicked));
        }
    }
    let stop = asked.elapsed();
    ensure!(ends.iter().all(|end| matches!(end, End::Stopped)), "a component did not stop");
    Ok(Figures { registering: Duration::ZERO, start, stop, rss })
}

fn start() -> Member {
    let token = CancellationToken::new();
    let asked = token.clone();
    let task = tokio::spawn(async move {
        roll::present();
        asked.cancelled().await;
        Ok(())
    });
    Member { token, task }
}

async fn stop(member: Member) -> End {
    member.token.cancel();
    match timeout(BUDGET, member.task).await {
        Ok(Ok(Ok(()))) => End::Stopped,
        Ok(Ok(Err(_))) => End::Failed,
        Ok(Err(_)) => End::Panicked,
        Err(_) => End::Late,
    }
}
