//! What was asked of a consumer.

use super::handler::Handler;
use super::hook::FailureHook;
use super::verdict::Rules;
use crate::messaging::trace::TraceDispatcher;
use crate::messaging::{Broker, Interest};
use std::sync::Arc;
use std::time::Duration;

/// What a start does when the broker cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUnavailable {
    /// The component is started all the same, and joins its group as soon as it can. A start waits a second at most. The default.
    #[default]
    Retry,
    /// The start fails, and with it the program.
    FailStart,
}

pub(super) struct Settings {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) name: String,
    pub(super) interest: Interest,
    pub(super) concurrency: usize,
    pub(super) prefetch: usize,
    pub(super) handler_timeout: Option<Duration>,
    pub(super) rules: Rules,
    pub(super) hooks: Vec<Arc<dyn FailureHook>>,
    pub(super) hook_timeout: Duration,
    pub(super) when_unavailable: WhenUnavailable,
    pub(super) poll: Duration,
    pub(super) trace: Option<TraceDispatcher>,
}
