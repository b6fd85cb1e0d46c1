//! Who of this client is in which group, and telling the brokers so, every half minute.

use super::client::{Client, ROUTE_AGE};
use super::codes::HEART_BEAT;
use super::member::Member;
use super::pop::expression;
use super::wire::Command;
use crate::messaging::BrokerError;
use crate::sync::{Mutex, lock};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::time::sleep;

/// The members of one client.
#[derive(Default)]
pub(super) struct Registry(Mutex<Vec<Arc<Member>>>);

impl Registry {
    pub(super) fn add(&self, member: &Arc<Member>) {
        lock(&self.0).push(member.clone());
    }

    pub(super) fn remove(&self, member: &Arc<Member>) {
        lock(&self.0).retain(|other| !Arc::ptr_eq(other, member));
    }

    pub(super) fn all(&self) -> Vec<Arc<Member>> {
        lock(&self.0).clone()
    }

    pub(super) fn has_group(&self, group: &str) -> bool {
        lock(&self.0).iter().any(|member| &*member.interest.group == group)
    }
}

impl Client {
    /// The body of a heartbeat: every group with its topics.
    fn pulse(&self) -> String {
        let mut groups: BTreeMap<Arc<str>, BTreeMap<String, Value>> = BTreeMap::new();
        for member in self.registry.all() {
            let tags = match &member.interest.tags {
                crate::messaging::TagFilter::Any(tags) => tags.iter().cloned().collect(),
                crate::messaging::TagFilter::All => Vec::new(),
            };
            let said = json!({
                "topic": member.topic, "subString": expression(&member.interest.tags), "tagsSet": tags, "codeSet": [], "subVersion": 0,
                "expressionType": "TAG", "classFilterMode": false,
            });
            groups.entry(member.interest.group.clone()).or_default().insert(member.topic.clone(), said);
        }
        let consumers: Vec<Value> = groups
            .into_iter()
            .map(|(group, topics)| {
                json!({
                    "groupName": &*group, "consumeType": "CONSUME_POP", "messageModel": "CLUSTERING", "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
                    "unitMode": false, "subscriptionDataSet": topics.into_values().collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({"clientID": self.id, "producerDataSet": [], "consumerDataSet": consumers}).to_string()
    }

    /// Tells this broker.
    pub(super) async fn beat(&self, address: &str) -> Result<(), BrokerError> {
        self.call(address, Command::new(HEART_BEAT).body(self.pulse())).await.map(drop)
    }

    /// Tells all brokers, looks for new ones, and lets those go that are not needed; until the client is closed.
    pub(super) async fn keep_alive(self: Arc<Client>) {
        loop {
            tokio::select! {
                () = sleep(ROUTE_AGE) => {}
                () = self.dialer.end.cancelled() => return,
            }
            let mut addresses = BTreeSet::new();
            for member in self.registry.all() {
                // Without a name server, or for a topic that was deleted, its pollers go on trying.
                let Ok(route) = self.route(&member.topic).await else { continue };
                member.poll(&self, route.readable().map(|part| part.broker.clone()));
                addresses.extend(route.readable().map(|part| part.address.clone()));
            }
            for address in addresses {
                // A broker that was not told hears of it the next time; pops register the group by themselves.
                let _ = self.beat(&address).await;
            }
            self.tidy();
        }
    }
}
