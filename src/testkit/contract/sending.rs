//! C1–C6: sending.

use super::Capability;
use super::bench::{Bench, KEPT, Verdict, bodies, declared, ids, keep, numbered, receipts, refused, sorted_ids};
use crate::messaging::{BrokerError, ErrorKind};
use crate::messaging::{Limits, Message, MessageId};
use std::time::Duration;
use tokio::time::timeout;

/// Messages up to this size are really sent.
const AFFORDABLE: usize = 16 << 20;

pub(super) async fn content(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("content").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    let every_byte: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let sent = [
        Message::new(topic.clone(), "plain"),
        Message::new(topic.clone(), every_byte),
        Message::new(topic.clone(), ""),
        Message::new(topic.clone(), "all").with_tag("created").with_key("order-17").with_property("tenant", "blue").with_property("empty", ""),
        Message::new(topic.clone(), "Ünïcode 水 🦀").with_tag("größe").with_key("ключ").with_property("名前", "a\"b'c\\d\n\t\u{1}\u{2} =;,"),
        Message::new(topic.clone(), "its own id").with_id(MessageId::of(bench.interest("id", &topic).group.as_bytes())),
        Message::new(topic.clone(), "in order").with_ordered_key("k"),
    ];
    for message in &sent {
        client.send(message, None).await?;
    }
    let came = bench.collect(&member, sent.len()).await?;
    for message in &sent {
        let found = came.iter().find(|delivery| delivery.message().id() == message.id());
        let Some(delivery) = found else {
            keep!(false, "the message with the id {} did not come, or with another id: {:?}", message.id(), ids(&came));
            continue;
        };
        let got = delivery.message();
        keep!(got.body() == message.body(), "the body {:?} came as {:?}", brief(message), brief(got));
        keep!(got.tag() == message.tag(), "the tag {:?} came as {:?}", message.tag(), got.tag());
        keep!(got.key() == message.key(), "the key {:?} came as {:?}", message.key(), got.key());
        keep!(got.topic() == message.topic(), "the topic {:?} came as {:?}", message.topic(), got.topic());
        keep!(got.is_ordered() == message.is_ordered(), "that {:?} is to stay in order came as {}", brief(message), got.is_ordered());
        for (name, value) in message.properties() {
            keep!(got.property(name) == Some(value), "the property {name:?} = {value:?} came as {:?}", got.property(name));
        }
        let strange = got.properties().find(|(name, _)| message.property(name).is_none() && !name.starts_with("winddown."));
        keep!(strange.is_none(), "nobody sent the property {strange:?}");
        keep!(delivery.attempt() == 1, "the first attempt came as number {}", delivery.attempt());
    }
    bench.ack(&member, &came).await?;
    KEPT
}

fn brief(message: &Message) -> String {
    let body = message.body();
    format!("{} bytes, {:?}…", body.len(), String::from_utf8_lossy(&body[..body.len().min(20)]))
}

pub(super) async fn sizes(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("sizes").await);
    let limit = client.limits().message_bytes;
    if limit > AFFORDABLE {
        return declared("messages of any size that can be tried are taken");
    }
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    let largest = Message::new(topic.clone(), vec![b'x'; limit - topic.len()]);
    let larger = Message::new(topic.clone(), vec![b'x'; limit - topic.len() + 1]);
    let wide = numbered(&topic, 1).with_property("wide", "x".repeat(limit));
    refused(client.send(&larger, None).await, ErrorKind::TooLarge, "a message of one byte too many")?;
    refused(client.send(&wide, None).await, ErrorKind::TooLarge, "a message whose properties are too large")?;
    client.send(&largest, None).await?;
    let came = bench.one(&member).await?;
    keep!(
        came.message().id() == largest.id() && came.message().body().len() == limit - topic.len(),
        "the largest message came as {:?}",
        brief(came.message())
    );
    bench.nothing(&member, bench.short(), "what was too large was refused").await?;
    KEPT
}

pub(super) async fn names(bench: &Bench<'_>) -> Verdict {
    let client = bench.client().await;
    let Limits { topic_bytes, .. } = client.limits();
    for topic in [String::new(), "x".repeat(topic_bytes + 1)] {
        let what = format!("a topic's name of {} bytes", topic.len());
        refused(client.send(&Message::new(topic.as_str(), "x"), None).await, ErrorKind::Invalid, &what)?;
        refused(client.subscribe(&bench.interest("g", &topic.as_str().into())).await, ErrorKind::Invalid, &format!("a subscription to {what}"))?;
    }
    KEPT
}

pub(super) async fn unknown(bench: &Bench<'_>) -> Verdict {
    if !bench.can(Capability::UnknownTopics) {
        return declared("topics are made when they are used");
    }
    let (client, topic) = (bench.client().await, format!("{}-not", bench.topic("unknown").await));
    let error = refused(client.send(&Message::new(topic.as_str(), "x"), None).await, ErrorKind::UnknownTopic, "a send to an unknown topic")?;
    keep!(error.topic() == Some(&topic), "the error names the topic {:?}", error.topic());
    refused(client.subscribe(&bench.interest("g", &topic.as_str().into())).await, ErrorKind::UnknownTopic, "a subscription to an unknown topic")?;
    KEPT
}

pub(super) async fn batch(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("batch").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    let limits = client.limits();
    let mut messages: Vec<_> = (1..=limits.batch.clamp(1, 9)).map(|number| numbered(&topic, number)).collect();
    let mut wanted = vec![None; messages.len()];
    if messages.len() >= 3 {
        messages[0] = Message::new("", "no topic");
        wanted[0] = Some(ErrorKind::Invalid);
        if limits.message_bytes <= AFFORDABLE {
            messages[2] = Message::new(topic.clone(), vec![b'x'; limits.message_bytes]);
            wanted[2] = Some(ErrorKind::TooLarge);
        }
    }
    let answers = client.send_batch(&messages, None).await;
    let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(BrokerError::kind)).collect();
    keep!(kinds == wanted, "the answers were {kinds:?}, where {wanted:?} is right");
    let good: Vec<_> = messages.iter().zip(&wanted).filter(|(_, wanted)| wanted.is_none()).map(|(message, _)| message).collect();
    let came = bench.collect(&member, good.len()).await?;
    keep!(ids(&came) == sorted_ids(good), "of the batch came {:?}", bodies(&came));
    let none = client.send_batch(&[], None).await;
    keep!(none.is_empty(), "an empty batch has {} answers", none.len());
    bench.nothing(&member, bench.short(), "all of the batch had come").await?;
    KEPT
}

pub(super) async fn dropped(bench: &Bench<'_>) -> Verdict {
    let (client, topic) = (bench.client().await, bench.topic("dropped").await);
    let member = client.subscribe(&bench.interest("g", &topic)).await?;
    let mut begun = Vec::new();
    let mut certain = Vec::new();
    for round in 0..60u64 {
        let message = numbered(&topic, round as usize);
        if let Ok(answer) = timeout(Duration::from_micros(round % 6 * 200), client.send(&message, None)).await {
            answer?;
            certain.push(message.id());
        }
        begun.push(message.id());
    }
    let last = Message::new(topic.clone(), "last");
    client.send(&last, None).await?;
    begun.push(last.id());
    certain.push(last.id());
    let mut came = Vec::new();
    while !certain.iter().all(|id| came.contains(id)) {
        let delivery = bench.one(&member).await?;
        let id = delivery.message().id();
        keep!(begun.contains(&id) && !came.contains(&id), "the message {:?} came twice, or was never sent", bodies(&[delivery]));
        came.push(id);
        member.ack(&receipts(&[delivery])).await?;
    }
    KEPT
}
