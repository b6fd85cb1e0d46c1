//! What a popped message is settled by: RocketMQ's own receipt, with the topic and queue it is good for.

use super::codes::{ACK, CHANGE_INVISIBLE_TIME};
use super::names::retry_topic;
use super::properties::POP_CK;
use super::stored::Stored;
use super::wire::{Answer, Command, strange};
use crate::messaging::BrokerError;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A receipt's words: check point, time of the pop, visibility, where it is kept, kind of topic, broker, queue, offset.
const WORDS: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    group: Arc<str>,
    /// The topic that it lies in: the one it was sent to, or the group's for what comes again.
    topic: String,
    pub(super) broker: String,
    words: [String; WORDS],
}

/// The kinds of topics that a receipt tells apart.
fn kind(topic: &str) -> &'static str {
    match topic.strip_prefix("%RETRY%") {
        None => "0",
        Some(rest) if rest.contains('+') => "2",
        Some(_) => "1",
    }
}

impl Handle {
    /// The handle of a message that came with this answer to a pop.
    pub(super) fn of(
        stored: &Stored,
        answer: &Answer,
        starts: &HashMap<(&str, &str), &str>,
        broker: &str,
        group: &Arc<str>,
        topic: &str,
    ) -> Result<Handle, BrokerError> {
        let words = match stored.said.other(POP_CK) {
            // What comes again brings its receipt.
            Some(receipt) => {
                let mut words: Vec<String> = receipt.split(' ').map(str::to_owned).collect();
                if words.len() == WORDS - 1 {
                    words.push(stored.offset.to_string());
                }
                words.try_into().map_err(|_| strange(format!("a receipt that cannot be read: {receipt}")))?
            }
            None => {
                let (kind, queue) = (kind(&stored.topic), stored.queue.to_string());
                let start =
                    starts.get(&(kind, queue.as_str())).ok_or_else(|| strange(format!("no check point for queue {queue} came with a message")))?;
                let [time, visibility, kept] = ["popTime", "invisibleTime", "reviveQid"].map(|name| answer.text(name).to_owned());
                [(*start).to_owned(), time, visibility, kept, kind.to_owned(), broker.to_owned(), queue, stored.offset.to_string()]
            }
        };
        let topic = match words[4].as_str() {
            "1" => retry_topic(group, topic),
            "2" => format!("%RETRY%{group}+{topic}"),
            _ => topic.to_owned(),
        };
        Ok(Handle { group: group.clone(), topic, broker: words[5].clone(), words })
    }

    fn command(&self, code: i32) -> Command {
        Command::new(code)
            .with("consumerGroup", &self.group)
            .with("topic", &self.topic)
            .with("queueId", &self.words[6])
            .with("offset", &self.words[7])
            .with("extraInfo", self.words.join(" "))
    }

    /// Settled for good.
    pub(super) fn ack(&self) -> Command {
        self.command(ACK)
    }

    /// It comes again after so long from now; if it is to be kept, by a [new handle](Handle::renewed).
    pub(super) fn change(&self, to: Duration) -> Command {
        // Never shorter than asked for.
        let ms = to.as_millis().saturating_add(u128::from(!to.subsec_nanos().is_multiple_of(1_000_000)));
        self.command(CHANGE_INVISIBLE_TIME).with("invisibleTime", ms.min(i64::MAX as u128))
    }

    /// The handle from here on, by the answer to a change.
    pub(super) fn renewed(&self, answer: &Answer) -> Result<Handle, BrokerError> {
        let mut words = self.words.clone();
        // What was changed is a check point by itself.
        words[0].clone_from(&self.words[7]);
        for (word, name) in [(1, "popTime"), (2, "invisibleTime"), (3, "reviveQid")] {
            words[word] = answer.number(name)?.to_string();
        }
        Ok(Handle { words, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties::triples;
    use super::*;

    fn stored(topic: &str, receipt: Option<&str>) -> Stored {
        let mut said = super::super::properties::Said::default();
        said.others.extend(receipt.map(|receipt| (POP_CK.to_owned(), receipt.to_owned())));
        Stored { topic: topic.into(), queue: 3, offset: 17, flags: 0, times: 0, body: Default::default(), said }
    }

    fn answer(time: &str) -> Answer {
        let fields = [("popTime", time), ("invisibleTime", "3000"), ("reviveQid", "2")];
        Answer { fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), ..Answer::default() }
    }

    fn handle(stored: &Stored, starts: &str) -> Result<Handle, BrokerError> {
        Handle::of(stored, &answer("100"), &triples(starts), "broker-a", &"g".into(), "orders")
    }

    #[test]
    fn a_first_delivery_has_its_receipt_made() {
        let made = handle(&stored("orders", None), "0 3 15").unwrap();
        let ack = made.ack();
        assert_eq!((ack.code, ack.fields["topic"].as_str(), ack.fields["offset"].as_str()), (ACK, "orders", "17"));
        assert_eq!(ack.fields["extraInfo"], "15 100 3000 2 0 broker-a 3 17");
        assert_eq!(made.change(Duration::from_micros(1500)).fields["invisibleTime"], "2");
        let renewed = made.renewed(&answer("200")).unwrap();
        assert_eq!(renewed.ack().fields["extraInfo"], "17 200 3000 2 0 broker-a 3 17");
        assert!(made.renewed(&Answer::default()).is_err());
        assert!(handle(&stored("orders", None), "1 3 15").is_err());
    }

    #[test]
    fn what_comes_again_lies_in_the_groups_topic() {
        let kinds = [("1", "%RETRY%g_orders"), ("2", "%RETRY%g+orders"), ("0", "orders")];
        for (kind, topic) in kinds {
            let again = handle(&stored("orders", Some(&format!("9 90 3000 1 {kind} broker-b 0 9"))), "").unwrap();
            assert_eq!((again.ack().fields["topic"].as_str(), again.broker.as_str()), (topic, "broker-b"));
        }
        let short = handle(&stored("orders", Some("9 90 3000 1 1 broker-b 0")), "").unwrap();
        assert_eq!(short.ack().fields["offset"], "17");
        assert_eq!(handle(&stored("%RETRY%g+orders", None), "2 3 15").unwrap().ack().fields["topic"], "%RETRY%g+orders");
        assert!(handle(&stored("orders", Some("nonsense")), "").is_err());
    }
}
