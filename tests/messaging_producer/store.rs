//! An outbox's store in memory, whose disk is as slow and as broken as a test wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use winddown::async_trait;
use winddown::messaging::{
    Message, MessageId, OrderedKey, OutboxBounds, OutboxClaim, OutboxClaimed, OutboxCounts, OutboxEntry, OutboxError, OutboxErrorKind, OutboxFilter,
    OutboxOutcome, OutboxPick, OutboxRow, OutboxSettled, OutboxStore,
};

pub(crate) struct Held {
    capacity: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: i64,
    rows: BTreeMap<i64, Row>,
    /// Every id that was ever stored, and how many messages each put had.
    put: BTreeSet<MessageId>,
    puts: Vec<usize>,
    slow: Duration,
    broken: bool,
    claims: bool,
}

struct Row {
    message: Message,
    attempts: u32,
    due: Instant,
}

impl Held {
    /// It takes so many messages in all; nothing is replayed until [`Held::replays`].
    pub(crate) fn new(capacity: u64) -> Arc<Held> {
        Arc::new(Held { capacity, state: Mutex::default() })
    }
    pub(crate) fn replays(&self) {
        self.state.lock().unwrap().claims = true;
    }
    pub(crate) fn slow(&self, slow: Duration) {
        self.state.lock().unwrap().slow = slow;
    }
    pub(crate) fn broken(&self) {
        self.state.lock().unwrap().broken = true;
    }
    pub(crate) fn ids(&self) -> BTreeSet<MessageId> {
        self.state.lock().unwrap().put.clone()
    }
    /// How many messages each put had.
    pub(crate) fn puts(&self) -> Vec<usize> {
        self.state.lock().unwrap().puts.clone()
    }
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.state.lock().unwrap().rows.values().map(|row| String::from_utf8_lossy(row.message.body()).into_owned()).collect()
    }
}

fn error(kind: OutboxErrorKind) -> OutboxError {
    OutboxError::new(kind, "held", "as told")
}

#[async_trait]
impl OutboxStore for Held {
    fn place(&self) -> Arc<str> {
        "held".into()
    }

    async fn put(&self, messages: &[Message], _bounds: OutboxBounds) -> Result<(), OutboxError> {
        let slow = self.state.lock().unwrap().slow;
        tokio::time::sleep(slow).await;
        let mut state = self.state.lock().unwrap();
        if state.broken {
            return Err(error(OutboxErrorKind::DiskFull));
        }
        if (state.put.len() + messages.len()) as u64 > self.capacity {
            return Err(error(OutboxErrorKind::Full));
        }
        for message in messages {
            state.next += 1;
            let row = state.next;
            state.rows.insert(row, Row { message: message.clone(), attempts: 0, due: Instant::now() });
            state.put.insert(message.id());
        }
        state.puts.push(messages.len());
        Ok(())
    }

    async fn claim(&self, claim: OutboxClaim) -> Result<OutboxClaimed, OutboxError> {
        let mut state = self.state.lock().unwrap();
        let now = Instant::now();
        let mut claimed = OutboxClaimed::default();
        if !state.claims {
            return Ok(claimed);
        }
        let mut busy = BTreeSet::new();
        for (row, held) in &mut state.rows {
            let key = held.message.is_ordered().then(|| (held.message.topic_shared(), held.message.key_shared()));
            if key.as_ref().is_some_and(|key| busy.contains(key)) {
                continue;
            }
            busy.extend(key);
            if held.due <= now && claimed.rows.len() < claim.rows {
                held.due = now + claim.lease;
                let (message, attempts) = (held.message.clone(), held.attempts);
                claimed.rows.push(OutboxRow { row: *row, claim: 0, message, attempts, failing: Duration::ZERO });
            }
        }
        claimed.next = state.rows.values().map(|row| row.due.saturating_duration_since(now)).min();
        Ok(claimed)
    }

    async fn settle(&self, settled: &[OutboxSettled]) -> Result<(), OutboxError> {
        let mut state = self.state.lock().unwrap();
        for one in settled {
            match &one.outcome {
                OutboxOutcome::Sent | OutboxOutcome::Dead { .. } => drop(state.rows.remove(&one.row)),
                OutboxOutcome::Failed { after, .. } | OutboxOutcome::Counted { after, .. } | OutboxOutcome::Released { after } => {
                    if let Some(row) = state.rows.get_mut(&one.row) {
                        row.due = Instant::now() + *after;
                        row.attempts += 1;
                    }
                }
            }
        }
        Ok(())
    }

    async fn ordered(&self, _among: Option<Vec<OrderedKey>>) -> Result<Vec<OrderedKey>, OutboxError> {
        let state = self.state.lock().unwrap();
        let ordered = state.rows.values().filter(|row| row.message.is_ordered());
        Ok(ordered.filter_map(|row| Some((row.message.topic_shared(), row.message.key_shared()?))).collect())
    }

    async fn list(&self, _filter: OutboxFilter) -> Result<Vec<OutboxEntry>, OutboxError> {
        Err(error(OutboxErrorKind::Other))
    }
    async fn retry(&self, _pick: OutboxPick) -> Result<u64, OutboxError> {
        Ok(0)
    }
    async fn purge(&self, _pick: OutboxPick) -> Result<u64, OutboxError> {
        Ok(0)
    }
    async fn counts(&self) -> Result<OutboxCounts, OutboxError> {
        Ok(OutboxCounts::default())
    }
    async fn close(&self) -> Result<(), OutboxError> {
        Ok(())
    }
}
