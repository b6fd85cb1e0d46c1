//! Pulls that wait, and the way back of what they were given and did not take.
//!
//! Invariants:
//! 1. What a transaction leased is in the puller's hands, or in a [`Parcel`], whose drop gives it back. Between the commit and the parcel lies no
//!    wait.
//! 2. A line is looked at only when something may have come: it is new, its topic or group was touched, something is due, or another process wrote.

use super::super::{BrokerError, Delivery, Receipt};
use super::clock::Now;
use super::queue::{Queue, Work, closed};
use super::store::{Leased, Member, Store};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Another process's writes are noticed within this time.
const POLL: Duration = Duration::from_millis(25);

/// Leases are searched for impossible ends this often, while somebody waits.
const HEAL: Duration = Duration::from_secs(1);

/// What a pull is answered with: its drop gives back.
pub(super) struct Parcel {
    queue: Arc<Queue>,
    member: Arc<Member>,
    leased: Vec<Leased>,
}

impl Parcel {
    pub(super) fn open(mut self) -> Vec<Delivery> {
        let visibility = self.member.interest.visibility;
        let leased = std::mem::take(&mut self.leased);
        let delivery = |one: Leased| {
            let receipt = Receipt::numbers(one.seq.unsigned_abs(), one.lease.unsigned_abs());
            Delivery::new(one.message, u32::try_from(one.attempt).unwrap_or(u32::MAX), receipt).with_visibility(visibility)
        };
        leased.into_iter().map(delivery).collect()
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if !self.leased.is_empty() {
            let names = self.leased.iter().map(|one| (one.seq, one.lease)).collect();
            self.queue.push_return(Work::Return(self.member.clone(), names));
        }
    }
}

/// One pull.
pub(super) struct Pull {
    pub(super) member: Arc<Member>,
    pub(super) max: usize,
    pub(super) until: Instant,
    pub(super) reply: oneshot::Sender<Result<Parcel, BrokerError>>,
}

impl Pull {
    fn answer(self, queue: &Arc<Queue>, leased: Vec<Leased>) {
        let parcel = Parcel { queue: queue.clone(), member: self.member, leased };
        let _ = self.reply.send(Ok(parcel));
    }
    fn refuse(self, error: BrokerError) {
        let _ = self.reply.send(Err(error));
    }
}

/// A pull and what this transaction leases to it.
pub(super) struct Given(Pull, Vec<Leased>);

/// The pulls of one group.
struct Line {
    pulls: VecDeque<Pull>,
    /// There may be something.
    look: bool,
    /// The next row is due then, if one is: by wall time and by lease time.
    due: (Option<i64>, Option<i64>),
    /// Why the last look failed.
    trouble: Option<BrokerError>,
}

impl Line {
    fn is_due(&self, now: Now) -> bool {
        self.due.0.is_some_and(|due| due <= now.wall) || self.due.1.is_some_and(|due| due <= now.lease)
    }
}

/// All of them.
pub(super) struct Waiting {
    queue: Arc<Queue>,
    lines: HashMap<i64, Line>,
    healed: Instant,
}

impl Waiting {
    pub(super) fn new(queue: Arc<Queue>) -> Waiting {
        Waiting { queue, lines: HashMap::new(), healed: Instant::now() }
    }

    pub(super) fn add(&mut self, pull: Pull) {
        if pull.member.has_left() {
            return pull.refuse(closed());
        }
        let new = || Line { pulls: VecDeque::new(), look: true, due: (None, None), trouble: None };
        let line = self.lines.entry(pull.member.group).or_insert_with(new);
        line.look = true;
        line.pulls.push_back(pull);
    }

    /// For how long the thread may sleep; `None`: until it is asked something.
    pub(super) fn pause(&self, now: Now) -> Option<Duration> {
        let line = |line: &Line| {
            if line.look {
                return Duration::ZERO;
            }
            let ends = line.pulls.iter().map(|pull| pull.until).min().map(|until| until.saturating_duration_since(Instant::now()));
            let left = |due: Option<i64>, now: i64| due.map(|due| Duration::from_millis(due.saturating_sub(now).max(0).unsigned_abs()));
            [ends, left(line.due.0, now.wall), left(line.due.1, now.lease)].into_iter().flatten().fold(POLL, Duration::min)
        };
        self.lines.values().map(line).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Notes that there may be something for all: another process has written.
    pub(super) fn look_all(&mut self) {
        self.lines.values_mut().for_each(|line| line.look = true);
    }

    /// Forgets who has gone, and says whether a transaction is worth while.
    pub(super) fn look_at_time(&mut self, now: Now) -> bool {
        let heal = self.healed.elapsed() >= HEAL;
        self.lines.retain(|_, line| {
            line.pulls.retain(|pull| !pull.reply.is_closed());
            line.look |= line.is_due(now);
            !line.pulls.is_empty()
        });
        !self.lines.is_empty() && (heal || self.lines.values().any(|line| line.look))
    }

    /// Inside a transaction: leases to those who wait what there is for them.
    pub(super) fn serve(&mut self, store: &mut Store, given: &mut Vec<Given>) -> rusqlite::Result<()> {
        if self.healed.elapsed() >= HEAL {
            self.healed = Instant::now();
            for group in self.lines.keys() {
                store.heal_leases(*group)?;
            }
        }
        for (group, line) in &mut self.lines {
            let concerned = line.pulls.front().is_some_and(|pull| store.touched.concerns(pull.member.topic, *group));
            if line.look || concerned {
                line.look = true;
                line.serve(*group, store, given)?;
            }
        }
        Ok(())
    }

    /// After the commit.
    pub(super) fn deliver(&mut self, given: Vec<Given>) {
        for Given(pull, leased) in given {
            pull.answer(&self.queue, leased);
        }
        let now = Instant::now();
        for line in self.lines.values_mut() {
            line.trouble = None;
            // While there is more to look through, the time may run over.
            if !line.look {
                line.end(&self.queue, now);
            }
        }
        self.lines.retain(|_, line| !line.pulls.is_empty());
    }

    /// After a rollback: nothing was leased, and there may be something still.
    pub(super) fn restore(&mut self, given: Vec<Given>) {
        for Given(pull, _) in given.into_iter().rev() {
            let group = pull.member.group;
            self.add(pull);
            // It was the first, unless it has left.
            if let Some(line) = self.lines.get_mut(&group) {
                line.pulls.rotate_right(1);
            }
        }
    }

    /// The lines could not be served. Who waits goes on waiting where that may help, to the end of the time.
    pub(super) fn fail(&mut self, error: &BrokerError, wait: bool) {
        let now = Instant::now();
        for line in self.lines.values_mut().filter(|line| line.look) {
            line.trouble = Some(error.clone());
            if wait {
                line.end(&self.queue, now);
            } else {
                line.pulls.drain(..).for_each(|pull| pull.refuse(error.clone()));
            }
        }
        self.lines.retain(|_, line| !line.pulls.is_empty());
    }

    /// Ends the pulls of a subscription, or all.
    pub(super) fn close(&mut self, holder: Option<i64>) {
        for line in self.lines.values_mut() {
            for pull in std::mem::take(&mut line.pulls) {
                if holder.is_none_or(|holder| holder == pull.member.holder) {
                    pull.refuse(closed());
                } else {
                    line.pulls.push_back(pull);
                }
            }
        }
        self.lines.retain(|_, line| !line.pulls.is_empty());
    }
}

impl Line {
    fn serve(&mut self, group: i64, store: &mut Store, given: &mut Vec<Given>) -> rusqlite::Result<()> {
        while let Some(pull) = self.pulls.front() {
            let taken = store.take(&pull.member, pull.max)?;
            if !taken.leased.is_empty() {
                let pull = self.pulls.pop_front().expect("the pull that was looked at");
                given.push(Given(pull, taken.leased));
            } else if taken.more {
                return Ok(());
            } else {
                // Nothing for the first, so nothing for the others.
                self.look = false;
                self.due = store.next_due(group)?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Answers those whose time is over.
    fn end(&mut self, queue: &Arc<Queue>, now: Instant) {
        for pull in std::mem::take(&mut self.pulls) {
            if pull.until > now {
                self.pulls.push_back(pull);
            } else if let Some(error) = &self.trouble {
                pull.refuse(error.clone());
            } else {
                pull.answer(queue, Vec::new());
            }
        }
    }
}
