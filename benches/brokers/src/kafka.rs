//! Kafka by rdkafka alone.

use crate::{BODY, Side};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use winddown::messaging::kafka::rdkafka::ClientConfig;
use winddown::messaging::kafka::rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use winddown::messaging::kafka::rdkafka::producer::{FutureProducer, FutureRecord};
use winddown::messaging::{Broker, KafkaBroker};

struct Bare {
    producer: FutureProducer,
    consumer: Arc<StreamConsumer>,
    topic: String,
}

pub(crate) async fn bare(url: &str) -> anyhow::Result<Arc<dyn Side>> {
    let topic = crate::ours::topic("bare");
    let admin = KafkaBroker::connect(url).await?;
    admin.create_topic(&topic, 4).await?;
    admin.close().await?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", url);
    let producer = config.clone().set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "1").create()?;
    let consumer: StreamConsumer = config
        .set("group.id", format!("{topic}-group"))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()?;
    consumer.subscribe(&[&topic])?;
    Ok(Arc::new(Bare { producer, consumer: Arc::new(consumer), topic }))
}

#[async_trait]
impl Side for Bare {
    async fn send(&self) -> anyhow::Result<()> {
        let record = FutureRecord::<(), [u8]>::to(&self.topic).payload(&[b'x'; BODY]);
        self.producer.send(record, Duration::from_secs(5)).await.map_err(|(error, _)| error)?;
        Ok(())
    }

    async fn receive(&self, mut count: usize) -> anyhow::Result<()> {
        while count > 0 {
            let message = self.consumer.recv().await?;
            self.consumer.store_offset_from_message(&message)?;
            count -= 1;
        }
        let consumer = self.consumer.clone();
        tokio::task::spawn_blocking(move || consumer.commit_consumer_state(CommitMode::Sync)).await??;
        Ok(())
    }

    async fn close(&self) -> anyhow::Result<()> {
        let consumer = self.consumer.clone();
        Ok(tokio::task::spawn_blocking(move || consumer.unsubscribe()).await?)
    }
}
