//! Keeping away from what failed: one of these for the broker, one for each topic that it does not know.
//!
//! While something failed and nothing has succeeded since, it is *suspect*: after each pause one try at a time, as a probe, so that a broker that
//! comes back is not met by everything that waited, and one that stays away is asked once a pause, not once for each message.

use crate::messaging::Backoff;
use crate::messaging::random::Random;
use std::time::Duration;
use tokio::time::Instant;

/// What is known about one thing that can fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    failures: u32,
    began: Instant,
    until: Instant,
}

impl Pause {
    pub(super) fn none(now: Instant) -> Pause {
        Pause { failures: 0, began: now, until: now }
    }

    /// A try that was begun at this time failed. What was under way when the pause began is the same failure, and makes it no longer.
    pub(super) fn failed(&mut self, begun: Instant, now: Instant, backoff: &Backoff, random: &mut Random) {
        if self.failures > 0 && begun < self.began {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.began = now;
        self.until = now + backoff.pause(self.failures, random);
    }

    /// A try succeeded.
    pub(super) fn clear(&mut self) {
        self.failures = 0;
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.failures > 0
    }

    /// Until when nothing is to be tried; `None` if something may be.
    pub(super) fn over_at(&self, now: Instant) -> Option<Instant> {
        (self.failures > 0 && now < self.until).then_some(self.until)
    }

    /// What is left of it.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.over_at(now).map_or(Duration::ZERO, |until| until - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn m3_many_failures_at_once_are_one_and_pauses_grow_up_to_the_cap() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let (mut random, start) = (Random::seeded(1), Instant::now());
        let mut pause = Pause::none(start);
        assert!(!pause.is_suspect() && pause.over_at(start).is_none());
        let later = start + Duration::from_millis(10);
        for _ in 0..16 {
            pause.failed(start, later, &backoff, &mut random);
        }
        let left = pause.left(later);
        assert!(left >= Duration::from_millis(50) && left <= Duration::from_millis(100), "{left:?}");
        let mut now = later;
        for _ in 0..20 {
            now = pause.over_at(now).expect("a pause");
            assert!(pause.over_at(now).is_none() && pause.is_suspect(), "a probe may be made");
            pause.failed(now, now, &backoff, &mut random);
        }
        assert!(pause.left(now) >= Duration::from_millis(2500) && pause.left(now) <= Duration::from_secs(5));
        pause.clear();
        assert!(!pause.is_suspect() && pause.left(now).is_zero());
    }
}
