//! Fetching for one subscription: opens the channel again when it was lost, consumes while pulls ask, and gives back what nobody came for.
//!
//! A consumer's prefetch is what the pulls asked for when it began, so the server gives no more than that ahead. Where the caller holds all of it and
//! asks for more, the next consumer begins; the deliveries of the one before stay good. When nobody has asked for a moment, the consumer ends and what
//! it has fetched goes back, so that other members get it.
//!
//! In the order of keys it consumes from the beginning to the end: the server gives the queue to one member at a time, until that leaves.

use super::super::Backoff;
use super::super::random::Random;
use super::fault::{Stage, failed, late};
use super::member::{Consuming, Member};
use super::topology;
use crate::messaging::BrokerError;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// Between tries to consume.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
/// For so long a consumer outlives the last pull and the last settlement: longer than a consumer that is busy needs to ask again, and shorter than
/// anybody notices.
const LINGER: Duration = Duration::from_millis(50);

/// Why a consumer ended.
enum End {
    /// Another one is to follow, with more room.
    Renew,
    /// Nobody asks.
    Idle,
    /// The channel, or the queue, is gone.
    Lost,
}

/// Runs until the subscription is left, and leaves it.
pub(super) async fn run(member: Arc<Member>) {
    let leaving = member.leaving.clone();
    // What is dropped here half done ends with the channel.
    leaving.run_until_cancelled(fetch(&member)).await;
    finish(&member).await;
    member.ended.cancel();
}

async fn fetch(member: &Arc<Member>) {
    let (mut failed_tries, mut random) = (0u32, Random::fresh());
    loop {
        wanted(member).await;
        let began = Instant::now();
        let ended = match channel(member).await {
            Ok(channel) => consume(member, &channel).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(End::Renew | End::Idle) => {
                failed_tries = 0;
                continue;
            }
            Ok(End::Lost) => {}
            Err(error) => member.fail(error),
        }
        member.lose();
        failed_tries = if began.elapsed() > BACKOFF.max { 1 } else { failed_tries.saturating_add(1) };
        sleep(BACKOFF.pause(failed_tries, &mut random)).await;
    }
}

/// Returns when somebody asks.
async fn wanted(member: &Member) {
    loop {
        let look = member.pump.notified();
        if member.interest.ordered || member.state().demand > 0 {
            return;
        }
        look.await;
    }
}

async fn channel(member: &Member) -> Result<Channel, BrokerError> {
    if let Some(channel) = member.state().channel.clone().filter(|channel| channel.status().connected()) {
        return Ok(channel);
    }
    // What was held on the one before is lost, whoever notices first.
    member.lose();
    let (_, channel) = member.shared.receiving.channel(false).await?;
    topology::group(&member.shared.settings, &channel, &member.interest).await?;
    let mut state = member.state();
    state.channel = Some(channel.clone());
    state.failure = None;
    Ok(channel)
}

async fn consume(member: &Arc<Member>, channel: &Channel) -> Result<End, BrokerError> {
    let most = member.shared.settings.prefetch;
    let (number, limit) = {
        let mut state = member.state();
        let limit = if member.interest.ordered { most } else { u16::try_from(state.demand).unwrap_or(most).clamp(1, most) };
        state.consumers += 1;
        (state.consumers, limit)
    };
    let tag = format!("{}-{number}", member.queue);
    let tag = tag.get(tag.len().saturating_sub(255)..).unwrap_or("winddown");
    let what = format!("consuming from the queue `{}`", member.queue);
    let beginning = async {
        channel.basic_qos(limit, BasicQosOptions::default()).await?;
        // From here on deliveries may come, and the stream has them.
        member.state().consuming = Some(Consuming { number, limit: limit.into(), used: 0 });
        channel.basic_consume((&*member.queue).into(), tag.into(), BasicConsumeOptions::default(), FieldTable::default()).await
    };
    let begun = timeout(member.shared.settings.connect_timeout, beginning).await;
    let begun = begun.map_err(|_| late(&what, Stage::Before)).and_then(|begun| begun.map_err(|fault| failed(&what, &fault, Stage::Before)));
    let mut stream = begun.map_err(|error| member.about(error))?;
    let end = serve(member, number, &mut stream).await;
    if matches!(end, End::Lost) {
        return Ok(end);
    }
    let ended = stop(member, channel, number, &mut stream).await;
    if matches!(end, End::Idle) && ended.is_ok() {
        give_back(member).await;
    }
    {
        let mut state = member.state();
        state.consuming = None;
        state.hush = false;
    }
    member.quiet.notify_waiters();
    ended.map(|()| end)
}

/// What there is to do about the consumer, now or then.
fn advise(member: &Member) -> (Option<End>, Option<Instant>) {
    let state = member.state();
    let Some(consuming) = state.consuming.as_ref().filter(|_| !member.interest.ordered) else { return (None, None) };
    let now = Instant::now();
    let has_waiting = state.lanes.len() > state.lanes.out();
    if state.demand == 0 {
        if state.hush {
            return (Some(End::Idle), None);
        }
        // A consumer that holds its fill and has handed it all out costs nobody anything.
        if consuming.used < consuming.limit || has_waiting {
            let at = state.stirred + LINGER;
            return if now >= at { (Some(End::Idle), None) } else { (None, Some(at)) };
        }
        return (None, None);
    }
    let full = consuming.used >= consuming.limit && state.lanes.next_due(now.into_std()).is_none_or(|due| due > now.into_std());
    let small = state.demand / 2 >= consuming.limit && consuming.limit < member.shared.settings.prefetch.into();
    if full || small { (Some(End::Renew), None) } else { (None, None) }
}

async fn serve(member: &Arc<Member>, number: u64, stream: &mut Consumer) -> End {
    loop {
        let look = member.pump.notified();
        let (end, at) = advise(member);
        if let Some(end) = end {
            return end;
        }
        let later = async {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            came = stream.next() => {
                let Some(Ok(delivery)) = came else { return End::Lost };
                take_in(member, number, delivery).await;
                member.bell.notify_waiters();
            }
            () = look => {}
            () = later => {}
        }
    }
}

async fn take_in(member: &Arc<Member>, number: u64, delivery: lapin::message::Delivery) {
    if let Some(unwanted) = member.take_in(number, delivery) {
        // If it cannot be told, it comes again and is passed over again.
        let _ = timeout(member.shared.settings.connect_timeout, unwanted.ack(BasicAckOptions::default())).await;
    }
}

/// Ends the consumer; what was on its way is taken in.
async fn stop(member: &Arc<Member>, channel: &Channel, number: u64, stream: &mut Consumer) -> Result<(), BrokerError> {
    let what = format!("stopping to consume from the queue `{}`", member.queue);
    let until = Instant::now() + member.shared.settings.connect_timeout;
    let cancelled = timeout_at(until, channel.basic_cancel(stream.tag(), BasicCancelOptions::default())).await;
    let cancelled = cancelled.map_err(|_| late(&what, Stage::Before)).and_then(|done| done.map_err(|fault| failed(&what, &fault, Stage::Before)));
    cancelled.map_err(|error| member.about(error))?;
    loop {
        match timeout_at(until, stream.next()).await {
            Ok(Some(Ok(delivery))) => take_in(member, number, delivery).await,
            Ok(None) => break,
            Ok(Some(Err(fault))) => return Err(member.about(failed(&what, &fault, Stage::Before))),
            Err(_) => return Err(member.about(late(&what, Stage::Before))),
        }
    }
    member.bell.notify_waiters();
    Ok(())
}

/// What was fetched and nobody came for is for other members.
async fn give_back(member: &Arc<Member>) {
    let waiting = {
        let mut state = member.state();
        if state.demand > 0 { Vec::new() } else { state.take_waiting() }
    };
    // If it cannot be told, the channel is lost, and with it what it held.
    let _ = member.requeue(&waiting).await;
}

/// Leaves: what is being settled is settled, and everything else goes back to the group with the channel.
async fn finish(member: &Arc<Member>) {
    let within = member.shared.settings.close_timeout;
    member.tasks.close();
    let _ = timeout(within, member.tasks.wait()).await;
    let channel = member.state().channel.take();
    if let Some(channel) = channel.filter(|channel| channel.status().connected()) {
        // The server does what came before it first, acknowledgements among it. If it does not answer, the connection is as good as lost.
        let _ = timeout(within, channel.close(200, "the group was left".into())).await;
    }
    member.lose();
}
