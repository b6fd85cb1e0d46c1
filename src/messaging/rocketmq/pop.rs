//! Taking messages: the request, and what becomes of its answer.

use super::body::unpack;
use super::codes::{self, POLLING_TIMEOUT, POP, PULL_NOT_FOUND, error, refused};
use super::handle::Handle;
use super::properties::triples;
use super::stored::{Stored, decode};
use super::wire::{Answer, Command};
use crate::messaging::{BrokerError, ErrorKind, Interest, Message, MessageId, TagFilter};
use std::time::Duration;
use tokio::time::Instant;

/// Brokers give no more at once.
pub(super) const MOST: usize = 32;

/// A message that was taken, not yet given to anybody.
#[derive(Debug)]
pub(super) struct Caught {
    pub(super) message: Message,
    pub(super) attempt: u32,
    pub(super) handle: Handle,
    pub(super) at: Instant,
}

/// What an answer brought.
#[derive(Debug, Default)]
pub(super) struct Catch {
    pub(super) good: Vec<Caught>,
    /// Let through by the broker, which compares hashes, and not wanted: to be acknowledged.
    pub(super) unwanted: Vec<Handle>,
    /// So many were passed over already.
    pub(super) passed_over: usize,
    /// Those that cannot be read come again after their visibility. Said once each time.
    pub(super) unreadable: Option<BrokerError>,
}

impl Catch {
    pub(super) fn is_empty(&self) -> bool {
        self.good.is_empty() && self.passed_over == 0 && self.unreadable.is_none()
    }
}

/// The tags as the broker's filter wants them: all of them, where one cannot be said in it.
pub(super) fn expression(tags: &TagFilter) -> String {
    match tags {
        TagFilter::Any(tags)
            if !tags.is_empty()
                && tags.iter().all(|tag| !tag.is_empty() && tag.trim() == tag && tag != "*" && !tag.contains(['|', '\u{1}', '\u{2}'])) =>
        {
            tags.iter().map(String::as_str).collect::<Vec<_>>().join(" || ")
        }
        _ => "*".to_owned(),
    }
}

/// `born` is zero, which a broker takes for its own time, unless it is one of those that do not know that.
pub(super) fn command(interest: &Interest, topic: &str, max: usize, poll: Duration, born: u128) -> Command {
    Command::new(POP)
        .with("consumerGroup", &interest.group)
        .with("topic", topic)
        .with("queueId", -1)
        // In order: one of a queue at a time, and so one of all.
        .with("maxMsgNums", if interest.ordered { 1 } else { max.clamp(1, MOST) })
        .with("invisibleTime", interest.visibility.as_millis().max(1))
        .with("pollTime", poll.as_millis())
        .with("bornTime", born)
        // From the oldest on: who wants the latest has had its offsets set when it joined.
        .with("initMode", 0)
        .with("expType", "TAG")
        .with("exp", expression(&interest.tags))
        .with("order", interest.ordered)
}

/// Did the broker take the clock of this machine for wrong?
pub(super) fn is_clock_refused(answer: &Answer) -> bool {
    answer.code == POLLING_TIMEOUT && answer.remark.contains("timeout too much")
}

/// # Errors
/// The broker's, or an answer that is not understood at all: what it took comes again.
pub(super) fn read(answer: &Answer, interest: &Interest, topic: &str, broker: &str) -> Result<Catch, BrokerError> {
    match answer.code {
        codes::SUCCESS => {}
        // What does not fit the broker's list of those who wait is no error of theirs.
        PULL_NOT_FOUND | POLLING_TIMEOUT => return Ok(Catch::default()),
        _ => return Err(refused(answer)),
    }
    let at = Instant::now();
    let (starts, counts) = (triples(answer.text("startOffsetInfo")), triples(answer.text("orderCountInfo")));
    let mut catch = Catch::default();
    for stored in decode(answer.body.clone())? {
        let handle = Handle::of(&stored, answer, &starts, broker, &interest.group, topic)?;
        let times = if interest.ordered {
            let place = format!("qo{}%{}", stored.queue, stored.offset);
            counts.get(&("0", place.as_str())).and_then(|count| count.parse().ok()).unwrap_or(0)
        } else {
            stored.times
        };
        match message(stored, interest) {
            Ok(message) if interest.tags.wants(message.tag()) => catch.good.push(Caught { message, attempt: times.saturating_add(1), handle, at }),
            Ok(_) => catch.unwanted.push(handle),
            Err(error) => catch.unreadable = Some(error),
        }
    }
    Ok(catch)
}

fn message(stored: Stored, interest: &Interest) -> Result<Message, BrokerError> {
    let said = stored.said;
    // The broker gives an id to whatever comes without one. Java's are of the same form as ours.
    let id = said.id.parse().unwrap_or_else(|_| MessageId::of(said.id.as_bytes()));
    let body = unpack(stored.body, stored.flags).map_err(|why| error(ErrorKind::Unsupported, format!("message {}: {why}", said.id)))?;
    let mut message = Message::new(interest.topic.clone(), body).with_id(id);
    if let Some(tag) = said.tag {
        message = message.with_tag(tag);
    }
    match said.key {
        Some(key) if said.ordered => message = message.with_ordered_key(key),
        Some(key) => message = message.with_key(key),
        None => {}
    }
    Ok(message.with_properties(said.properties))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_the_broker_cannot_tell_are_told_here() {
        assert_eq!(expression(&TagFilter::All), "*");
        assert_eq!(expression(&TagFilter::any(["red", "größe"])), "größe || red");
        for tag in ["", " red", "a||b", "*", "a\u{1}"] {
            assert_eq!(expression(&TagFilter::any(["blue", tag])), "*", "{tag:?}");
        }
        assert_eq!(expression(&TagFilter::Any(Default::default())), "*");
    }
}
