//! The one thread of an open broker that touches the file.
//!
//! ```text
//! take what was asked -> BEGIN IMMEDIATE -> jobs -> waiting pulls -> COMMIT -> answer
//!                                                       |
//!                             an error: ROLLBACK, then each job in a transaction of its own
//! ```
//!
//! Invariants:
//! 1. Nothing is answered `Ok` before the commit that it is part of.
//! 2. An error of one job is answered to that job: the others are done without it.
//! 3. No transaction is open while the thread waits for work.

use super::super::{BrokerError, ErrorKind};
use super::fault::{Stage, Trouble, is_busy};
use super::queue::{Job, Queue, Work};
use super::store::{Member, Store};
use super::waiting::{Given, Waiting};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A writer with no rest leaves the lock free this often for this long, so that other processes get it.
const TURN: Duration = Duration::from_millis(20);
const GAP: Duration = Duration::from_micros(500);

/// At the close another process is waited for no longer than this.
const PARTING: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    store: Store,
    queue: Arc<Queue>,
    waiting: Waiting,
    path: PathBuf,
    /// All subscriptions of this broker, whoever has them.
    holders: (i64, i64),
    rested: Instant,
}

/// Says that the thread is gone, however it went.
struct End(Arc<Queue>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Writer {
    pub(super) fn new(store: Store, queue: Arc<Queue>, path: PathBuf, holders: (i64, i64)) -> Writer {
        Writer { store, waiting: Waiting::new(queue.clone()), queue, path, holders, rested: Instant::now() }
    }

    /// Runs until it is closed. What could not be done in an orderly way is the answer.
    pub(super) fn run(mut self) -> Result<(), BrokerError> {
        let _end = End(self.queue.clone());
        loop {
            let batch = self.queue.take(self.waiting.pause(self.store.glance().0));
            self.rest(batch.waited);
            let jobs = self.sort(batch.works);
            self.look_around();
            let due = self.waiting.look_at_time(self.store.glance().0);
            if due || !jobs.is_empty() {
                self.round(jobs);
            } else {
                // Nothing to do but to answer those whose time is over.
                self.waiting.deliver(Vec::new());
            }
            if batch.last {
                return self.finish();
            }
        }
    }

    fn rest(&mut self, waited: bool) {
        if !waited && self.rested.elapsed() < TURN {
            return;
        }
        if !waited {
            std::thread::sleep(GAP);
        }
        self.rested = Instant::now();
    }

    /// Puts each piece of work where it belongs.
    fn sort(&mut self, works: Vec<Work>) -> Vec<Box<dyn Job>> {
        let mut jobs: Vec<Box<dyn Job>> = Vec::with_capacity(works.len());
        for work in works {
            match work {
                Work::Job(job) if job.is_off() => drop(job),
                Work::Job(job) => jobs.push(job),
                Work::Pull(pull) => self.waiting.add(pull),
                Work::Return(member, names) => jobs.push(Box::new(GiveBack { queue: self.queue.clone(), member, names })),
                Work::Leave(member, reply) => {
                    self.waiting.close(Some(member.holder));
                    jobs.push(Box::new(Leave { member, reply }));
                }
            }
        }
        jobs
    }

    /// Has another process written, or has a clock jumped?
    fn look_around(&mut self) {
        if !self.waiting.is_empty() && (self.store.others_wrote().unwrap_or(true) || self.store.glance().1) {
            self.waiting.look_all();
        }
    }

    fn round(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        match self.transaction(&mut jobs, true) {
            Ok(given) => {
                jobs.into_iter().for_each(|job| job.answer(Ok(())));
                self.waiting.deliver(given);
            }
            // The lock is held elsewhere: nobody gets further by himself.
            Err(trouble) if is_busy(&trouble.error) => {
                let error = trouble.into_error(&self.path);
                jobs.into_iter().for_each(|job| job.answer(Err(error.clone())));
                self.waiting.fail(&error, true);
            }
            // It may have been done: doing it again could do it twice.
            Err(trouble) if trouble.stage == Stage::Commit && !trouble.is_full() => {
                let error = trouble.into_error(&self.path);
                jobs.into_iter().for_each(|job| job.answer(Err(error.clone())));
                self.waiting.fail(&error, false);
            }
            Err(trouble) => {
                if trouble.is_full() {
                    // What is in the log already can be written over once it is in the file: that alone may be room enough.
                    self.store.checkpoint(false);
                }
                self.singly(jobs);
            }
        }
    }

    /// One transaction each, so that one that fails fails alone.
    fn singly(&mut self, jobs: Vec<Box<dyn Job>>) {
        for mut job in jobs {
            let done = self.transaction(std::slice::from_mut(&mut job), false);
            job.answer(done.map(drop).map_err(|trouble| trouble.into_error(&self.path)));
        }
        match self.transaction(&mut [], true) {
            Ok(given) => self.waiting.deliver(given),
            Err(trouble) => {
                let wait = is_busy(&trouble.error);
                self.waiting.fail(&trouble.into_error(&self.path), wait);
            }
        }
    }

    fn transaction(&mut self, jobs: &mut [Box<dyn Job>], serve: bool) -> Result<Vec<Given>, Trouble> {
        self.store.begin()?;
        let mut given = Vec::new();
        let mut done = jobs.iter_mut().try_for_each(|job| job.run(&mut self.store));
        if serve && done.is_ok() {
            done = self.waiting.serve(&mut self.store, &mut given);
        }
        let done = match done {
            Ok(()) => self.store.commit(),
            Err(error) => {
                self.store.rollback();
                Err(error.into())
            }
        };
        match done {
            Ok(()) => Ok(given),
            Err(trouble) => {
                self.waiting.restore(given);
                Err(trouble)
            }
        }
    }

    /// The end: nobody waits any more, leases go back, the log goes into the file.
    fn finish(mut self) -> Result<(), BrokerError> {
        self.waiting.close(None);
        let holders = self.holders;
        let released = self.store.begin_within(PARTING).and_then(|()| {
            let done = self.store.abandon_all(holders);
            if done.is_err() {
                self.store.rollback();
            }
            done?;
            self.store.commit()
        });
        self.store.checkpoint(true);
        released.map_err(|trouble| trouble.into_error(&self.path))
    }
}

/// What a dropped pull had.
struct GiveBack {
    queue: Arc<Queue>,
    member: Arc<Member>,
    names: Vec<(i64, i64)>,
}

impl Job for GiveBack {
    fn run(&mut self, store: &mut Store) -> rusqlite::Result<()> {
        let receipt = |&(seq, lease): &(i64, i64)| super::super::Receipt::numbers(seq.unsigned_abs(), lease.unsigned_abs());
        let receipts: Vec<_> = self.names.iter().map(receipt).collect();
        store.release(&self.member, &receipts).map(drop)
    }
    fn answer(self: Box<Self>, outcome: Result<(), BrokerError>) {
        // Whatever else went wrong: it comes when its lease is over.
        if outcome.is_err_and(|error| error.kind() == ErrorKind::Busy) {
            self.queue.push_return(Work::Return(self.member, self.names));
        }
    }
    fn is_off(&self) -> bool {
        false
    }
    fn weight(&self) -> usize {
        0
    }
}

/// A subscription that ends.
struct Leave {
    member: Arc<Member>,
    reply: Option<oneshot::Sender<Result<(), BrokerError>>>,
}

impl Job for Leave {
    fn run(&mut self, store: &mut Store) -> rusqlite::Result<()> {
        store.abandon(self.member.group, (self.member.holder, self.member.holder))
    }
    fn answer(self: Box<Self>, outcome: Result<(), BrokerError>) {
        if let Some(reply) = self.reply {
            let _ = reply.send(outcome);
        }
    }
    fn is_off(&self) -> bool {
        false
    }
    fn weight(&self) -> usize {
        0
    }
}
