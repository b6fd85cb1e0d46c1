//! What things are called on the server, and for how long a delay queue keeps a message.

use super::super::{BrokerError, ErrorKind};
use super::fault::error;
use std::time::Duration;

/// Bytes of a group's name, as it stands in a queue's: topic (127), a dot, this, and `.delay.` with ten digits make less than AMQP's 255.
pub(super) const GROUP_BYTES: usize = 100;
/// RabbitMQ takes times up to 2^32 milliseconds, 49 days; a queue has to outlive its messages.
pub(super) const LONGEST: Duration = Duration::from_secs(40 * 24 * 3600);

/// A group's queue. A dot in the group's name is written as `%2E`, so that no two pairs have the same queue: the last dot divides them.
pub(super) fn queue(topic: &str, group: &str) -> String {
    format!("{topic}.{}", group.replace('%', "%25").replace('.', "%2E"))
}

/// The queue in which messages wait so long for that queue, or for that topic.
pub(super) fn delay_queue(target: &str, bucket: Duration) -> String {
    format!("{target}.delay.{}", bucket.as_millis())
}

/// What exists from a group's first joining on. Only those who join make it, so a sender can see that there is somebody to send to.
pub(super) fn marker(topic: &str) -> String {
    format!("winddown.joined.{topic}")
}

/// The next longer of the delays that have a queue: four for each doubling, so that a message waits a quarter longer at most.
///
/// # Errors
/// Longer than the server can.
pub(super) fn bucket(delay: Duration) -> Result<Duration, BrokerError> {
    if delay > LONGEST {
        let text = format!("a delay of {} days, and RabbitMQ keeps messages back for 40 at most", delay.as_secs() / (24 * 3600));
        return Err(error(ErrorKind::Invalid, text));
    }
    // A part of a millisecond is another one: never early.
    let millis = u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1);
    let step = (millis.next_power_of_two() / 8).max(1);
    Ok(Duration::from_millis(millis.div_ceil(step) * step))
}

/// Can it be a name of a topic?
pub(super) fn topic(name: &str, most: usize) -> Result<(), BrokerError> {
    if !(1..=most).contains(&name.len()) {
        let text = format!("a topic's name has 1 to {most} bytes, this one {}", name.len());
        return Err(error(ErrorKind::Invalid, text));
    }
    if name.starts_with("amq.") {
        return Err(error(ErrorKind::Invalid, "names that begin with `amq.` are RabbitMQ's own: choose another").about(name));
    }
    Ok(())
}

/// Can it be a name of a group?
pub(super) fn group(name: &str) -> Result<(), BrokerError> {
    let written = queue("", name).len() - 1;
    if (1..=GROUP_BYTES).contains(&written) {
        return Ok(());
    }
    let text = format!("a group's name has 1 to {GROUP_BYTES} bytes (a dot counts three), this one {written}");
    Err(error(ErrorKind::Invalid, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_groups_share_a_queue() {
        assert_eq!(queue("orders", "billing"), "orders.billing");
        assert_ne!(queue("orders.eu", "billing"), queue("orders", "eu.billing"));
        assert_ne!(queue("a", "b.c"), queue("a", "b%2Ec"));
    }

    #[test]
    fn buckets_are_never_shorter_and_at_most_a_quarter_longer() {
        let mut buckets = std::collections::BTreeSet::new();
        for millis in (1..5_000).chain((5_000..2_000_000).step_by(997)) {
            let bucket = bucket(Duration::from_millis(millis)).expect("short enough").as_millis() as u64;
            assert!(bucket >= millis && bucket <= millis + millis / 4 + 1, "{millis} ms wait {bucket} ms");
            buckets.insert(bucket);
        }
        assert!(buckets.len() < 100, "{} queues", buckets.len());
        assert_eq!(bucket(Duration::from_micros(1)).map(|b| b.as_millis()), Ok(1));
        assert_eq!(bucket(LONGEST * 2).map_err(|e| e.kind()), Err(ErrorKind::Invalid));
    }

    #[test]
    fn the_longest_names_fit() {
        let longest = delay_queue(&queue(&"t".repeat(127), &"g".repeat(GROUP_BYTES)), LONGEST);
        assert!(longest.len() <= 255, "{} bytes", longest.len());
        assert!(group(&"g".repeat(100)).is_ok() && group(&"g".repeat(101)).is_err() && group(&".".repeat(34)).is_err());
        assert!(topic("amq.topic", 127).is_err() && topic("", 127).is_err() && topic("x", 127).is_ok());
    }
}
