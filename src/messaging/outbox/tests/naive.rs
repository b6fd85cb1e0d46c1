//! An outbox's store as plainly as the contract can be read: rows in a vector, looked through from the front. The model for the real ones, and
//! the store for tests in virtual time.

use crate::messaging::outbox::{
    OrderedKey, OutboxBounds, OutboxClaim, OutboxClaimed, OutboxCounts, OutboxEntry, OutboxError, OutboxErrorKind, OutboxFilter, OutboxOutcome,
    OutboxPick, OutboxRow, OutboxSettled, OutboxState, OutboxStore,
};
use crate::messaging::{Message, MessageId};
use crate::sync::{Mutex, lock};
use async_trait::async_trait;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) type Millis = Arc<dyn Fn() -> i64 + Send + Sync>;

#[derive(Clone, Debug)]
pub(super) struct NaiveRow {
    pub(super) row: i64,
    pub(super) message: Message,
    pub(super) state: OutboxState,
    pub(super) due: i64,
    pub(super) claim: Option<i64>,
    pub(super) attempts: u32,
    pub(super) failing: Duration,
    pub(super) error: Option<String>,
}

pub(super) struct Naive {
    rows: Mutex<(Vec<NaiveRow>, i64, i64)>,
    now: Millis,
    /// So many of the next settlements, and claims, fail.
    pub(super) failing_settles: AtomicU32,
    pub(super) failing_claims: AtomicU32,
    written: AtomicU32,
    pub(super) settles: AtomicU32,
    pub(super) claims: AtomicU32,
}

impl Naive {
    pub(super) fn new(now: Millis) -> Naive {
        let none = || AtomicU32::new(0);
        Naive {
            rows: Mutex::new((Vec::new(), 0, 0)),
            now,
            failing_settles: none(),
            failing_claims: none(),
            written: none(),
            settles: none(),
            claims: none(),
        }
    }

    /// By tokio's clock, which tests can stop and move.
    pub(super) fn in_virtual_time() -> Arc<Naive> {
        let start = tokio::time::Instant::now();
        Arc::new(Naive::new(Arc::new(move || 1_000_000 + start.elapsed().as_millis() as i64)))
    }

    pub(super) fn rows(&self) -> Vec<NaiveRow> {
        lock(&self.rows).0.clone()
    }

    pub(super) fn ids(&self, state: OutboxState) -> Vec<MessageId> {
        self.rows().iter().filter(|row| row.state == state).map(|row| row.message.id()).collect()
    }

    fn fails(&self, left: &AtomicU32) -> Result<(), OutboxError> {
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(OutboxError::new(OutboxErrorKind::DiskFull, self.place(), "as the test wants")),
            Err(_) => Ok(()),
        }
    }

    fn change(&self, mut change: impl FnMut(&mut NaiveRow) -> bool) -> u64 {
        lock(&self.rows).0.iter_mut().map(|row| u64::from(change(row))).sum()
    }
}

fn picked(row: &NaiveRow, pick: OutboxPick) -> bool {
    match pick {
        OutboxPick::Id(id) => row.message.id() == id,
        OutboxPick::Row(number) => row.row == number,
        OutboxPick::Dead => row.state == OutboxState::Dead,
        OutboxPick::Damaged => row.state == OutboxState::Damaged,
    }
}

fn key_of(message: &Message) -> Option<OrderedKey> {
    message.key_shared().filter(|_| message.is_ordered()).map(|key| (message.topic_shared(), key))
}

#[async_trait]
impl OutboxStore for Naive {
    fn place(&self) -> Arc<str> {
        "naive".into()
    }

    async fn put(&self, messages: &[Message], bounds: OutboxBounds) -> Result<(), OutboxError> {
        bounds.check(&self.place(), self.counts().await?, messages)?;
        self.written.store(1, Ordering::SeqCst);
        let mut rows = lock(&self.rows);
        for message in messages {
            rows.1 += 1;
            let row = rows.1;
            rows.0.push(NaiveRow {
                row,
                message: message.clone(),
                state: OutboxState::Pending,
                due: 0,
                claim: None,
                attempts: 0,
                failing: Duration::ZERO,
                error: None,
            });
        }
        Ok(())
    }

    async fn claim(&self, claim: OutboxClaim) -> Result<OutboxClaimed, OutboxError> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        self.fails(&self.failing_claims)?;
        let now = (self.now)();
        let mut rows = lock(&self.rows);
        rows.2 += 1;
        let number = rows.2;
        let (mut blocked, mut runs) = (HashSet::new(), std::collections::HashMap::<OrderedKey, usize>::new());
        let mut claimed = OutboxClaimed::default();
        for row in rows.0.iter_mut().filter(|row| row.state == OutboxState::Pending) {
            let key = key_of(&row.message);
            let due = row.due <= now || row.due - now > claim.horizon.as_millis() as i64;
            if !due {
                let wait = Duration::from_millis((row.due - now) as u64);
                if key.as_ref().is_none_or(|key| !blocked.contains(key)) {
                    claimed.next = Some(claimed.next.map_or(wait, |next| next.min(wait)));
                }
            }
            let skipped = claim.skip.iter().any(|topic| **topic == *row.message.topic());
            let behind = key.as_ref().is_some_and(|key| blocked.contains(key));
            let run = key.as_ref().and_then(|key| runs.get(key)).copied().unwrap_or(0);
            if !due || skipped || behind || run >= claim.run || claimed.rows.len() >= claim.rows {
                // The rest of a key is due only when what is claimed of it is settled.
                if due && !skipped && !behind && run < claim.run {
                    claimed.next = Some(Duration::ZERO);
                }
                key.into_iter().for_each(|key| _ = blocked.insert(key));
                continue;
            }
            key.into_iter().for_each(|key| *runs.entry(key).or_default() += 1);
            (row.claim, row.due) = (Some(number), now + claim.lease.as_millis() as i64);
            claimed.rows.push(OutboxRow { row: row.row, claim: number, message: row.message.clone(), attempts: row.attempts, failing: row.failing });
        }
        Ok(claimed)
    }

    async fn settle(&self, settled: &[OutboxSettled]) -> Result<(), OutboxError> {
        self.settles.fetch_add(1, Ordering::SeqCst);
        self.fails(&self.failing_settles)?;
        let now = (self.now)();
        let due = |after: Duration| if after.is_zero() { 0 } else { now + after.as_millis() as i64 };
        let mut rows = lock(&self.rows);
        for OutboxSettled { row, claim, outcome } in settled {
            if *outcome == OutboxOutcome::Sent {
                rows.0.retain(|there| there.row != *row);
                continue;
            }
            let Some(row) = rows.0.iter_mut().find(|there| there.row == *row && there.claim == Some(*claim)) else { continue };
            row.claim = None;
            match outcome {
                OutboxOutcome::Sent => unreachable!("dealt with above"),
                OutboxOutcome::Released { after } => row.due = due(*after),
                OutboxOutcome::Failed { error, after } => (row.due, row.error) = (due(*after), Some(error.clone())),
                OutboxOutcome::Counted { error, after, failing } => {
                    (row.due, row.error, row.attempts, row.failing) = (due(*after), Some(error.clone()), row.attempts + 1, *failing);
                }
                OutboxOutcome::Dead { error } => {
                    (row.due, row.error, row.attempts, row.state) = (0, Some(error.clone()), row.attempts + 1, OutboxState::Dead);
                }
            }
        }
        Ok(())
    }

    async fn ordered(&self, among: Option<Vec<OrderedKey>>) -> Result<Vec<OrderedKey>, OutboxError> {
        let keys: HashSet<OrderedKey> =
            self.rows().iter().filter(|row| row.state == OutboxState::Pending).filter_map(|row| key_of(&row.message)).collect();
        Ok(keys.into_iter().filter(|key| among.as_ref().is_none_or(|among| among.contains(key))).collect())
    }

    async fn changed(&self) -> Result<bool, OutboxError> {
        Ok(self.written.swap(0, Ordering::SeqCst) > 0)
    }

    async fn list(&self, filter: OutboxFilter) -> Result<Vec<OutboxEntry>, OutboxError> {
        let wanted = |row: &&NaiveRow| row.row > filter.after_row() && filter.state().is_none_or(|state| state == row.state);
        let entry = |row: &NaiveRow| {
            let mut entry = OutboxEntry::new(row.row, row.state, row.message.topic(), Some(row.message.clone()));
            (entry.attempts, entry.error) = (row.attempts, row.error.clone());
            entry.claimed = row.claim.is_some() && row.due > (self.now)();
            entry
        };
        Ok(self.rows().iter().filter(wanted).take(filter.limit_rows()).map(entry).collect())
    }

    async fn retry(&self, pick: OutboxPick) -> Result<u64, OutboxError> {
        Ok(self.change(|row| {
            let retried = picked(row, pick) && (row.state != OutboxState::Pending || row.claim.is_none());
            if retried {
                (row.state, row.due, row.claim, row.attempts, row.failing) = (OutboxState::Pending, 0, None, 0, Duration::ZERO);
            }
            retried
        }))
    }

    async fn purge(&self, pick: OutboxPick) -> Result<u64, OutboxError> {
        let mut rows = lock(&self.rows);
        let before = rows.0.len();
        rows.0.retain(|row| !picked(row, pick));
        Ok((before - rows.0.len()) as u64)
    }

    async fn counts(&self) -> Result<OutboxCounts, OutboxError> {
        let mut counts = OutboxCounts::default();
        for row in self.rows() {
            *match row.state {
                OutboxState::Pending => &mut counts.pending,
                OutboxState::Dead => &mut counts.dead,
                OutboxState::Damaged => &mut counts.damaged,
            } += 1;
            counts.bytes += row.message.size() as u64;
        }
        Ok(counts)
    }

    async fn close(&self) -> Result<(), OutboxError> {
        Ok(())
    }
}
