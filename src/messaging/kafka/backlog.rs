//! How much a group has left to do, and how topics are made.

use super::super::{Backlog, BrokerError, ErrorKind};
use super::broker::{KafkaBroker, Shared};
use super::context::Quiet;
use super::fault::{self, NAME, closed};
use super::producing::{Producer, partitions, safe, watermarks};
use super::{names, offsets};
use crate::sync::lock;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use tokio::time::sleep;

impl ConsumerContext for Quiet {}

impl Shared {
    pub(super) async fn backlog(&self, group: &str, topic: &str) -> Result<Backlog, BrokerError> {
        names::topic(topic)?;
        names::group(group)?;
        let (producer, timeout) = (self.producer()?, self.settings.connect_timeout);
        let (config, quiet) = (self.settings.consumer(group), Quiet(self.alarm.clone()));
        // A member of the group has a client that can be asked. Without one there is one for this question.
        let member = self.members().into_iter().find(|member| &*member.interest.group == group && &*member.interest.topic == topic);
        let client = member.and_then(|member| lock(&member.client).clone());
        let name = topic.to_owned();
        let asked = tokio::task::spawn_blocking(move || {
            let all = partitions(&producer, &name, timeout)?;
            match client {
                Some(client) => count(&*client, &producer, &name, &all, timeout),
                None => {
                    let client: BaseConsumer<Quiet> = config.create_with_context(quiet).map_err(|error| fault::of(&error))?;
                    count(&client, &producer, &name, &all, timeout)
                }
            }
        });
        asked.await.unwrap_or_else(|_| Err(closed())).map_err(|error| error.about(topic))
    }
}

/// What is in the log and not settled, by what the group has committed; on a thread that may wait.
fn count<C: ConsumerContext>(
    client: &impl Consumer<C>,
    producer: &Producer,
    topic: &str,
    partitions: &[i32],
    timeout: Duration,
) -> Result<Backlog, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let committed = client.committed_offsets(list, timeout).map_err(|error| safe(fault::of(&error)))?;
    let mut waiting = 0;
    for element in committed.elements() {
        element.error().map_err(|error| safe(fault::of(&error)))?;
        let (low, high) = watermarks(producer, topic, element.partition(), timeout)?;
        waiting += match element.offset() {
            Offset::Offset(offset) => {
                // Metadata that is no text makes the library panic; it is not ours then.
                let text = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default();
                let left = u64::try_from(high - offset.max(low)).unwrap_or(0);
                left.saturating_sub(offsets::settled_beyond(offset.max(0) as u64, &text))
            }
            _ => u64::try_from(high - low).unwrap_or(0),
        };
    }
    // What members hold is theirs to know: the server counts it as waiting.
    Ok(Backlog { waiting, held: None })
}

impl KafkaBroker {
    /// Makes a topic, with as many copies as the server makes by itself, and waits until it can be used. One that is there is left as it is.
    ///
    /// # Errors
    /// Not allowed, not a name, no connection; [`ErrorKind::TimedOut`] where it was made and cannot be used within the connect time-out.
    pub async fn create_topic(&self, name: &str, partitions: u32) -> Result<(), BrokerError> {
        names::topic(name)?;
        self.0.producer()?;
        let count = i32::try_from(partitions).ok().filter(|count| *count > 0);
        let Some(count) = count else {
            return Err(BrokerError::new(NAME, ErrorKind::Invalid, format!("{partitions} partitions: say at least one")).about(name));
        };
        let timeout = self.0.settings.connect_timeout;
        let admin: AdminClient<Quiet> =
            self.0.settings.plain().create_with_context(Quiet(self.0.alarm.clone())).map_err(|error| fault::of(&error).about(name))?;
        let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let topic = NewTopic::new(name, count, TopicReplication::Fixed(-1));
        let answer = admin.create_topics([&topic], &options).await;
        // Its end waits for a thread.
        let _ = tokio::task::spawn_blocking(move || drop(admin)).await;
        for made in answer.map_err(|error| fault::of(&error).about(name))? {
            match made {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(fault::of_bare_code(code).about(name)),
            }
        }
        // A server that was told of it may answer before the one that is asked next has heard of it.
        let until = Instant::now() + timeout;
        loop {
            match self.0.known(name).await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}
