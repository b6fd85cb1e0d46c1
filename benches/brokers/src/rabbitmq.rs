//! RabbitMQ by lapin alone.

use crate::{BATCH, BODY, Side};
use anyhow::ensure;
use async_trait::async_trait;
use futures_util::StreamExt;
use std::sync::Arc;
use tokio::sync::Mutex;
use winddown::messaging::rabbitmq::lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use winddown::messaging::rabbitmq::lapin::types::{AMQPValue, FieldTable};
use winddown::messaging::rabbitmq::lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};

struct Bare {
    connection: Connection,
    sending: Channel,
    receiving: Channel,
    consumer: Mutex<Consumer>,
    topic: String,
}

pub(crate) async fn bare(url: &str) -> anyhow::Result<Arc<dyn Side>> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let (sending, receiving) = (connection.create_channel().await?, connection.create_channel().await?);
    let topic = crate::ours::topic("bare");
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let exchange = winddown::messaging::rabbitmq::lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
    sending.exchange_declare(topic.as_str().into(), ExchangeKind::Fanout, exchange, FieldTable::default()).await?;
    sending.queue_declare(topic.as_str().into(), durable, quorum).await?;
    sending.queue_bind(topic.as_str().into(), topic.as_str().into(), "".into(), QueueBindOptions::default(), FieldTable::default()).await?;
    sending.confirm_select(ConfirmSelectOptions::default()).await?;
    receiving.basic_qos(BATCH as u16, BasicQosOptions::default()).await?;
    let consumer = receiving.basic_consume(topic.as_str().into(), "bench".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    Ok(Arc::new(Bare { connection, sending, receiving, consumer: Mutex::new(consumer), topic }))
}

#[async_trait]
impl Side for Bare {
    async fn send(&self) -> anyhow::Result<()> {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let confirm = self.sending.basic_publish(self.topic.as_str().into(), "".into(), options, &[b'x'; BODY], properties).await?.await?;
        ensure!(confirm.is_ack(), "the message was not taken: {confirm:?}");
        Ok(())
    }

    async fn receive(&self, mut count: usize) -> anyhow::Result<()> {
        let mut consumer = self.consumer.lock().await;
        while count > 0 {
            let Some(delivery) = consumer.next().await else { anyhow::bail!("the stream has ended") };
            delivery?.ack(BasicAckOptions::default()).await?;
            count -= 1;
        }
        // An acknowledgement has no answer; what comes after it on the channel has.
        self.receiving.basic_qos(BATCH as u16, BasicQosOptions::default()).await?;
        Ok(())
    }

    async fn close(&self) -> anyhow::Result<()> {
        Ok(self.connection.close(200, "done".into()).await?)
    }
}
