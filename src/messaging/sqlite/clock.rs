//! Which time it is, when the wall clock cannot be trusted.
//!
//! The file keeps wall-clock times, since nothing else means the same to two processes and after a restart. A wall clock may be set while
//! messages are leased, so there are two times (in milliseconds since 1970):
//!
//! - `wall`, what the clock says: by it delayed and given-back messages come.
//! - `lease`, which is `wall` plus an offset kept in the file: by it leases run. Every writer compares the wall clock with the steady one of its
//!   machine. When they have come apart by [`JUMP`] since it last looked, the first to notice takes the difference off the offset, inside its
//!   transaction; the others see that the offset has changed and take it over. So a lease lasts as long as it was given for, whichever way
//!   the clock was set.
//!
//! What nobody saw jump (no process had the file open) is caught by its span: see `store/heal.rs`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Clocks that have come apart by less are taken to agree. Well above what time servers slew in a minute, well below any visibility that matters.
pub(super) const JUMP: i64 = 1_000;

/// Where the time comes from.
pub(super) trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970, as set by people and time servers.
    fn wall(&self) -> i64;
    /// Milliseconds since any fixed moment; never set.
    fn steady(&self) -> i64;
}

/// The machine's own.
pub(super) struct MachineClock(Instant);

impl MachineClock {
    pub(super) fn new() -> MachineClock {
        MachineClock(Instant::now())
    }
}

impl Clock for MachineClock {
    fn wall(&self) -> i64 {
        millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }
    fn steady(&self) -> i64 {
        millis(self.0.elapsed())
    }
}

/// A duration as it is added to a moment: rounded up, and one more since the moment was rounded down, so that nothing lasts shorter than it was
/// asked for. None stays none; at most a century.
pub(super) fn lasting(duration: Duration) -> i64 {
    const CENTURY: u128 = 100 * 366 * 24 * 3600 * 1000;
    let whole = duration.as_nanos().div_ceil(1_000_000).min(CENTURY) as i64;
    if whole == 0 { 0 } else { whole + 1 }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A moment, in both times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    pub(super) wall: i64,
    pub(super) lease: i64,
}

/// What one writer knows about how its clocks stand to each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeline {
    /// `wall - steady` when last compared.
    gap: i64,
    /// The file's offset when last read.
    offset: i64,
}

/// What a look at the clocks found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) now: Now,
    /// The offset to write into the file: this writer is the first to have seen a jump.
    pub(super) correct: Option<i64>,
    /// The clocks have jumped, here or as another writer noticed: times that cannot be are to be looked for.
    pub(super) jumped: bool,
}

impl Timeline {
    pub(super) fn new(clock: &dyn Clock, offset: i64) -> Timeline {
        Timeline { gap: clock.wall() - clock.steady(), offset }
    }

    /// Compares the clocks, given the offset that the file has now.
    pub(super) fn look(&mut self, clock: &dyn Clock, offset: i64) -> Look {
        let wall = clock.wall();
        let gap = wall - clock.steady();
        let apart = gap - self.gap;
        let noticed_elsewhere = offset != self.offset;
        let first = !noticed_elsewhere && apart.abs() >= JUMP;
        if first || noticed_elsewhere {
            self.gap = gap;
        }
        self.offset = if first { offset - apart } else { offset };
        Look { now: Now { wall, lease: wall + self.offset }, correct: first.then_some(self.offset), jumped: first || noticed_elsewhere }
    }

    /// The moment as far as known without the file.
    pub(super) fn glance(&self, clock: &dyn Clock) -> Look {
        let mut copy = *self;
        copy.look(clock, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    struct Two(AtomicI64, AtomicI64);

    impl Clock for Two {
        fn wall(&self) -> i64 {
            self.0.load(Relaxed)
        }
        fn steady(&self) -> i64 {
            self.1.load(Relaxed)
        }
    }

    impl Two {
        fn pass(&self, wall: i64, steady: i64) {
            self.0.fetch_add(wall, Relaxed);
            self.1.fetch_add(steady, Relaxed);
        }
    }

    #[test]
    fn lease_time_follows_the_steady_clock_whichever_way_the_wall_clock_is_set() {
        for jump in [3_600_000, -3_600_000, 1_000, -1_000] {
            let clock = Two(AtomicI64::new(1_000_000_000), AtomicI64::new(50));
            let (mut one, mut two) = (Timeline::new(&clock, 0), Timeline::new(&clock, 0));
            let before = one.look(&clock, 0).now.lease;
            clock.pass(20 + jump, 20);
            let seen = one.look(&clock, 0);
            assert_eq!((seen.now.lease - before, seen.correct, seen.jumped), (20, Some(-jump), true));
            assert_eq!(seen.now.wall - 1_000_000_000, 20 + jump);
            // The other writer takes the correction over and does not make it a second time.
            let taken = two.look(&clock, -jump);
            assert_eq!((taken.now.lease - before, taken.correct, taken.jumped), (20, None, true));
            clock.pass(5, 5);
            assert_eq!(one.look(&clock, -jump), two.look(&clock, -jump));
            assert_eq!(one.look(&clock, -jump).now.lease - before, 25);
        }
    }

    #[test]
    fn small_steps_add_up_to_a_jump() {
        let clock = Two(AtomicI64::new(0), AtomicI64::new(0));
        let mut one = Timeline::new(&clock, 0);
        let mut corrections = 0;
        let mut offset = 0;
        for _ in 0..10 {
            clock.pass(300, 0);
            let seen = one.look(&clock, offset);
            assert!(seen.now.lease.abs() < JUMP, "{seen:?}");
            if let Some(new) = seen.correct {
                offset = new;
                corrections += 1;
            }
        }
        assert_eq!(corrections, 2);
    }

    #[test]
    fn durations_are_rounded_up_and_bounded() {
        assert_eq!(lasting(Duration::ZERO), 0);
        assert_eq!(lasting(Duration::from_micros(1)), 2);
        assert_eq!(lasting(Duration::from_millis(7)), 8);
        assert!(lasting(Duration::MAX) < i64::MAX / 2);
    }
}
