//! NATS JetStream by async-nats alone.

use crate::{BATCH, BODY, Side};
use async_trait::async_trait;
use futures_util::{StreamExt, future::try_join_all};
use std::sync::Arc;
use winddown::messaging::nats::async_nats::{self, HeaderMap, jetstream};

struct Bare {
    context: jetstream::Context,
    consumer: jetstream::consumer::PullConsumer,
    subject: String,
}

pub(crate) async fn bare(url: &str) -> anyhow::Result<Arc<dyn Side>> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let subject = crate::ours::topic("bare");
    let stream =
        context.create_stream(jetstream::stream::Config { name: subject.clone(), subjects: vec![subject.clone()], ..Default::default() }).await?;
    let config = jetstream::consumer::pull::Config {
        durable_name: Some("group".into()),
        ack_policy: jetstream::consumer::AckPolicy::Explicit,
        max_ack_pending: -1,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await?;
    Ok(Arc::new(Bare { context, consumer, subject }))
}

#[async_trait]
impl Side for Bare {
    async fn send(&self) -> anyhow::Result<()> {
        let mut headers = HeaderMap::new();
        // As the adapter's: by it the server knows a message that is sent twice.
        headers.insert("Nats-Msg-Id", winddown::messaging::MessageId::new().to_string());
        self.context.publish_with_headers(self.subject.clone(), headers, vec![b'x'; BODY].into()).await?.await?;
        Ok(())
    }

    async fn receive(&self, mut count: usize) -> anyhow::Result<()> {
        while count > 0 {
            let mut batch = self.consumer.fetch().max_messages(BATCH.min(count)).messages().await?;
            let mut came = Vec::new();
            while let Some(message) = batch.next().await {
                came.push(message.map_err(|error| anyhow::anyhow!(error))?);
            }
            try_join_all(came.iter().map(|message| message.double_ack())).await.map_err(|error| anyhow::anyhow!(error))?;
            count -= came.len();
        }
        Ok(())
    }

    async fn close(&self) -> anyhow::Result<()> {
        Ok(())
    }
}
