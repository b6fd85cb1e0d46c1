//! A message's properties as one text, name and value apart by one control character, pairs by another.
//!
//! What that text cannot carry, or what a server would drop or take for its own (a control character, an empty value, a name that RocketMQ
//! uses), goes as JSON into one property of ours. Everything else is there for clients in other languages to read.

use crate::messaging::Properties;
use serde_json::{Value, json};
use std::collections::HashMap;

const NAME_END: char = '\u{1}';
const PAIR_END: char = '\u{2}';
const PACKED: &str = "winddown.packed";

pub(super) const ID: &str = "UNIQ_KEY";
pub(super) const KEYS: &str = "KEYS";
pub(super) const TAGS: &str = "TAGS";
/// The key by which a message is ordered.
pub(super) const SHARDING_KEY: &str = "__SHARDINGKEY";
/// The receipt of a message that was given back and comes again.
pub(super) const POP_CK: &str = "POP_CK";

/// RocketMQ's own names: with them as properties of a message, it would do something, or overwrite them.
const RESERVED: &str = " KEYS TAGS WAIT DELAY RETRY_TOPIC REAL_TOPIC REAL_QID TRAN_MSG PGROUP MIN_OFFSET MAX_OFFSET BUYER_ID ORIGIN_MESSAGE_ID \
    TRANSFER_FLAG CORRECTION_FLAG MQ2_FLAG RECONSUME_TIME MSG_REGION TRACE_ON UNIQ_KEY EXTEND_UNIQ_INFO MAX_RECONSUME_TIMES CONSUME_START_TIME \
    INNER_NUM INNER_BASE CHECK_IMMUNITY_TIME_IN_SECONDS TRAN_PREPARED_QUEUE_OFFSET __transactionId__ TRANSACTION_CHECK_TIMES INSTANCE_ID \
    CORRELATION_ID REPLY_TO_CLIENT TTL ARRIVE_TIME PUSH_REPLY_TIME CLUSTER MSG_TYPE POP_CK POP_CK_OFFSET 1ST_POP_TIME __SHARDINGKEY \
    PROPERTY_FORWARD_QUEUE_ID REDIRECT INNER_MULTI_DISPATCH INNER_MULTI_QUEUE_OFFSET TRACE_CONTEXT TIMER_DELAY_SEC TIMER_DELIVER_MS __BORNHOST \
    BORN_TIMESTAMP TIMER_ENQUEUE_MS TIMER_DEQUEUE_MS TIMER_ROLL_TIMES TIMER_OUT_MS TIMER_DEL_UNIQKEY TIMER_DELAY_LEVEL TIMER_DELAY_MS __CRC32# \
    DLQ_ORIGIN_TOPIC DLQ_ORIGIN_MESSAGE_ID __PRIORITY__ LITE_TOPIC ORIGIN_GROUP winddown.packed ";

fn is_reserved(name: &str) -> bool {
    name.starts_with("__RMQ.TRANSIENT.") || name.split(' ').count() == 1 && RESERVED.contains(&format!(" {name} "))
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains([NAME_END, PAIR_END])
}

/// What a message says besides its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) id: String,
    pub(super) tag: Option<String>,
    pub(super) key: Option<String>,
    pub(super) ordered: bool,
    pub(super) properties: Properties,
    /// Those that are for the broker, such as a delay; the receipt of one that comes again.
    pub(super) others: Vec<(String, String)>,
}

impl Said {
    pub(super) fn encode(&self) -> String {
        let mut text = String::new();
        let mut put = |name: &str, value: &str| {
            text.push_str(name);
            text.push(NAME_END);
            text.push_str(value);
            text.push(PAIR_END);
        };
        let mut packed = serde_json::Map::new();
        put(ID, &self.id);
        put("WAIT", "true");
        for (name, short, value) in [(TAGS, "tag", &self.tag), (KEYS, "key", &self.key)] {
            match value {
                // RocketMQ takes the spaces around a tag for padding.
                Some(value) if is_plain(value) && value.trim() == value => put(name, value),
                Some(value) => drop(packed.insert(short.to_owned(), value.as_str().into())),
                None => {}
            }
        }
        if self.ordered {
            match self.key.as_deref() {
                Some(key) if is_plain(key) => put(SHARDING_KEY, key),
                _ => drop(packed.insert("ordered".to_owned(), true.into())),
            }
        }
        let mut hidden = serde_json::Map::new();
        for (name, value) in &self.properties {
            if is_plain(name) && is_plain(value) && !is_reserved(name) {
                put(name, value);
            } else {
                hidden.insert(name.clone(), value.as_str().into());
            }
        }
        if !hidden.is_empty() {
            packed.insert("properties".to_owned(), Value::Object(hidden));
        }
        if !packed.is_empty() {
            // JSON escapes control characters.
            put(PACKED, &json!(packed).to_string());
        }
        self.others.iter().for_each(|(name, value)| put(name, value));
        text
    }

    pub(super) fn decode(text: &str) -> Said {
        let mut said = Said::default();
        let mut sharding_key = None;
        let mut packed = None;
        for (name, value) in text.split(PAIR_END).filter_map(|pair| pair.split_once(NAME_END)) {
            match name {
                ID => value.clone_into(&mut said.id),
                TAGS => said.tag = Some(value.to_owned()),
                KEYS => said.key = Some(value.to_owned()),
                SHARDING_KEY => sharding_key = Some(value.to_owned()),
                PACKED => packed = serde_json::from_str::<Value>(value).ok(),
                _ if is_reserved(name) => said.others.push((name.to_owned(), value.to_owned())),
                _ => drop(said.properties.insert(name.to_owned(), value.to_owned())),
            }
        }
        let packed = packed.unwrap_or_default();
        let text_of = |value: &Value| value.as_str().map(str::to_owned);
        said.tag = text_of(&packed["tag"]).or(said.tag);
        said.ordered = sharding_key.is_some() || packed["ordered"] == true;
        // A message of another client may be ordered by a key that it does not carry otherwise.
        said.key = text_of(&packed["key"]).or(said.key).or(sharding_key);
        let hidden = packed["properties"].as_object().into_iter().flatten();
        said.properties.extend(hidden.filter_map(|(name, value)| Some((name.clone(), text_of(value)?))));
        said
    }

    pub(super) fn other(&self, name: &str) -> Option<&str> {
        self.others.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What `startOffsetInfo` and the like are made of: `flag key value;…`.
pub(super) fn triples(text: &str) -> HashMap<(&str, &str), &str> {
    let triple = |part| {
        let mut words = str::split(part, ' ');
        Some(((words.next()?, words.next()?), words.next()?))
    };
    text.split(';').filter_map(triple).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Properties {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_plain_is_there_for_others_to_read() {
        let said = Said {
            id: "0A".into(),
            tag: Some("created".into()),
            key: Some("order 17".into()),
            ordered: true,
            properties: properties(&[("tenant", "blue")]),
            others: vec![("DELAY".into(), "3".into())],
        };
        let text = said.encode();
        let wanted = "UNIQ_KEY=0A;WAIT=true;TAGS=created;KEYS=order 17;__SHARDINGKEY=order 17;tenant=blue;DELAY=3;";
        assert_eq!(text.replace('\u{1}', "=").replace('\u{2}', ";"), wanted);
        let back = Said::decode(&text);
        assert_eq!((back.other("DELAY"), back.other("WAIT"), back.other("TTL")), (Some("3"), Some("true"), None));
        assert_eq!(Said { others: said.others.clone(), ..back }, said);
    }

    #[test]
    fn what_is_not_plain_comes_through_as_well() {
        let said = Said {
            id: "0A".into(),
            tag: Some(" \u{1}".into()),
            key: Some(String::new()),
            ordered: true,
            properties: properties(&[("", "x"), ("empty", ""), ("KEYS", "mine"), ("a\u{2}b", "c\u{1}d"), ("winddown.packed", "{}"), ("名前", "水")]),
            others: Vec::new(),
        };
        assert_eq!(Said { others: Vec::new(), ..Said::decode(&said.encode()) }, said);
        assert_eq!(said.encode().matches("KEYS\u{1}").count(), 0);
    }

    #[test]
    fn whatever_another_client_wrote_is_read() {
        let said = Said::decode("__SHARDINGKEY\u{1}k\u{2}winddown.packed\u{1}no json\u{2}broken\u{2}\u{1}\u{2}last\u{1}one");
        assert_eq!((said.ordered, said.key.as_deref(), said.tag), (true, Some("k"), None));
        assert_eq!(said.properties, properties(&[("", ""), ("last", "one")]));
        assert_eq!(Said::decode(""), Said::default());
    }

    #[test]
    fn triples_are_read_and_nonsense_is_passed_over() {
        let read = triples("0 3 17;1 0 5;x;0 qo3%17 2");
        assert_eq!((read.len(), read.get(&("0", "3")), read.get(&("0", "qo3%17"))), (3, Some(&"17"), Some(&"2")));
    }
}
