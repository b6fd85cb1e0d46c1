//! The leaked permits, for real: the broker stands still while 10,000 sends, one in four of them large, run out of their time; then it is well again, and 500
//! more are sent. With permits lost, these wait in vain.
//!
//! *Before* is RocketMQ's Java client with its back-pressure for asynchronous sends switched on, with the limits that winddown's producer has too.

use crate::common::Run;
use crate::rocketmq::{JAVA, Server, run_of};
use std::sync::Arc;
use tokio::task::JoinSet;
use winddown::messaging::{Broker, Bytes, Message, Producer, SendErrorKind};
use winddown::{App, Signals, millis, secs};

const TIMEOUTS: u64 = 10_000;
const AFTERWARDS: u64 = 500;
const IN_FLIGHT: usize = 64;
const IN_FLIGHT_BYTES: usize = 4 << 20;
const LARGE: usize = 300_000;

pub(crate) async fn play(url: &str) -> anyhow::Result<(Run, Run)> {
    let server = Arc::new(Server::at(url)?);
    let before = java(&server).await;
    // Whatever went wrong there, the server is not left standing still.
    server.paused(false).await?;
    let before = before?;
    let topic = server.topic("winddown").await?;
    let after = winddown(&server, &topic).await;
    server.paused(false).await?;
    Ok((before, after?))
}

async fn java(server: &Arc<Server>) -> anyhow::Result<Run> {
    let topic = server.topic("java").await?;
    server.make(&format!("{topic}-warm")).await?;
    let arguments = [topic, TIMEOUTS.to_string(), AFTERWARDS.to_string()];
    let program = server.begin_java(JAVA[0], "PausedSends", &arguments)?.said("ready").await?;
    server.paused(true).await?;
    let program = program.said_after_a_line("over").await?;
    server.paused(false).await?;
    run_of(&program.said_last_after_a_line().await?)
}

async fn winddown(server: &Arc<Server>, topic: &str) -> anyhow::Result<Run> {
    let broker = Arc::new(server.client().await?);
    let warm = format!("{topic}-warm");
    server.make(&warm).await?;
    let hasty =
        Producer::builder(broker.clone()).name("hasty").max_in_flight(IN_FLIGHT).max_in_flight_bytes(IN_FLIGHT_BYTES).timeout(millis(20)).build();
    let app = App::new("sender").signals(Signals::Ignore);
    app.add(hasty.component());
    let (sender, server, topic) = (hasty.clone(), server.clone(), topic.to_owned());
    let done: Arc<tokio::sync::OnceCell<(u64, u64)>> = Arc::default();
    let tell = done.clone();
    app.task("service", move |_| async move {
        let large = Bytes::from(vec![b'.'; LARGE]);
        sender.send(Message::new(warm.as_str(), "warm")).await?;
        server.paused(true).await?;
        let (mut sends, mut out) = (JoinSet::new(), 0u64);
        let mut timed_out = |ended: Result<SendErrorKind, tokio::task::JoinError>| -> anyhow::Result<()> {
            out += u64::from(matches!(ended?, SendErrorKind::TimedOut));
            Ok(())
        };
        for number in 0..TIMEOUTS {
            let body = if number % 4 == 0 { large.clone() } else { Bytes::from_static(b"small") };
            let (sender, message) = (sender.clone(), Message::new(warm.as_str(), body));
            // More callers than permits, so that some run out while they wait for one.
            if sends.len() >= 4 * IN_FLIGHT {
                sends.join_next().await.map(&mut timed_out).transpose()?;
            }
            sends.spawn(async move { sender.send(message).await.map_or_else(|error| error.kind(), |_| SendErrorKind::Closed) });
        }
        while let Some(ended) = sends.join_next().await {
            timed_out(ended)?;
        }
        server.paused(false).await?;
        let mut stored = 0;
        for number in 0..AFTERWARDS {
            // The same producer: its time for a send is short, so a caller tries again, for ten seconds at most.
            let until = tokio::time::Instant::now() + secs(10);
            let mut message = Message::new(topic.as_str(), format!("message {number}"));
            while tokio::time::Instant::now() < until {
                match sender.send(message).await {
                    Ok(_) => {
                        stored += 1;
                        break;
                    }
                    Err(error) => message = error.into_message(),
                }
            }
        }
        let _ = tell.set((out, stored));
        Ok(())
    });
    let report = app.run().await;
    anyhow::ensure!(report.exit_code() == 0, "{report}");
    broker.close().await?;
    let &(out, stored) = done.get().ok_or_else(|| anyhow::anyhow!("the service did not come to its end"))?;
    let (count, bytes) = hasty.permits().in_flight();
    Ok(Run::new(AFTERWARDS, stored)
        .note("sends that ran out of their time", out)
        .note("permits still taken in the end", format!("{count}, {bytes} bytes")))
}
