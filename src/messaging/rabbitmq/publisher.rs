//! Publishing, with the server's word for each message.
//!
//! Each topic has a task with a channel of its own, which takes what has come together, publishes it, and waits for all of its confirms before
//! it answers anybody. So one round trip serves all who came meanwhile.
//!
//! Invariants:
//! 1. `Ok` means that the server has confirmed this message and has not returned it. The client library hands a returned message to whichever confirm
//!    comes next; only when all confirms of a batch are there is it known whose it is, and nobody else publishes on the channel.
//! 2. Who no longer waits for an answer changes nothing: a message whose sender has gone before its turn is left out, one whose turn has come is sent.
//! 3. Every answer comes within the timeouts: for a channel, for a declaration, for the confirms.
//! 4. A channel on which anything went wrong is not used again.

use super::super::{BrokerError, Bytes, ErrorKind};
use super::builder::Settings;
use super::fault::{closed, error};
use super::lane::Lane;
use super::link::Link;
use crate::sync::{Mutex, lock};
use lapin::BasicProperties;
use lapin::types::ShortString;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages that wait for a topic's task.
const QUEUE: usize = 256;

/// What has to be there before a message is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The topic's exchange.
    Exchange,
    /// A delay queue; for a topic, only if a group has joined it.
    Delay { queue: String, bucket: Duration, for_topic: bool },
    /// A durable queue of this name.
    Queue(String),
    /// Nothing.
    Nothing,
}

/// A message on its way to an exchange.
pub(super) struct Parcel {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
    pub(super) need: Need,
}

pub(super) struct Waiting {
    pub(super) parcel: Parcel,
    pub(super) answer: oneshot::Sender<Result<(), BrokerError>>,
}

impl Waiting {
    pub(super) fn answer(self, answer: Result<(), BrokerError>) {
        // Who has gone does not care.
        let _ = self.answer.send(answer);
    }
}

/// The tasks, by what they publish to: a topic, or the queue of a group whose messages come again.
pub(super) struct Publishers {
    pub(super) settings: Arc<Settings>,
    pub(super) link: Arc<Link>,
    pub(super) lanes: Mutex<HashMap<Arc<str>, mpsc::Sender<Waiting>>>,
    tasks: TaskTracker,
    pub(super) over: CancellationToken,
}

impl Publishers {
    pub(super) fn new(settings: Arc<Settings>, link: Arc<Link>) -> Arc<Publishers> {
        Arc::new(Publishers { settings, link, lanes: Mutex::default(), tasks: TaskTracker::new(), over: CancellationToken::new() })
    }

    /// Publishes one.
    pub(super) async fn publish(self: &Arc<Self>, target: &Arc<str>, parcel: Parcel) -> Result<(), BrokerError> {
        match self.hand_over(target, parcel).await {
            Ok(answer) => answer.await.unwrap_or_else(|_| Err(closed().about(target.clone()))),
            Err(error) => Err(error),
        }
    }

    /// Publishes several; an answer for each, in order.
    pub(super) async fn publish_all(self: &Arc<Self>, target: &Arc<str>, parcels: Vec<Parcel>) -> Vec<Result<(), BrokerError>> {
        let mut handed = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            handed.push(self.hand_over(target, parcel).await);
        }
        let mut answers = Vec::with_capacity(handed.len());
        for one in handed {
            answers.push(match one {
                Ok(answer) => answer.await.unwrap_or_else(|_| Err(closed().about(target.clone()))),
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn hand_over(self: &Arc<Self>, target: &Arc<str>, parcel: Parcel) -> Result<oneshot::Receiver<Result<(), BrokerError>>, BrokerError> {
        let (answer, receiver) = oneshot::channel();
        let until = Instant::now() + self.settings.send_timeout;
        loop {
            if self.over.is_cancelled() {
                return Err(closed().about(target.clone()));
            }
            let lane = self.lane(target);
            match timeout_at(until, lane.reserve()).await {
                Ok(Ok(room)) => {
                    room.send(Waiting { parcel, answer });
                    return Ok(receiver);
                }
                // The task ended at this moment; there is another next time.
                Ok(Err(_)) => {}
                Err(_) => {
                    let text = "more messages are waiting to be sent than the server takes; nothing was sent";
                    return Err(error(ErrorKind::Busy, text).about(target.clone()));
                }
            }
        }
    }

    fn lane(self: &Arc<Self>, target: &Arc<str>) -> mpsc::Sender<Waiting> {
        let mut lanes = lock(&self.lanes);
        if let Some(lane) = lanes.get(target).filter(|lane| !lane.is_closed()) {
            return lane.clone();
        }
        let (lane, parcels) = mpsc::channel(QUEUE);
        lanes.insert(target.clone(), lane.clone());
        let task = Lane::new(self.clone(), target.clone());
        self.tasks.spawn(task.run(parcels));
        lane
    }

    /// Ends all of them; what is under way is answered as closed.
    pub(super) async fn close(&self) {
        self.over.cancel();
        lock(&self.lanes).clear();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The same, without waiting.
    pub(super) fn end(&self) {
        self.over.cancel();
    }
}
