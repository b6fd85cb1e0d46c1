//! The floor: the least that ordered start and stop can cost.
//!
//! One token and one tracker a phase. No component has a name, a deadline, an outcome or a clock:
//! a stop that hangs hangs the program.

use crate::roll;
use crate::sample::{Figures, Watch, rss, shares};
use anyhow::Result;
use std::time::Duration;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) async fn run(n: usize, phases: usize) -> Result<Figures> {
    let before = rss()?;
    let began = Watch::start();
    let mut running = Vec::with_capacity(phases);
    let mut spawned = 0;
    for share in shares(n, phases) {
        let (token, tracker) = (CancellationToken::new(), TaskTracker::new());
        for _ in 0..share {
            let token = token.clone();
            tracker.spawn(async move {
                roll::present();
                token.cancelled().await;
            });
        }
        spawned += share;
        roll::wait_for(spawned).await;
        running.push((token, tracker));
    }
    let start = began.elapsed();
    let rss = rss()? - before;

    let asked = Watch::start();
    for (token, tracker) in running.iter().rev() {
        token.cancel();
        tracker.close();
        tracker.wait().await;
    }
    Ok(Figures { registering: Duration::ZERO, start, stop: asked.elapsed(), rss })
}
