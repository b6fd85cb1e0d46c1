//! How long to wait before the next try.

use super::random::Random;
use std::time::Duration;

/// Exponential back-off with jitter: each pause is twice the one before, up to a cap, and of that between a half and the whole.
///
/// ```
/// use winddown::{millis, secs, messaging::Backoff};
///
/// let backoff = Backoff::default();
/// assert_eq!((backoff.first, backoff.max), (millis(20), secs(5)));
/// assert_eq!(backoff.bare(3), millis(80));        // without jitter: 20, 40, 80 ms
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause before the second try. Default: 20 ms, twice the interval at which a busy RocketMQ broker clears its queue.
    pub first: Duration,
    /// No pause is longer. Default: 5 s.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(20), max: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// A back-off with these bounds.
    pub const fn new(first: Duration, max: Duration) -> Backoff {
        Backoff { first, max }
    }

    /// The pause after so many tries that failed (1 or more), without jitter.
    pub fn bare(&self, failed: u32) -> Duration {
        let doubled = 2u32.checked_pow(failed.saturating_sub(1)).and_then(|factor| self.first.checked_mul(factor));
        doubled.unwrap_or(self.max).min(self.max)
    }

    /// The pause to make: at least half of the bare one, so that many who failed together do not come back together.
    pub(crate) fn pause(&self, failed: u32, random: &mut Random) -> Duration {
        self.bare(failed).mul_f64(0.5 + random.unit() / 2.0)
    }
}
