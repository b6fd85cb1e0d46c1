//! C27–C28: the order of what has the same key.

use super::Capability;
use super::bench::{Bench, KEPT, Member, Trouble, Verdict, bodies, keep, pull, unsupported};
use crate::messaging::random::Random;
use crate::messaging::{Delivery, Interest, Message};
use crate::sync::{Mutex, lock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const KEYS: [&str; 3] = ["red", "green", "größe"];

fn interest(bench: &Bench<'_>, topic: &Arc<str>) -> Interest {
    Interest { ordered: true, ..bench.interest("g", topic) }
}

fn keyed(topic: &Arc<str>, key: &str, number: usize) -> Message {
    Message::new(topic.clone(), number.to_string()).with_ordered_key(key)
}

/// The key and the number.
fn read(delivery: &Delivery) -> Result<(String, usize), Trouble> {
    let number = bodies(std::slice::from_ref(delivery))[0].parse();
    let key = delivery.message().key().map(str::to_owned);
    key.zip(number.ok()).ok_or_else(|| Trouble::Broken(format!("a delivery came changed: {delivery:?}")))
}

pub(super) async fn one_by_one(bench: &Bench<'_>) -> Verdict {
    let (one, two) = (bench.client().await, bench.client().await);
    let topic = bench.topic("keys").await;
    let joined = one.subscribe(&interest(bench, &topic)).await;
    if !bench.can(Capability::OrderedKeys) {
        return unsupported(joined, "a subscription in the order of keys");
    }
    let (member, other) = (joined?, two.subscribe(&interest(bench, &topic)).await?);
    const EACH: usize = 4;
    for number in 1..=EACH {
        for key in KEYS {
            one.send(&keyed(&topic, key, number), None).await?;
        }
    }
    // The next of each key, and how often it came: it fails once, is released once, and is handled the third time.
    let mut next: BTreeMap<String, (usize, u32)> = KEYS.iter().map(|key| ((*key).to_owned(), (1, 1))).collect();
    let mut last = Instant::now();
    while !next.is_empty() {
        // Two members look while nothing is settled: neither may get what stands behind.
        let mut held: Vec<(&Member, Delivery)> = Vec::new();
        for (member, wait) in [(&member, bench.short()), (&other, bench.short() / 10), (&member, Duration::ZERO)] {
            held.extend(pull(member, 10, wait).await?.into_iter().map(|delivery| (member, delivery)));
        }
        keep!(last.elapsed() <= bench.patience() + bench.short(), "of these came no more, though all before them was settled: {next:?}");
        let mut seen = Vec::new();
        for (member, delivery) in held {
            last = Instant::now();
            let (key, number) = read(&delivery)?;
            let due = next.get(&key).copied();
            keep!(due.is_some_and(|(due, _)| due == number), "of the key {key:?} came {number}, where {due:?} is next, and not settled");
            keep!(!seen.contains(&key), "of the key {key:?}, {number} came twice at once");
            let receipt = std::slice::from_ref(delivery.receipt());
            let settled = match due {
                Some((_, 1)) => member.nack(receipt, Duration::ZERO).await?,
                Some((_, 2)) => member.release(receipt).await?,
                _ => member.ack(receipt).await?,
            };
            keep!(settled.done == 1, "{number} of the key {key:?} was settled in time, the answer is {settled:?}");
            match due {
                Some((_, 3)) if number == EACH => drop(next.remove(&key)),
                Some((_, 3)) => drop(next.insert(key.clone(), (number + 1, 1))),
                Some((_, times)) => drop(next.insert(key.clone(), (number, times + 1))),
                None => {}
            }
            seen.push(key);
        }
    }
    bench.nothing(&other, bench.short(), "all of all keys was handled").await?;
    KEPT
}

pub(super) async fn handled(bench: &Bench<'_>) -> Verdict {
    let client = bench.client().await;
    let topic = bench.topic("crowd").await;
    if !bench.can(Capability::OrderedKeys) {
        return unsupported(client.subscribe(&interest(bench, &topic)).await, "a subscription in the order of keys");
    }
    const EACH: usize = 20;
    let log: Arc<Mutex<Vec<(String, usize)>>> = Arc::default();
    let mut tasks = JoinSet::new();
    // All have joined before the first grows impatient: joining may take its time.
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(bench.client().await.subscribe(&interest(bench, &topic)).await?);
    }
    for (seed, member) in (0..).zip(members) {
        let log = log.clone();
        let (wait, patience) = (bench.short(), bench.patience());
        tasks.spawn(async move { handle(&member, &log, Random::seeded(seed), wait, patience, EACH * KEYS.len()).await });
    }
    for number in 1..=EACH {
        for key in KEYS {
            client.send(&keyed(&topic, key, number), None).await?;
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Trouble::Broken(error.to_string()))??;
    }
    for key in KEYS {
        let numbers: Vec<_> = lock(&log).iter().filter(|(of, _)| of == key).map(|(_, number)| *number).collect();
        keep!(numbers == (1..=EACH).collect::<Vec<_>>(), "those of the key {key:?} were handled in the order {numbers:?}");
    }
    KEPT
}

/// One member that fails now and then, until all members together have handled everything.
async fn handle(
    member: &Member,
    log: &Mutex<Vec<(String, usize)>>,
    mut random: Random,
    wait: Duration,
    patience: Duration,
    all: usize,
) -> Result<(), Trouble> {
    let mut last = (Instant::now(), 0);
    loop {
        let handled = lock(log).len();
        if handled >= all {
            return Ok(());
        }
        if handled > last.1 {
            last = (Instant::now(), handled);
        }
        keep!(last.0.elapsed() <= patience + wait, "only {handled} of {all} messages were handled, and no more came");
        for delivery in pull(member, 2, wait).await? {
            let read = read(&delivery)?;
            sleep(Duration::from_micros(random.next() % 2000)).await;
            let receipt = std::slice::from_ref(delivery.receipt());
            if random.chance(0.2) {
                member.nack(receipt, Duration::ZERO).await?;
            } else if random.chance(0.2) {
                member.release(receipt).await?;
            } else {
                // Before it is settled: after that, another member may have the next.
                lock(log).push(read);
                member.ack(receipt).await?;
            }
        }
    }
}
