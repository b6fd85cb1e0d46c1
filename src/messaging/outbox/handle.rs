//! The outbox as a producer and its operator hold it.

use super::keys::Keys;
use super::store::{OrderedKey, OutboxBounds, OutboxStore};
use super::{NotStored, OutboxBuilder, OutboxCounts, OutboxEntry, OutboxError, OutboxFilter, OutboxPick};
use crate::messaging::{Backoff, Message};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// A durable place for messages that could not be sent yet. Cheap to clone; all clones are one outbox.
///
/// Given to a producer, it takes what could not be sent in time, and the producer replays it in the background, across restarts. Everything
/// in it is sent through the producer that has it, so use one outbox for each broker.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # async fn operate() -> anyhow::Result<()> {
/// use winddown::messaging::{Message, Outbox, OutboxFilter, OutboxPick};
///
/// let outbox = Outbox::sqlite("/var/lib/shop/outbox.db")?;
/// outbox.put(vec![Message::new("orders", "two pumps")]).await?;       // durable from here on
/// for entry in outbox.list(OutboxFilter::dead()).await? {
///     println!("{} {}: {:?}", entry.row, entry.topic, entry.error);
/// }
/// outbox.retry(OutboxPick::Dead).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    store: Arc<dyn OutboxStore>,
    options: Options,
    keys: Arc<Keys>,
    wake: Notify,
    /// Somebody else may have written: the replay is to look at all ordered keys again.
    stale: AtomicBool,
    /// One look at a time: the answer of an older one would bring back what a newer one has taken away.
    looking: tokio::sync::Mutex<()>,
}

/// How an outbox behaves; see [`OutboxBuilder`] for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) bounds: OutboxBounds,
    pub(super) backoff: Backoff,
    pub(super) max_attempts: u32,
    pub(super) patience: Duration,
    pub(super) lease: Duration,
    pub(super) concurrency: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            bounds: OutboxBounds::default(),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5)),
            max_attempts: 16,
            patience: Duration::from_secs(24 * 3600),
            lease: Duration::from_secs(30),
            concurrency: 16,
        }
    }
}

impl Outbox {
    /// The outbox in this SQLite file, with the defaults of [`OutboxBuilder`]. The file is made if it is not there; its directory is not.
    ///
    /// Opening reads the file and may wait for other processes' locks, some milliseconds as a rule: do it before the service takes work.
    ///
    /// # Errors
    /// Everything that is wrong with the file, with what to do; the file is left as it is.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(path: impl AsRef<std::path::Path>) -> Result<Outbox, OutboxError> {
        Outbox::builder(path).open()
    }

    /// The same, with settings.
    #[cfg(feature = "sqlite")]
    pub fn builder(path: impl AsRef<std::path::Path>) -> OutboxBuilder {
        OutboxBuilder::file(path.as_ref())
    }

    /// An outbox in a store of your own, with the defaults of [`OutboxBuilder`].
    pub fn with_store(store: Arc<dyn OutboxStore>) -> Outbox {
        Outbox::new(store, Options::default(), None)
    }

    /// The same, with settings.
    pub fn builder_on(store: Arc<dyn OutboxStore>) -> OutboxBuilder {
        OutboxBuilder::store(store)
    }

    pub(super) fn new(store: Arc<dyn OutboxStore>, options: Options, known: Option<Vec<OrderedKey>>) -> Outbox {
        let keys = Arc::new(Keys::default());
        if let Some(known) = known {
            keys.apply(keys.look(), None, known);
        }
        let (wake, looking) = (Notify::new(), tokio::sync::Mutex::new(()));
        Outbox(Arc::new(Inner { store, options, keys, wake, stale: AtomicBool::new(false), looking }))
    }

    /// Stores these messages, all or none, in this order. When it has answered `Ok`, they are durable.
    ///
    /// # Errors
    /// None of them was stored; the error has them, and says what to do.
    ///
    /// # Cancel safety
    /// When the future is dropped, all are stored or none.
    pub async fn put(&self, messages: Vec<Message>) -> Result<(), NotStored> {
        if messages.is_empty() {
            return Ok(());
        }
        let putting = self.0.keys.putting(&messages);
        match self.0.store.put(&messages, self.0.options.bounds).await {
            Ok(()) => {
                drop(putting);
                self.0.wake.notify_one();
                Ok(())
            }
            Err(error) => {
                putting.failed();
                Err(NotStored::new(error, messages))
            }
        }
    }

    /// Some rows, oldest first; see [`OutboxFilter`].
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn list(&self, filter: OutboxFilter) -> Result<Vec<OutboxEntry>, OutboxError> {
        self.0.store.list(filter).await
    }

    /// Makes dead and damaged rows pending again, with all their attempts before them; a pending one that waits is due now. How many.
    ///
    /// # Errors
    /// The store could not be written; nothing was changed.
    pub async fn retry(&self, pick: impl Into<OutboxPick> + Send) -> Result<u64, OutboxError> {
        let retried = self.0.store.retry(pick.into()).await?;
        self.wake();
        Ok(retried)
    }

    /// Deletes rows for good, whatever their state: a pending one will not be sent, unless it is being sent just now. How many.
    ///
    /// # Errors
    /// The store could not be written; nothing was deleted.
    pub async fn purge(&self, pick: impl Into<OutboxPick> + Send) -> Result<u64, OutboxError> {
        let purged = self.0.store.purge(pick.into()).await?;
        self.wake();
        Ok(purged)
    }

    /// How much there is.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn counts(&self) -> Result<OutboxCounts, OutboxError> {
        self.0.store.counts().await
    }

    /// Says that something was written into the store, in a transaction of your own say: the replay looks at once, instead of within a second.
    pub fn wake(&self) {
        self.0.stale.store(true, Ordering::Release);
        self.0.wake.notify_one();
    }

    /// Has this ordered key something to be sent in here? Then a newer message of the key must go through the outbox too, or it would overtake.
    ///
    /// From memory, without waiting. True from before a [`put`](Outbox::put) begins until its row has gone, and known right after the outbox was
    /// opened. What other connections wrote counts from the replay's next look ([`wake`](Outbox::wake), or within a second), or from
    /// [`refresh`](Outbox::refresh).
    pub fn ordered_pending(&self, topic: &str, key: &str) -> bool {
        self.0.keys.pending(topic, key)
    }

    /// Looks into the store, so that [`ordered_pending`](Outbox::ordered_pending) knows everything that was written before this call, by whomever.
    ///
    /// # Errors
    /// The store could not be read; what was known stays.
    pub async fn refresh(&self) -> Result<(), OutboxError> {
        self.look(None).await
    }

    /// Finishes what is under way and closes the store. Later calls get [`OutboxErrorKind::Closed`](super::OutboxErrorKind::Closed). Stop the
    /// producers that have it first. Dropping the last clone closes it too, without waiting.
    ///
    /// # Errors
    /// It could not be closed in an orderly way; it is closed nevertheless, and nothing stored is lost.
    pub async fn close(&self) -> Result<(), OutboxError> {
        self.0.store.close().await
    }

    /// Where it is: a path, or what the store calls itself.
    pub fn place(&self) -> Arc<str> {
        self.0.store.place()
    }

    pub(super) async fn look(&self, among: Option<Vec<OrderedKey>>) -> Result<(), OutboxError> {
        let _one = self.0.looking.lock().await;
        let look = self.0.keys.look();
        let found = self.0.store.ordered(among.clone()).await?;
        self.0.keys.apply(look, among.as_deref(), found);
        Ok(())
    }

    pub(super) fn the_store(&self) -> &Arc<dyn OutboxStore> {
        &self.0.store
    }

    pub(super) fn options(&self) -> &Options {
        &self.0.options
    }

    /// Is it to look at all ordered keys? Asked once, answered once.
    pub(super) fn take_stale(&self) -> bool {
        self.0.stale.swap(false, Ordering::AcqRel)
    }

    /// Until somebody wakes it.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("place", &self.place()).field("options", &self.0.options).finish_non_exhaustive()
    }
}
