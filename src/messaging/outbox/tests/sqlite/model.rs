//! The SQLite store against the plain one: the same calls, the same answers, whatever comes.

use super::super::naive::Naive;
use super::{Hand, LEASE, Scratch};
use crate::messaging::Message;
use crate::messaging::outbox::{OutboxBounds, OutboxClaim, OutboxFilter, OutboxOutcome, OutboxPick, OutboxSettled, OutboxStore, SqliteOutbox};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    /// Topic, key and whether it is ordered, of each.
    Put(Vec<(u8, u8, bool)>),
    Claim {
        run: usize,
        skips: bool,
    },
    /// Of the claims so far, this many-th row gets this outcome.
    Settle {
        which: usize,
        outcome: u8,
        after: u64,
    },
    Turn(i64),
    Retry(u8),
    Purge(u8),
    Reopen,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec((0..2u8, 0..3u8, any::<bool>()), 1..5).prop_map(Step::Put),
        6 => (1..4usize, proptest::bool::weighted(0.2)).prop_map(|(run, skips)| Step::Claim { run, skips }),
        8 => (any::<usize>(), 0..5u8, 0..8u64).prop_map(|(which, outcome, after)| Step::Settle { which, outcome, after: after * 1000 }),
        3 => (0..40_000i64).prop_map(Step::Turn),
        1 => (-200_000..200_000i64).prop_map(Step::Turn),
        1 => any::<u8>().prop_map(Step::Retry),
        1 => any::<u8>().prop_map(Step::Purge),
        1 => Just(Step::Reopen),
    ]
}

struct World {
    scratch: Scratch,
    hand: Hand,
    real: SqliteOutbox,
    model: Naive,
    made: u64,
    /// Claims as the two know them: the same row, each with its own number.
    claims: Vec<(i64, i64, i64)>,
}

impl World {
    fn new() -> World {
        let (scratch, hand) = (Scratch::new("model"), Hand::at(1_000_000_000));
        let (real, same) = (hand.open(&scratch.file()), hand.clone());
        World { scratch, hand, real, model: Naive::new(Arc::new(move || same.millis())), made: 0, claims: Vec::new() }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Put(kinds) => {
                let mut messages = Vec::new();
                for (topic, key, ordered) in kinds {
                    self.made += 1;
                    let message = Message::new(format!("topic{topic}"), self.made.to_string());
                    messages.push(if ordered { message.with_ordered_key(format!("key{key}")) } else { message.with_key(format!("key{key}")) });
                }
                let bounds = OutboxBounds { messages: 30, bytes: 100_000 };
                let (real, model) = (self.real.put(&messages, bounds).await, self.model.put(&messages, bounds).await);
                assert_eq!(real.map_err(|error| error.kind()), model.map_err(|error| error.kind()));
            }
            Step::Claim { run, skips } => {
                let skip = if skips { vec!["topic1".into()] } else { Vec::new() };
                let claim = OutboxClaim { rows: 1000, bytes: usize::MAX, run, lease: LEASE, horizon: LEASE * 2, skip };
                let mut real = self.real.claim(claim.clone()).await.expect("the real one claims");
                let mut model = self.model.claim(claim).await.expect("the model claims");
                if real.rows.is_empty() && model.rows.is_empty() {
                    assert_eq!(real.next, model.next);
                }
                real.rows.sort_by_key(|row| row.row);
                model.rows.sort_by_key(|row| row.row);
                let plain = |rows: &[crate::messaging::OutboxRow]| {
                    rows.iter().map(|row| (row.row, row.message.clone(), row.attempts, row.failing)).collect::<Vec<_>>()
                };
                assert_eq!(plain(&real.rows), plain(&model.rows));
                self.claims.extend(real.rows.iter().zip(&model.rows).map(|(real, model)| (real.row, real.claim, model.claim)));
            }
            Step::Settle { which, outcome, after } => {
                if self.claims.is_empty() {
                    return;
                }
                let (row, real, model) = self.claims[which % self.claims.len()];
                let (error, after) = ("as the test wants".to_owned(), Duration::from_millis(after));
                let outcome = match outcome {
                    0 => OutboxOutcome::Sent,
                    1 => OutboxOutcome::Failed { error, after },
                    2 => OutboxOutcome::Counted { error, after, failing: after },
                    3 => OutboxOutcome::Dead { error },
                    _ => OutboxOutcome::Released { after },
                };
                self.real.settle(&[OutboxSettled { row, claim: real, outcome: outcome.clone() }]).await.expect("the real one settles");
                self.model.settle(&[OutboxSettled { row, claim: model, outcome }]).await.expect("the model settles");
            }
            Step::Turn(by) => self.hand.turn(by),
            Step::Retry(pick) => assert_eq!(self.real.retry(self.pick(pick)).await, self.model.retry(self.pick(pick)).await),
            Step::Purge(pick) => assert_eq!(self.real.purge(self.pick(pick)).await, self.model.purge(self.pick(pick)).await),
            Step::Reopen => {
                self.real.close().await.expect("closed");
                self.real = self.hand.open(&self.scratch.file());
            }
        }
        self.compare().await;
    }

    fn pick(&self, pick: u8) -> OutboxPick {
        let rows = self.model.rows();
        match rows.get(usize::from(pick) % (rows.len() + 1)) {
            None => OutboxPick::Dead,
            Some(row) if pick.is_multiple_of(2) => OutboxPick::Id(row.message.id()),
            Some(row) => OutboxPick::Row(row.row),
        }
    }

    async fn compare(&self) {
        let without_time = |mut entries: Vec<crate::messaging::OutboxEntry>| {
            entries.iter_mut().for_each(|entry| entry.created = None);
            entries
        };
        let real = self.real.list(OutboxFilter::all()).await.expect("listed");
        let model = self.model.list(OutboxFilter::all()).await.expect("listed");
        assert_eq!(without_time(real), without_time(model));
        assert_eq!(self.real.counts().await, self.model.counts().await);
        let sorted = |mut keys: Vec<crate::messaging::OrderedKey>| {
            keys.sort();
            keys
        };
        assert_eq!(sorted(self.real.ordered(None).await.expect("asked")), sorted(self.model.ordered(None).await.expect("asked")));
        let some: Vec<_> = ["key0", "key9"].map(|key| ("topic0".into(), key.into())).into();
        assert_eq!(sorted(self.real.ordered(Some(some.clone())).await.expect("asked")), sorted(self.model.ordered(Some(some)).await.expect("asked")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn m3_the_sqlite_store_does_what_the_plain_one_does(steps in proptest::collection::vec(any_step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new();
            for step in steps {
                world.step(step).await;
            }
        });
    }
}
