//! Trace records as `tracing` events.

use super::json::micros;
use super::{Exporter, TraceRecord};
use async_trait::async_trait;

/// Exports each record as an event of the target `winddown.trace`, at level `INFO`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingExporter {
    _private: (),
}

impl TracingExporter {
    /// The exporter; it has no settings.
    pub fn new() -> TracingExporter {
        TracingExporter::default()
    }
}

#[async_trait]
impl Exporter for TracingExporter {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        batch.iter().for_each(tell);
        Ok(())
    }
}

// Fields are the same for all kinds where they mean the same, so that they can be searched for together.
fn tell(record: &TraceRecord) {
    match record {
        TraceRecord::Pub(t) => tracing::info!(
            target: "winddown.trace",
            timestamp = t.timestamp,
            region = t.region.as_deref(),
            group = &*t.group,
            topic = &*t.topic,
            message_id = %t.message_id,
            tag = t.tag.as_deref(),
            keys = t.keys.as_deref(),
            store_host = t.store_host.as_deref(),
            body_len = t.body_len,
            cost_us = micros(t.cost),
            message_kind = t.kind.name(),
            offset_id = t.offset_id.as_deref(),
            success = t.success,
            "pub"
        ),
        TraceRecord::SubBefore(t) => tracing::info!(
            target: "winddown.trace",
            timestamp = t.timestamp,
            region = t.region.as_deref(),
            group = &*t.group,
            request_id = %t.request_id,
            message_id = %t.message_id,
            retry_times = t.retry_times,
            keys = t.keys.as_deref(),
            "sub_before"
        ),
        TraceRecord::SubAfter(t) => tracing::info!(
            target: "winddown.trace",
            timestamp = t.timestamp,
            group = &*t.group,
            request_id = %t.request_id,
            message_id = %t.message_id,
            cost_us = micros(t.cost),
            success = t.success,
            keys = t.keys.as_deref(),
            code = t.code.name(),
            "sub_after"
        ),
    }
}
