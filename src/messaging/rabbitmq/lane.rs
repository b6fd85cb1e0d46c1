//! One topic's task: takes what has come together, publishes it, and waits for all of its confirms.

use super::super::BrokerError;
use super::builder::Settings;
use super::fault::{Stage, blocked, unrouted};
use super::link::Live;
use super::publisher::{Need, Publishers, Waiting};
use super::topology::{self, Onward};
use super::verdict::{Outcome, judge};
use crate::sync::lock;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, PublisherConfirm};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Messages, and bytes of bodies, that are published together.
const TOGETHER: (usize, usize) = (256, 8 << 20);
/// A topic that nobody has sent to for so long gives up its channel.
const IDLE: Duration = Duration::from_secs(60);
/// How often it is looked whether the server has stopped taking messages, while an answer is awaited.
const GLANCE: Duration = Duration::from_millis(100);
/// A delay queue is declared again when this is over, which keeps the server from deleting it as unused.
const FRESH: Duration = Duration::from_secs(30);

pub(super) struct Lane {
    publishers: Arc<Publishers>,
    target: Arc<str>,
    channel: Option<(Arc<Live>, Channel)>,
    /// What was declared on this channel, and when.
    there: HashMap<String, Instant>,
    joined: bool,
}

impl Lane {
    pub(super) fn new(publishers: Arc<Publishers>, target: Arc<str>) -> Lane {
        Lane { publishers, target, channel: None, there: HashMap::new(), joined: false }
    }

    pub(super) async fn run(mut self, mut parcels: mpsc::Receiver<Waiting>) {
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
        // Nothing would be written, not even the wish for a channel.
        if self.publishers.link.connection().await?.is_blocked() {
            return Err(blocked(Stage::Before));
        }
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
            Need::Exchange => format!("exchange {target}"),
            Need::Delay { queue, .. } | Need::Queue(queue) => format!("queue {queue}"),
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
                Ok(Ok(confirmation)) => Outcome::confirmed(confirmation),
                Ok(Err(fault)) => Outcome::Fault(fault),
                Err(end) => end,
            };
            sent.push((waiting, outcome));
        }
        if sent.iter().any(|(_, outcome)| !matches!(outcome, Outcome::Confirmed { .. })) {
            self.channel = None;
        }
        judge(&self.target, self.settings().declare, sent);
    }
}

fn answer_all(batch: Vec<Waiting>, error: &BrokerError) {
    for waiting in batch {
        waiting.answer(Err(error.clone()));
    }
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
