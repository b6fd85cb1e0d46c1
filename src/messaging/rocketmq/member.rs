//! A member of a group: what it wants, what it holds, and how it leaves.

use super::client::Client;
use super::codes::{UNREGISTER_CLIENT, error, refused};
use super::desk::Desk;
use super::handle::Handle;
use super::leases::{Leases, RIPENS};
use super::poller::Poller;
use super::wire::Command;
use crate::messaging::{BrokerError, ErrorKind, Interest};
use crate::sync::{Mutex, lock};
use futures_util::StreamExt;
use futures_util::stream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// So many requests to settle are under way at once, for one call.
pub(super) const AT_ONCE: usize = 64;

pub(super) struct Member {
    pub(super) interest: Interest,
    /// Its name at the broker.
    pub(super) topic: String,
    pub(super) desk: Desk,
    pub(super) leases: Leases,
    pub(super) leaving: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Its subscription was given to somebody.
    pub(super) joined: AtomicBool,
    asked_to_leave: AtomicBool,
    gone: CancellationToken,
    outcome: Mutex<Option<BrokerError>>,
}

impl Member {
    pub(super) fn new(interest: &Interest, topic: String) -> Member {
        Member {
            interest: interest.clone(),
            topic,
            desk: Desk::default(),
            leases: Leases::default(),
            leaving: CancellationToken::new(),
            tasks: TaskTracker::new(),
            joined: AtomicBool::new(false),
            asked_to_leave: AtomicBool::new(false),
            gone: CancellationToken::new(),
            outcome: Mutex::default(),
        }
    }

    /// Starts a poller for each broker that has none.
    pub(super) fn poll(self: &Arc<Member>, client: &Arc<Client>, brokers: impl IntoIterator<Item = Arc<str>>) {
        for broker in brokers {
            if !self.leaving.is_cancelled() && self.desk.add_broker(&broker) {
                self.tasks.spawn(Poller::new(client.clone(), self.clone(), broker).run());
            }
        }
    }

    pub(super) fn has_left(&self) -> bool {
        self.asked_to_leave.load(Ordering::Acquire)
    }

    /// Settles by this request; an answer other than "yes" is an error.
    pub(super) async fn settle(&self, client: &Client, handle: &Handle, command: Command) -> Result<super::wire::Answer, BrokerError> {
        let address = client.address(&self.topic, &handle.broker).await?;
        let settled = client.ask(&address, command).await;
        let answer = settled.inspect_err(|error| client.doubt(&self.topic, error))?;
        match answer.code {
            super::codes::SUCCESS => Ok(answer),
            // In order, a receipt that is no longer the queue's is called illegal.
            13 => Err(refused(&super::wire::Answer { code: 208, ..answer })),
            _ => Err(refused(&answer)),
        }
    }

    /// They are there for others at once. Those that could not be given back come when their visibility is over.
    pub(super) async fn give_back(&self, client: &Client, handles: Vec<Handle>) -> Result<(), BrokerError> {
        // Some of them may have come this moment.
        sleep(RIPENS).await;
        self.each(client, handles, |handle| handle.change(Duration::ZERO)).await
    }

    /// They concern nobody in this group.
    pub(super) async fn pass_over(&self, client: &Client, handles: Vec<Handle>) {
        let _ = self.each(client, handles, Handle::ack).await;
    }

    async fn each(&self, client: &Client, handles: Vec<Handle>, command: impl Fn(&Handle) -> Command) -> Result<(), BrokerError> {
        let commands: Vec<_> = handles.into_iter().map(|handle| (command(&handle), handle)).collect();
        let one = |(command, handle): (Command, Handle)| async move { self.settle(client, &handle, command).await };
        let mut settled = stream::iter(commands).map(one).buffer_unordered(AT_ONCE);
        let mut outcome = Ok(());
        while let Some(one) = settled.next().await {
            if let Err(error) = one
                && error.kind() != ErrorKind::Stale
            {
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Begins to leave, if that has not begun, in a task of its own: whoever waits for it may go away.
    pub(super) fn leave(self: &Arc<Member>, client: &Arc<Client>) {
        if self.asked_to_leave.swap(true, Ordering::AcqRel) {
            return;
        }
        let (member, client) = (self.clone(), client.clone());
        // Should the runtime be gone, nobody waits for ever.
        let gone = self.gone.clone().drop_guard();
        let dialer = client.dialer.clone();
        let leaving = async move {
            let bound = client.settings.close_timeout;
            let left = timeout(bound, member.depart(&client)).await.unwrap_or_else(|_| {
                let text = format!("group `{}` was not left within {} ms: what was held comes again", member.interest.group, bound.as_millis());
                Err(error(ErrorKind::TimedOut, text))
            });
            client.registry.remove(&member);
            // Where it never got in, it need not get out.
            *lock(&member.outcome) = left.err().filter(|_| member.joined.load(Ordering::Acquire));
            drop(gone);
        };
        // It may be a drop that begins it, anywhere.
        dialer.tasks.spawn_on(leaving, &dialer.runtime);
    }

    /// Waits until it has left.
    pub(super) async fn left(&self) -> Result<(), BrokerError> {
        self.gone.cancelled().await;
        // A second close has nothing to say.
        lock(&self.outcome).take().map_or(Ok(()), |error| Err(error.about(self.interest.topic.clone())))
    }

    async fn depart(self: &Arc<Member>, client: &Arc<Client>) -> Result<(), BrokerError> {
        self.leaving.cancel();
        self.desk.close();
        self.tasks.close();
        self.tasks.wait().await;
        let mut held = self.leases.drain();
        held.extend(self.desk.drain().into_iter().map(|caught| caught.handle));
        let given_back = self.give_back(client, held).await;
        client.registry.remove(self);
        let unregistered = self.unregister(client).await;
        given_back.and(unregistered)
    }

    /// Tells the brokers, unless another member of the group is here.
    async fn unregister(&self, client: &Client) -> Result<(), BrokerError> {
        if client.registry.has_group(&self.interest.group) {
            return Ok(());
        }
        let Some(route) = client.known_route(&self.topic) else { return Ok(()) };
        let mut outcome = Ok(());
        for part in route.readable() {
            let command = Command::new(UNREGISTER_CLIENT).with("clientID", &client.id).with("consumerGroup", &self.interest.group);
            outcome = client.call(&part.address, command).await.map(drop).and(outcome);
        }
        outcome
    }
}
