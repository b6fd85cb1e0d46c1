//! C7–C17: receiving.

use super::Capability;
use super::bench::{Bench, KEPT, Member, Trouble, Verdict, bodies, declared, ids, keep, numbered, pull, send_numbered, sorted_ids, unsupported};
use crate::messaging::{BrokerError, Delivery, Interest, Message, MessageId, StartFrom, TagFilter};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

pub(super) async fn groups(bench: &Bench<'_>) -> Verdict {
    let (one, two) = (bench.client().await, bench.client().await);
    let (topic, other) = (bench.topic("a").await, bench.topic("b").await);
    let a = one.subscribe(&bench.interest("a", &topic)).await?;
    let b = two.subscribe(&bench.interest("b", &topic)).await?;
    let a_other = one.subscribe(&bench.interest("a", &other)).await?;
    let sent = send_numbered(&one, &topic, 10).await?;
    let elsewhere = send_numbered(&two, &other, 3).await?;
    let came = bench.collect(&a, 10).await?;
    keep!(ids(&came) == sorted_ids(&sent), "the first group got {:?}", bodies(&came));
    bench.ack(&a, &came).await?;
    let came = bench.collect(&b, 10).await?;
    keep!(ids(&came) == sorted_ids(&sent), "the second group got {:?}", bodies(&came));
    let came = bench.collect(&a_other, 3).await?;
    keep!(ids(&came) == sorted_ids(&elsewhere), "the first group got {:?} of its other topic", bodies(&came));
    bench.nothing(&a, bench.short(), "the group had everything").await?;
    bench.nothing(&a_other, bench.short(), "the group had everything of the other topic").await?;
    KEPT
}

pub(super) async fn members(bench: &Bench<'_>) -> Verdict {
    let (one, two) = (bench.client().await, bench.client().await);
    let topic = bench.topic("shared").await;
    let interest = bench.interest("g", &topic);
    let members = [one.subscribe(&interest).await?, one.subscribe(&interest).await?, two.subscribe(&interest).await?];
    let sent = send_numbered(&one, &topic, 90).await?;
    share(bench, &members, &sent).await
}

pub(super) async fn tasks(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("tasks").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    let sent = send_numbered(&client, &topic, 90).await?;
    share(bench, &[member.clone(), member.clone(), member], &sent).await
}

/// They pull at the same time and settle nothing until all has come.
async fn share(bench: &Bench<'_>, members: &[Member; 3], sent: &[Message]) -> Verdict {
    let mut held: [Vec<Delivery>; 3] = Default::default();
    let mut last = Instant::now();
    while held.iter().map(Vec::len).sum::<usize>() < sent.len() {
        let wait = bench.short();
        let (a, b, c) = tokio::join!(pull(&members[0], 7, wait), pull(&members[1], 7, wait), pull(&members[2], 7, wait));
        let taken: [Vec<Delivery>; 3] = [a?, b?, c?];
        if taken.iter().any(|taken| !taken.is_empty()) {
            last = Instant::now();
        }
        keep!(last.elapsed() < bench.patience() + wait, "only {} of {} came", held.iter().map(Vec::len).sum::<usize>(), sent.len());
        held.iter_mut().zip(taken).for_each(|(held, taken)| held.extend(taken));
    }
    let all: Vec<_> = held.iter().flatten().cloned().collect();
    keep!(ids(&all) == sorted_ids(sent), "some came to two members, or not at all: {:?}", held.each_ref().map(|held| bodies(held)));
    for (member, held) in members.iter().zip(&held) {
        bench.ack(member, held).await?;
    }
    bench.nothing(&members[0], bench.short(), "everything was shared out").await?;
    KEPT
}

pub(super) async fn at_most(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("most").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    send_numbered(&client, &topic, 20).await?;
    let none = member.pull(0, bench.short()).await?;
    keep!(none.is_empty(), "a pull for none brought {}", none.len());
    let mut left = 20;
    for max in [1, 3, 10, 100] {
        let came = bench.collect(&member, max.min(left)).await?.len();
        keep!(came <= max, "a pull for {max} brought {came}");
        left -= came;
    }
    KEPT
}

pub(super) async fn empty(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("empty").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    for wait in [Duration::ZERO, bench.visibility()] {
        let began = Instant::now();
        let came = member.pull(10, wait).await?;
        keep!(came.is_empty(), "{:?} came, and nothing was sent", bodies(&came));
        bench.at(began, wait, "a pull that finds nothing answered")?;
    }
    KEPT
}

pub(super) async fn meanwhile(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("meanwhile").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    for round in 1..=3 {
        let sending = async {
            sleep(bench.visibility() / 4).await;
            client.send(&numbered(&topic, round), None).await?;
            Ok::<_, BrokerError>(Instant::now())
        };
        let wait = bench.slack() * 8 + bench.visibility();
        let pulling = async { (member.pull(10, wait).await, Instant::now()) };
        let (sent, (came, at)) = tokio::join!(sending, pulling);
        let (came, late) = (came?, at.saturating_duration_since(sent?));
        keep!(came.len() == 1, "the pull brought {:?}, where one was sent while it waited", bodies(&came));
        keep!(late <= bench.slack() * 2, "a message that was sent while a pull waited came {} ms later", late.as_millis());
        bench.ack(&member, &came).await?;
    }
    KEPT
}

pub(super) async fn dropped(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("dropped").await);
    // Where the broker knows no better way, what a dropped pull took comes after its visibility.
    let interest = bench.brief("g", &topic);
    let dropper = client.subscribe(&interest).await?;
    // Where members keep their parts of the topic, nobody else gets what the dropper leaves.
    let keeper = if bench.can(Capability::AnyMember) { client.subscribe(&interest).await? } else { dropper.clone() };
    let mut left: BTreeSet<MessageId> = send_numbered(&client, &topic, 40).await?.iter().map(Message::id).collect();
    let settle = async |member: &Member, taken: Vec<Delivery>, left: &mut BTreeSet<MessageId>| {
        for delivery in taken {
            if member.ack(std::slice::from_ref(delivery.receipt())).await?.done == 1 {
                left.remove(&delivery.message().id());
            }
        }
        Ok::<_, Trouble>(())
    };
    // Dropped after so many polls, and after so long; some while a message comes.
    for round in 0..60u32 {
        if round % 3 == 0 {
            let pull = polled(dropper.pull(3, bench.patience()), round / 6);
            if let Ok(Some(taken)) = timeout(Duration::from_millis(50), pull).await {
                settle(&dropper, taken?, &mut left).await?;
            }
        } else if round % 3 == 1 {
            let pull = timeout(Duration::from_micros(u64::from(round) * 50), dropper.pull(3, bench.patience()));
            if let Ok(taken) = pull.await {
                settle(&dropper, taken?, &mut left).await?;
            }
        } else {
            let mut pull = std::pin::pin!(dropper.pull(3, bench.patience()));
            let first = timeout(Duration::from_millis(1), &mut pull).await;
            let message = numbered(&topic, 100 + round as usize);
            client.send(&message, None).await?;
            left.insert(message.id());
            // What it brought is the message's way to the pull; whether the pull is there to hear of it or not.
            if let Ok(taken) = first {
                settle(&dropper, taken?, &mut left).await?;
            }
        }
    }
    let mut last = Instant::now();
    while !left.is_empty() {
        let before = left.len();
        let taken = pull(&keeper, 10, bench.patience()).await?;
        settle(&keeper, taken, &mut left).await?;
        if left.len() < before {
            last = Instant::now();
        }
        keep!(last.elapsed() <= bench.patience() * 2, "{} messages were lost with pulls that were dropped", left.len());
    }
    KEPT
}

/// The future's end, if it comes within so many polls; dropped otherwise.
async fn polled<T>(future: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        let Some(fewer) = left.checked_sub(1) else { return std::task::Poll::Ready(None) };
        left = fewer;
        let polled = future.as_mut().poll(context).map(Some);
        if polled.is_pending() && left == 0 { std::task::Poll::Ready(None) } else { polled }
    })
    .await
}

pub(super) async fn tags(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("tags").await);
    let wanted = Interest { tags: TagFilter::any(["red", "größe"]), ..bench.interest("g", &topic) };
    let joined = client.subscribe(&wanted).await;
    if !bench.can(Capability::Tags) {
        return unsupported(joined, "a subscription to some tags");
    }
    let member = joined?;
    let all = client.subscribe(&bench.interest("all", &topic)).await?;
    for (number, tag) in [None, Some("red"), Some("blue"), Some("größe"), Some("re"), Some("")].iter().enumerate() {
        let message = numbered(&topic, number);
        let message = if let Some(tag) = tag { message.with_tag(*tag) } else { message };
        client.send(&message, None).await?;
    }
    let came = bench.collect(&member, 2).await?;
    let mut got = bodies(&came);
    got.sort_unstable();
    keep!(got == ["1", "3"], "of the tags red and größe came the messages {got:?}, where 1 and 3 are right");
    bench.ack(&member, &came).await?;
    bench.nothing(&member, bench.short(), "what was wanted had come").await?;
    bench.collect(&all, 6).await?;
    KEPT
}

pub(super) async fn earliest(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("earliest").await);
    if !bench.can(Capability::StartEarliest) {
        return declared("a group gets what is sent after it was first joined");
    }
    let sent = send_numbered(&client, &topic, 10).await?;
    let first = client.subscribe(&bench.interest("first", &topic)).await?;
    let came = bench.collect(&first, 10).await?;
    keep!(ids(&came) == sorted_ids(&sent), "the first group of the topic got {:?}, where all ten were there before it", bodies(&came));
    let second = client.subscribe(&bench.interest("second", &topic)).await?;
    let came = bench.collect(&second, 10).await?;
    keep!(ids(&came) == sorted_ids(&sent), "the second group got {:?}, where all ten are still held for the first", bodies(&came));
    KEPT
}

pub(super) async fn latest(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("latest").await);
    // A broker that keeps nothing for groups to come takes messages only where a group has joined.
    let _before = if bench.can(Capability::StartEarliest) { None } else { Some(client.subscribe(&bench.interest("before", &topic)).await?) };
    send_numbered(&client, &topic, 10).await?;
    let interest = Interest { start: StartFrom::Latest, ..bench.interest("g", &topic) };
    let joined = client.subscribe(&interest).await;
    if !bench.can(Capability::StartLatest) {
        return unsupported(joined, "a subscription from the latest message on");
    }
    let member = joined?;
    bench.nothing(&member, bench.short(), "the group begins with what is sent from now on").await?;
    client.send(&numbered(&topic, 11), None).await?;
    let came = bench.collect(&member, 1).await?;
    keep!(bodies(&came) == ["11"], "{:?} came, where only 11 was sent after the group began", bodies(&came));
    bench.ack(&member, &came).await?;
    member.close().await?;
    // The group is no longer new: it goes on where it was.
    client.send(&numbered(&topic, 12), None).await?;
    let again = client.subscribe(&interest).await?;
    let came = bench.collect(&again, 1).await?;
    keep!(bodies(&came) == ["12"], "{:?} came, where 12 was sent while nobody of the group was there", bodies(&came));
    KEPT
}

pub(super) async fn delayed(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("delayed").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    let delay = bench.visibility() * 2;
    let began = Instant::now();
    let answer = client.send(&numbered(&topic, 1).with_delay(delay), None).await;
    if !bench.can(Capability::Delay) {
        return unsupported(answer, "a message with a delay");
    }
    answer?;
    client.send(&numbered(&topic, 2), None).await?;
    let came = bench.collect(&member, 1).await?;
    bench.in_time(began, delay)?;
    keep!(bodies(&came) == ["2"], "{:?} came first, where 1 was to come later", bodies(&came));
    let late = bench.collect_within(&member, 1, delay + bench.slack()).await?;
    bench.at(began, delay, "a delayed message came")?;
    keep!(late[0].attempt() == 1, "a delayed message's first attempt came as number {}", late[0].attempt());
    KEPT
}
