//! A member's thread: the only one that reads from the server.

use super::super::BrokerError;
use super::fault;
use super::member::{Client, Member};
use super::wire;
use crate::sync::lock;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a poll waits when nothing comes: so late, at worst, is it seen that the member is to leave.
const TICK: Duration = Duration::from_millis(50);

pub(super) fn run(member: &Arc<Member>, client: Arc<Client>) {
    let mut next_commit = Instant::now() + member.settings.commit_every;
    while !member.leaving.is_cancelled() {
        match client.poll(TICK) {
            Some(Ok(record)) => arrived(member, &record),
            Some(Err(error)) => failed(member, &error),
            None => {}
        }
        regulate(member, &client);
        if Instant::now() >= next_commit {
            member.commit_soon(&client);
            next_commit = Instant::now() + member.settings.commit_every;
        }
    }
    let left = leave(member, client);
    lock(&member.state).left = left;
    member.ended.cancel();
}

fn arrived(member: &Member, record: &BorrowedMessage<'_>) {
    let message = wire::read(record, &member.interest.topic);
    lock(&member.state).hold.arrived(record.partition(), record.offset().max(0) as u64, message);
    member.changed.notify_waiters();
}

fn failed(member: &Member, error: &KafkaError) {
    let told = fault::of(error);
    // The connection's own words say more than "all brokers are down".
    let told = member.alarm.last().filter(|last| last.code() == told.code()).unwrap_or(told);
    let mut state = lock(&member.state);
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        state.broken = Some(told);
    } else if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
        state.error = Some(told);
    }
    drop(state);
    member.changed.notify_waiters();
}

/// Reads no more when the hold is full, and on when there is room.
fn regulate(member: &Member, client: &Client) {
    let mut state = lock(&member.state);
    let pause = if state.paused { !state.hold.has_room() } else { state.hold.is_full() };
    if pause == state.paused {
        return;
    }
    state.paused = pause;
    drop(state);
    let done = client.assignment().and_then(|ours| if pause { client.pause(&ours) } else { client.resume(&ours) });
    if let Err(error) = done {
        tracing::debug!(target: "winddown::kafka", %error, pause, "it is tried again");
        lock(&member.state).paused = !pause;
    }
}

/// Gives everything back, commits, and leaves the group: in bounded time, but for a library that hangs.
fn leave(member: &Arc<Member>, client: Arc<Client>) -> Result<(), BrokerError> {
    // Whoever commits at the moment is let finish; nobody begins from here on.
    *lock(&member.client) = None;
    drop(lock(&member.turn));
    lock(&member.state).hold.release_all();
    let committed = commit(member, &client);
    // Nothing is left that a revocation would have to commit.
    let partitions: Vec<i32> = client.assignment().map(|ours| ours.elements().iter().map(|one| one.partition()).collect()).unwrap_or_default();
    let mut state = lock(&member.state);
    partitions.into_iter().for_each(|partition| drop(state.hold.revoke(partition)));
    drop(state);
    // A question that somebody else asked with this client may be under way.
    let until = Instant::now() + member.settings.connect_timeout;
    while Arc::strong_count(&client) > 1 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Dropping it leaves the group, and waits until that is done.
    drop(client);
    committed
}

/// The last commit. It goes on polling, which a commit that blocks would not, so that an end can be set to it.
fn commit(member: &Member, client: &Client) -> Result<(), BrokerError> {
    let until = Instant::now() + member.settings.close_timeout.mul_f32(0.8);
    loop {
        member.commit_soon(client);
        let state = lock(&member.state);
        let open = state.flying.is_some() || !state.hold.commits().is_empty();
        drop(state);
        if !open {
            return Ok(());
        }
        if Instant::now() >= until {
            let told = member.alarm.last().unwrap_or_else(|| fault::of_bare_code(RDKafkaErrorCode::OperationTimedOut));
            return Err(member.about(told));
        }
        // What still comes is not for us: it was not taken, and so is not committed.
        let _ = client.poll(Duration::from_millis(10));
    }
}
