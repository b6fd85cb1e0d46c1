//! A member's thread: the only one that reads from the server.

use super::super::{BrokerError, ErrorKind};
use super::fault::{self, NAME};
use super::member::{Client, Member, State};
use super::wire;
use crate::sync::lock;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use std::sync::{Arc, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How long a poll waits when nothing comes: so late, at worst, is it seen that the member is to leave.
const TICK: Duration = Duration::from_millis(50);

/// How long room is waited for before partitions are paused. Nothing else of the group is served meanwhile.
const SOON: Duration = Duration::from_millis(200);

/// How long giving partitions up may take, which needs no server.
const GOING: Duration = Duration::from_secs(1);

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
            member.commit_aside(&client);
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

/// Reads no more when the hold is full, and on when there is room. A pause costs the library what it has read ahead, and up to half a second until it
/// reads on; so whoever settles at a good pace is waited for first.
fn regulate(member: &Member, client: &Client) {
    let mut state = lock(&member.state);
    if !state.paused && state.hold.is_full() {
        let full = |state: &mut State| state.hold.is_full() && !state.closed;
        state = member.room.wait_timeout_while(state, SOON, full).unwrap_or_else(PoisonError::into_inner).0;
    }
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
    // Nobody begins to commit from here on; who does already is let finish.
    *lock(&member.client) = None;
    lock(&member.state).hold.release_all();
    let committed = commit(member, &client).map_err(|error| member.about(error));
    // Nothing is left that a revocation would have to commit.
    lock(&member.state).hold.revoke_all();
    give_up(&client);
    // A question that somebody else asked with this client may be under way.
    let until = Instant::now() + member.settings.connect_timeout;
    while Arc::strong_count(&client) > 1 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    // Dropping it leaves the group, and waits until that is done. It waits for ever if a list of partitions that came from it is still there.
    drop(client);
    committed
}

/// Has the group told that we go, before the client is closed: closing alone tells nothing where no partition is ours, and the others would then wait
/// for us until our session is over.
fn give_up(client: &Client) {
    client.unsubscribe();
    let until = Instant::now() + GOING;
    while client.assignment().is_ok_and(|ours| ours.count() > 0) && Instant::now() < until {
        let _ = client.poll(Duration::from_millis(5));
    }
}

/// The last commit, on a thread of its own: a commit that finds no server waits for longer than anybody who closes does.
fn commit(member: &Arc<Member>, client: &Arc<Client>) -> Result<(), BrokerError> {
    let until = Instant::now() + member.settings.close_timeout.mul_f32(0.8);
    let (done, answer) = mpsc::channel();
    let (other, its_client) = (member.clone(), client.clone());
    let thread = std::thread::Builder::new().name("winddown-kafka-end".into());
    let spawned = thread.spawn(move || drop(done.send(other.commit(&its_client, until))));
    spawned.map_err(|error| BrokerError::new(NAME, ErrorKind::Full, format!("no thread for the last commit: {error}")))?;
    loop {
        // It goes on polling: partitions may have to go before the group takes a commit. What still comes is not for us; it was not taken.
        let _ = client.poll(Duration::from_millis(5));
        match answer.try_recv() {
            Ok(answer) => return answer,
            Err(mpsc::TryRecvError::Empty) if Instant::now() < until => {}
            Err(_) => return Err(member.alarm.last().unwrap_or_else(|| fault::of_bare_code(RDKafkaErrorCode::OperationTimedOut))),
        }
    }
}
