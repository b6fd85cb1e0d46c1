//! The adapters.

use crate::{BATCH, BODY, Side};
use async_trait::async_trait;
use std::sync::Arc;
use winddown::messaging::{Broker, Interest, KafkaBroker, Message, MessageId, NatsBroker, RabbitMqBroker, RocketMqBroker, Subscription};
use winddown::secs;

struct Ours {
    broker: Arc<dyn Broker>,
    member: Arc<dyn Subscription>,
    topic: String,
}

/// A topic that nobody used before.
pub(crate) fn topic(label: &str) -> String {
    format!("bench-{label}-{}", MessageId::new().to_string()[4..].to_lowercase())
}

async fn on(broker: Arc<dyn Broker>, topic: String) -> anyhow::Result<Arc<dyn Side>> {
    let member = broker.subscribe(&Interest::new(format!("{topic}-group"), &*topic)).await?;
    Ok(Arc::new(Ours { broker, member, topic }))
}

pub(crate) async fn nats(url: &str) -> anyhow::Result<Arc<dyn Side>> {
    on(Arc::new(NatsBroker::connect(url).await?), topic("ours")).await
}

pub(crate) async fn rabbitmq(url: &str) -> anyhow::Result<Arc<dyn Side>> {
    on(Arc::new(RabbitMqBroker::connect(url).await?), topic("ours")).await
}

pub(crate) async fn kafka(url: &str) -> anyhow::Result<Arc<dyn Side>> {
    let (broker, topic) = (KafkaBroker::connect(url).await?, topic("ours"));
    broker.create_topic(&topic, 4).await?;
    on(Arc::new(broker), topic).await
}

pub(crate) async fn rocketmq(url: &str) -> anyhow::Result<Arc<dyn Side>> {
    let (broker, topic) = (RocketMqBroker::connect(url).await?, topic("ours"));
    broker.create_topic(&topic, 4).await?;
    on(Arc::new(broker), topic).await
}

#[async_trait]
impl Side for Ours {
    async fn send(&self) -> anyhow::Result<()> {
        self.broker.send(&Message::new(&*self.topic, vec![b'x'; BODY]), None).await?;
        Ok(())
    }

    async fn receive(&self, mut count: usize) -> anyhow::Result<()> {
        while count > 0 {
            let came = self.member.pull(BATCH.min(count), secs(5)).await?;
            let receipts: Vec<_> = came.iter().map(|delivery| delivery.receipt().clone()).collect();
            count -= self.member.ack(&receipts).await?.done;
        }
        Ok(self.member.commit().await?)
    }

    async fn close(&self) -> anyhow::Result<()> {
        self.member.close().await?;
        Ok(self.broker.close().await?)
    }
}
