//! One member of a group: what it pulls, what it holds, and the task that looks after that.
//!
//! Invariants:
//! 1. A pull is a task of the member's own, so a pull that is dropped cannot lose what it took: what nobody takes from the task is given back at
//!    once. The same for what lies between the task and the caller: a [`Parcel`] that nobody opens gives its content back.
//! 2. While it settles, a delivery is out of the accounts; if that fails or is dropped half way, it is in them again. So of two who settle the
//!    same, one is late.
//! 3. Leaving ends every pull and every other task of the member first, and then gives back all that it holds, with awaited answers.

use super::super::{BrokerError, Delivery, ErrorKind, Interest, Receipt, Settled};
use super::codec;
use super::core::Core;
use super::fault::{Lost, NAME, closed};
use super::fetch::Fetch;
use super::groups::Group;
use super::held::{Due, Held};
use super::passing::{Parcel, Settling};
use super::tracks::Track;
use crate::sync::{Mutex, lock};
use async_nats::Message;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Done with it.
pub(super) const ACK: Bytes = Bytes::from_static(b"+ACK");
/// Not done: deliver it again.
pub(super) const NAK: Bytes = Bytes::from_static(b"-NAK");
/// Still at it: the lease begins anew.
const PROGRESS: Bytes = Bytes::from_static(b"+WPI");

/// Answers that are awaited at the same time.
const TOGETHER: usize = 256;
/// A wait that is as good as for ever, and fits.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) struct Member {
    pub(super) core: Arc<Core>,
    pub(super) interest: Interest,
    pub(super) group: Group,
    /// In its receipts, so that those of others are told apart.
    number: u64,
    held: Mutex<Held>,
    /// The accounts changed.
    wake: Notify,
    pub(super) left: CancellationToken,
    /// Pulls, and what the keeper says to the server.
    tasks: TaskTracker,
    gone: watch::Sender<Option<Result<(), BrokerError>>>,
}

impl Member {
    /// Joins, and begins to look after what it will hold.
    pub(super) fn new(core: Arc<Core>, interest: Interest, group: Group) -> Arc<Member> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let member = Arc::new(Member {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            held: Mutex::new(Held::new(group.lease)),
            wake: Notify::new(),
            left: core.shutting.child_token(),
            tasks: TaskTracker::new(),
            gone: watch::Sender::new(None),
            core,
            interest,
            group,
        });
        member.core.members.spawn(member.clone().keep());
        member
    }

    /// Not after the close.
    pub(super) fn open(&self) -> Result<(), BrokerError> {
        if self.left.is_cancelled() { Err(self.about(closed())) } else { Ok(()) }
    }

    pub(super) fn about(&self, error: BrokerError) -> BrokerError {
        if error.topic().is_some() { error } else { error.about(self.interest.topic.clone()) }
    }

    pub(super) async fn pull(self: &Arc<Self>, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.open()?;
        if max == 0 {
            return Ok(Vec::new());
        }
        let max = if self.group.one_by_one { 1 } else { max };
        let until = Instant::now() + wait.min(LONG);
        let off = self.left.child_token();
        let _dropped = off.clone().drop_guard();
        let (say, hear) = oneshot::channel();
        let member = self.clone();
        self.tasks.spawn(async move {
            // What nobody hears goes back with the parcel's drop.
            let _ = say.send(member.fetch(max, until, &off).await);
        });
        let heard = tokio::select! {
            biased;
            () = self.left.cancelled() => Err(closed()),
            heard = hear => heard.unwrap_or_else(|_| Err(closed())),
        };
        Ok(heard.map_err(|error| self.about(error))?.open())
    }

    async fn fetch(self: Arc<Self>, max: usize, until: Instant, off: &CancellationToken) -> Result<Parcel, BrokerError> {
        let link = &self.core.link;
        let consumer = format!("{}.{}", self.group.stream, self.group.consumer);
        loop {
            if off.is_cancelled() {
                return Err(closed());
            }
            let came = Fetch { link, consumer: &consumer, max, until, off }.run().await?;
            let nothing = came.is_empty();
            let parcel = self.clone().unpack(came).await;
            // What the filter passed over is no answer.
            if nothing || !parcel.items.is_empty() {
                return Ok(parcel);
            }
        }
    }

    /// Takes what came into the accounts. What the filter does not want is settled for the group.
    async fn unpack(self: Arc<Self>, came: Vec<Message>) -> Parcel {
        let mut parcel = Parcel { member: self.clone(), items: Vec::with_capacity(came.len()) };
        let (mut unwanted, mut late) = (Vec::new(), Vec::new());
        let now = Instant::now();
        for Message { reply, headers, payload, .. } in came {
            let Some(reply) = reply else { continue };
            let Some(track) = Track::of(&reply) else { continue };
            let message = codec::decode(self.interest.topic.clone(), headers.as_ref(), payload, || track.name());
            if !self.interest.tags.wants(message.tag()) {
                unwanted.push(reply);
                continue;
            }
            let (attempt, sequence) = (track.attempt, track.sequence);
            match lock(&self.held).admit(reply.clone(), sequence, self.interest.visibility, now) {
                Some(id) => {
                    let delivery = Delivery::new(message, attempt, Receipt::numbers(id, self.number)).with_visibility(self.interest.visibility);
                    parcel.items.push((id, delivery));
                }
                None => late.push(reply),
            }
        }
        self.wake.notify_one();
        self.tell_all(unwanted, ACK).await;
        self.tell_all(late, NAK).await;
        parcel
    }

    /// Says this to the server and waits for its word.
    pub(super) async fn tell(&self, reply: &str, word: Bytes) -> Result<(), BrokerError> {
        self.core.link.request(reply, None, word).await.map(drop).map_err(Lost::into_error)
    }

    /// Says this of many. What fails comes again by itself; the first error is told.
    async fn tell_all<S: AsRef<str>>(&self, replies: Vec<S>, word: Bytes) -> Option<BrokerError> {
        let telling = replies.into_iter().map(|reply| {
            let word = word.clone();
            async move { self.tell(reply.as_ref(), word).await.err() }
        });
        stream::iter(telling).buffer_unordered(TOGETHER).fold(None, async |first, error| first.or(error)).await
    }

    /// Takes these out of the accounts to settle them. Those that are not ours any more are left out.
    fn take(self: &Arc<Self>, receipts: &[Receipt]) -> Vec<Settling> {
        let now = Instant::now();
        let mut held = lock(&self.held);
        let mine = receipts.iter().map(Receipt::as_numbers).filter(|(_, member)| *member == self.number);
        mine.filter_map(|(id, _)| Some(Settling { member: self.clone(), id, entry: Some(held.take(id, now)?) })).collect()
    }

    /// Settles these with one word.
    pub(super) async fn settle(self: &Arc<Self>, receipts: &[Receipt], word: Bytes) -> Result<Settled, BrokerError> {
        self.open()?;
        let taken = self.take(receipts);
        let (done, stale) = (taken.len(), receipts.len() - taken.len());
        let settling = taken.into_iter().map(|settling| settling.tell(word.clone()));
        let told = stream::iter(settling).buffer_unordered(TOGETHER).fold(None, async |first: Option<BrokerError>, told| first.or(told.err()));
        let error = tokio::select! { biased; error = told => error, () = self.left.cancelled() => Some(closed()) };
        error.map_or(Ok(Settled { done, stale }), |error| Err(self.about(error)))
    }

    /// One that is still ours, to be settled by hand.
    pub(super) fn take_one(self: &Arc<Self>, receipt: &Receipt) -> Option<Settling> {
        self.take(std::slice::from_ref(receipt)).pop()
    }

    pub(super) async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), BrokerError> {
        self.open()?;
        let stale = || self.about(BrokerError::new(NAME, ErrorKind::Stale, "its visibility is over or it is settled: let this delivery be"));
        let (id, member) = receipt.as_numbers();
        if member != self.number {
            return Err(stale());
        }
        let told = Instant::now();
        let reply = lock(&self.held).peek(id, told).map(|entry| entry.reply.clone()).ok_or_else(stale)?;
        tokio::select! {
            biased;
            said = self.tell(&reply, PROGRESS) => said.map_err(|error| self.about(error))?,
            () = self.left.cancelled() => return Err(self.about(closed())),
        }
        let known = self.accounts(|held| held.extend(id, told, Instant::now() + by.min(LONG)));
        if known { Ok(()) } else { Err(stale()) }
    }

    /// Leaves, and waits until it has.
    pub(super) async fn close(&self) -> Result<(), BrokerError> {
        self.left.cancel();
        let mut gone = self.gone.subscribe();
        // Leaving has its own limits, twice this; but the runtime that it was to happen in may be gone.
        let gone = timeout(self.core.close_timeout.saturating_mul(3), gone.wait_for(Option::is_some)).await;
        let late = || BrokerError::new(NAME, ErrorKind::TimedOut, "the member did not leave in time: what it holds comes again after the lease");
        let left = gone.map_err(|_| late()).and_then(|gone| gone.map_or(Ok(()), |gone| gone.clone().unwrap_or(Ok(()))));
        left.map_err(|error| self.about(error))
    }

    /// Renews what is to last longer than the server's lease, gives back what nobody settled in time, and leaves in the end.
    async fn keep(self: Arc<Self>) {
        loop {
            let next = lock(&self.held).next_due();
            let due = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.left.cancelled() => break,
                () = due => {}
                () = self.wake.notified() => continue,
            }
            let due = lock(&self.held).take_due(Instant::now());
            if !due.over.is_empty() || !due.renew.is_empty() {
                self.tasks.spawn(self.clone().tend(due));
            }
        }
        let left = self.leave().await;
        if let Err(error) = &left {
            lock(&self.core.trouble).get_or_insert_with(|| self.about(error.clone()));
        }
        self.gone.send_replace(Some(left));
    }

    async fn tend(self: Arc<Self>, due: Due) {
        let over = self.tell_all(due.over.into_iter().map(|entry| entry.reply).collect(), NAK);
        let told = Instant::now();
        let renewing = due.renew.into_iter().map(|(id, reply)| {
            let member = &self;
            async move {
                if member.tell(&reply, PROGRESS).await.is_ok() {
                    lock(&member.held).renewed(id, told);
                }
            }
        });
        let renewing = stream::iter(renewing).buffer_unordered(TOGETHER).collect::<()>();
        // What fails comes again by the lease, or is renewed a little later.
        let _ = tokio::join!(over, renewing);
        self.wake.notify_one();
    }

    async fn leave(&self) -> Result<(), BrokerError> {
        self.tasks.close();
        // They have limits of their own, which are shorter; what they have not handed over then is drained all the same.
        let _ = timeout(self.core.close_timeout, self.tasks.wait()).await;
        let held = lock(&self.held).drain();
        let telling = self.tell_all(held.into_iter().map(|entry| entry.reply).collect(), NAK);
        let late = || BrokerError::new(NAME, ErrorKind::TimedOut, "what was held could not be given back in time: it comes again after the lease");
        match timeout(self.core.close_timeout, telling).await {
            Ok(error) => error.map_or(Ok(()), Err),
            Err(_) => Err(late()),
        }
    }

    /// Changes what is known of what is held; the keeper looks again.
    pub(super) fn accounts<T>(&self, change: impl FnOnce(&mut Held) -> T) -> T {
        let changed = change(&mut lock(&self.held));
        self.wake.notify_one();
        changed
    }
}
