//! What a broker's answer says about a message: whose fault it is, whether it counts against the message, and when that is the end.
//!
//! A broker that is down for a day must not turn good messages into dead ones; a message that no broker takes must not be tried for ever.
//! So an answer is somebody's fault first, and counts second.

use crate::messaging::{BrokerError, ErrorKind};
use std::time::Duration;

/// Whose fault a failed try was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The broker's, or of the way to it: everything waits. Also what retryable answers are as long as nothing else gets through.
    Broker,
    /// A retryable answer to this message while others got through: it may be the message (one that a proxy cuts off, say), or bad luck
    /// again and again (a broker that is nearly always busy).
    Suspect,
    /// The topic's: it is unknown, or not allowed. It may be made, or allowed, later; a cluster that is being restarted may not know it for a while.
    Topic,
    /// The message's own: it got an answer, and would get the same one again.
    Message,
}

impl Fault {
    /// `others`: since this message failed last, the broker took others.
    pub(super) fn of(error: &BrokerError, others: bool) -> Fault {
        match error.kind() {
            ErrorKind::UnknownTopic | ErrorKind::Unauthorised => Fault::Topic,
            // Our client was closed: nothing that a message can do about it, whatever class the adapter gave it.
            ErrorKind::Closed => Fault::Broker,
            _ if !error.class().is_retryable() => Fault::Message,
            _ if others => Fault::Suspect,
            _ => Fault::Broker,
        }
    }

    /// Is it counted against the message?
    pub(super) fn counts(self) -> bool {
        self != Fault::Broker
    }

    /// Is this the end? `attempts` with this one counted, `failing` for so long.
    pub(super) fn is_end(self, attempts: u32, failing: Duration, max_attempts: u32, patience: Duration) -> bool {
        match self {
            Fault::Broker => false,
            Fault::Message => attempts >= max_attempts,
            Fault::Suspect | Fault::Topic => attempts >= max_attempts && failing >= patience,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::Class;

    fn fault(kind: ErrorKind, others: bool) -> Fault {
        Fault::of(&BrokerError::new("test", kind, ""), others)
    }

    #[test]
    fn m3_only_what_is_about_the_message_counts_against_it() {
        for kind in [ErrorKind::Busy, ErrorKind::Disconnected, ErrorKind::TimedOut, ErrorKind::Unavailable, ErrorKind::Full, ErrorKind::Other] {
            assert_eq!((fault(kind, false), fault(kind, true)), (Fault::Broker, Fault::Suspect), "{kind:?}");
        }
        for kind in [ErrorKind::UnknownTopic, ErrorKind::Unauthorised] {
            assert_eq!((fault(kind, false), fault(kind, true)), (Fault::Topic, Fault::Topic), "{kind:?}");
        }
        for kind in [ErrorKind::TooLarge, ErrorKind::Invalid, ErrorKind::Unsupported, ErrorKind::Corrupt] {
            assert_eq!((fault(kind, false), fault(kind, true)), (Fault::Message, Fault::Message), "{kind:?}");
        }
        assert_eq!(fault(ErrorKind::Closed, true), Fault::Broker);
        // The class decides where the broker knows better than the kind.
        let busy_for_good = BrokerError::new("test", ErrorKind::Busy, "").with_class(Class::Fatal);
        assert_eq!(Fault::of(&busy_for_good, true), Fault::Message);
    }

    #[test]
    fn m3_the_end_needs_attempts_and_where_it_may_be_others_time_too() {
        let day = Duration::from_secs(24 * 3600);
        assert!(!Fault::Broker.is_end(u32::MAX, day * 365, 1, Duration::ZERO));
        assert!(Fault::Message.is_end(16, Duration::ZERO, 16, day) && !Fault::Message.is_end(15, day * 2, 16, day));
        for fault in [Fault::Suspect, Fault::Topic] {
            assert!(!fault.is_end(16_000, day - Duration::from_millis(1), 16, day));
            assert!(!fault.is_end(15, day, 16, day));
            assert!(fault.is_end(16, day, 16, day));
        }
    }
}
