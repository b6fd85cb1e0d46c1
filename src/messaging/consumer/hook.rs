//! Telling somebody of failures, without letting that fail anything.

use super::contained::{Contained, caught};
use super::run::Run;
use super::verdict::{FailureKind, Next};
use crate::messaging::Delivery;
use async_trait::async_trait;
use futures_util::future::join_all;
use std::future::Future;
use std::sync::Arc;

/// A handling that failed, and what comes next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The group.
    pub group: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The message, as it was delivered.
    pub delivery: Delivery,
    /// In which way it failed.
    pub kind: FailureKind,
    /// The error's or panic's text, up to 1,024 bytes of it.
    pub error: Arc<str>,
    /// Which attempt it was.
    pub attempt: u32,
    /// What comes next.
    pub next: Next,
}

/// Somebody to be told of failures, such as an alarm. Any `Fn(Failure) -> Future<Output = ()>` is one.
///
/// Called from attempt `notify_after` on, after the message has been given back or moved. All hooks of a failure run at the same time, in the
/// place of the handler: other messages do not wait for them. Each is dropped after `hook_timeout`, and when a stop's time is over. A panic in
/// one is counted and goes no further.
#[async_trait]
pub trait FailureHook: Send + Sync + 'static {
    /// Does it want to hear of this group? Default: of all.
    fn supports(&self, group: &str) -> bool {
        let _ = group;
        true
    }

    /// A handling failed.
    async fn on_failure(&self, failure: &Failure);
}

#[async_trait]
impl<F, Fut> FailureHook for F
where
    F: Fn(Failure) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    async fn on_failure(&self, failure: &Failure) {
        self(failure.clone()).await
    }
}

/// Runs all hooks that want to hear of it.
pub(super) async fn tell(run: &Run, failure: &Failure) {
    join_all(run.settings.hooks.iter().map(|hook| tell_one(run, &**hook, failure))).await;
}

async fn tell_one(run: &Run, hook: &dyn FailureHook, failure: &Failure) {
    let called = match caught(|| hook.supports(&failure.group)) {
        Ok(false) => return,
        Ok(true) => Contained::new(|| hook.on_failure(failure)),
        Err(panic) => Err(panic),
    };
    let limit = run.settings.hook_timeout;
    let ended = match called {
        Ok(future) => match tokio::time::timeout(limit, future).await {
            Ok(ended) => ended,
            Err(_) => Err(format!("it took longer than {limit:?}")),
        },
        Err(panic) => Err(panic),
    };
    if let Err(error) = ended {
        run.desk.lock().stats.hook_failures += 1;
        tracing::warn!(consumer = run.cx.name(), error, "winddown: a failure hook failed");
    }
}
