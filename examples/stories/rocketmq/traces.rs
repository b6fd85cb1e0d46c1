//! The lost traces, for real: 1,500 messages are sent, 64 at a time, and the service is closed when the last is answered. Each leaves one trace record in the
//! broker's trace topic, which RocketMQ's own decoder reads in both runs.

use crate::common::Run;
use crate::rocketmq::{JAVA, Server, figure};
use std::sync::Arc;
use tokio::task::JoinSet;
use winddown::messaging::trace::{BrokerExporter, TraceDispatcher};
use winddown::messaging::{Broker, Message, Producer};
use winddown::{App, Signals};

const MESSAGES: u64 = 1_500;
const AT_A_TIME: usize = 64;

pub(crate) async fn play(url: &str) -> anyhow::Result<(Run, Run)> {
    let server = Server::at(url)?;
    let topic = server.topic("java").await?;
    let said = server.java(JAVA[0], "TracedSends", &[topic.clone(), MESSAGES.to_string(), AT_A_TIME.to_string()]).await?;
    let before = count(&server, &topic).await?.note("messages stored", figure(&said, "stored")?);
    let topic = server.topic("winddown").await?;
    let (stored, flushed) = send_traced(&server, &topic).await?;
    let after = count(&server, &topic).await?.note("messages stored", stored).note("flushed by the stop", flushed);
    Ok((before, after))
}

/// With the Java client's own decoder: how many of the messages have their record?
async fn count(server: &Server, topic: &str) -> anyhow::Result<Run> {
    let said = server.java(JAVA[1], "ReadTraces", &[topic.to_owned()]).await?;
    Ok(Run::new(MESSAGES, figure(&said, "messages")?).note("records read by RocketMQ's decoder", figure(&said, "published")?))
}

async fn send_traced(server: &Server, topic: &str) -> anyhow::Result<(u64, u64)> {
    let broker: Arc<dyn Broker> = Arc::new(server.client().await?);
    let traces = TraceDispatcher::new(BrokerExporter::new(broker.clone()));
    let producer = Producer::builder(broker.clone()).max_in_flight(AT_A_TIME).trace(&traces).build();
    let app = App::new("orders").signals(Signals::Ignore);
    app.add(traces.component());
    app.add(producer.component());
    let (sender, topic) = (producer.clone(), topic.to_owned());
    app.task("service", move |_| async move {
        let mut sends = JoinSet::new();
        for number in 0..MESSAGES {
            let message = Message::new(topic.as_str(), format!("message {number}")).with_tag("tag").with_key(format!("key-{number}"));
            sends.spawn(sender.enqueue(message).await?);
        }
        while let Some(sent) = sends.join_next().await {
            let _stored = sent??;
        }
        Ok(())
    });
    let report = app.run().await;
    anyhow::ensure!(report.exit_code() == 0, "{report}");
    broker.close().await?;
    let flushed = report.component("trace").map_or(0, |trace| trace.drained);
    Ok((producer.stats().acknowledged, flushed))
}
