//! What one subscription holds: what the server has given it, what of that is with the caller, and what pulls are asking for.
//!
//! The [pump](super::pump) fetches, [pulls](super::pull) take.

use super::super::lanes::{Lanes, Ticket};
use super::super::{BrokerError, Interest, Message, Receipt};
use super::broker::Shared;
use super::fault::{Stage, closed, error, failed, late};
use super::{heritage, names, pump, topology, wire};
use crate::messaging::ErrorKind;
use crate::sync::{Mutex, lock};
use futures_util::future::join_all;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Acker, BasicProperties, Channel};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the names of dead-letter topics end in.
const DEAD: &str = ".dead";

/// One delivery.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) acker: Acker,
    /// Which consumer it came by: its prefetch counts it until it is settled.
    pub(super) consumer: u64,
    pub(super) properties: BasicProperties,
    pub(super) message: Message,
    pub(super) attempt: u32,
}

/// The consumer that the server gives to now.
pub(super) struct Consuming {
    pub(super) number: u64,
    /// So many it gives without an answer, and so many of those there are.
    pub(super) limit: usize,
    pub(super) used: usize,
}

pub(super) struct State {
    pub(super) lanes: Lanes<Arc<Held>>,
    pub(super) channel: Option<Channel>,
    pub(super) consuming: Option<Consuming>,
    pub(super) consumers: u64,
    /// What is being buried: a second call for the same changes nothing.
    pub(super) burying: HashSet<Ticket>,
    /// What the waiting pulls ask for, together.
    pub(super) demand: usize,
    /// When something was asked for or settled last.
    pub(super) stirred: Instant,
    /// Stop consuming, so that what is given back does not come here again.
    pub(super) hush: bool,
    /// Tries to get a channel that failed, and why the last one did.
    pub(super) failures: u64,
    pub(super) failure: Option<BrokerError>,
    /// Something was settled that no answer has followed yet; or the channel was lost before one did.
    unflushed: bool,
    unsure: bool,
    closed: bool,
}

impl State {
    /// It has left: its consumer has room for another.
    fn left(&mut self, held: &Held) {
        if let Some(consuming) = self.consuming.as_mut().filter(|consuming| consuming.number == held.consumer) {
            consuming.used = consuming.used.saturating_sub(1);
        }
        self.stirred = Instant::now();
    }

    /// Takes it out for good, if the ticket is good.
    pub(super) fn settle(&mut self, ticket: Ticket) -> Option<Arc<Held>> {
        let held = self.lanes.settle(ticket)?;
        self.left(&held);
        Some(held)
    }

    /// What waits here and may go now, taken out for good.
    pub(super) fn take_waiting(&mut self) -> Vec<Arc<Held>> {
        let taken = self.lanes.take(usize::MAX, Instant::now().into_std());
        taken.into_iter().filter_map(|one| self.settle(one.ticket)).collect()
    }
}

pub(super) struct Member {
    pub(super) shared: Arc<Shared>,
    pub(super) interest: Interest,
    pub(super) queue: Arc<str>,
    state: Mutex<State>,
    /// Something is there for pulls, or they have to look why not.
    pub(super) bell: Notify,
    /// The pump has to look.
    pub(super) pump: Notify,
    /// The consumer has stopped.
    pub(super) quiet: Notify,
    pub(super) leaving: CancellationToken,
    pub(super) ended: CancellationToken,
    /// Settling that goes on whether its caller waits or not.
    pub(super) tasks: TaskTracker,
}

impl Member {
    /// Joins the group: what it needs is declared, and the pump runs.
    pub(super) async fn join(shared: Arc<Shared>, interest: Interest) -> Result<Arc<Member>, BrokerError> {
        let queue: Arc<str> = names::queue(&interest.topic, &interest.group).into();
        let (_, channel) = shared.receiving.channel(false).await?;
        topology::group(&shared.settings, &channel, &interest).await?;
        let state = State {
            lanes: Lanes::new(),
            channel: Some(channel),
            consuming: None,
            consumers: 0,
            burying: HashSet::new(),
            demand: 0,
            stirred: Instant::now(),
            hush: false,
            failures: 0,
            failure: None,
            unflushed: false,
            unsure: false,
            closed: false,
        };
        let member = Arc::new(Member {
            shared,
            interest,
            queue,
            state: Mutex::new(state),
            bell: Notify::new(),
            pump: Notify::new(),
            quiet: Notify::new(),
            leaving: CancellationToken::new(),
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        if member.shared.settings.declare && member.interest.topic.ends_with(DEAD) {
            member.tasks.spawn(heritage::inherit(member.clone()));
        }
        member.shared.tasks.spawn(pump::run(member.clone()));
        Ok(member)
    }

    pub(super) fn state(&self) -> crate::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn about(&self, error: BrokerError) -> BrokerError {
        error.about(self.interest.topic.clone())
    }

    /// The state, unless it was closed.
    pub(super) fn open(&self) -> Result<crate::sync::MutexGuard<'_, State>, BrokerError> {
        let state = self.state();
        if state.closed { Err(self.about(closed())) } else { Ok(state) }
    }

    /// Takes in what came, unless nobody here wants it: then the group has handled it.
    pub(super) fn take_in(&self, number: u64, delivery: lapin::message::Delivery) -> Option<Acker> {
        let lapin::message::Delivery { properties, data, acker, .. } = delivery;
        let attempt = wire::attempts_before(&properties).saturating_add(1);
        let message = wire::decode(&self.interest.topic, &properties, data);
        let mut state = self.state();
        if !self.interest.tags.wants(message.tag()) {
            state.unflushed = true;
            return Some(acker);
        }
        let key = message.key_shared().filter(|_| self.interest.ordered && message.is_ordered());
        let held = Held { acker, consumer: number, properties, message, attempt };
        if let Some(consuming) = state.consuming.as_mut().filter(|consuming| consuming.number == number) {
            consuming.used += 1;
        }
        state.lanes.push(key, attempt, None, Arc::new(held));
        None
    }

    /// What was settled but could not be told is held here until then, and comes again.
    pub(super) fn keep(&self, held: &Held, due: Option<Instant>) {
        // What came by a channel that is lost comes again by another.
        if held.acker.usable() {
            let again = Held { attempt: held.attempt.saturating_add(1), ..held.clone() };
            self.state().lanes.push(None, again.attempt, due.map(Instant::into_std), Arc::new(again));
            self.bell.notify_waiters();
        }
    }

    /// The channel is lost, and with it all that came by it: the server gives it to somebody again.
    pub(super) fn lose(&self) {
        let mut state = self.state();
        state.channel = None;
        state.consuming = None;
        state.hush = false;
        state.unsure |= std::mem::take(&mut state.unflushed);
        state.lanes.drain(|_| true);
        drop(state);
        self.quiet.notify_waiters();
        self.bell.notify_waiters();
    }

    pub(super) fn fail(&self, error: BrokerError) {
        let mut state = self.state();
        state.failures += 1;
        state.failure = Some(error);
        drop(state);
        self.bell.notify_waiters();
    }

    /// Tells the server that these were handled. So many it was told of; the others it gives to somebody again.
    pub(super) async fn acknowledge(&self, held: &[Arc<Held>]) -> Result<usize, BrokerError> {
        if held.is_empty() {
            return Ok(0);
        }
        self.state().unflushed = true;
        let told = join_all(held.iter().map(|held| held.acker.ack(BasicAckOptions::default())));
        self.told("an acknowledgement", timeout(self.shared.settings.connect_timeout, told).await)
    }

    /// Gives these back to the queue: the server gives them to any member at once.
    pub(super) async fn requeue(&self, held: &[Arc<Held>]) -> Result<usize, BrokerError> {
        if held.is_empty() {
            return Ok(0);
        }
        self.state().unflushed = true;
        let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        let told = join_all(held.iter().map(|held| held.acker.nack(options)));
        self.told("giving back", timeout(self.shared.settings.connect_timeout, told).await)
    }

    fn told(&self, what: &str, told: Result<Vec<lapin::Result<bool>>, tokio::time::error::Elapsed>) -> Result<usize, BrokerError> {
        self.pump.notify_one();
        let told = told.map_err(|_| self.about(late(what, Stage::Sent)))?;
        let mut done = 0;
        for one in told {
            // False: the channel was lost before, and the delivery with it.
            done += usize::from(one.map_err(|fault| self.about(failed(what, &fault, Stage::Sent)))?);
        }
        Ok(done)
    }

    /// Returns when the server has all that was settled on the channel.
    pub(super) async fn flush(&self) -> Result<(), BrokerError> {
        let (channel, unsure) = {
            let mut state = self.open()?;
            let unsure = std::mem::take(&mut state.unsure);
            (state.channel.clone().filter(|_| std::mem::take(&mut state.unflushed)), unsure)
        };
        if unsure {
            let text = "the connection was lost before the server confirmed what was settled; some of it may come again";
            return Err(self.about(error(ErrorKind::Disconnected, text)));
        }
        let Some(channel) = channel else { return Ok(()) };
        // Acknowledgements have no answer. This has, and the channel does one after the other.
        let counted = topology::count(&self.shared.settings, &channel, &self.queue).await;
        counted.map(drop).map_err(|error| {
            self.state().unflushed = true;
            self.about(error.with_class(super::super::Class::RetryableAmbiguous))
        })
    }

    /// If nobody here is asking, the consumer stops first: what is given back next is for others.
    pub(super) async fn hush(&self) {
        let quiet = async {
            loop {
                let mut quiet = std::pin::pin!(self.quiet.notified());
                quiet.as_mut().enable();
                {
                    let mut state = self.state();
                    if state.demand > 0 || state.consuming.is_none() {
                        return;
                    }
                    state.hush = true;
                }
                self.pump.notify_one();
                quiet.await;
            }
        };
        // If the server does not answer, it will not hear of the giving back either.
        let _ = timeout(self.shared.settings.connect_timeout, quiet).await;
    }

    /// Leaves the group, without waiting.
    pub(super) fn leave(&self) {
        self.state().closed = true;
        self.leaving.cancel();
        self.bell.notify_waiters();
    }

    /// Leaves the group.
    pub(super) async fn close(&self) -> Result<(), BrokerError> {
        self.leave();
        let within = self.shared.settings.close_timeout * 2 + Duration::from_secs(1);
        let ended = timeout(within, self.ended.cancelled()).await;
        ended.map_err(|_| self.about(late("leaving the group", Stage::Before)))
    }
}

/// The ticket that a receipt carries.
pub(super) fn ticket(receipt: &Receipt) -> Ticket {
    let (place, turn) = receipt.as_numbers();
    Ticket { place, turn }
}
