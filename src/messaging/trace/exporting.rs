//! One call of an exporter, contained: bounded in time, its panics caught, in its drop and its error's text as well.

use super::{Exporter, TraceRecord};
use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How a call ended.
#[derive(Debug)]
pub(super) enum Ended {
    Well,
    /// With this error, panic or time-out.
    Badly(String),
}

/// Exports a batch.
pub(super) async fn export(exporter: &dyn Exporter, batch: &[TraceRecord], within: Duration) -> Ended {
    contained(|| exporter.export(batch), within).await
}

/// Closes an exporter.
pub(super) async fn close(exporter: &dyn Exporter, within: Duration) -> Ended {
    contained(|| exporter.close(), within).await
}

async fn contained<F>(call: impl FnOnce() -> F, within: Duration) -> Ended
where
    F: Future<Output = anyhow::Result<()>> + Unpin,
{
    let mut future = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(future) => Dropped(Some(future)),
        Err(panic) => return Ended::Badly(panicked(&*panic)),
    };
    let Some(inside) = &mut future.0 else { return Ended::Badly(String::new()) };
    match tokio::time::timeout(within, AssertUnwindSafe(inside).catch_unwind()).await {
        Ok(Ok(Ok(()))) => Ended::Well,
        Ok(Ok(Err(error))) => Ended::Badly(text_of(error)),
        Ok(Err(panic)) => Ended::Badly(panicked(&*panic)),
        Err(_) => Ended::Badly(format!("no answer within {within:?}")),
    }
}

/// A future whose drop may panic without harm.
struct Dropped<F>(Option<F>);

impl<F> Drop for Dropped<F> {
    fn drop(&mut self) {
        let future = self.0.take();
        // It is told by the panic hook.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
    }
}

fn text_of(error: anyhow::Error) -> String {
    let text = catch_unwind(AssertUnwindSafe(|| {
        let text = format!("{error:#}");
        drop(error);
        text
    }));
    text.unwrap_or_else(|panic| panicked(&*panic))
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a text"))
}
