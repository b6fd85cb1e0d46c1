//! The crate, as a program inside its own runtime would use it.

use crate::roll;
use crate::sample::{Figures, Watch, rss, shares};
use anyhow::{Result, ensure};
use winddown::{App, Output, Phase, Signals};

pub(crate) async fn run(n: usize, phases: usize) -> Result<Figures> {
    let before = rss()?;
    let began = Watch::start();
    let app = App::new("cost").signals(Signals::Ignore).output(Output::Quiet);
    let mut number = 0;
    for (phase, share) in (0..).zip(shares(n, phases)) {
        for _ in 0..share {
            app.task(format!("component-{number}"), |cx| async move {
                roll::present();
                cx.stopping().await;
                Ok(())
            })
            .phase(Phase::new(phase));
            number += 1;
        }
    }
    let registering = began.elapsed().wall;
    let handle = app.handle();
    let run = tokio::spawn(async move { app.run().await });
    ensure!(handle.wait_ready().await, "not everything was started");
    roll::wait_for(n).await;
    let start = began.elapsed();
    let rss = rss()? - before;

    let asked = Watch::start();
    let _shutdown = handle.shutdown("measured");
    let report = run.await?;
    let stop = asked.elapsed();
    ensure!(report.exit_code() == 0, "not clean: {report}");
    Ok(Figures { registering, start, stop, rss })
}
