//! Making what has to be there: topics and groups.

use super::client::Client;
use super::codes::{UPDATE_AND_CREATE_GROUP, UPDATE_AND_CREATE_TOPIC, error};
use super::names;
use super::wire::Command;
use crate::messaging::{BrokerError, ErrorKind};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

impl Client {
    /// On every broker of the cluster; returns when the name server knows it.
    pub(super) async fn create_topic(&self, name: &str, queues: u32) -> Result<(), BrokerError> {
        let topic = names::topic(name)?;
        let masters = self.masters().await?;
        if masters.is_empty() {
            return Err(error(ErrorKind::Unavailable, "no broker is known to the name server: see whether one runs").about(name));
        }
        for (_, address) in &masters {
            let command = Command::new(UPDATE_AND_CREATE_TOPIC)
                .with("topic", &topic)
                .with("defaultTopic", "TBW102")
                .with("readQueueNums", queues)
                .with("writeQueueNums", queues)
                .with("perm", 6)
                .with("topicFilterType", "SINGLE_TAG")
                .with("topicSysFlag", 0)
                .with("order", false);
            self.call(address, command).await.map_err(|error| error.about(name))?;
        }
        let until = Instant::now() + self.timeout();
        loop {
            match self.route(&topic).await {
                Ok(route) if route.writable().count() == masters.len() => return Ok(()),
                Err(error) if error.kind() != ErrorKind::UnknownTopic => return Err(error.about(name)),
                known if Instant::now() >= until => return known.map(drop).map_err(|error| error.about(name)),
                _ => self.forget(&topic),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn create_group(&self, name: &str) -> Result<(), BrokerError> {
        names::group(name)?;
        let config =
            json!({"groupName": name, "consumeEnable": true, "consumeFromMinEnable": true, "retryQueueNums": 1, "retryMaxTimes": 16}).to_string();
        for (_, address) in self.masters().await? {
            self.call(&address, Command::new(UPDATE_AND_CREATE_GROUP).body(config.clone())).await?;
        }
        Ok(())
    }
}
