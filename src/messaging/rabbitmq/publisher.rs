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
use super::fault::{Stage, blocked, closed, error, failed, late, rejected, unrouted};
use super::link::{Link, Live};
use super::topology::{self, Onward};
use crate::sync::{Mutex, lock};
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Messages that wait for a topic's task.
const QUEUE: usize = 256;
/// Messages, and bytes of bodies, that are published together.
const TOGETHER: (usize, usize) = (256, 8 << 20);
/// A topic that nobody has sent to for so long gives up its channel.
const IDLE: Duration = Duration::from_secs(60);
/// How often it is looked whether the server has stopped taking messages, while an answer is awaited.
const GLANCE: Duration = Duration::from_millis(100);
/// A delay queue is declared again when this is over, which keeps the server from deleting it as unused.
const FRESH: Duration = Duration::from_secs(30);

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

struct Waiting {
    parcel: Parcel,
    answer: oneshot::Sender<Result<(), BrokerError>>,
}

impl Waiting {
    fn answer(self, answer: Result<(), BrokerError>) {
        // Who has gone does not care.
        let _ = self.answer.send(answer);
    }
}

/// The tasks, by what they publish to: a topic, or the queue of a group whose messages come again.
pub(super) struct Publishers {
    settings: Arc<Settings>,
    link: Arc<Link>,
    lanes: Mutex<HashMap<Arc<str>, mpsc::Sender<Waiting>>>,
    tasks: TaskTracker,
    over: CancellationToken,
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
        let task = Lane { publishers: self.clone(), target: target.clone(), channel: None, there: HashMap::new(), joined: false };
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

struct Lane {
    publishers: Arc<Publishers>,
    target: Arc<str>,
    channel: Option<(Arc<Live>, Channel)>,
    /// What was declared on this channel, and when.
    there: HashMap<String, Instant>,
    joined: bool,
}

impl Lane {
    async fn run(mut self, mut parcels: mpsc::Receiver<Waiting>) {
        let over = self.publishers.over.clone();
        // Dropping what is under way answers it.
        over.run_until_cancelled(async {
            while let Some(first) = self.next(&mut parcels).await {
                let mut bytes = first.parcel.body.len();
                let mut batch = vec![first];
                while batch.len() < TOGETHER.0
                    && bytes < TOGETHER.1
                    && let Ok(more) = parcels.try_recv()
                {
                    bytes += more.parcel.body.len();
                    batch.push(more);
                }
                batch.retain(|waiting| !waiting.answer.is_closed());
                self.deliver(batch).await;
            }
        })
        .await;
    }

    /// The next one; none when the task has been idle for long.
    async fn next(&self, parcels: &mut mpsc::Receiver<Waiting>) -> Option<Waiting> {
        if let Ok(next) = timeout(IDLE, parcels.recv()).await {
            return next;
        }
        {
            let mut lanes = lock(&self.publishers.lanes);
            parcels.close();
            if lanes.get(&self.target).is_some_and(mpsc::Sender::is_closed) {
                lanes.remove(&self.target);
            }
        }
        // Whoever had room reserved before.
        parcels.recv().await
    }

    fn settings(&self) -> &Settings {
        &self.publishers.settings
    }

    async fn ready(&mut self) -> Result<(Arc<Live>, Channel), BrokerError> {
        if let Some((live, channel)) = self.channel.as_ref().filter(|(live, channel)| live.is_up() && channel.status().connected()) {
            return Ok((live.clone(), channel.clone()));
        }
        self.there.clear();
        self.channel = None;
        let opened = self.publishers.link.channel(true).await?;
        self.channel = Some(opened.clone());
        Ok(opened)
    }

    /// What the message needs is there.
    async fn provide(&mut self, channel: &Channel, need: &Need) -> Result<(), BrokerError> {
        let fresh = |there: &HashMap<String, Instant>, name: &str, span: Duration| there.get(name).is_some_and(|at| at.elapsed() < span);
        let target = self.target.clone();
        let name = match need {
            Need::Nothing => return Ok(()),
            Need::Exchange => target.to_string(),
            Need::Delay { queue, .. } | Need::Queue(queue) => queue.clone(),
        };
        let span = if matches!(need, Need::Delay { .. }) { FRESH } else { Duration::MAX };
        if fresh(&self.there, &name, span) {
            return Ok(());
        }
        let settings = self.publishers.settings.clone();
        match need {
            Need::Exchange => topology::exchange(&settings, channel, &target).await?,
            Need::Queue(queue) => {
                topology::queue(&settings, channel, queue, topology::group_arguments(settings.queue, false)).await?;
            }
            Need::Delay { queue, bucket, for_topic } => {
                if *for_topic && !self.joined {
                    if !topology::was_joined(&settings, channel, &target).await? {
                        return Err(unrouted(&target, "a delayed message"));
                    }
                    self.joined = true;
                }
                let onward = if *for_topic { Onward::Topic(&target) } else { Onward::Queue(&target) };
                topology::queue(&settings, channel, queue, topology::delay_arguments(settings.queue, *bucket, onward)).await?;
            }
            Need::Nothing => {}
        }
        self.there.insert(name, Instant::now());
        Ok(())
    }

    /// Publishes these, and answers each.
    async fn deliver(&mut self, mut batch: Vec<Waiting>) {
        while !batch.is_empty() {
            let (live, channel) = match self.ready().await {
                Ok(ready) => ready,
                Err(error) => return answer_all(batch, &error.about(self.target.clone())),
            };
            // Not even begun while the alarm is on: the messages would only pile up here.
            if live.is_blocked() {
                return answer_all(batch, &blocked(Stage::Before).about(self.target.clone()));
            }
            let mut lacking = None;
            for waiting in &batch {
                if let Err(error) = self.provide(&channel, &waiting.parcel.need).await {
                    lacking = Some((waiting.parcel.need.clone(), error));
                    break;
                }
            }
            let Some((need, error)) = lacking else {
                return self.publish(&live, &channel, batch).await;
            };
            // A refusal has closed the channel. The others get another one.
            self.channel = None;
            let (without, others) = batch.into_iter().partition(|waiting| waiting.parcel.need == need);
            answer_all(without, &error.about(self.target.clone()));
            batch = others;
        }
    }

    async fn publish(&mut self, live: &Live, channel: &Channel, batch: Vec<Waiting>) {
        let until = Instant::now() + self.settings().send_timeout;
        let mut sent: Vec<(Waiting, Outcome)> = Vec::with_capacity(batch.len());
        let mut begun: Vec<(Waiting, PublisherConfirm)> = Vec::with_capacity(batch.len());
        let mut trouble = false;
        for waiting in batch {
            if trouble {
                sent.push((waiting, Outcome::NotBegun));
                continue;
            }
            let parcel = &waiting.parcel;
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let publishing =
                channel.basic_publish(parcel.exchange.clone(), parcel.routing_key.clone(), options, &parcel.body, parcel.properties.clone());
            match watched(until, live, publishing).await {
                Ok(Ok(confirm)) => begun.push((waiting, confirm)),
                Ok(Err(fault)) => {
                    trouble = true;
                    // Looked at before anything is written.
                    let outcome = match fault.kind() {
                        lapin::ErrorKind::InvalidChannelState(..) | lapin::ErrorKind::InvalidConnectionState(_) => Outcome::NotBegun,
                        _ => Outcome::Fault(fault),
                    };
                    sent.push((waiting, outcome));
                }
                Err(end) => {
                    trouble = true;
                    sent.push((waiting, end));
                }
            }
        }
        for (waiting, confirm) in begun {
            let outcome = match watched(until, live, confirm).await {
                Ok(Ok(confirmation)) => Outcome::Confirmed(confirmation),
                Ok(Err(fault)) => Outcome::Fault(fault),
                Err(end) => end,
            };
            sent.push((waiting, outcome));
        }
        if sent.iter().any(|(_, outcome)| !matches!(outcome, Outcome::Confirmed(_))) {
            self.channel = None;
        }
        self.judge(sent);
    }

    /// Who is answered what.
    fn judge(&self, sent: Vec<(Waiting, Outcome)>) {
        let alone = sent.len() == 1;
        let open = sent.iter().any(|(_, outcome)| matches!(outcome, Outcome::Late | Outcome::Blocked));
        let mut returned = BTreeSet::new();
        let mut strays = false;
        for (waiting, outcome) in &sent {
            if let Outcome::Confirmed(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = outcome {
                strays |= name_of_returned(message) != name_of(&waiting.parcel);
                returned.insert(name_of_returned(message));
            }
        }
        let what = format!("a message to `{}`", self.target);
        for (waiting, outcome) in sent {
            let answer = match outcome {
                Outcome::Confirmed(_) if returned.contains(&name_of(&waiting.parcel)) => Err(unrouted(&self.target, "the message was returned")),
                // A returned message came with another's confirm, and not all are there: this one's own may be among those that are missing.
                Outcome::Confirmed(_) if strays && open => Err(late(&what, Stage::Sent)),
                Outcome::Confirmed(Confirmation::Nack(_)) => Err(rejected()),
                Outcome::Confirmed(_) => Ok(()),
                Outcome::NotBegun => Err(error(ErrorKind::Disconnected, format!("{what}: the channel was lost before it was sent"))
                    .with_class(super::super::Class::RetryableSafe)),
                Outcome::Late => Err(late(&what, Stage::Sent)),
                Outcome::Blocked => Err(blocked(Stage::Sent)),
                Outcome::Fault(fault) => Err(self.blame(&what, &fault, &waiting.parcel, alone)),
            };
            waiting.answer(answer.map_err(|error| error.about(self.target.clone())));
        }
    }

    /// The server closes the channel because of one message; the others on it may have been stored.
    fn blame(&self, what: &str, fault: &lapin::Error, parcel: &Parcel, alone: bool) -> BrokerError {
        let mine = failed(what, fault, Stage::Sent);
        let lapin::ErrorKind::ProtocolError(answer) = fault.kind() else { return mine };
        let text = answer.get_message().as_str();
        match answer.get_id() {
            404 if self.settings().declare => {
                let text = format!("{what}: {text}: it was deleted, and is made again with the next try");
                error(ErrorKind::Unavailable, text).with_code(404)
            }
            // All of them went to the same exchange, or the server goes.
            320 | 403 | 404 => mine,
            406 if text.contains(&format!("message size {} ", parcel.body.len())) => mine,
            _ if alone => mine,
            code => {
                error(ErrorKind::Disconnected, format!("{what}: another message made the server close the channel: {text}")).with_code(code.into())
            }
        }
    }
}

enum Outcome {
    Confirmed(Confirmation),
    Fault(lapin::Error),
    NotBegun,
    Late,
    Blocked,
}

fn answer_all(batch: Vec<Waiting>, error: &BrokerError) {
    for waiting in batch {
        waiting.answer(Err(error.clone()));
    }
}

type Name = (String, String, Option<String>);

fn name_of(parcel: &Parcel) -> Name {
    let id = parcel.properties.message_id().as_ref().map(ShortString::to_string);
    (parcel.exchange.to_string(), parcel.routing_key.to_string(), id)
}

fn name_of_returned(message: &BasicReturnMessage) -> Name {
    let id = message.properties.message_id().as_ref().map(ShortString::to_string);
    (message.exchange.to_string(), message.routing_key.to_string(), id)
}

/// Waits until then at most, and no longer than the server takes messages.
async fn watched<T>(until: Instant, live: &Live, work: impl Future<Output = T>) -> Result<T, Outcome> {
    let mut work = pin!(work);
    loop {
        let now = Instant::now();
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = sleep_until(until.min(now + GLANCE)) => {}
        }
        if live.is_blocked() {
            return Err(Outcome::Blocked);
        }
        if Instant::now() >= until {
            return Err(Outcome::Late);
        }
    }
}
