//! Where batches of records go.

use super::TraceRecord;
use crate::Link;
use async_trait::async_trait;
use std::sync::Arc;

/// Something that takes batches of trace records away.
///
/// # The contract
/// Several exports run at a time. Each is dropped at an await when its [time](super::Builder::export_timeout) is over or the dispatcher has to
/// end; its records then count as failed or abandoned, whatever became of them. Nothing is tried a second time by the dispatcher: an exporter
/// that can tell what is worth another try makes it itself, inside its time. A panic is contained and counts as a failure.
///
/// It must not block: what blocks belongs on a thread of its own.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use winddown::{async_trait, messaging::trace::{Exporter, TraceRecord}};
///
/// struct Tally(AtomicU64);
///
/// #[async_trait]
/// impl Exporter for Tally {
///     async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
///         self.0.fetch_add(batch.len() as u64, Ordering::Relaxed);
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait Exporter: Send + Sync + 'static {
    /// Takes one batch, which is never empty. `Ok` means that it has arrived.
    ///
    /// # Errors
    /// It has not, or not all of it: all its records count as failed.
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()>;

    /// Called once in the stop, after the last export has ended or was dropped, within what is left of the stop's time. Default: nothing to do.
    /// When the component is started again, exports come again.
    ///
    /// # Errors
    /// What was exported may not be safe. The error becomes that of the component's stop.
    async fn close(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// What it exports through, such as a producer's link: the dispatcher is planned to start after it and to stop before it. Default: nothing.
    fn needs(&self) -> Vec<Link> {
        Vec::new()
    }
}

/// An exporter that somebody else looks at too.
#[async_trait]
impl<E: Exporter + ?Sized> Exporter for Arc<E> {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        (**self).export(batch).await
    }

    async fn close(&self) -> anyhow::Result<()> {
        (**self).close().await
    }

    fn needs(&self) -> Vec<Link> {
        (**self).needs()
    }
}
