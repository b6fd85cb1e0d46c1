//! The thread that has the connection. Jobs come through a channel; those that are there together are done in one transaction and so share
//! one sync of the disk.
//!
//! Invariants:
//! 1. A job is answered after the commit of its transaction, or with the error for which that was rolled back.
//! 2. A job that fails spoils no other: when a transaction of several fails, each is done again alone.

use super::fault::Trouble;
use super::schema;
use crate::messaging::outbox::{OutboxError, OutboxErrorKind};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::SystemTime;
use tokio::sync::oneshot;

/// So many jobs share a transaction: more saves no further syncs worth mentioning and makes the first one wait.
const TOGETHER: usize = 256;

/// Tells the time of day.
pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What a job needs of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// A consistent view.
    Read,
    /// A change that may be lost with the machine's power, since what it says can be found out again: claims, and what was sent (which is then
    /// sent twice).
    Write,
    /// A change that is on the disk before it is answered.
    Durable,
}

/// What a job works with.
pub(super) struct Desk<'a> {
    pub(super) db: &'a Connection,
    pub(super) place: &'a Arc<str>,
    /// Milliseconds since 1970.
    pub(super) now: i64,
    pub(super) memory: &'a mut Memory,
}

/// What is kept from one job to the next.
#[derive(Default)]
pub(super) struct Memory {
    /// The ordered key that a claim looked at last.
    pub(super) cursor: Option<(Value, Value)>,
    /// Whose turn it is when there is room for one row only.
    pub(super) turn: bool,
    /// SQLite's count of what others have committed, when it was asked last.
    pub(super) version: Option<i64>,
}

trait Job: Send {
    fn needs(&self) -> Needs;
    /// May be called again after its transaction was rolled back.
    fn run(&mut self, desk: &mut Desk<'_>) -> Result<(), Trouble>;
    fn answer(self: Box<Self>, done: Result<(), OutboxError>);
}

struct Typed<T, F> {
    needs: Needs,
    work: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, OutboxError>>,
}

impl<T: Send, F: FnMut(&mut Desk<'_>) -> Result<T, Trouble> + Send> Job for Typed<T, F> {
    fn needs(&self) -> Needs {
        self.needs
    }
    fn run(&mut self, desk: &mut Desk<'_>) -> Result<(), Trouble> {
        self.value = Some((self.work)(desk)?);
        Ok(())
    }
    fn answer(self: Box<Self>, done: Result<(), OutboxError>) {
        let Typed { value, reply, .. } = *self;
        if let Some(answer) = done.map(|()| value).transpose() {
            // Who asked may have stopped waiting.
            let _ = reply.send(answer);
        }
    }
}

enum Order {
    Do(Box<dyn Job>),
    Close(oneshot::Sender<Result<(), OutboxError>>),
}

/// The way to the thread, which ends when this is dropped and everything that was ordered is done.
#[derive(Debug)]
pub(super) struct Clerk {
    orders: Sender<Order>,
    place: Arc<str>,
}

impl Clerk {
    pub(super) fn hire(db: Connection, place: Arc<str>, clock: Clock) -> Result<Clerk, OutboxError> {
        let (orders, inbox) = channel();
        let clerk = Clerk { orders, place: place.clone() };
        let desk = Thread { db, place: place.clone(), clock, memory: Memory::default(), synchronous: Needs::Durable };
        let spawned = std::thread::Builder::new().name("winddown-outbox".to_owned()).spawn(move || desk.work(&inbox));
        match spawned {
            Ok(_) => Ok(clerk),
            Err(error) => Err(OutboxError::new(OutboxErrorKind::Other, place, format!("no thread could be started for it: {error}"))),
        }
    }

    pub(super) async fn ask<T, F>(&self, needs: Needs, work: F) -> Result<T, OutboxError>
    where
        T: Send + 'static,
        F: FnMut(&mut Desk<'_>) -> Result<T, Trouble> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Typed { needs, work, value: None, reply };
        self.orders.send(Order::Do(Box::new(job))).map_err(|_| self.closed())?;
        answer.await.map_err(|_| self.closed())?
    }

    pub(super) async fn close(&self) -> Result<(), OutboxError> {
        let (reply, answer) = oneshot::channel();
        if self.orders.send(Order::Close(reply)).is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    fn closed(&self) -> OutboxError {
        OutboxError::new(OutboxErrorKind::Closed, self.place.clone(), "it was closed: close it last, after the producers that have it have stopped")
    }
}

struct Thread {
    db: Connection,
    place: Arc<str>,
    clock: Clock,
    memory: Memory,
    /// What `PRAGMA synchronous` is set for.
    synchronous: Needs,
}

impl Thread {
    fn work(mut self, inbox: &Receiver<Order>) {
        while let Ok(first) = inbox.recv() {
            let (mut reads, mut writes, mut close) = (Vec::new(), Vec::new(), None);
            for order in std::iter::once(first).chain(inbox.try_iter().take(TOGETHER - 1)) {
                match order {
                    Order::Do(job) if job.needs() == Needs::Read => reads.push(job),
                    Order::Do(job) => writes.push(job),
                    Order::Close(reply) => {
                        close = Some(reply);
                        break; // What was ordered after it finds no answer: closed.
                    }
                }
            }
            // Who waits for a write and then reads finds it; jobs that come together have no order among them.
            self.all(writes);
            self.all(reads);
            if let Some(reply) = close {
                let closed = self.db.close().map_err(|(_, error)| Trouble::from(error).at(&self.place));
                let _ = reply.send(closed);
                return;
            }
        }
    }

    fn all(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let Some(needs) = jobs.iter().map(|job| job.needs()).max() else { return };
        let done = self.together(needs, &mut jobs);
        match done {
            Ok(()) => jobs.into_iter().for_each(|job| job.answer(Ok(()))),
            // A lock that was not to be had for all will not be had for each.
            Err(trouble) if jobs.len() > 1 && trouble.kind() != OutboxErrorKind::Busy => jobs.into_iter().for_each(|job| self.all(vec![job])),
            Err(trouble) => {
                let error = trouble.at(&self.place);
                jobs.into_iter().for_each(|job| job.answer(Err(error.clone())));
            }
        }
    }

    fn together(&mut self, needs: Needs, jobs: &mut [Box<dyn Job>]) -> Result<(), Trouble> {
        self.synchronise(needs)?;
        self.db.execute_batch(if needs == Needs::Read { "BEGIN" } else { "BEGIN IMMEDIATE" })?;
        let now = (self.clock)().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let mut desk = Desk { db: &self.db, place: &self.place, now, memory: &mut self.memory };
        let done = schema::still_ours(desk.db).and_then(|()| jobs.iter_mut().try_for_each(|job| job.run(&mut desk)));
        let done = done.and_then(|()| Ok(self.db.execute_batch("COMMIT")?));
        if done.is_err() && !self.db.is_autocommit() {
            // If even that fails, the next BEGIN says so.
            let _ = self.db.execute_batch("ROLLBACK");
        }
        done
    }

    /// In WAL mode, FULL syncs at each commit, NORMAL only before the log is copied into the file.
    fn synchronise(&mut self, needs: Needs) -> Result<(), Trouble> {
        if needs != Needs::Read && needs != self.synchronous {
            self.db.pragma_update(None, "synchronous", if needs == Needs::Durable { "FULL" } else { "NORMAL" })?;
            self.synchronous = needs;
        }
        Ok(())
    }
}
