//! Errors of a handler that mean something, and how they are found again in what it returned.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Returned by a handler: not now, try again after this delay instead of the usual back-off.
///
/// It counts as a failed attempt all the same, so that a message cannot be put off for ever.
///
/// ```
/// use winddown::{millis, messaging::Retry};
///
/// let error: anyhow::Error = Retry::after(millis(1500)).into();
/// assert_eq!(error.to_string(), "to be tried again after 1.5s");
/// assert_eq!(error.context("the shop is closed").downcast_ref(), Some(&Retry::after(millis(1500))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    delay: Duration,
}

impl Retry {
    /// After this delay.
    pub const fn after(delay: Duration) -> Retry {
        Retry { delay }
    }
    /// The delay.
    pub const fn delay(&self) -> Duration {
        self.delay
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to be tried again after {:?}", self.delay)
    }
}

impl Error for Retry {}

/// Returned by a handler: this message can never be handled. It goes to the dead letters at once, with the reason.
///
/// ```
/// use winddown::messaging::Poison;
///
/// let error = anyhow::Error::from(Poison::new("no such customer"));
/// assert_eq!(error.to_string(), "poison: no such customer");
/// assert!(error.is::<Poison>());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poison(Cow<'static, str>);

impl Poison {
    /// For this reason.
    pub fn new(why: impl Into<Cow<'static, str>>) -> Poison {
        Poison(why.into())
    }
    /// The reason.
    pub fn why(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "poison: {}", self.0)
    }
}

impl Error for Poison {}

/// Finds a meaning in an error, however deep it is wrapped.
pub(super) fn find<E: Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    // The first look finds what was attached as a context, the second what is a source of a source.
    error.downcast_ref::<E>().or_else(|| error.chain().find_map(|cause| cause.downcast_ref::<E>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[derive(Debug)]
    struct Wrapping(Retry);
    impl fmt::Display for Wrapping {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }
    impl Error for Wrapping {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn m8_a_meaning_is_found_wherever_it_stands() {
        let retry = Retry::after(Duration::from_secs(7));
        let plain = anyhow::Error::from(retry);
        let below_contexts = anyhow::Error::from(retry).context("one").context("two");
        let as_context = Err::<(), _>(std::io::Error::other("full")).context(retry).unwrap_err();
        let under_another = anyhow::Error::from(Wrapping(retry)).context("three");
        for error in [plain, below_contexts, as_context, under_another] {
            assert_eq!(find::<Retry>(&error), Some(&retry), "{error:#}");
            assert_eq!(find::<Poison>(&error), None);
        }
        assert_eq!(find::<Retry>(&anyhow::anyhow!("to be tried again after 7s")), None);
    }
}
