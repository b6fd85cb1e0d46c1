//! Giving back and burying.
//!
//! What has to go elsewhere (to come again later, or to the dead letters) is first copied there, with the server's confirm, and then acknowledged: at
//! worst it is there twice, never lost. That runs in a task of its own, so a caller who stops waiting changes nothing. Where a copy could not be made,
//! the delivery is still here, and comes again from here.

use super::super::{BrokerError, Delivery, ErrorKind, Receipt, Settled};
use super::builder::QueueKind;
use super::fault::error;
use super::member::{Held, Member, ticket};
use super::publisher::{Need, Parcel};
use super::{names, wire};
use lapin::types::ShortString;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Of a reason, so much is kept: it travels in one frame with all the properties.
const REASON_BYTES: usize = 8 << 10;

pub(super) async fn nack(member: &Arc<Member>, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
    let settings = &member.shared.settings;
    let bucket = if delay.is_zero() { None } else { Some(names::bucket(delay).map_err(|error| member.about(error))?) };
    // Here it keeps its place among those of its key; and without a delay queue there is no other place to wait.
    if member.interest.ordered || (bucket.is_some() && !settings.declare) {
        return put_back(member, receipts, delay, 1);
    }
    if bucket.is_none() && settings.queue == QueueKind::Quorum {
        return give_back(member, receipts).await;
    }
    let held = take(member, receipts)?;
    if bucket.is_none() {
        member.hush().await;
    }
    let work = {
        let (member, held) = (member.clone(), held.clone());
        async move { put_off(&member, held, delay, bucket).await }
    };
    let done = going_on(member, work, held.len()).await;
    Ok(Settled { done, stale: receipts.len() - done })
}

pub(super) async fn release(member: &Arc<Member>, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
    if member.interest.ordered {
        return put_back(member, receipts, Duration::ZERO, 0);
    }
    give_back(member, receipts).await
}

fn take(member: &Member, receipts: &[Receipt]) -> Result<Vec<Arc<Held>>, BrokerError> {
    let mut state = member.open()?;
    Ok(receipts.iter().filter_map(|receipt| state.settle(ticket(receipt))).collect())
}

/// To this member again, at its place.
fn put_back(member: &Member, receipts: &[Receipt], delay: Duration, count: u32) -> Result<Settled, BrokerError> {
    let due = (!delay.is_zero()).then(|| (Instant::now() + delay).into_std());
    let mut done = 0;
    {
        let mut state = member.open()?;
        for receipt in receipts {
            done += usize::from(state.lanes.put_back(ticket(receipt), due, |attempt| attempt.saturating_add(count)).is_some());
        }
    }
    member.bell.notify_waiters();
    Ok(Settled { done, stale: receipts.len() - done })
}

/// To any member, at once.
async fn give_back(member: &Arc<Member>, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
    drop(member.open()?);
    // Before they are taken: who stops waiting here has given back nothing.
    member.hush().await;
    let held = take(member, receipts)?;
    let done = member.requeue(&held).await?;
    Ok(Settled { done, stale: receipts.len() - done })
}

/// The work's end, whoever waits for it.
async fn going_on<T: Send + 'static>(member: &Member, work: impl Future<Output = T> + Send + 'static, otherwise: T) -> T {
    member.tasks.spawn(work).await.unwrap_or(otherwise)
}

/// Copies these to where they wait, or to the end of the queue, and then acknowledges them. So many were settled.
async fn put_off(member: &Arc<Member>, held: Vec<Arc<Held>>, delay: Duration, bucket: Option<Duration>) -> usize {
    let due = Instant::now() + delay;
    let need = match bucket {
        Some(bucket) => {
            member.shared.used_delay(&member.queue, bucket);
            Need::Delay { queue: names::delay_queue(&member.queue, bucket), bucket, for_topic: false }
        }
        None => Need::Nothing,
    };
    let key = if let Need::Delay { queue, .. } = &need { queue.as_str() } else { &member.queue };
    let mut copied = Vec::with_capacity(held.len());
    let mut parcels = Vec::with_capacity(held.len());
    for held in &held {
        match parcel(held, ShortString::default(), key, held.attempt, &[], need.clone()) {
            Ok(parcel) => {
                copied.push(held);
                parcels.push(parcel);
            }
            Err(_) => member.keep(held, Some(due)),
        }
    }
    let answers = member.shared.publishers.publish_all(&member.queue, parcels).await;
    let mut settled = Vec::with_capacity(copied.len());
    for (held, answer) in copied.into_iter().zip(answers) {
        match answer {
            Ok(()) => settled.push(held.clone()),
            // It waits here instead.
            Err(_) => member.keep(held, Some(due)),
        }
    }
    // A copy whose original cannot be acknowledged is there twice.
    let _ = member.acknowledge(&settled).await;
    held.len()
}

pub(super) async fn bury(member: &Arc<Member>, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
    let ticket = ticket(delivery.receipt());
    let held = {
        let mut state = member.open()?;
        let held = state.lanes.get(ticket).cloned();
        // It stays in its place until it has moved: in the order of keys, the next must not overtake it if it does not.
        held.filter(|_| state.burying.insert(ticket))
    };
    let Some(held) = held else { return Ok(Settled { done: 0, stale: 1 }) };
    let (attempts, reason) = (delivery.attempt().to_string(), reason[..reason.floor_char_boundary(REASON_BYTES)].to_owned());
    let work = {
        let member = member.clone();
        async move {
            let moved = move_to_dead(&member, &held, &attempts, &reason).await;
            let settled = {
                let mut state = member.state();
                state.burying.remove(&ticket);
                if moved.is_err() {
                    state.lanes.put_back(ticket, None, |attempt| attempt.saturating_add(1));
                }
                moved.as_ref().ok().and_then(|()| state.settle(ticket))
            };
            if let Some(held) = settled {
                // If that cannot be told, it is there twice.
                let _ = member.acknowledge(std::slice::from_ref(&held)).await;
            }
            member.bell.notify_waiters();
            moved
        }
    };
    let ended = Err(error(ErrorKind::Other, "the task that moved it was ended; it comes again"));
    going_on(member, work, ended).await.map(|()| Settled::all(1)).map_err(|error| member.about(error))
}

async fn move_to_dead(member: &Arc<Member>, held: &Arc<Held>, attempts: &str, reason: &str) -> Result<(), BrokerError> {
    let dead: Arc<str> = member.interest.dead_letter_topic().into();
    let added = [("winddown.dead-reason", reason), ("winddown.dead-attempts", attempts), ("winddown.dead-topic", &*member.interest.topic)];
    let exchange = ShortString::try_new(&*dead).map_err(|_| error(ErrorKind::Invalid, "the dead-letter topic's name has more than 255 bytes"))?;
    let need = if member.shared.settings.declare { Need::Exchange } else { Need::Nothing };
    let first = member.shared.publishers.publish(&dead, parcel(held, exchange, "", 0, &added, need)?).await;
    match first {
        // Nobody has joined: it waits in a queue of the topic's name.
        Err(error) if error.code() == Some(312) && member.shared.settings.declare => {
            let parcel = parcel(held, ShortString::default(), &dead, 0, &added, Need::Queue(dead.to_string()))?;
            member.shared.publishers.publish(&dead, parcel).await
        }
        answer => answer,
    }
}

fn parcel(held: &Held, exchange: ShortString, key: &str, attempts: u32, added: &[(&'static str, &str)], need: Need) -> Result<Parcel, BrokerError> {
    let properties = wire::copy(&held.properties, held.message.id(), attempts, added)?;
    let routing_key = ShortString::try_new(key).map_err(|_| error(ErrorKind::Invalid, "a queue's name has more than 255 bytes"))?;
    Ok(Parcel { exchange, routing_key, properties, body: held.message.body().clone(), need })
}
