//! The broker's face: every call becomes a piece of work for the writer thread and waits for its answer.

use super::super::random::Random;
use super::super::{Backlog, Broker, BrokerError, ErrorKind, Interest, Limits, Message, Route, SendReceipt, Subscription};
use super::builder::SqliteBuilder;
use super::closing::Closing;
use super::fault::NAME;
use super::inspect::SqliteInspection;
use super::queue::{Ask, Queue, Work, ended};
use super::store::{self, SqliteCounts, Store};
use super::subscription::SqliteSubscription;
use async_trait::async_trait;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::oneshot;

/// A broker in an SQLite file: embedded, durable, shared by any number of processes on one machine.
///
/// A message that was acknowledged to its sender is on the disk and survives the process and the machine's power; what a group has
/// acknowledged does not come again to it. Messages stay until every group that is known has settled them, and where there is no group, they wait
/// for the first. What happens in detail, with files, limits and figures, is in `docs/sqlite-broker.md`.
///
/// A clone is another handle of the same broker. With the last handle, subscriptions included, the writer thread ends as by
/// [`close`](Broker::close), which nobody waits for then.
///
/// # Time
/// It lives in real time, on a thread of its own: tokio's paused clock does not move visibility, delays or the wait of a pull. Calls work under
/// it; but a timer of your own around a call fires as soon as all tasks wait, since the paused clock does not know that a thread is at work.
///
/// ```
/// use winddown::messaging::{Broker, Interest, Message, SqliteBroker};
/// # use winddown::{millis, secs};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let folder = std::env::temp_dir().join(format!("winddown-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("orders.db");
/// let broker = SqliteBroker::open(&path)?;
/// broker.send(&Message::new("orders", "two pumps"), None).await?;
///
/// let group = broker.subscribe(&Interest::new("billing", "orders")).await?;
/// for delivery in group.pull(10, secs(1)).await? {
///     assert_eq!(delivery.message().body().as_ref(), b"two pumps");
///     group.ack(&[delivery.receipt().clone()]).await?;
/// }
/// assert!(group.pull(10, millis(0)).await?.is_empty());
/// broker.close().await?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqliteBroker(pub(super) Arc<Handle>);

/// What all handles share. Its drop ends the thread.
pub(super) struct Handle {
    pub(super) queue: Arc<Queue>,
    path: PathBuf,
    limits: Limits,
    closing: Closing,
    next_holder: AtomicI64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// The names that the subscriptions of one open broker have in the file: not those of any other, but by an accident of 1 in 2^40, which would
/// give leases back too early.
pub(super) fn holders() -> (i64, i64) {
    let first = ((Random::fresh().next() >> 24) << 23) as i64;
    (first, first + (1 << 23) - 1)
}

impl Handle {
    /// Has it done in a transaction, and waits for the commit.
    pub(super) async fn ask<T, F>(&self, weight: usize, run: F) -> Result<T, BrokerError>
    where
        T: Send + 'static,
        F: FnMut(&mut Store) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Work::Job(Box::new(Ask { run, done: None, reply, weight })))?;
        answer.await.map_err(|_| ended())?
    }
}

impl SqliteBroker {
    /// Opens this file, with the defaults; creates it if it is not there.
    ///
    /// Reads and writes a little, on the calling thread: do it where a service is set up.
    ///
    /// # Errors
    /// See [`SqliteBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteBroker, BrokerError> {
        SqliteBroker::builder(path).open()
    }

    /// The same with settings.
    pub fn builder(path: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder::new(path.as_ref())
    }

    /// Looks into a file without writing: a snapshot of messages, groups and dead letters, while a service uses it or after.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] where it is damaged or no broker's, [`ErrorKind::Invalid`] where there is none, [`ErrorKind::Unauthorised`] where
    /// it cannot be read.
    pub fn inspect(path: impl AsRef<Path>) -> Result<SqliteInspection, BrokerError> {
        SqliteInspection::open(path.as_ref())
    }

    pub(super) fn start(queue: Arc<Queue>, path: PathBuf, limits: Limits, closing: Closing, first_holder: i64) -> SqliteBroker {
        SqliteBroker(Arc::new(Handle { queue, path, limits, closing, next_holder: AtomicI64::new(first_holder) }))
    }

    /// The file, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How many messages a topic has, and how many of them a group has yet to settle. It counts rows: some milliseconds for 100,000.
    ///
    /// # Errors
    /// The file cannot be read; [`ErrorKind::Closed`] after the close.
    pub async fn counts(&self, topic: &str, group: &str) -> Result<SqliteCounts, BrokerError> {
        let (topic, group) = (topic.to_owned(), group.to_owned());
        self.0.ask(0, move |store| store::count(store.conn(), &topic, &group, store.lease_now())).await
    }

    /// The topics that were ever sent to or subscribed to, by name.
    ///
    /// # Errors
    /// As [`counts`](SqliteBroker::counts).
    pub async fn topics(&self) -> Result<Vec<String>, BrokerError> {
        self.0.ask(0, |store| store::topic_names(store.conn())).await
    }

    /// The groups of a topic, by name.
    ///
    /// # Errors
    /// As [`counts`](SqliteBroker::counts).
    pub async fn groups(&self, topic: &str) -> Result<Vec<String>, BrokerError> {
        let topic = topic.to_owned();
        self.0.ask(0, move |store| store::group_names(store.conn(), &topic)).await
    }

    async fn send_chunk(&self, messages: &[Message]) -> Vec<Result<SendReceipt, BrokerError>> {
        let mut answers: Vec<_> = messages.iter().map(|message| self.0.limits.check(NAME, message).map(|()| SendReceipt::default())).collect();
        let good: Vec<Message> = messages.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(message, _)| message.clone()).collect();
        if good.is_empty() {
            return answers;
        }
        let weight = good.iter().map(Message::size).sum::<usize>().max(1);
        let stored = self.0.ask(weight, move |store| good.iter().map(|message| store.insert(message)).collect::<rusqlite::Result<Vec<i64>>>()).await;
        let mut stored = stored.map(Vec::into_iter);
        for (answer, message) in answers.iter_mut().zip(messages).filter(|(answer, _)| answer.is_ok()) {
            *answer = match &mut stored {
                Ok(numbers) => Ok(receipt(numbers.next().expect("a number for each message that was stored"))),
                Err(error) => Err(error.clone().about(message.topic_shared())),
            };
        }
        answers
    }
}

fn receipt(seq: i64) -> SendReceipt {
    SendReceipt { broker_id: Some(seq.to_string().into()), route: None }
}

/// A name of a topic or group that can be one.
fn named(what: &str, name: &str, most: usize) -> Result<(), BrokerError> {
    if (1..=most).contains(&name.len()) {
        return Ok(());
    }
    let text = format!("a {what}'s name has 1 to {most} bytes, this one {}", name.len());
    Err(BrokerError::new(NAME, ErrorKind::Invalid, text))
}

#[async_trait]
impl Broker for SqliteBroker {
    fn name(&self) -> &str {
        NAME
    }

    fn limits(&self) -> Limits {
        self.0.limits
    }

    async fn send(&self, message: &Message, _: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        self.0.limits.check(NAME, message)?;
        let (copy, weight) = (message.clone(), message.size().max(1));
        let sent = self.0.ask(weight, move |store| store.insert(&copy)).await;
        sent.map(receipt).map_err(|error| error.about(message.topic_shared()))
    }

    async fn send_batch(&self, messages: &[Message], _: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        let mut answers = Vec::with_capacity(messages.len());
        for chunk in messages.chunks(self.0.limits.batch.max(1)) {
            answers.extend(self.send_chunk(chunk).await);
        }
        answers
    }

    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        named("topic", &interest.topic, self.0.limits.topic_bytes)?;
        // Its dead letters need a topic too.
        named("group", &interest.group, self.0.limits.topic_bytes.saturating_sub(".dead".len()))?;
        if interest.visibility.is_zero() {
            let text = "a visibility of zero gives every message to everybody at once: give it at least a millisecond";
            return Err(BrokerError::new(NAME, ErrorKind::Invalid, text).about(interest.topic.clone()));
        }
        let holder = self.0.next_holder.fetch_add(1, Ordering::Relaxed);
        let wanted = interest.clone();
        let joined = self.0.ask(0, move |store| store.join(&wanted, holder)).await;
        let member = joined.map_err(|error| error.about(interest.topic.clone()))?;
        Ok(Arc::new(SqliteSubscription::new(self.0.clone(), member)))
    }

    async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        let counts = self.counts(topic, group).await?;
        Ok(Backlog { waiting: counts.pending - counts.in_flight, held: Some(counts.in_flight) })
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.0.queue.close();
        self.0.closing.ended().await
    }
}

impl fmt::Debug for SqliteBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBroker").field("path", &self.0.path).finish_non_exhaustive()
    }
}
