//! Where groups are: offsets read and set.

use super::client::Client;
use super::codes::{self, GET_MAX_OFFSET, GET_MIN_OFFSET, QUERY_CONSUMER_OFFSET, QUERY_NOT_FOUND, UPDATE_CONSUMER_OFFSET, refused};
use super::names;
use super::wire::Command;
use crate::messaging::{BrokerError, ErrorKind};

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

    async fn start_of(&self, address: &str, topic: &str, queue: u32) -> Result<i64, BrokerError> {
        let command = Command::new(GET_MIN_OFFSET).with("topic", topic).with("queueId", queue);
        self.call(address, command).await?.number("offset")
    }

    /// What lies between where the group is and the end, in the topic and in the group's topic of what comes again.
    pub(super) async fn lag(&self, group: &str, topic: &str) -> Result<u64, BrokerError> {
        let route = self.route(topic).await?;
        let again = names::retry_topic(group, topic);
        let mut sum = 0;
        for part in route.readable() {
            let queues = (0..part.read_queues).map(|queue| (topic, queue)).chain([(again.as_str(), 0)]);
            for (topic, queue) in queues {
                let end = self.end_of(&part.address, topic, queue).await?;
                let at = match self.offset(&part.address, group, topic, queue).await {
                    Ok(Some(at)) => at,
                    Ok(None) => self.start_of(&part.address, topic, queue).await?,
                    // Nobody of the group was ever here.
                    Err(error) if error.kind() == ErrorKind::UnknownGroup => self.start_of(&part.address, topic, queue).await?,
                    Err(error) => return Err(error),
                };
                sum += u64::try_from(end.saturating_sub(at.max(0))).unwrap_or(0);
            }
        }
        Ok(sum)
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
