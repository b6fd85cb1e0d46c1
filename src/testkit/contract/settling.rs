//! C18, C24–C26: settling.

use super::Capability;
use super::bench::{Bench, KEPT, Verdict, bodies, declared, ids, keep, numbered, receipts, send_numbered, sorted_ids};
use crate::messaging::{Interest, Message, Settled};
use std::time::Duration;
use tokio::time::Instant;

pub(super) async fn acknowledged(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("acknowledged").await);
    let member = client.subscribe(&bench.brief("g", &topic)).await?;
    let mut left = sorted_ids(&send_numbered(&client, &topic, 10).await?);
    // One by one and in another order; one that the machine made too late comes again, and counts when it is acknowledged in time.
    while !left.is_empty() {
        let began = Instant::now();
        let mut taken = bench.collect(&member, left.len().min(3)).await?;
        taken.reverse();
        for delivery in taken {
            let id = delivery.message().id();
            keep!(left.contains(&id), "{:?} came again, and was acknowledged", bodies(&[delivery]));
            if member.ack(&receipts(&[delivery])).await?.done == 1 {
                left.retain(|other| *other != id);
            }
        }
        if !bench.can(Capability::StaleCounted) {
            bench.in_time(began, bench.visibility())?;
        }
    }
    bench.nothing(&member, bench.visibility() * 2, "everything was acknowledged").await?;
    member.close().await?;
    let another = bench.client().await.subscribe(&bench.brief("g", &topic)).await?;
    bench.nothing(&another, bench.short(), "everything was acknowledged by another member").await?;
    KEPT
}

pub(super) async fn stale(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("stale").await);
    bench.fixture.make_topic(&bench.brief("g", &topic).dead_letter_topic()).await;
    let member = client.subscribe(&bench.brief("g", &topic)).await?;
    let other = if bench.can(Capability::AnyMember) { client.subscribe(&bench.interest("g", &topic)).await? } else { member.clone() };
    let counted = |settled: Settled, stale: usize| !bench.can(Capability::StaleCounted) || settled == Settled { done: 0, stale };
    client.send(&numbered(&topic, 1), None).await?;
    let late = bench.one(&member).await?;
    let receipt = std::slice::from_ref(late.receipt());
    if bench.can(Capability::Visibility) {
        let current = bench.one(&other).await?;
        // What the first member does now is too late, and must not touch what is the other's.
        for (what, settled) in [
            ("an acknowledgement", member.ack(receipt).await?),
            ("a failure", member.nack(receipt, Duration::ZERO).await?),
            ("a release", member.release(receipt).await?),
            ("a dead letter", member.dead_letter(&late, "too late").await?),
        ] {
            keep!(counted(settled, 1), "{what} that came too late was answered with {settled:?}");
        }
        bench.nothing(&member, bench.short(), "the delivery is another member's").await?;
        bench.ack(&other, std::slice::from_ref(&current)).await?;
        let settled = other.ack(&receipts(&[current])).await?;
        keep!(counted(settled, 1), "what was acknowledged before was answered with {settled:?}");
    } else {
        bench.ack(&member, std::slice::from_ref(&late)).await?;
        let settled = member.ack(receipt).await?;
        keep!(counted(settled, 1), "what was acknowledged before was answered with {settled:?}");
    }
    // The connection is as good as before.
    client.send(&numbered(&topic, 2), None).await?;
    let next = bench.one(&other).await?;
    keep!(bodies(std::slice::from_ref(&next)) == ["2"], "{:?} came, and was settled", bodies(&[next]));
    bench.ack(&other, &[next]).await?;
    if bench.can(Capability::StaleCounted) { KEPT } else { declared("what is settled too late may be counted as done") }
}

pub(super) async fn dead_letter(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("letters").await);
    let interest = bench.interest("g", &topic);
    let dead_topic = interest.dead_letter_topic();
    bench.fixture.make_topic(&dead_topic).await;
    let member = client.subscribe(&interest).await?;
    let watch = client.subscribe(&Interest::new(format!("{}-watch", interest.group), dead_topic)).await?;
    let sent = Message::new(topic.clone(), vec![0, 159, 146, 150]).with_tag("t").with_key("k").with_property("tenant", "blue");
    client.send(&sent, None).await?;
    let first = bench.one(&member).await?;
    member.nack(std::slice::from_ref(first.receipt()), Duration::ZERO).await?;
    let second = bench.one(&member).await?;
    let settled = member.dead_letter(&second, "unreadable: größe").await?;
    keep!(settled.done == 1, "it was moved in time, the answer is {settled:?}");
    let dead = bench.one(&watch).await?.into_message();
    let same = dead.id() == sent.id() && dead.body() == sent.body() && dead.tag() == sent.tag() && dead.key() == sent.key();
    keep!(same && dead.property("tenant") == Some("blue"), "the dead letter is {dead:?}, and {sent:?} was sent");
    let attempts = second.attempt().to_string();
    for (name, value) in [("reason", "unreadable: größe"), ("attempts", &attempts), ("topic", &topic)] {
        let got = dead.property(&format!("winddown.dead-{name}"));
        keep!(got == Some(value), "the property winddown.dead-{name} is {got:?}, where {value:?} is right");
    }
    bench.nothing(&member, bench.short(), "the message is a dead letter").await?;
    bench.nothing(&watch, bench.short(), "there was one dead letter").await?;
    KEPT
}

pub(super) async fn many(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("many").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    let sent = send_numbered(&client, &topic, 30).await?;
    for settled in [member.ack(&[]).await?, member.nack(&[], Duration::ZERO).await?, member.release(&[]).await?] {
        keep!(settled == Settled::default(), "nothing was settled, the answer is {settled:?}");
    }
    let held = bench.collect(&member, 30).await?;
    let began = Instant::now();
    bench.ack(&member, &held[..10]).await?;
    let settled = member.nack(&receipts(&held[10..20]), Duration::ZERO).await?;
    keep!(settled.done == 10, "ten were given back in time, the answer is {settled:?}");
    let settled = member.release(&receipts(&held[20..])).await?;
    keep!(settled.done == 10, "ten were released in time, the answer is {settled:?}");
    let again = bench.collect(&member, 20).await?;
    bench.at(began, Duration::ZERO, "what was given back came again")?;
    let mut wanted = ids(&held[10..]);
    wanted.sort_unstable();
    keep!(ids(&again) == wanted, "of 30 messages 20 were given back, and {:?} came again", bodies(&again));
    keep!(sorted_ids(&sent) == ids(&held), "of 30 messages came {:?}", bodies(&held));
    bench.ack(&member, &again).await?;
    // What was held of those that count as acknowledged would be given back now.
    member.close().await?;
    let another = bench.client().await.subscribe(&bench.interest("g", &topic)).await?;
    bench.nothing(&another, bench.short(), "everything was acknowledged").await?;
    KEPT
}
