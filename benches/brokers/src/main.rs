//! `scripts/bench brokers`: each adapter beside the bare client library that it stands on, on the same server, in the same run, taking turns.
//!
//! Both sides give the same guarantee: a message is sent when the server has confirmed it, 64 at a time; it is received when the server has confirmed
//! that it is settled. Each side has the library's settings that the adapter has.

mod kafka;
mod nats;
mod ours;
mod rabbitmq;
mod table;

use anyhow::Context;
use async_trait::async_trait;
use std::time::Duration;

/// Senders at the same time.
const AT_A_TIME: usize = 64;

/// Taken from the server at once, at most.
const BATCH: usize = 100;

/// Bytes of a message.
const BODY: usize = 256;

/// One way to send and receive.
#[async_trait]
trait Side: Send + Sync {
    /// Sends one message, and returns when the server has it.
    async fn send(&self) -> anyhow::Result<()>;

    /// Receives and settles so many messages of those that were sent.
    async fn receive(&self, count: usize) -> anyhow::Result<()>;

    /// Ends it.
    async fn close(&self) -> anyhow::Result<()>;
}

/// What one round of one side took.
struct Round {
    sending: Duration,
    /// The send that 99 of 100 were faster than.
    slowest: Duration,
    receiving: Duration,
}

async fn round(side: &std::sync::Arc<dyn Side>, count: usize) -> anyhow::Result<Round> {
    let began = tokio::time::Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..AT_A_TIME {
        let (side, mut took) = (side.clone(), Vec::new());
        senders.spawn(async move {
            for _ in (sender..count).step_by(AT_A_TIME) {
                let began = tokio::time::Instant::now();
                side.send().await?;
                took.push(began.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = senders.join_next().await {
        all.extend(took??);
    }
    let sending = began.elapsed();
    all.sort_unstable();
    let slowest = all[all.len() * 99 / 100];
    let began = tokio::time::Instant::now();
    side.receive(count).await?;
    Ok(Round { sending, slowest, receiving: began.elapsed() })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let servers: Vec<_> = arguments.iter().filter(|argument| *argument != "--quick").collect();
    anyhow::ensure!(!servers.is_empty(), "usage: brokers-bench [--quick] NAME=URL…, with the names rocketmq, kafka, rabbitmq, nats");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("Load average at the beginning: {}.", load.split(' ').next().unwrap_or("unknown"));
    let (rounds, count) = if quick { (3, 2_000) } else { (7, 10_000) };
    for server in servers {
        let (name, url) = server.split_once('=').context("a server is given as NAME=URL")?;
        let sides: Vec<(&str, std::sync::Arc<dyn Side>)> = match name {
            "nats" => vec![("async-nats", nats::bare(url).await?), ("winddown", ours::nats(url).await?)],
            "kafka" => vec![("rdkafka", kafka::bare(url).await?), ("winddown", ours::kafka(url).await?)],
            "rabbitmq" => vec![("lapin", rabbitmq::bare(url).await?), ("winddown", ours::rabbitmq(url).await?)],
            // The adapter is the client.
            "rocketmq" => vec![("winddown", ours::rocketmq(url).await?)],
            other => anyhow::bail!("{other} is none of rocketmq, kafka, rabbitmq, nats"),
        };
        table::compare(name, &sides, rounds, count).await?;
        for (_, side) in sides {
            side.close().await?;
        }
    }
    Ok(())
}
