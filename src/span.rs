//! Spans of time as people write them, and instants on a run's own clock.

use crate::error::Error;
use std::fmt;
use std::time::Duration;

/// `n` seconds.
///
/// ```
/// assert_eq!(winddown::secs(2), std::time::Duration::from_secs(2));
/// ```
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// `n` milliseconds.
///
/// ```
/// assert_eq!(winddown::millis(20), std::time::Duration::from_millis(20));
/// ```
pub const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// No budget may be longer than this (366 days). It keeps every sum of budgets far from overflow.
pub(crate) const MAX_SPAN: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Reads a span as configuration files write it: a number and one of `us`, `ms`, `s`, `m`, `h`.
///
/// Fractions are allowed (`1.5s`); a number without a unit is not, except `0`. Nothing longer than 366 days is taken.
///
/// # Errors
/// Says what was read and what is allowed; [`Error::is_invalid_span`] is true.
///
/// ```
/// use winddown::{millis, parse_span};
/// assert_eq!(parse_span("50ms").unwrap(), millis(50));
/// assert_eq!(parse_span("1m").unwrap(), millis(60_000));
/// assert!(parse_span("50").unwrap_err().is_invalid_span());
/// ```
pub fn parse_span(text: &str) -> Result<Duration, Error> {
    let bad = || Error::invalid_span(text);
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    let split = trimmed.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(bad)?;
    let (number, unit) = trimmed.split_at(split);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    let number = number.trim_end();
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(bad());
    }
    let value: f64 = number.parse().map_err(|_| bad())?;
    let span = Duration::try_from_secs_f64(value * scale).map_err(|_| bad())?;
    if span > MAX_SPAN { Err(bad()) } else { Ok(span) }
}

/// Writes a span the way a person reads it: `250 ms`, `3.1 s`, `2 min 5 s`.
pub(crate) struct Show(pub(crate) Duration);

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_secs_f64() * 1e3;
        if ms < 10.0 && ms.fract() > 0.005 {
            write!(f, "{ms:.1} ms")
        } else if ms < 1000.0 {
            write!(f, "{ms:.0} ms")
        } else if ms < 120_000.0 {
            let s = (ms / 100.0).round() / 10.0;
            write!(f, "{s} s")
        } else {
            let s = self.0.as_secs();
            if s.is_multiple_of(60) { write!(f, "{} min", s / 60) } else { write!(f, "{} min {} s", s / 60, s % 60) }
        }
    }
}

/// An instant on a run's own clock: nanoseconds since the run began. The pure core knows no other time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// Later than everything; also stands for "not yet" where an instant is stored unboxed.
    pub(crate) const NEVER: Moment = Moment(u64::MAX);

    pub(crate) fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }
    pub(crate) fn plus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(span)))
    }
    pub(crate) fn minus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(nanos(span)))
    }
    /// The span from `earlier` to `self`; zero if it is not earlier.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
    pub(crate) fn known(self) -> Option<Moment> {
        (self != Moment::NEVER).then_some(self)
    }
}

/// A span in nanoseconds, saturating.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown() {
        for (text, ms) in [("50ms", 50.0), ("2s", 2e3), ("1m", 6e4), ("1.5s", 1.5e3), ("2h", 7.2e6), ("500us", 0.5), ("0", 0.0), (" 3s ", 3e3)] {
            assert_eq!(parse_span(text).unwrap().as_secs_f64() * 1e3, ms, "{text}");
        }
        for text in ["", "s", "5", "-1s", "1d", "1e3s", "inf s", "99999h", "1.2.3s", "nan"] {
            assert!(parse_span(text).unwrap_err().is_invalid_span(), "{text}");
        }
        let shown: Vec<String> = [1, 999, 1000, 3140, 60_000, 120_000, 125_000].map(|ms| Show(millis(ms)).to_string()).into();
        assert_eq!(shown, ["1 ms", "999 ms", "1 s", "3.1 s", "60 s", "2 min", "2 min 5 s"]);
        assert_eq!(Show(Duration::from_micros(1500)).to_string(), "1.5 ms");
    }
}
