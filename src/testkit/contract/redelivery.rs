//! C19–C23: what comes again, and when.

use super::Capability;
use super::bench::{Bench, KEPT, Trouble, Verdict, bodies, declared, keep, numbered, refused, send_numbered, unsupported};
use crate::messaging::{Delivery, ErrorKind};
use std::time::Duration;
use tokio::time::Instant;

/// This delivery's attempt is right, if attempts are counted at all.
fn attempt(bench: &Bench<'_>, delivery: &Delivery, right: u32, what: &str) -> Result<(), Trouble> {
    let wrong = bench.can(Capability::Attempts) && delivery.attempt() != right;
    keep!(!wrong, "{what} came as attempt {}, where {right} is right", delivery.attempt());
    Ok(())
}

pub(super) async fn failed(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("failed").await);
    let (member, other) = (client.subscribe(&bench.interest("g", &topic)).await?, client.subscribe(&bench.interest("other", &topic)).await?);
    let sent = send_numbered(&client, &topic, 1).await?;
    for round in 1..=4 {
        let delivery = bench.one(&member).await?;
        keep!(delivery.message() == &sent[0], "what came again is not what was sent: {:?}", delivery.message());
        attempt(bench, &delivery, round, "what failed")?;
        let settled = member.nack(std::slice::from_ref(delivery.receipt()), Duration::ZERO).await?;
        keep!(settled.done == 1, "one was given back in time, the answer is {settled:?}");
    }
    let last = bench.one(&member).await?;
    bench.ack(&member, &[last]).await?;
    attempt(bench, &bench.one(&other).await?, 1, "what failed in another group")?;
    if bench.can(Capability::Attempts) { KEPT } else { declared("attempts are not counted") }
}

pub(super) async fn delay(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("delay").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    client.send(&numbered(&topic, 1), None).await?;
    let first = bench.one(&member).await?;
    let delay = bench.visibility() * 2;
    let began = Instant::now();
    member.nack(std::slice::from_ref(first.receipt()), delay).await?;
    if !bench.can(Capability::NackDelay) {
        bench.collect_within(&member, 1, delay + bench.slack()).await?;
        return declared("what failed comes again at any time");
    }
    // Others overtake it.
    client.send(&numbered(&topic, 2), None).await?;
    let other = bench.one(&member).await?;
    bench.in_time(began, delay)?;
    keep!(bodies(&[other]) == ["2"], "what failed came again before its delay was over, and before another message");
    let again = bench.collect_within(&member, 1, delay + bench.slack()).await?;
    bench.at(began, delay, "what failed came again")?;
    attempt(bench, &again[0], 2, "what failed")?;
    KEPT
}

pub(super) async fn released(bench: &Bench<'_>) -> Verdict {
    let (one, two) = (bench.client().await, bench.client().await);
    let topic = bench.topic("released").await;
    let interest = bench.interest("g", &topic);
    let member = one.subscribe(&interest).await?;
    let other = if bench.can(Capability::AnyMember) { two.subscribe(&interest).await? } else { member.clone() };
    one.send(&numbered(&topic, 1), None).await?;
    let first = bench.one(&member).await?;
    let began = Instant::now();
    let (settled, again) = tokio::join!(member.release(std::slice::from_ref(first.receipt())), bench.one(&other));
    keep!(settled?.done == 1, "it was released in time, and that did not count");
    bench.at(began, Duration::ZERO, "what was released came")?;
    let again = again?;
    if !bench.can(Capability::ReleaseUncounted) {
        keep!(again.attempt() <= 2, "what was released once came as attempt {}", again.attempt());
        return declared("what was released may count as an attempt");
    }
    attempt(bench, &again, 1, "what was released")?;
    other.nack(std::slice::from_ref(again.receipt()), Duration::ZERO).await?;
    attempt(bench, &bench.one(&member).await?, 2, "what was released, and then failed once,")?;
    KEPT
}

pub(super) async fn forgotten(bench: &Bench<'_>) -> Verdict {
    let (one, two) = (bench.client().await, bench.client().await);
    let topic = bench.topic("forgotten").await;
    let interest = bench.brief("g", &topic);
    let member = one.subscribe(&interest).await?;
    // Where members keep their parts of the topic, it would get some of the three.
    let other = if bench.can(Capability::AnyMember) { Some(two.subscribe(&interest).await?) } else { None };
    send_numbered(&one, &topic, 3).await?;
    let began = Instant::now();
    let held = bench.collect(&member, 3).await?;
    bench.in_time(began, bench.visibility() / 2)?;
    let other = if let Some(other) = other { other } else { two.subscribe(&interest).await? };
    if !bench.can(Capability::Visibility) {
        member.close().await?;
        bench.collect(&other, 3).await?;
        return declared("what is not settled comes again when its member leaves");
    }
    for delivery in &held {
        keep!(delivery.visibility() == Some(interest.visibility), "{:?} is said to be ours for {:?}", bodies(&held), delivery.visibility());
    }
    let again = bench.collect(&other, 3).await?;
    bench.at(began, bench.visibility(), "what was not settled came again")?;
    for delivery in &again {
        attempt(bench, delivery, 2, "what was not settled")?;
    }
    KEPT
}

pub(super) async fn extended(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("extended").await);
    let member = client.subscribe(&bench.brief("g", &topic)).await?;
    // Where members keep their parts of the topic, it would get one of the two.
    let other = if bench.can(Capability::AnyMember) { client.subscribe(&bench.brief("g", &topic)).await? } else { member.clone() };
    send_numbered(&client, &topic, 2).await?;
    let began = Instant::now();
    let held = bench.collect(&member, 2).await?;
    let longer = bench.visibility() * 4;
    if !bench.can(Capability::Extend) {
        return unsupported(member.extend(held[0].receipt(), longer).await, "an extension");
    }
    let extended = Instant::now();
    let first = member.extend(held[0].receipt(), longer).await;
    let second = member.extend(held[1].receipt(), longer).await;
    bench.in_time(began, bench.visibility())?;
    let (first, second) = (first?, second?);
    // Beyond the first visibility, well within the extended one.
    let quiet = bench.nothing(&other, bench.visibility() * 2, "both deliveries were extended").await;
    let settled = member.ack(&[second]).await?;
    bench.in_time(extended, longer)?;
    quiet?;
    keep!(settled.done == 1, "what was extended was acknowledged in time, the answer is {settled:?}");
    let again = bench.collect_within(&other, 1, longer + bench.slack()).await?;
    bench.at(extended, longer, "what was extended came again")?;
    keep!(again[0].message().id() == held[0].message().id(), "the one that was acknowledged came again");
    refused(member.extend(&first, longer).await, ErrorKind::Stale, "an extension of what another member has")?;
    KEPT
}
