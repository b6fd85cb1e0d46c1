//! C29–C33: leaving, closing and coming back.

use super::Capability;
use super::bench::{Bench, KEPT, Verdict, bodies, declared, ids, keep, numbered, receipts, refused, send_numbered, sorted_ids};
use crate::messaging::ErrorKind;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What is held lasts for long where leaving gives it back at once, and ends soon where only that gives it back.
fn interest(bench: &Bench<'_>, topic: &std::sync::Arc<str>) -> crate::messaging::Interest {
    if bench.can(Capability::CloseReleases) { bench.interest("g", topic) } else { bench.brief("g", topic) }
}

pub(super) async fn leaving(bench: &Bench<'_>) -> Verdict {
    let (one, two) = (bench.client().await, bench.client().await);
    let topic = bench.topic("leaving").await;
    let member = one.subscribe(&interest(bench, &topic)).await?;
    let sent = send_numbered(&one, &topic, 5).await?;
    let held = bench.collect(&member, 5).await?;
    bench.ack(&member, &held[..2]).await?;
    let other = two.subscribe(&interest(bench, &topic)).await?;
    let (closed, again) = tokio::join!(member.close(), bench.collect(&other, 3));
    closed?;
    let again = again?;
    keep!(ids(&again) == ids(&held[2..]), "of {} messages two were acknowledged, and {:?} came again", sent.len(), bodies(&again));
    bench.ack(&other, &again).await?;
    bench.nothing(&other, bench.short(), "everything was acknowledged").await?;
    // Whoever did not leave goes on.
    one.send(&numbered(&topic, 6), None).await?;
    bench.one(&other).await?;
    if bench.can(Capability::CloseReleases) { KEPT } else { declared("what a member held comes again when its visibility is over") }
}

pub(super) async fn closed(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("closed").await);
    let (left, member) = (client.subscribe(&bench.interest("a", &topic)).await?, client.subscribe(&bench.interest("b", &topic)).await?);
    bench.fixture.make_topic(&bench.interest("a", &topic).dead_letter_topic()).await;
    bench.fixture.make_topic(&bench.interest("b", &topic).dead_letter_topic()).await;
    client.send(&numbered(&topic, 1), None).await?;
    let (a, b) = (bench.one(&left).await?, bench.one(&member).await?);
    left.close().await?;
    for (member, delivery, end) in [(&left, a, "the subscription was closed"), (&member, b, "its broker was closed")] {
        let receipts = receipts(std::slice::from_ref(&delivery));
        let closed = ErrorKind::Closed;
        refused(member.pull(1, Duration::ZERO).await, closed, &format!("a pull after {end}"))?;
        refused(member.pull(1, bench.short()).await, closed, &format!("a pull that waits after {end}"))?;
        refused(member.ack(&receipts).await, closed, &format!("an acknowledgement after {end}"))?;
        refused(member.nack(&receipts, Duration::ZERO).await, closed, &format!("a failure after {end}"))?;
        refused(member.release(&receipts).await, closed, &format!("a release after {end}"))?;
        refused(member.dead_letter(&delivery, "late").await, closed, &format!("a dead letter after {end}"))?;
        refused(member.commit().await, closed, &format!("a commit after {end}"))?;
        if bench.can(Capability::Extend) {
            refused(member.extend(&receipts[0], bench.visibility()).await, closed, &format!("an extension after {end}"))?;
        }
        member.close().await?;
        client.close().await?;
    }
    refused(client.send(&numbered(&topic, 2), None).await, ErrorKind::Closed, "a send after the broker was closed")?;
    refused(client.subscribe(&bench.interest("c", &topic)).await, ErrorKind::Closed, "a subscription after the broker was closed")?;
    let answers = client.send_batch(&[numbered(&topic, 3)], None).await;
    keep!(answers.len() == 1, "a batch of one has {} answers", answers.len());
    for answer in answers {
        refused(answer, ErrorKind::Closed, "a batch after the broker was closed")?;
    }
    client.close().await?;
    KEPT
}

pub(super) async fn waiting(bench: &Bench<'_>) -> Verdict {
    let (one, two) = (bench.client().await, bench.client().await);
    let topic = bench.topic("waiting").await;
    let member = one.subscribe(&interest(bench, &topic)).await?;
    let other = if bench.can(Capability::AnyMember) { Some(two.subscribe(&interest(bench, &topic)).await?) } else { None };
    let leaver = one.subscribe(&bench.interest("leaver", &topic)).await?;
    one.send(&numbered(&topic, 1), None).await?;
    let held = bench.one(&member).await?;
    // Where members keep their parts of the topic, the message might have been the other's from the beginning.
    let other = if let Some(other) = other { other } else { two.subscribe(&interest(bench, &topic)).await? };
    bench.ack(&leaver, &[bench.one(&leaver).await?]).await?;
    let wait = bench.limit();
    let closing = async {
        sleep(bench.short()).await;
        let left = leaver.close().await;
        sleep(bench.short()).await;
        (left, one.close().await, Instant::now())
    };
    let ended = async |member: &super::bench::Member| (member.pull(1, wait).await, Instant::now());
    let ((pulled, at), (left_pull, left_at), (left, closed, end)) = tokio::join!(ended(&member), ended(&leaver), closing);
    left?;
    closed?;
    refused(pulled, ErrorKind::Closed, "a pull that waited when the broker was closed")?;
    refused(left_pull, ErrorKind::Closed, "a pull that waited when its subscription was closed")?;
    let late = at.max(left_at).saturating_duration_since(end);
    keep!(late <= bench.slack() * 2, "a pull that waited ended {} ms after the close", late.as_millis());
    // What was held of a subscription that was not closed is there for others.
    let again = bench.one(&other).await?;
    keep!(again.message().id() == held.message().id(), "{:?} came, and another was held", bodies(&[again]));
    KEPT
}

pub(super) async fn committed(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("committed").await);
    let member = client.subscribe(&interest(bench, &topic)).await?;
    send_numbered(&client, &topic, 10).await?;
    let held = bench.collect(&member, 10).await?;
    bench.ack(&member, &held[..4]).await?;
    bench.ack(&member, &held[7..]).await?;
    member.commit().await?;
    member.close().await?;
    client.close().await?;
    let again = bench.client().await.subscribe(&interest(bench, &topic)).await?;
    let came = bench.collect(&again, 3).await?;
    keep!(ids(&came) == ids(&held[4..7]), "{:?} came again, where {:?} were not acknowledged", bodies(&came), bodies(&held[4..7]));
    bench.ack(&again, &came).await?;
    bench.nothing(&again, bench.short(), "everything was acknowledged").await?;
    KEPT
}

pub(super) async fn durable(bench: &Bench<'_>) -> Verdict {
    if !bench.fixture.durable() {
        return declared("what is stored dies with the process");
    }
    let (client, topic) = (bench.client().await, bench.topic("durable").await);
    let member = client.subscribe(&interest(bench, &topic)).await?;
    let sent = send_numbered(&client, &topic, 10).await?;
    let held = bench.collect(&member, 6).await?;
    bench.ack(&member, &held[..2]).await?;
    member.nack(&receipts(&held[2..4]), Duration::ZERO).await?;
    member.commit().await?;
    drop(member);
    client.close().await?;
    drop(client);
    let again = bench.client().await.subscribe(&interest(bench, &topic)).await?;
    let came = bench.collect(&again, 8).await?;
    let wanted: Vec<_> = sent.iter().filter(|message| !held[..2].iter().any(|gone| gone.message().id() == message.id())).collect();
    keep!(ids(&came) == sorted_ids(wanted), "after reopening came {:?}, where all but {:?} is right", bodies(&came), bodies(&held[..2]));
    for delivery in &came {
        keep!(sent.contains(delivery.message()), "{delivery:?} is not what was sent");
    }
    bench.ack(&again, &came).await?;
    bench.nothing(&again, bench.short(), "everything was acknowledged").await?;
    KEPT
}
