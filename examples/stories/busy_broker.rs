//! A busy broker: it turns away what waited for too long, and says so; then it stalls, and the service is restarted.
//!
//! `cargo run --release --features sqlite --example story_busy_broker -- [--json]`
//!
//! The broker does one send a millisecond and answers SYSTEM_BUSY to whatever has waited for 200 ms, as RocketMQ's does. That answer is the safest there
//! is to try again: nothing was done. *Before* is a small model of the asynchronous path of RocketMQ's client up to the present day ([`old`]): it
//! tries again when no answer came, and hands an answer with an error code to the callback, which, as callbacks do, writes it into the log.
//! *After* is the same service with winddown's producer: it tries again for three seconds, and what the broker will not take in that time goes to
//! the outbox, from which the service sends it after its restart.
//!
//! Both runs have the same broker, and the same messages at the same moments: a burst while it is well, more while it stalls, a restart, and then it is
//! well again. Counted are the messages that it holds in the end.

mod common;
#[cfg(feature = "rocketmq")]
#[path = "rocketmq/busy.rs"]
mod live;
#[cfg(feature = "rocketmq")]
mod rocketmq;

use anyhow::ensure;
use common::{Run, Story};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use winddown::messaging::{MemoryBroker, Message, Outbox, Producer, ProducerStats};
use winddown::{App, Signals, millis, secs};

const STORY: Story = Story {
    name: "story_busy_broker",
    about: "a broker is busy, then stalls, and the service is restarted",
    live: "a real RocketMQ answers SYSTEM_BUSY for two seconds, while 3,200 messages are sent, 64 at a time",
    units: "messages",
};

/// Messages sent in one burst: more than a broker that does one a millisecond has done in 200 ms.
const BURST: u64 = 1_200;

/// Messages sent while it stalls.
const STALLED: u64 = 400;

/// How long the service's second life may take to send what is in the outbox.
const PATIENCE: Duration = secs(20);

fn main() -> ExitCode {
    STORY.tell(|| runtime()?.block_on(async { Ok((before().await?, after().await?)) }), on_rocketmq)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

#[cfg(feature = "rocketmq")]
fn on_rocketmq(url: &str) -> anyhow::Result<(Run, Run)> {
    let file = OutboxFile::fresh()?;
    runtime()?.block_on(live::play(url, file.0.clone()))
}

#[cfg(not(feature = "rocketmq"))]
fn on_rocketmq(_: &str) -> anyhow::Result<(Run, Run)> {
    anyhow::bail!("built without RocketMQ")
}

fn broker() -> MemoryBroker {
    MemoryBroker::builder().service_time(millis(1)).build()
}

fn messages(count: u64) -> impl Iterator<Item = Message> {
    (0..count).map(|number| Message::new("orders", format!("order {number}")))
}

/// Counts at the broker, each message once.
fn count(broker: &MemoryBroker) -> Run {
    let there: HashSet<_> = broker.messages("orders").iter().map(Message::id).collect();
    Run::new(BURST + STALLED, there.len() as u64)
}

async fn before() -> anyhow::Result<Run> {
    let broker = broker();
    let client = old::Client::new(broker.client());
    messages(BURST).for_each(|message| client.send_async(message));
    client.idle().await;
    broker.stall(true);
    messages(STALLED).for_each(|message| client.send_async(message));
    client.idle().await; // its callbacks have heard of everything: nothing is left to do before the restart
    broker.stall(false);
    Ok(count(&broker).note("answered busy, and logged", client.logged()))
}

async fn after() -> anyhow::Result<Run> {
    let (broker, file) = (broker(), OutboxFile::fresh()?);
    let first = first_life(&broker, &file.0).await?;
    broker.stall(false);
    let there = count(&broker).ok;
    second_life(&broker, &file.0).await?;
    let run = count(&broker);
    let replayed = run.ok - there;
    Ok(run.note("tried again", first.retries).note("put into the outbox", first.outboxed).note("sent after the restart", replayed))
}

/// Sends everything, and is told to stop while the broker stalls.
async fn first_life(broker: &MemoryBroker, file: &Path) -> anyhow::Result<ProducerStats> {
    let app = App::new("orders").signals(Signals::Ignore);
    let producer = Producer::builder(broker.client()).outbox(Outbox::sqlite(file)?).build();
    app.add(producer.component());
    let (sender, broker) = (producer.clone(), broker.clone());
    app.task("service", move |_| async move {
        let mut burst = Vec::new();
        for message in messages(BURST) {
            burst.push(sender.enqueue(message).await?);
        }
        for sent in burst {
            let _answered = sent.await?;
        }
        broker.stall(true);
        for message in messages(STALLED) {
            // Dropped, so it goes on by itself; nobody waits for the answer.
            drop(sender.enqueue(message).await?);
        }
        Ok(())
    });
    let report = app.run().await;
    ensure!(report.exit_code() == 0, "{report}");
    Ok(producer.stats())
}

/// The service after its restart, until the outbox is empty.
async fn second_life(broker: &MemoryBroker, file: &Path) -> anyhow::Result<()> {
    let app = App::new("orders").signals(Signals::Ignore);
    let outbox = Outbox::sqlite(file)?;
    let producer = Producer::builder(broker.client()).outbox(outbox.clone()).build();
    app.add(producer.component());
    app.task("service", move |_| async move {
        let began = Instant::now();
        while outbox.counts().await?.pending > 0 && began.elapsed() < PATIENCE {
            tokio::time::sleep(millis(20)).await;
        }
        Ok(())
    });
    let report = app.run().await;
    ensure!(report.exit_code() == 0, "{report}");
    Ok(())
}

/// A directory that is gone when dropped.
struct OutboxFile(PathBuf);

impl OutboxFile {
    fn fresh() -> anyhow::Result<OutboxFile> {
        let directory = std::env::temp_dir().join(format!("busy-broker-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        Ok(OutboxFile(directory.join("outbox.db")))
    }
}

impl Drop for OutboxFile {
    fn drop(&mut self) {
        if let Some(directory) = self.0.parent() {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

mod old {
    //! A model of the asynchronous path of RocketMQ's Java client, with its numbers: three seconds, two more tries.
    //!
    //! `send_async` writes the request and returns. When the answer comes, a callback hears of it: good or bad, that is the end of it. Only when
    //! the request could not be written or no answer came is it tried again.

    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use tokio::time::timeout;
    use tokio_util::task::TaskTracker;
    use winddown::messaging::{Broker, ErrorKind, MemoryBroker, Message};

    const TIMEOUT: Duration = Duration::from_secs(3);
    const RETRIES: u32 = 2;

    pub(crate) struct Client {
        broker: MemoryBroker,
        requests: TaskTracker,
        logged: Arc<AtomicU64>,
    }

    impl Client {
        pub(crate) fn new(broker: MemoryBroker) -> Client {
            Client { broker, requests: TaskTracker::new(), logged: Arc::default() }
        }

        pub(crate) fn send_async(&self, message: Message) {
            let (broker, logged) = (self.broker.clone(), self.logged.clone());
            self.requests.spawn(async move {
                for _ in 0..=RETRIES {
                    match timeout(TIMEOUT, broker.send(&message, None)).await {
                        Ok(Ok(_)) => return,
                        Err(_) => {}
                        Ok(Err(error)) if matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::TimedOut) => {}
                        // An answer, with a code: to the callback, which logs it.
                        Ok(Err(_)) => break,
                    }
                }
                logged.fetch_add(1, Ordering::SeqCst);
            });
        }

        /// Not part of the original: waits until every callback was called.
        pub(crate) async fn idle(&self) {
            self.requests.close();
            self.requests.wait().await;
            self.requests.reopen();
        }

        /// What the log has.
        pub(crate) fn logged(&self) -> u64 {
            self.logged.load(Ordering::SeqCst)
        }
    }
}
