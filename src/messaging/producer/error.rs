//! Why a message was not sent, with the message.

use crate::messaging::{BrokerError, Class, ErrorKind, Message};
use std::fmt;
use std::sync::Arc;

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// The producer's component has not started yet.
    NotStarted,
    /// The producer stops or has stopped.
    Closed,
    /// Too many messages or bytes are in flight already.
    Full,
    /// Larger than the producer's byte budget, or than the broker takes.
    TooLarge,
    /// The time budget is over.
    TimedOut,
    /// As many tries as were allowed have failed.
    AttemptsUsedUp,
    /// The producer stopped, or was made to end, before the broker had answered.
    Cancelled,
    /// The caller dropped the send before it was over. Only `on_lost` sees this one.
    Dropped,
    /// The broker will not take it, however often it is tried.
    Refused,
    /// It could not be sent, and the outbox has no room for it.
    OutboxFull,
    /// It could not be sent, and the outbox could not store it.
    OutboxFailed,
}

impl SendErrorKind {
    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            SendErrorKind::NotStarted => "not-started",
            SendErrorKind::Closed => "closed",
            SendErrorKind::Full => "full",
            SendErrorKind::TooLarge => "too-large",
            SendErrorKind::TimedOut => "timed-out",
            SendErrorKind::AttemptsUsedUp => "attempts-used-up",
            SendErrorKind::Cancelled => "cancelled",
            SendErrorKind::Dropped => "dropped",
            SendErrorKind::Refused => "refused",
            SendErrorKind::OutboxFull => "outbox-full",
            SendErrorKind::OutboxFailed => "outbox-failed",
        }
    }

    /// What to do about it.
    const fn advice(self) -> &'static str {
        match self {
            SendErrorKind::NotStarted => {
                "send from components that start after the producer's (phase above CLIENTS), and run the app with `producer.component()` added"
            }
            SendErrorKind::Closed => "keep the message, or give the producer an outbox and stop who sends before it stops",
            SendErrorKind::Full => "try later, wait with `send` or `enqueue`, or raise `max_in_flight` and `max_in_flight_bytes`",
            SendErrorKind::TooLarge => "send a reference to where the rest is stored, or raise the limit that is named",
            SendErrorKind::TimedOut => "try again later, raise `timeout`, or give the producer an outbox",
            SendErrorKind::AttemptsUsedUp => "try again later, raise `max_attempts`, or give the producer an outbox",
            SendErrorKind::Cancelled => {
                "send it again after the restart, or give the producer an outbox; a longer stop budget leaves more time to drain"
            }
            SendErrorKind::Dropped => "await the send to its end, or give the producer an outbox",
            SendErrorKind::Refused => "mend what the broker says: it would refuse the same message again",
            SendErrorKind::OutboxFull => "find out why the broker takes nothing, or raise the outbox's limits",
            SendErrorKind::OutboxFailed => "look after the outbox's file and disk, then send it again",
        }
    }
}

/// Why a message was not sent, and the message itself: nothing is kept back, nothing is thrown away.
///
/// ```
/// use winddown::messaging::{MemoryBroker, Message, Producer, SendErrorKind};
///
/// let producer = Producer::new(MemoryBroker::new());
/// let error = producer.try_send(Message::new("orders", "two pumps")).unwrap_err();
/// assert_eq!(error.kind(), SendErrorKind::NotStarted);
/// assert_eq!(error.into_message().body(), "two pumps");
/// ```
#[derive(Clone, PartialEq)]
pub struct SendError(Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    kind: SendErrorKind,
    broker: Arc<str>,
    message: Message,
    cause: Option<BrokerError>,
    text: Option<String>,
    attempts: u32,
    ambiguous: bool,
}

impl SendError {
    pub(super) fn new(kind: SendErrorKind, broker: &Arc<str>, message: Message) -> SendError {
        SendError(Box::new(Inner { kind, broker: broker.clone(), message, cause: None, text: None, attempts: 0, ambiguous: false }))
    }

    /// What the broker said last, after so many tries, one of which may have been stored.
    pub(super) fn after(mut self, attempts: u32, ambiguous: bool, cause: Option<BrokerError>) -> SendError {
        (self.0.attempts, self.0.ambiguous, self.0.cause) = (attempts, ambiguous, cause);
        self
    }

    /// What else there is to say.
    pub(super) fn because(mut self, text: impl Into<String>) -> SendError {
        self.0.text = Some(text.into());
        self
    }

    /// Why.
    pub fn kind(&self) -> SendErrorKind {
        self.0.kind
    }

    /// What sending it again may do: nothing bad ([`RetryableSafe`](Class::RetryableSafe)), make a duplicate
    /// ([`RetryableAmbiguous`](Class::RetryableAmbiguous), since an answer was lost), or fail again ([`Fatal`](Class::Fatal)).
    pub fn class(&self) -> Class {
        match self.0.kind {
            SendErrorKind::TooLarge | SendErrorKind::Refused => Class::Fatal,
            _ if self.0.ambiguous => Class::RetryableAmbiguous,
            _ => Class::RetryableSafe,
        }
    }

    /// The broker's last answer, where there was one.
    pub fn broker_error(&self) -> Option<&BrokerError> {
        self.0.cause.as_ref()
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// The message, to be kept, stored or sent again.
    pub fn into_message(self) -> Message {
        self.0.message
    }

    /// How many tries were made.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// What the broker's own limits say about a message.
    pub(super) fn limited(broker: &Arc<str>, message: Message, cause: BrokerError) -> SendError {
        let kind = if cause.kind() == ErrorKind::TooLarge { SendErrorKind::TooLarge } else { SendErrorKind::Refused };
        SendError::new(kind, broker, message).after(0, false, Some(cause))
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "message {} to topic `{}` of {} was not sent: {}", inner.message.id(), inner.message.topic(), inner.broker, inner.kind.name())?;
        match inner.attempts {
            0 => {}
            1 => f.write_str(" after 1 try")?,
            n => write!(f, " after {n} tries")?,
        }
        if inner.ambiguous {
            f.write_str(" (it may have been stored: an answer was lost)")?;
        }
        if let Some(text) = &inner.text {
            write!(f, ": {text}")?;
        }
        if let Some(cause) = &inner.cause {
            write!(f, "; the last answer: {cause}")?;
        }
        write!(f, "; {}", inner.kind.advice())
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("SendError")
            .field("kind", &inner.kind)
            .field("class", &self.class())
            .field("broker", &inner.broker)
            .field("topic", &inner.message.topic())
            .field("message", &inner.message.id())
            .field("attempts", &inner.attempts)
            .field("cause", &inner.cause)
            .field("text", &inner.text)
            .finish()
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| cause as _)
    }
}
