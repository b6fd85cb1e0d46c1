//! An outbox's settings.

use super::handle::{Options, Outbox};
use super::store::OutboxStore;
use crate::messaging::Backoff;
use std::sync::Arc;
use std::time::Duration;

/// Settings of an [`Outbox`]; made by `Outbox::builder` and [`Outbox::builder_on`].
///
/// ```no_run
/// # #[cfg(feature = "sqlite")]
/// # fn open() -> anyhow::Result<()> {
/// use winddown::messaging::{Backoff, Outbox};
/// use winddown::{millis, secs};
///
/// let outbox = Outbox::builder("/var/lib/shop/outbox.db")
///     .max_messages(50_000)
///     .max_bytes(64 << 20)
///     .backoff(Backoff::new(millis(100), secs(5)))
///     .open()?;
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing until it is opened"]
pub struct OutboxBuilder {
    source: Source,
    options: Options,
}

enum Source {
    #[cfg(feature = "sqlite")]
    File(std::path::PathBuf),
    Store(Arc<dyn OutboxStore>),
}

impl OutboxBuilder {
    fn new(source: Source) -> OutboxBuilder {
        OutboxBuilder { source, options: Options::default() }
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn file(path: &std::path::Path) -> OutboxBuilder {
        OutboxBuilder::new(Source::File(path.to_owned()))
    }

    pub(super) fn store(store: Arc<dyn OutboxStore>) -> OutboxBuilder {
        OutboxBuilder::new(Source::Store(store))
    }

    /// It holds at most so many messages, dead and damaged ones included; a [`put`](Outbox::put) beyond is refused. Default: 100 000.
    pub fn max_messages(mut self, messages: u64) -> OutboxBuilder {
        self.options.bounds.messages = messages;
        self
    }

    /// It holds at most so many bytes, by [`Message::size`](crate::messaging::Message::size); the file is somewhat larger. Default: 256 MiB.
    pub fn max_bytes(mut self, bytes: u64) -> OutboxBuilder {
        self.options.bounds.bytes = bytes;
        self
    }

    /// The pauses after failures: of the whole outbox while the broker is down, of one message after an answer that was about it.
    /// Default: 100 ms up to 5 s.
    pub fn backoff(mut self, backoff: Backoff) -> OutboxBuilder {
        self.options.backoff = backoff;
        self
    }

    /// So many failures that are the message's own make it dead. What is the broker's doing is not counted. At least 1. Default: 16.
    pub fn max_attempts(mut self, attempts: u32) -> OutboxBuilder {
        self.options.max_attempts = attempts.max(1);
        self
    }

    /// For so long a message must have been failing besides, where the failure need not be its own: an unknown topic, missing rights, or
    /// time-outs while others got through. Default: 24 h.
    pub fn patience(mut self, patience: Duration) -> OutboxBuilder {
        self.options.patience = patience;
        self
    }

    /// For so long a message that is being sent is one process's alone; a killed process's messages are sent by others after that. No try
    /// outlives it. At least 1 s. Default: 30 s.
    pub fn lease(mut self, lease: Duration) -> OutboxBuilder {
        self.options.lease = lease.max(Duration::from_secs(1));
        self
    }

    /// So many messages are sent at a time by the replay, of one ordered key one. At least 1. Default: 16.
    pub fn concurrency(mut self, sends: usize) -> OutboxBuilder {
        self.options.concurrency = sends.max(1);
        self
    }

    /// Opens it.
    ///
    /// # Errors
    /// See `Outbox::sqlite`. With a store of your own: none.
    pub fn open(self) -> Result<Outbox, super::OutboxError> {
        match self.source {
            #[cfg(feature = "sqlite")]
            Source::File(path) => {
                let (store, known) = super::SqliteOutbox::open_with_keys(&path)?;
                Ok(Outbox::new(Arc::new(store), self.options, Some(known)))
            }
            Source::Store(store) => Ok(Outbox::new(store, self.options, None)),
        }
    }
}

impl std::fmt::Debug for OutboxBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboxBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
