//! Partitions that come and go, on the member's thread.

use super::super::{BrokerError, StartFrom};
use super::fault;
use super::hold::Commit;
use super::member::{Client, Member};
use super::offsets::Tracker;
use super::producing::watermarks;
use crate::sync::lock;
use rdkafka::consumer::{CommitMode, Consumer, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub(super) fn rebalance(member: &Member, client: &Client, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
    let done = match what {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => assign(member, client, list),
        _ => revoke(member, client, list),
    };
    if let Err(error) = done {
        // The library asks the group anew when it finds its assignment wanting.
        tracing::warn!(target: "winddown::kafka", %error, topic = &*member.interest.topic, "an assignment");
        lock(&member.state).error = Some(fault::of(&error));
    }
    member.changed.notify_waiters();
}

/// These are ours. Each is read on from what was committed of it, which is asked for before anything of it is read.
fn assign(member: &Member, client: &Client, list: &mut TopicPartitionList) -> Result<(), KafkaError> {
    // Who leaves reads nothing any more; the group is answered all the same.
    if member.leaving.is_cancelled() {
        return incrementally(client, list, true);
    }
    let mut begun = false;
    let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
    let trackers = loop {
        match partitions.is_empty().then(Vec::new).map_or_else(|| trackers(member, client, list, &partitions), Ok) {
            Ok(trackers) => break trackers,
            Err(_) if member.leaving.is_cancelled() => return incrementally(client, list, true),
            Err(error) => {
                lock(&member.state).error = Some(error);
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    };
    let topic = &*member.interest.topic;
    {
        let mut state = lock(&member.state);
        for (partition, offset, tracker) in trackers {
            list.set_partition_offset(topic, partition, offset)?;
            begun |= tracker.mark(0).is_some();
            state.hold.assign(partition, tracker);
        }
    }
    incrementally(client, list, true)?;
    let mut state = lock(&member.state);
    if state.paused && !partitions.is_empty() {
        client.pause(list)?;
    }
    if begun {
        // From here on the group is known, and begins nowhere else: also if this process dies before it has settled anything.
        let commits = state.hold.commits();
        drop(state);
        if client.commit(&member.list(&commits), CommitMode::Sync).is_ok() {
            lock(&member.state).hold.confirmed(&commits);
        }
        state = lock(&member.state);
    }
    state.joined = true;
    // Whatever went wrong on the way.
    state.error = None;
    Ok(())
}

/// For each partition, where to read on and what is known of it.
fn trackers(member: &Member, client: &Client, list: &TopicPartitionList, partitions: &[i32]) -> Result<Vec<(i32, Offset, Tracker)>, BrokerError> {
    let timeout = member.settings.connect_timeout;
    let committed = client.committed_offsets(list.clone(), timeout).map_err(|error| fault::of(&error))?;
    let mut trackers = Vec::with_capacity(partitions.len());
    for element in committed.elements() {
        element.error().map_err(|error| fault::of(&error))?;
        let partition = element.partition();
        trackers.push(match (element.offset(), member.interest.start) {
            (Offset::Offset(offset), _) => {
                // Metadata that is no text makes the library panic; it is not ours then.
                let text = catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default();
                (partition, Offset::Offset(offset), Tracker::restored(offset.max(0) as u64, &text))
            }
            (_, StartFrom::Earliest) => (partition, Offset::Beginning, Tracker::fresh()),
            (_, StartFrom::Latest) => {
                let shared = member.shared.upgrade().ok_or_else(fault::closed)?;
                let (_, high) = watermarks(&*shared.producer()?, &member.interest.topic, partition, timeout)?;
                (partition, Offset::Offset(high), Tracker::beginning(high.max(0) as u64))
            }
        });
    }
    Ok(trackers)
}

/// These go. What was settled of them is committed while they are still ours; what is held of them is the next member's.
fn revoke(member: &Member, client: &Client, list: &TopicPartitionList) -> Result<(), KafkaError> {
    let commits: Vec<Commit> = {
        let mut state = lock(&member.state);
        list.elements().iter().filter_map(|element| state.hold.revoke(element.partition())).collect()
    };
    if !commits.is_empty() {
        let _turn = lock(&member.turn);
        let committed = if client.assignment_lost() {
            Err(fault::of_bare_code(rdkafka::error::RDKafkaErrorCode::AssignmentLost))
        } else {
            client.commit(&member.list(&commits), CommitMode::Sync).map_err(|error| fault::of(&error))
        };
        if let Err(error) = committed {
            tracing::debug!(target: "winddown::kafka", %error, "what was settled last of a partition that went may come again");
            lock(&member.state).lost = Some(member.about(error));
        }
    }
    incrementally(client, list, false)
}

/// Tells the library that it is done, in the words of the protocol that the group speaks.
fn incrementally(client: &Client, list: &TopicPartitionList, ours: bool) -> Result<(), KafkaError> {
    match (client.rebalance_protocol(), ours) {
        (RebalanceProtocol::Cooperative, true) => client.incremental_assign(list),
        (RebalanceProtocol::Cooperative, false) => client.incremental_unassign(list),
        (_, true) => client.assign(list),
        (_, false) => client.unassign(),
    }
}
