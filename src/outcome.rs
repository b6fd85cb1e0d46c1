//! How a component, a resource and a whole run can end.

use serde::Serialize;
use std::fmt;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            /// The word used in reports, JSON and logs.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// How a component ended. Ordered: of two, the greater is the worse, and the worst is what a report says.
    ///
    /// ```
    /// use winddown::Outcome;
    /// assert!(Outcome::Abandoned > Outcome::Aborted && Outcome::Aborted > Outcome::Cancelled);
    /// assert!(Outcome::Cancelled > Outcome::Panicked && Outcome::Panicked > Outcome::Failed);
    /// assert_eq!(Outcome::Stopped.name(), "stopped");
    /// ```
    Outcome {
        /// Never started, or its start was interrupted by a stop and taken back.
        NotStarted = "not_started",
        /// Asked to stop, and did.
        Stopped = "stopped",
        /// Its work ended by itself, with success, before anyone asked.
        Finished = "finished",
        /// Start, work or stop returned an error, or start was too late.
        Failed = "failed",
        /// Start, work, stop or a drop of it panicked.
        Panicked = "panicked",
        /// Ended only after its cancel token was fired.
        Cancelled = "cancelled",
        /// Its futures had to be dropped.
        Aborted = "aborted",
        /// Could not even be dropped in time: it may still be running.
        Abandoned = "abandoned",
    }
}

words! {
    /// How far up the ladder of force a component's stop went.
    Rung {
        /// No stop took place.
        None = "none",
        /// Asked.
        Graceful = "graceful",
        /// Its `cancelled` token was fired.
        Cancel = "cancel",
        /// Its futures were dropped.
        Abort = "abort",
        /// Not waited for any longer.
        Abandon = "abandon",
    }
}

words! {
    /// How a resource ended.
    ResourceOutcome {
        /// Opening it failed or was interrupted.
        NotCreated = "not_created",
        /// Freed in its budget.
        Destroyed = "destroyed",
        /// Freeing it returned an error or panicked.
        Failed = "failed",
        /// Not free by the end of its budget.
        Late = "late",
        /// Left alone on purpose, since an abandoned component may still use it.
        Leaked = "leaked",
    }
}

words! {
    /// The run in one word. The exit code follows from it; see [`Report::exit_code`](crate::Report::exit_code).
    Verdict {
        /// All ended as asked: exit code 0.
        Clean = "clean",
        /// Something failed or panicked, and no force was needed: 1.
        Failed = "failed",
        /// Nothing was started, since the plan or the configuration is invalid: 2.
        Refused = "refused",
        /// Something had to be cancelled, aborted, abandoned or left: 124.
        Forced = "forced",
        /// A third signal ended it at once: 128 + the signal's number.
        Immediate = "immediate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_the_order_of_outcomes_is_the_order_of_badness() {
        use Outcome::*;
        let ladder = [NotStarted, Stopped, Finished, Failed, Panicked, Cancelled, Aborted, Abandoned];
        assert!(ladder.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn names_are_those_of_the_json() {
        assert_eq!(serde_json::to_string(&ResourceOutcome::NotCreated).unwrap(), "\"not_created\"");
        assert_eq!(serde_json::to_string(&Outcome::NotStarted).unwrap(), format!("{:?}", Outcome::NotStarted.name()));
    }
}
