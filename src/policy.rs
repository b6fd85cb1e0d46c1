//! What to do when a component's work ends though nobody asked.

use std::time::Duration;

/// What happens when a component's work ends, fails or panics while nobody asked it to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Shut the program down: as `finished` after success, as `component_failed` after an error or panic. The default.
    #[default]
    ShutDown,
    /// Start it again after a pause; past the limit, shut down.
    Restart(Restart),
    /// Go on without it. The report keeps the error; the exit code does not change.
    Ignore,
}

/// How often and how fast a component is started again.
///
/// The pause doubles from [`backoff`](Restart::backoff) (default 100 ms) to [`max_backoff`](Restart::max_backoff) (default 30 s),
/// each time spread by up to a quarter either way so that many instances do not return at once. A component that then runs
/// for a whole `window` begins again at the first pause.
///
/// ```
/// use winddown::{millis, secs, Policy, Restart};
/// let policy = Policy::Restart(Restart::new(3, secs(10)).backoff(millis(50)));
/// # let _ = policy;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    pub(crate) max: u32,
    pub(crate) window: Duration,
    pub(crate) first: Duration,
    pub(crate) cap: Duration,
}

impl Restart {
    /// At most `max_restarts` within any `window`; one more failure shuts the program down.
    pub fn new(max_restarts: u32, window: Duration) -> Restart {
        Restart { max: max_restarts, window, first: Duration::from_millis(100), cap: Duration::from_secs(30) }
    }

    /// The first pause.
    pub fn backoff(mut self, first: Duration) -> Restart {
        self.first = first;
        self
    }

    /// The longest pause.
    pub fn max_backoff(mut self, cap: Duration) -> Restart {
        self.cap = cap;
        self
    }
}
