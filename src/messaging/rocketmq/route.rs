//! Which brokers have a topic, at which addresses, with how many queues.

use super::json;
use crate::messaging::BrokerError;
use std::sync::Arc;

/// What may be done with a queue.
const READ: i64 = 4;
const WRITE: i64 = 2;

/// One broker's part of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) broker: Arc<str>,
    /// Of its master: the others take no messages, and settle none.
    pub(super) address: Arc<str>,
    /// So many queues can be written to; none where it is not allowed.
    pub(super) write_queues: u32,
    pub(super) read_queues: u32,
}

/// A topic's parts by the names of their brokers, so that every client has the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicRoute(pub(super) Vec<Part>);

impl TopicRoute {
    /// From the name server's answer.
    pub(super) fn parse(body: &[u8]) -> Result<TopicRoute, BrokerError> {
        let route = json::parse(body, "a route")?;
        let list = |name: &str| route[name].as_array().cloned().unwrap_or_default();
        let masters: Vec<(String, String)> = list("brokerDatas")
            .iter()
            .filter_map(|broker| Some((broker["brokerName"].as_str()?.to_owned(), broker["brokerAddrs"]["0"].as_str()?.to_owned())))
            .collect();
        let mut parts: Vec<Part> = list("queueDatas")
            .iter()
            .filter_map(|queues| {
                let name = queues["brokerName"].as_str()?;
                let (_, address) = masters.iter().find(|(broker, _)| broker == name)?;
                let allowed = |right: i64| queues["perm"].as_i64().unwrap_or(0) & right != 0;
                let count = |field: &str| queues[field].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
                Some(Part {
                    broker: name.into(),
                    address: address.as_str().into(),
                    write_queues: if allowed(WRITE) { count("writeQueueNums") } else { 0 },
                    read_queues: if allowed(READ) { count("readQueueNums") } else { 0 },
                })
            })
            .collect();
        parts.sort_by(|a, b| a.broker.cmp(&b.broker));
        parts.dedup_by(|a, b| a.broker == b.broker);
        Ok(TopicRoute(parts))
    }

    pub(super) fn writable(&self) -> impl Iterator<Item = &Part> {
        self.0.iter().filter(|part| part.write_queues > 0)
    }

    pub(super) fn readable(&self) -> impl Iterator<Item = &Part> {
        self.0.iter().filter(|part| part.read_queues > 0)
    }

    pub(super) fn of(&self, broker: &str) -> Option<&Part> {
        self.0.iter().find(|part| &*part.broker == broker)
    }

    /// The part and queue that this number falls on, all writable queues being counted through; of one broker, if one is given.
    pub(super) fn queue(&self, number: u64, broker: Option<&str>) -> Option<(&Part, u32)> {
        let parts = || self.writable().filter(|part| broker.is_none_or(|broker| &*part.broker == broker));
        let all: u64 = parts().map(|part| u64::from(part.write_queues)).sum();
        let mut left = number.checked_rem(all)?;
        for part in parts() {
            if left < u64::from(part.write_queues) {
                return Some((part, u32::try_from(left).ok()?));
            }
            left -= u64::from(part.write_queues);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> TopicRoute {
        let body = serde_json::json!({
            "brokerDatas": [
                {"brokerName": "b", "brokerAddrs": {"0": "10.0.0.2:10911", "1": "10.0.0.3:10911"}},
                {"brokerName": "a", "brokerAddrs": {"0": "10.0.0.1:10911"}},
                {"brokerName": "orphan", "brokerAddrs": {"1": "10.0.0.4:10911"}},
                {"brokerName": "full", "brokerAddrs": {"0": "10.0.0.5:10911"}},
            ],
            "queueDatas": [
                {"brokerName": "b", "perm": 6, "readQueueNums": 3, "writeQueueNums": 2},
                {"brokerName": "a", "perm": 6, "readQueueNums": 1, "writeQueueNums": 1},
                {"brokerName": "orphan", "perm": 6, "readQueueNums": 4, "writeQueueNums": 4},
                {"brokerName": "full", "perm": 4, "readQueueNums": 4, "writeQueueNums": 4},
                {"brokerName": "gone", "perm": 6, "readQueueNums": 4, "writeQueueNums": 4},
            ],
        });
        TopicRoute::parse(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_route_has_masters_only_and_what_is_allowed() {
        let route = route();
        let names = |parts: &mut dyn Iterator<Item = &Part>| parts.map(|part| part.broker.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&mut route.writable()), ["a", "b"]);
        assert_eq!(names(&mut route.readable()), ["a", "b", "full"]);
        assert_eq!(&*route.of("b").unwrap().address, "10.0.0.2:10911");
        assert!(TopicRoute::parse(b"{").is_err());
        assert_eq!(TopicRoute::parse(b"{}").unwrap(), TopicRoute::default());
    }

    #[test]
    fn queues_are_counted_through() {
        let route = route();
        let at = |number, broker| route.queue(number, broker).map(|(part, queue)| (part.broker.to_string(), queue));
        let all: Vec<_> = (0..4).filter_map(|number| at(number, None)).collect();
        assert_eq!(all, [("a".into(), 0), ("b".into(), 0), ("b".into(), 1), ("a".into(), 0)]);
        assert_eq!(at(5, Some("b")), Some(("b".into(), 1)));
        assert_eq!((at(5, Some("full")), at(5, Some("nobody"))), (None, None));
        assert_eq!(TopicRoute::default().queue(0, None), None);
    }
}
