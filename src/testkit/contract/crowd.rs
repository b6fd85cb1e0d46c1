//! C34–C36: many messages, many tasks, and how many are left.

use super::Capability;
use super::bench::{Bench, KEPT, Member, Trouble, Verdict, keep, numbered, pull, receipts, send_numbered, unsupported};
use crate::messaging::random::Random;
use crate::messaging::{Backlog, Broker, MessageId};
use crate::sync::{Mutex, lock};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

pub(super) async fn many(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("many").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    let count = bench.fixture.many();
    let messages: Vec<_> = (0..count).map(|number| numbered(&topic, number)).collect();
    let mut times: HashMap<MessageId, u32> = messages.iter().map(|message| (message.id(), 0)).collect();
    for batch in messages.chunks(client.limits().batch.clamp(1, 500)) {
        for answer in client.send_batch(batch, None).await {
            answer?;
        }
    }
    let mut left = count;
    while left > 0 {
        let taken = bench.collect(&member, left.min(100)).await?;
        for delivery in &taken {
            let id = delivery.message().id();
            *times.entry(id).or_default() += 1;
            keep!(times[&id] == 1, "the message {id} came {} times, and was acknowledged in time", times[&id]);
        }
        left -= taken.len();
        bench.ack(&member, &taken).await?;
    }
    keep!(times.len() == count, "{} messages came that nobody sent", times.len() - count);
    bench.nothing(&member, bench.short(), "all had come").await?;
    KEPT
}

const SENDERS: usize = 3;
const EACH: usize = 80;

/// How often each message was acknowledged, by the broker's word.
type Acknowledged = Mutex<HashMap<MessageId, u32>>;

pub(super) async fn conserved(bench: &Bench<'_>) -> Verdict {
    let topic = bench.topic("crowd").await;
    let (sent, acknowledged): (Arc<Mutex<Vec<MessageId>>>, Arc<Acknowledged>) = Default::default();
    let mut tasks = JoinSet::new();
    // All have joined before the first grows impatient: joining may take its time.
    let mut members = Vec::new();
    for _ in 0..3 {
        // Short, so that what goes with a dropped pull comes again where the broker knows no better way.
        members.push(bench.client().await.subscribe(&bench.brief("g", &topic)).await?);
    }
    for (seed, member) in (0..).zip(members) {
        let (acknowledged, wait, patience) = (acknowledged.clone(), bench.short(), bench.patience() * 2);
        let forgets = bench.can(Capability::Visibility);
        tasks.spawn(async move { consume(&member, &acknowledged, Random::seeded(seed), forgets, wait, patience).await });
    }
    for sender in 0..SENDERS {
        let (client, topic, sent) = (bench.client().await, topic.clone(), sent.clone());
        tasks.spawn(async move {
            for number in 0..EACH {
                let message = numbered(&topic, sender * EACH + number);
                client.send(&message, None).await?;
                lock(&sent).push(message.id());
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Trouble::Broken(error.to_string()))??;
    }
    let (sent, acknowledged) = (lock(&sent).clone(), lock(&acknowledged).clone());
    let lost = sent.iter().filter(|id| !acknowledged.contains_key(id)).count();
    keep!(
        lost == 0 && acknowledged.len() == sent.len(),
        "{lost} of {} messages were lost, {} were never sent",
        sent.len(),
        acknowledged.len() + lost - sent.len()
    );
    let twice = acknowledged.values().filter(|times| **times > 1).count();
    keep!(twice == 0 || !bench.can(Capability::StaleCounted), "{twice} messages were acknowledged more than once, and each time it counted");
    KEPT
}

/// One member that fails, releases, forgets and drops pulls, until all members together have acknowledged everything.
/// What it forgets has to come again by itself.
async fn consume(
    member: &Member,
    acknowledged: &Acknowledged,
    mut random: Random,
    forgets: bool,
    wait: Duration,
    patience: Duration,
) -> Result<(), Trouble> {
    let mut last = (Instant::now(), 0);
    loop {
        let done = lock(acknowledged).len();
        if done >= SENDERS * EACH {
            return Ok(());
        }
        if done > last.1 {
            last = (Instant::now(), done);
        }
        keep!(last.0.elapsed() <= patience, "only {done} of {} messages were handled, and no more came", SENDERS * EACH);
        let pull = pull(member, 1 + random.next() as usize % 8, wait);
        let taken = if random.chance(0.3) {
            match timeout(Duration::from_micros(random.next() % 3000), pull).await {
                Ok(taken) => taken?,
                Err(_) => continue,
            }
        } else {
            pull.await?
        };
        for delivery in taken {
            let one = receipts(std::slice::from_ref(&delivery));
            match random.next() % 20 {
                0..3 => drop(member.nack(&one, Duration::from_millis(random.next() % 5)).await?),
                3..6 => drop(member.release(&one).await?),
                6 if forgets => {}
                _ => {
                    if member.ack(&one).await?.done == 1 {
                        *lock(acknowledged).entry(delivery.message().id()).or_default() += 1;
                    }
                }
            }
        }
    }
}

pub(super) async fn backlog(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("backlog").await);
    let interest = bench.interest("g", &topic);
    if !bench.can(Capability::Backlog) {
        return unsupported(client.backlog(&interest.group, &topic).await, "the backlog");
    }
    let member = client.subscribe(&interest).await?;
    let told = async |waiting: u64, held: u64, when: &str| {
        let client: &Arc<dyn Broker> = &client;
        // Who does not tell what is held may count some of it as waiting.
        let right = |told: &Backlog| match told.held {
            Some(_) => *told == Backlog { waiting, held: Some(held) },
            None => (waiting..=waiting + held).contains(&told.waiting),
        };
        let began = Instant::now();
        loop {
            let told = client.backlog(&interest.group, &topic).await?;
            if right(&told) {
                return Ok::<(), Trouble>(());
            }
            // Brokers count now and then.
            keep!(began.elapsed() <= bench.slack() * 2, "{when}: the backlog is {told:?}, where {waiting} wait and {held} are held");
            sleep(bench.short() / 10).await;
        }
    };
    told(0, 0, "nothing was sent").await?;
    send_numbered(&client, &topic, 5).await?;
    told(5, 0, "five were sent").await?;
    let held = bench.collect(&member, 2).await?;
    told(3, 2, "two of five were taken").await?;
    bench.ack(&member, &held[..1]).await?;
    member.commit().await?;
    told(3, 1, "one of two was acknowledged").await?;
    member.nack(&receipts(&held[1..]), bench.interest("g", &topic).visibility).await?;
    told(4, 0, "the other was put off").await?;
    let last = bench.collect(&member, 3).await?;
    bench.ack(&member, &last).await?;
    member.commit().await?;
    told(1, 0, "three more were acknowledged").await?;
    KEPT
}
