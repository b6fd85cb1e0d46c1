//! What a subscription, its thread and librdkafka's callbacks share.

use super::super::lanes::Ticket;
use super::super::random::Random;
use super::super::{BrokerError, Delivery, Interest, Receipt, Settled};
use super::broker::Shared;
use super::builder::KafkaBuilder;
use super::context::{Alarm, log};
use super::fault::{self, closed};
use super::hold::{Commit, Hold};
use super::rebalance;
use crate::sync::{Mutex, lock};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::sync::{Arc, Condvar, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(super) type Client = BaseConsumer<Cx>;

pub(super) struct Member {
    pub(super) interest: Interest,
    pub(super) settings: Arc<KafkaBuilder>,
    /// In each receipt, so that one of another subscription is known.
    stamp: Arc<str>,
    pub(super) state: Mutex<State>,
    /// There may be something to pull, or to be told.
    pub(super) changed: Notify,
    /// Something was settled: there may be room to read on.
    pub(super) room: Condvar,
    /// Somebody wants it to leave.
    pub(super) leaving: CancellationToken,
    /// Its thread is over, and its client gone.
    pub(super) ended: CancellationToken,
    /// One commit after the other, so that an older one never overtakes.
    pub(super) turn: Mutex<()>,
    pub(super) client: Mutex<Option<Arc<Client>>>,
    pub(super) alarm: Alarm,
    pub(super) shared: Weak<Shared>,
    /// Whose threads may wait for a commit.
    runtime: Handle,
}

/// Somebody commits aside, until this is dropped: also where the runtime is gone and nobody begins.
struct Committing(Arc<Member>);

impl Drop for Committing {
    fn drop(&mut self) {
        lock(&self.0.state).committing = false;
    }
}

pub(super) struct State {
    pub(super) hold: Hold,
    /// The group has told us what is ours.
    pub(super) joined: bool,
    pub(super) closed: bool,
    pub(super) paused: bool,
    /// Something went wrong that the next pull without messages tells.
    pub(super) error: Option<BrokerError>,
    /// The client will never work again.
    pub(super) broken: Option<BrokerError>,
    /// Somebody commits aside.
    committing: bool,
    /// What was settled could not be committed before its partition went.
    pub(super) lost: Option<BrokerError>,
    /// How leaving ended.
    pub(super) left: Result<(), BrokerError>,
}

impl Member {
    pub(super) fn new(interest: Interest, shared: &Arc<Shared>, runtime: Handle) -> Member {
        let settings = shared.settings.clone();
        let hold = Hold::new(interest.ordered, interest.tags.clone(), settings.hold_messages, settings.hold_bytes, settings.metadata_bytes);
        let (error, broken, lost) = (None, None, None);
        let (joined, closed, paused, committing) = (false, false, false, false);
        Member {
            interest,
            settings,
            stamp: format!("{:x}", Random::fresh().next()).into(),
            state: Mutex::new(State { hold, joined, closed, paused, error, broken, committing, lost, left: Ok(()) }),
            changed: Notify::new(),
            room: Condvar::new(),
            leaving: CancellationToken::new(),
            ended: CancellationToken::new(),
            turn: Mutex::new(()),
            client: Mutex::new(None),
            alarm: Alarm::default(),
            runtime,
            shared: Arc::downgrade(shared),
        }
    }

    pub(super) fn about(&self, error: BrokerError) -> BrokerError {
        error.about(self.interest.topic.clone())
    }

    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.leaving.cancel();
        self.changed.notify_waiters();
        self.room.notify_one();
    }

    /// What is there now, or when to look again.
    pub(super) fn take(&self, max: usize, now: Instant) -> Result<Result<Vec<Delivery>, Option<Instant>>, BrokerError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(self.about(closed()));
        }
        let taken = state.hold.take(max, now);
        if taken.is_empty() {
            let told = state.broken.clone().or_else(|| state.error.take());
            return told.map_or_else(|| Ok(Err(state.hold.next_due(now))), |error| Err(self.about(error)));
        }
        drop(state);
        let receipt = |ticket: Ticket| Receipt::numbers(ticket.place, ticket.turn).with_text(self.stamp.clone());
        Ok(Ok(taken.into_iter().map(|one| Delivery::new(one.thing.message, one.attempt, receipt(one.ticket))).collect()))
    }

    /// Settles each of these in this way.
    pub(super) fn settle(&self, receipts: &[Receipt], way: impl Fn(&mut Hold, Ticket) -> bool) -> Result<Settled, BrokerError> {
        let mut settled = Settled::default();
        let mut state = lock(&self.state);
        if state.closed {
            return Err(self.about(closed()));
        }
        for receipt in receipts {
            let (place, turn) = receipt.as_numbers();
            let ours = receipt.as_text() == Some(&*self.stamp);
            if ours && way(&mut state.hold, Ticket { place, turn }) { settled.done += 1 } else { settled.stale += 1 }
        }
        drop(state);
        // What was given back may be another task's.
        self.changed.notify_waiters();
        self.room.notify_one();
        Ok(settled)
    }

    /// Commits everything that is settled, and waits for the answer: on a thread that may wait.
    ///
    /// # Errors
    /// The server's last answer, when time is up.
    pub(super) fn commit(&self, client: &Client, until: Instant) -> Result<(), BrokerError> {
        loop {
            // Not over the pause: a revocation waits for its turn, and the group for the revocation.
            let turn = lock(&self.turn);
            let (commits, lost) = {
                let mut state = lock(&self.state);
                (state.hold.commits(), state.lost.take())
            };
            if let Some(lost) = lost {
                return Err(lost);
            }
            if commits.is_empty() {
                return Ok(());
            }
            match client.commit(&self.list(&commits), CommitMode::Sync) {
                Ok(()) => {
                    lock(&self.state).hold.confirmed(&commits);
                    return Ok(());
                }
                // While the group shares its partitions out anew it takes no commits. What goes is committed when it goes.
                Err(error) if passes(&error) && Instant::now() < until => drop(turn),
                Err(error) => return Err(fault::of(&error)),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Commits everything that is settled, aside. Nothing if that is being done, or there is nothing.
    pub(super) fn commit_aside(self: &Arc<Member>, client: &Arc<Client>) {
        let mut state = lock(&self.state);
        if state.committing || state.hold.commits().is_empty() {
            return;
        }
        state.committing = true;
        drop(state);
        let (over, client) = (Committing(self.clone()), client.clone());
        self.runtime.spawn_blocking(move || {
            let until = Instant::now() + over.0.settings.commit_every;
            if let Err(error) = over.0.commit(&client, until) {
                // Whoever asks for a commit hears it; the next one says it all again.
                tracing::debug!(target: "winddown::kafka", %error, topic = &*over.0.interest.topic, "a commit");
            }
        });
    }

    pub(super) fn list(&self, commits: &[Commit]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for commit in commits {
            let mut element = list.add_partition(&self.interest.topic, commit.partition);
            // An offset that the server gave fits.
            let _ = element.set_offset(Offset::Offset(commit.mark.offset as i64));
            if !commit.mark.text.is_empty() {
                element.set_metadata(&commit.mark.text);
            }
        }
        list
    }
}

fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::RebalanceInProgress
                | Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::StaleMemberEpoch
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::WaitingForCoordinator
                | Code::BrokerTransportFailure
                | Code::RequestTimedOut
        )
    )
}

/// The context of a member's client: librdkafka calls it on the member's thread, inside a poll.
pub(super) struct Cx(pub(super) Arc<Member>);

impl ClientContext for Cx {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.alarm.ring(&error, reason);
        tracing::debug!(target: "winddown::kafka", %error, reason, topic = &*self.0.interest.topic, "a connection");
    }
}

impl ConsumerContext for Cx {
    fn rebalance(&self, client: &Client, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        rebalance::rebalance(&self.0, client, what, list);
    }
}
