//! The consumer: a component that has messages handled, and stops without losing or holding on to any (M6–M9).
//!
//! The way of a message:
//!
//! ```text
//!  broker ── pull ──> queue ──> worker 1..n ──> acknowledgements ── settle ──> broker
//!            (task)   (Dispatch)  (tasks)  └─ failed: nack, dead letter, hooks, in the worker's own place
//!                        └── renew (task): the leases of all that is here
//! ```
//!
//! Workers are made as messages wait and all others are busy, up to the concurrency. Each is a named task of the component's scope,
//! so a handler that blocks has a name in the report. All that they share is one short lock around [`dispatch::Dispatch`]: a message costs
//! one taking of it. Timers, spans and tokens are made only where they are needed. Stopping is [`depart`]'s.

mod builder;
mod contained;
mod depart;
mod dispatch;
mod errors;
mod handle;
mod handler;
mod held;
mod hook;
mod keys;
mod pull;
mod renew;
mod run;
mod seen;
mod settings;
mod settle;
mod stats;
mod traced;
mod verdict;
mod work;

pub use builder::ConsumerBuilder;
pub use errors::{Poison, Retry};
pub use handle::ConsumerHandle;
pub use handler::{Handler, HandlerCx};
pub use hook::{Failure, FailureHook};
pub use settings::WhenUnavailable;
pub use stats::ConsumerStats;
pub use verdict::{FailureKind, Next};

use crate::messaging::IntoBroker;
use crate::{Lifecycle, Link, StartCx, StopCx};
use anyhow::ensure;
use async_trait::async_trait;
use run::Run;
use settings::Settings;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// With [`WhenUnavailable::Retry`] a start waits no longer for the first answer: long enough to hear of a wrong name or password, short enough to hold
/// nobody up.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// Joins a group, and has its messages handled, several at a time, until it is stopped. A component (phase
/// [`WORKERS`](crate::Phase::WORKERS)); `docs/consumer.md` says what it promises.
///
/// It needs a runtime with timers.
///
/// ```
/// use winddown::messaging::{Broker, Consumer, HandlerCx, Poison};
///
/// fn orders(broker: std::sync::Arc<dyn Broker>) -> Consumer {
///     Consumer::builder(broker).group("billing").topic("orders").concurrency(8).handler(|cx: HandlerCx| async move {
///         let order = std::str::from_utf8(cx.message().body()).map_err(|_| Poison::new("not a text"))?;
///         println!("{order}");
///         Ok(())
///     })
/// }
/// # fn main() {}
/// ```
pub struct Consumer {
    settings: Arc<Settings>,
    handle: ConsumerHandle,
    run: Option<Arc<Run>>,
}

impl Consumer {
    /// A consumer with the defaults.
    pub fn new(broker: impl IntoBroker, group: impl Into<Arc<str>>, topic: impl Into<Arc<str>>, handler: impl Handler) -> Consumer {
        Consumer::builder(broker).group(group).topic(topic).handler(handler)
    }

    /// Its settings, one by one.
    pub fn builder(broker: impl IntoBroker) -> ConsumerBuilder {
        ConsumerBuilder::new(broker.into_broker())
    }

    /// A handle to it.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }
}

#[async_trait]
impl Lifecycle for Consumer {
    fn name(&self) -> String {
        self.settings.name.clone()
    }

    fn needs(&self) -> Vec<Link> {
        self.settings.trace.iter().map(|trace| trace.link()).collect()
    }

    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let (settings, interest) = (&self.settings, &self.settings.interest);
        ensure!(!interest.group.is_empty(), "the consumer has no group: say `.group(…)`");
        ensure!(!interest.topic.is_empty(), "the consumer has no topic: say `.topic(…)`");
        let run = Run::new((**cx).clone(), settings.clone(), self.handle.new_desk(settings));
        let mut first = pull::join(&run);
        let joined = match settings.when_unavailable {
            WhenUnavailable::FailStart => Ok(first.as_mut().await),
            WhenUnavailable::Retry => timeout(FIRST_ANSWER, &mut first).await,
        };
        let joining = match joined {
            Ok(Ok(subscription)) => {
                run.joined(subscription);
                None
            }
            Ok(Err(error)) if settings.when_unavailable == WhenUnavailable::Retry && error.class().is_retryable() => {
                Some((pull::note(&run, 0, &error), None))
            }
            Ok(Err(error)) => return Err(pull::cannot_join(&run, error)),
            Err(_) => Some((0, Some(first))),
        };
        cx.spawn("pull", pull::pull(run.clone(), joining));
        self.run = Some(run);
        Ok(())
    }

    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        if let Some(run) = self.run.take() {
            depart::depart(&run).await;
        }
        Ok(())
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("name", &self.settings.name).field("interest", &self.settings.interest).finish_non_exhaustive()
    }
}
