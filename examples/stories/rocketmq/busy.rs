//! The busy broker, for real: it answers SYSTEM_BUSY to everything for two seconds, while 3,200 messages are sent, 64 at a time.
//!
//! *Before* is RocketMQ's own Java client, asynchronous with two retries. *After* are the same messages, half of them awaited and half sent without waiting
//! for an answer, by a producer with an outbox.

use crate::common::Run;
use crate::rocketmq::{JAVA, Server, run_of, trouble};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::task::JoinSet;
use winddown::messaging::{Message, Outbox, Producer};
use winddown::{App, Signals, millis, secs};

const MESSAGES: u64 = 3_200;
const AT_A_TIME: usize = 64;

pub(crate) async fn play(url: &str, outbox: PathBuf) -> anyhow::Result<(Run, Run)> {
    let server = Server::at(url)?;
    let mut before = None;
    for version in JAVA {
        let topic = server.topic("java").await?;
        let arguments = [topic, MESSAGES.to_string(), AT_A_TIME.to_string(), "async".to_owned()];
        let program = server.begin_java(version, "Sends", &arguments)?.said("ready").await?;
        server.busy(true).await?;
        let (said, well) = tokio::join!(program.said_last_after_a_line(), well_again(&server));
        well?;
        before = Some(run_of(&said?)?.note("lost by the Java client 5.3.2", before.as_ref().map_or(0, Run::lost)));
    }
    let topic = server.topic("winddown").await?;
    server.busy(true).await?;
    let (sent, well) = tokio::join!(send_all(&server, &topic, outbox), well_again(&server));
    well?;
    let (retries, outboxed) = sent?;
    let arrived = server.bodies(&topic, MESSAGES as usize).await?.len() as u64;
    let after = Run::new(MESSAGES, arrived).note("tried again", retries).note("put into the outbox meanwhile", outboxed);
    let before = before.expect("there is a Java client");
    Ok((before, after))
}

/// After two seconds.
async fn well_again(server: &Server) -> anyhow::Result<()> {
    trouble(secs(2)).await;
    server.busy(false).await
}

async fn send_all(server: &Server, topic: &str, outbox: PathBuf) -> anyhow::Result<(u64, u64)> {
    let broker = Arc::new(server.client().await?);
    let outbox = Outbox::sqlite(outbox)?;
    let producer = Producer::builder(broker.clone()).max_in_flight(AT_A_TIME).outbox(outbox.clone()).build();
    let app = App::new("sender").signals(Signals::Ignore);
    app.add(producer.component());
    let (sender, topic) = (producer.clone(), topic.to_owned());
    app.task("service", move |_| async move {
        let mut callers = JoinSet::new();
        for caller in 0..AT_A_TIME as u64 {
            let (producer, topic, outbox) = (sender.clone(), topic.clone(), outbox.clone());
            callers.spawn(async move {
                for number in (caller..MESSAGES).step_by(AT_A_TIME) {
                    let message = Message::new(topic.as_str(), format!("message {number}"));
                    if caller % 2 == 0 {
                        let _ = producer.send(message).await?;
                    } else {
                        drop(producer.enqueue(message).await?);
                    }
                }
                drop(outbox);
                anyhow::Ok(())
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended??;
        }
        // What the broker would not take is sent when it is well again.
        while outbox.counts().await?.pending > 0 {
            tokio::time::sleep(millis(20)).await;
        }
        Ok(())
    });
    let report = app.run().await;
    anyhow::ensure!(report.exit_code() == 0, "{report}");
    broker_closed(&broker).await?;
    let stats = producer.stats();
    Ok((stats.retries, stats.outboxed))
}

async fn broker_closed(broker: &winddown::messaging::RocketMqBroker) -> anyhow::Result<()> {
    use winddown::messaging::Broker;
    Ok(broker.close().await?)
}
