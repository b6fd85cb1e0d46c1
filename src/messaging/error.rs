//! What a broker can answer other than yes, classed by what may be done about it (M2).

use std::fmt;
use std::sync::Arc;

/// May it be tried again?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// It was certainly not done: trying again cannot make a duplicate.
    RetryableSafe,
    /// It may have been done, the answer is lost: trying again loses nothing and may make a duplicate.
    RetryableAmbiguous,
    /// Trying again would give the same answer.
    Fatal,
}

impl Class {
    /// Is it worth another try?
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Class::Fatal)
    }
    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Class::RetryableSafe => "retryable-safe",
            Class::RetryableAmbiguous => "retryable-ambiguous",
            Class::Fatal => "fatal",
        }
    }
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The broker has too much to do and did not do this (RocketMQ's SYSTEM_BUSY).
    Busy,
    /// There is no connection, or it was lost.
    Disconnected,
    /// No answer in time.
    TimedOut,
    /// The broker is being stopped or changed over.
    Unavailable,
    /// No such topic.
    UnknownTopic,
    /// No such group.
    UnknownGroup,
    /// Larger than the broker takes.
    TooLarge,
    /// Something in the message or the request is not allowed.
    Invalid,
    /// Not with these credentials.
    Unauthorised,
    /// No room: a full disk, a bounded queue.
    Full,
    /// The store is damaged or is no store of ours.
    Corrupt,
    /// The receipt is no longer good: its visibility ran out, or it was settled before.
    Stale,
    /// This broker cannot do that.
    Unsupported,
    /// The client was closed.
    Closed,
    /// Anything else.
    Other,
}

impl ErrorKind {
    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorKind::Busy => "busy",
            ErrorKind::Disconnected => "disconnected",
            ErrorKind::TimedOut => "timed-out",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::UnknownTopic => "unknown-topic",
            ErrorKind::UnknownGroup => "unknown-group",
            ErrorKind::TooLarge => "too-large",
            ErrorKind::Invalid => "invalid",
            ErrorKind::Unauthorised => "unauthorised",
            ErrorKind::Full => "full",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Stale => "stale",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::Closed => "closed",
            ErrorKind::Other => "other",
        }
    }

    /// The class it has unless the broker knows better.
    pub const fn usual_class(self) -> Class {
        match self {
            // Refused before anything was done.
            ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::Full => Class::RetryableSafe,
            // The request may have arrived.
            ErrorKind::Disconnected | ErrorKind::TimedOut | ErrorKind::Other => Class::RetryableAmbiguous,
            ErrorKind::UnknownTopic
            | ErrorKind::UnknownGroup
            | ErrorKind::TooLarge
            | ErrorKind::Invalid
            | ErrorKind::Unauthorised
            | ErrorKind::Corrupt
            | ErrorKind::Stale
            | ErrorKind::Unsupported
            | ErrorKind::Closed => Class::Fatal,
        }
    }
}

/// An answer of a broker, or the lack of one: kind, class, which broker, about which topic, its own code and text, and what to do.
///
/// ```
/// use winddown::messaging::{BrokerError, Class, ErrorKind};
///
/// let error = BrokerError::new("rocketmq", ErrorKind::Busy, "[TIMEOUT_CLEAN_QUEUE]").with_code(2).about("orders");
/// assert_eq!(error.class(), Class::RetryableSafe);
/// assert_eq!(error.to_string(), "rocketmq, topic `orders`: busy (code 2): [TIMEOUT_CLEAN_QUEUE]");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerError(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    broker: Arc<str>,
    kind: ErrorKind,
    class: Class,
    topic: Option<Arc<str>>,
    code: Option<i64>,
    text: String,
}

impl BrokerError {
    /// An error of this kind, of its usual class. The text says what happened and, where the user can do something, what.
    pub fn new(broker: impl Into<Arc<str>>, kind: ErrorKind, text: impl Into<String>) -> BrokerError {
        BrokerError(Box::new(Inner { broker: broker.into(), kind, class: kind.usual_class(), topic: None, code: None, text: text.into() }))
    }

    /// Of another class than usual.
    pub fn with_class(mut self, class: Class) -> BrokerError {
        self.0.class = class;
        self
    }

    /// With the broker's own code.
    pub fn with_code(mut self, code: i64) -> BrokerError {
        self.0.code = Some(code);
        self
    }

    /// About this topic.
    pub fn about(mut self, topic: impl Into<Arc<str>>) -> BrokerError {
        self.0.topic = Some(topic.into());
        self
    }

    /// Which broker.
    pub fn broker(&self) -> &str {
        &self.0.broker
    }
    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// May it be tried again?
    pub fn class(&self) -> Class {
        self.0.class
    }
    /// About which topic.
    pub fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }
    /// The broker's own code.
    pub fn code(&self) -> Option<i64> {
        self.0.code
    }
    /// The broker's own text.
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.broker)?;
        if let Some(topic) = &self.0.topic {
            write!(f, ", topic `{topic}`")?;
        }
        write!(f, ": {}", self.0.kind.name())?;
        if let Some(code) = self.0.code {
            write!(f, " (code {code})")?;
        }
        if self.0.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.0.text) }
    }
}

impl std::error::Error for BrokerError {}
