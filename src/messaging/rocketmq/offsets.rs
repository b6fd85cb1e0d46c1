//! Where groups are: offsets read and set.

use super::client::Client;
use super::codes::{self, GET_MAX_OFFSET, QUERY_CONSUMER_OFFSET, QUERY_NOT_FOUND, UPDATE_CONSUMER_OFFSET, refused};
use super::wire::Command;
use crate::messaging::BrokerError;

impl Client {
    /// Where the group is in this queue, if it has ever been there.
    async fn offset(&self, address: &str, group: &str, topic: &str, queue: u32) -> Result<Option<i64>, BrokerError> {
        let command = Command::new(QUERY_CONSUMER_OFFSET).with("consumerGroup", group).with("topic", topic).with("queueId", queue);
        let answer = self.ask(address, command.with("setZeroIfNotFound", false)).await?;
        match answer.code {
            codes::SUCCESS => answer.number("offset").map(Some),
            QUERY_NOT_FOUND => Ok(None),
            _ => Err(refused(&answer)),
        }
    }

    async fn end_of(&self, address: &str, topic: &str, queue: u32) -> Result<i64, BrokerError> {
        let command = Command::new(GET_MAX_OFFSET).with("topic", topic).with("queueId", queue);
        self.call(address, command).await?.number("offset")
    }

    /// A group that has never been in a queue begins at its end. Popping with "from the latest" would bring the last message that was there before.
    pub(super) async fn begin_with_latest(&self, group: &str, topic: &str) -> Result<(), BrokerError> {
        let route = self.route(topic).await?;
        for part in route.readable() {
            for queue in 0..part.read_queues {
                if self.offset(&part.address, group, topic, queue).await?.is_none() {
                    let end = self.end_of(&part.address, topic, queue).await?;
                    let command = Command::new(UPDATE_CONSUMER_OFFSET).with("consumerGroup", group).with("topic", topic).with("queueId", queue);
                    self.call(&part.address, command.with("commitOffset", end)).await?;
                }
            }
        }
        Ok(())
    }
}
