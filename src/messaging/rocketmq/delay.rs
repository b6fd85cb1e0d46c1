//! How a delay is asked for: by the timer wheel of 5.x, or by the eighteen levels of before.

use super::codes::error;
use crate::messaging::{BrokerError, ErrorKind};
use std::time::Duration;

/// Which delays the broker can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delays {
    /// Any, by the timer wheel: brokers from 5.0 on, unless it was switched off there. Up to three days, unless the broker was told otherwise.
    #[default]
    Any,
    /// These levels only, counted from 1, as in the broker's `messageDelayLevel`. A delay that is no level is refused.
    Levels(Vec<Duration>),
}

impl Delays {
    /// The levels that brokers have unless they were told otherwise: 1 s, 5 s, 10 s, 30 s, 1 to 10 min, 20 min, 30 min, 1 h, 2 h.
    pub fn standard_levels() -> Delays {
        let minutes = (1..=10).chain([20, 30, 60, 120]).map(|minutes| minutes * 60);
        Delays::Levels([1, 5, 10, 30].into_iter().chain(minutes).map(Duration::from_secs).collect())
    }

    /// The property that asks for this delay.
    pub(super) fn property(&self, delay: Duration) -> Result<(&'static str, String), BrokerError> {
        match self {
            Delays::Any => {
                // The wheel turns by the second, and a message leaves up to a second before its time is over.
                let ms = delay.as_millis().saturating_add(u128::from(!delay.subsec_nanos().is_multiple_of(1_000_000)));
                Ok(("TIMER_DELAY_MS", ms.saturating_add(EARLY).to_string()))
            }
            Delays::Levels(levels) => match levels.iter().position(|level| *level == delay) {
                Some(index) => Ok(("DELAY", (index + 1).to_string())),
                None => {
                    let text = format!("a delay of {delay:?} is no level of the broker's: use one of {levels:?}, or a broker with a timer wheel");
                    Err(error(ErrorKind::Unsupported, text))
                }
            },
        }
    }
}

/// By how much a message may leave the wheel too early, in milliseconds: its time is rounded down to the wheel's second.
const EARLY: u128 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_never_asked_for_shorter_than_it_is() {
        let asked = |delay| Delays::Any.property(delay).unwrap();
        assert_eq!(asked(Duration::from_secs(3)), ("TIMER_DELAY_MS", "4000".to_owned()));
        assert_eq!(asked(Duration::from_micros(1)), ("TIMER_DELAY_MS", "1001".to_owned()));
        assert_eq!(asked(Duration::from_micros(1500)).1, "1002");
    }

    #[test]
    fn a_delay_that_is_no_level_is_refused() {
        let levels = Delays::standard_levels();
        assert!(matches!(&levels, Delays::Levels(all) if all.len() == 18));
        assert_eq!(levels.property(Duration::from_secs(1)).unwrap(), ("DELAY", "1".to_owned()));
        assert_eq!(levels.property(Duration::from_secs(7200)).unwrap(), ("DELAY", "18".to_owned()));
        assert_eq!(levels.property(Duration::from_secs(2)).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
