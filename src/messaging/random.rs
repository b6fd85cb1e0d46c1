//! Random numbers for jitter, ids and faults: fast, small, not for secrets.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A SplitMix64 generator. The same seed gives the same numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// Another one in each process and at each call; in a test's world, the next that its seed gives.
    pub(crate) fn fresh() -> Random {
        #[cfg(feature = "testkit")]
        if let Some(random) = Seeded::next() {
            return random;
        }
        Random::unique()
    }

    /// Another one in each process and at each call, always.
    pub(crate) fn unique() -> Random {
        Random(RandomState::new().build_hasher().finish() ^ u64::from(std::process::id()))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits are what a double holds exactly.
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }
}

#[cfg(feature = "testkit")]
thread_local! {
    /// Whose seed it is, and what it gives.
    static SEED: std::cell::RefCell<Option<(u64, Random)>> = const { std::cell::RefCell::new(None) };
}

/// While it lives, what is made fresh on this thread follows from a seed: a run in virtual time has one thread. Of two at a time, the later
/// one's counts; the first one's end changes nothing then.
#[cfg(feature = "testkit")]
pub(crate) struct Seeded(u64);

#[cfg(feature = "testkit")]
impl Seeded {
    pub(crate) fn new(seed: u64) -> Seeded {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        SEED.set(Some((number, Random::seeded(seed))));
        Seeded(number)
    }

    fn next() -> Option<Random> {
        SEED.with_borrow_mut(|seed| seed.as_mut().map(|(_, seed)| Random::seeded(seed.next())))
    }
}

#[cfg(feature = "testkit")]
impl Drop for Seeded {
    fn drop(&mut self) {
        SEED.with_borrow_mut(|seed| {
            if seed.as_ref().is_some_and(|(number, _)| *number == self.0) {
                *seed = None;
            }
        });
    }
}

#[cfg(all(test, feature = "testkit"))]
mod tests {
    use super::*;

    #[test]
    fn a_seed_holds_while_it_lives_and_not_longer() {
        let draw = || [Random::fresh().next(), Random::fresh().next()];
        let seeded = |seed| {
            let _seeded = Seeded::new(seed);
            draw()
        };
        assert_eq!(seeded(7), seeded(7));
        assert_ne!(seeded(7), seeded(8));
        let (first, second) = (Seeded::new(1), Seeded::new(2));
        drop(first);
        assert_eq!(draw(), seeded(2));
        drop(second);
        assert_ne!(draw(), draw());
    }
}
