//! What an outbox refuses or cannot do, and what to do about it.

use crate::messaging::Message;
use std::fmt;
use std::sync::Arc;

/// What went wrong with an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutboxErrorKind {
    /// It holds as many messages or bytes as it may.
    Full,
    /// The message could never be stored: it alone is more than the outbox or its store takes.
    TooLarge,
    /// The disk has no room.
    DiskFull,
    /// Another connection held the store's write lock for too long.
    Busy,
    /// It may be read, not written.
    ReadOnly,
    /// The file, or the directory it should be in, is not there.
    NotFound,
    /// Not allowed to open it.
    Denied,
    /// The file is something else.
    NotADatabase,
    /// The file is damaged.
    Corrupt,
    /// A newer version of this crate made the tables.
    NewerSchema,
    /// It has no outbox tables, or others than expected.
    WrongSchema,
    /// Closed before.
    Closed,
    /// Anything else.
    Other,
}

impl OutboxErrorKind {
    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            OutboxErrorKind::Full => "full",
            OutboxErrorKind::TooLarge => "too-large",
            OutboxErrorKind::DiskFull => "disk-full",
            OutboxErrorKind::Busy => "busy",
            OutboxErrorKind::ReadOnly => "read-only",
            OutboxErrorKind::NotFound => "not-found",
            OutboxErrorKind::Denied => "denied",
            OutboxErrorKind::NotADatabase => "not-a-database",
            OutboxErrorKind::Corrupt => "corrupt",
            OutboxErrorKind::NewerSchema => "newer-schema",
            OutboxErrorKind::WrongSchema => "wrong-schema",
            OutboxErrorKind::Closed => "closed",
            OutboxErrorKind::Other => "other",
        }
    }
}

/// An error of an outbox: what went wrong, where the outbox is, and what to do.
///
/// ```
/// use winddown::messaging::{OutboxError, OutboxErrorKind};
///
/// let error = OutboxError::new(OutboxErrorKind::DiskFull, "/var/lib/shop/outbox.db", "the disk has no room: make some, nothing stored is lost");
/// assert_eq!(error.to_string(), "outbox /var/lib/shop/outbox.db: disk-full: the disk has no room: make some, nothing stored is lost");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxError(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    kind: OutboxErrorKind,
    place: Arc<str>,
    text: String,
}

impl OutboxError {
    /// An error of the outbox at this place (a path, or what a server is called). The text says what happened and what to do.
    pub fn new(kind: OutboxErrorKind, place: impl Into<Arc<str>>, text: impl Into<String>) -> OutboxError {
        OutboxError(Box::new(Inner { kind, place: place.into(), text: text.into() }))
    }

    /// What went wrong.
    pub fn kind(&self) -> OutboxErrorKind {
        self.0.kind
    }
    /// Where the outbox is.
    pub fn place(&self) -> &str {
        &self.0.place
    }
    /// What happened and what to do.
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl fmt::Display for OutboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "outbox {}: {}: {}", self.0.place, self.0.kind.name(), self.0.text)
    }
}

impl std::error::Error for OutboxError {}

/// Messages that an outbox did not store: none of them, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStored {
    error: OutboxError,
    messages: Vec<Message>,
}

impl NotStored {
    pub(crate) fn new(error: OutboxError, messages: Vec<Message>) -> NotStored {
        NotStored { error, messages }
    }

    /// Why.
    pub fn error(&self) -> &OutboxError {
        &self.error
    }
    /// What went wrong.
    pub fn kind(&self) -> OutboxErrorKind {
        self.error.kind()
    }
    /// The messages, as they were given.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }
    /// Both, to go on with.
    pub fn into_parts(self) -> (OutboxError, Vec<Message>) {
        (self.error, self.messages)
    }
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, plural) = (self.messages.len(), if self.messages.len() == 1 { "" } else { "s" });
        write!(f, "{count} message{plural} not stored: {}", self.error)
    }
}

impl std::error::Error for NotStored {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
