//! Dead letters that came before anybody had joined their topic.
//!
//! They wait in a queue of the topic's name. The first group that joins has them all: each is copied into its queue with a confirm, and then
//! acknowledged where it was; at worst it is there twice.

use super::member::Member;
use super::publisher::{Need, Parcel};
use super::{topology, wire};
use crate::messaging::BrokerError;
use lapin::options::{BasicAckOptions, BasicGetOptions};
use lapin::types::ShortString;
use std::sync::Arc;

/// Moves them. What fails stays where it is, for the next who joins.
pub(super) async fn inherit(member: Arc<Member>) {
    let leaving = member.leaving.clone();
    if let Some(Err(error)) = leaving.run_until_cancelled(take_over(&member)).await {
        tracing::warn!(topic = &*member.interest.topic, %error, "winddown: earlier dead letters stay where they are until the next joining");
    }
}

async fn take_over(member: &Arc<Member>) -> Result<(), BrokerError> {
    let (settings, topic) = (&member.shared.settings, &member.interest.topic);
    let (_, channel) = member.shared.receiving.channel(false).await?;
    match topology::count(settings, &channel, topic).await {
        Ok(0) => return Ok(()),
        Ok(_) => {}
        // No such queue: there never were any.
        Err(error) if error.code() == Some(404) => return Ok(()),
        Err(error) => return Err(error),
    }
    let what = format!("taking from the queue `{topic}`");
    let short = |name: &str| ShortString::try_new(name).unwrap_or_default();
    loop {
        let got = topology::ask(settings, &what, channel.basic_get(short(topic), BasicGetOptions::default())).await?;
        let Some(got) = got else { return Ok(()) };
        let delivery = got.delivery;
        let id = wire::decode(topic, &delivery.properties, delivery.data.clone()).id();
        let properties = wire::copy(&delivery.properties, id, 0, &[])?;
        let body = delivery.data.into();
        let parcel = Parcel { exchange: ShortString::default(), routing_key: short(&member.queue), properties, body, need: Need::Nothing };
        member.shared.publishers.publish(&member.queue, parcel).await?;
        topology::ask(settings, &what, delivery.acker.ack(BasicAckOptions::default())).await?;
    }
}
