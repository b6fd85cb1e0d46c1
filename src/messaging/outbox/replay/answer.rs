//! What follows from an answer, for the message, its key, its topic and the whole outbox.

use super::OutboxOutcome;
use super::desk::{Desk, Landed, LastFailure, Run};
use super::pause::Pause;
use super::verdict::Fault;
use crate::messaging::BrokerError;
use crate::messaging::outbox::store::OutboxRow;
use std::time::Duration;
use tokio::time::Instant;

/// The time between two counted failures of a message that is held against it at most. So a day in which nothing could be tried is not a day of failing.
const HELD_AGAINST: Duration = Duration::from_secs(600);
/// So many failed rows are remembered for telling whether others got through meanwhile. Forgetting them is harmless: it makes the replay milder.
const REMEMBERED: usize = 10_000;

impl Desk {
    /// What follows from an answer.
    pub(super) fn landed(&mut self, landed: Landed, now: Instant) {
        let Landed { row, rest, begun, answer } = landed;
        let topic = row.message.topic_shared();
        if let Some(count) = self.lanes_of.get_mut(&topic) {
            *count -= 1;
            if *count == 0 {
                self.lanes_of.remove(&topic);
            }
        }
        match answer {
            Ok(_) => {
                if self.broker.is_suspect() {
                    self.broker.clear();
                    self.look_at(Some(now));
                    tracing::info!(outbox = &*self.place, "winddown: the broker takes messages again, the outbox is replayed");
                }
                self.topics.remove(&topic);
                self.acknowledged += 1;
                self.failed_at.remove(&row.row);
                self.tally.sent += 1;
                self.gone(&row);
                self.outcome(row.row, OutboxOutcome::Sent);
                self.go_on(rest);
            }
            Err(error) => self.refused(row, rest, begun, now, &error),
        }
    }

    fn refused(&mut self, row: OutboxRow, rest: Run, begun: Instant, now: Instant, error: &BrokerError) {
        self.tally.failed += 1;
        if self.failed_at.len() >= REMEMBERED {
            self.failed_at.clear();
        }
        let last = self.failed_at.get(&row.row).copied().unwrap_or(LastFailure { acknowledged: self.acknowledged, counted: now });
        let fault = Fault::of(error, last.acknowledged < self.acknowledged);
        let counted = if fault.counts() { now } else { last.counted };
        self.failed_at.insert(row.row, LastFailure { acknowledged: self.acknowledged, counted });
        let attempts = row.attempts.saturating_add(1);
        let mut after = self.options.backoff.pause(attempts, &mut self.random);
        // What failed waits a little longer than the probe, so that the next probe is another message: one that breaks connections must not
        // be all that is ever tried.
        let longer = self.options.backoff.first;
        match fault {
            Fault::Broker | Fault::Suspect => {
                if !self.broker.is_suspect() {
                    tracing::warn!(outbox = &*self.place, error = %error, "winddown: the broker does not take messages, the outbox waits and probes");
                }
                self.broker.failed(begun, now, &self.options.backoff, &mut self.random);
                let left = self.broker.left(now);
                after = if fault == Fault::Broker { left + longer } else { after.max(left + longer) };
                self.look_at(self.broker.over_at(now));
                self.release_ready();
            }
            Fault::Topic => {
                let pause = self.topics.entry(row.message.topic_shared()).or_insert(Pause::none(now));
                if !pause.is_suspect() {
                    tracing::warn!(outbox = &*self.place, error = %error, "winddown: the broker does not take this topic, its messages wait");
                }
                pause.failed(begun, now, &self.options.backoff, &mut self.random);
                let (left, over) = (pause.left(now), pause.over_at(now));
                after = after.max(left + longer);
                self.look_at(over);
                let topic = row.message.topic_shared();
                self.release_topic(&topic, left);
            }
            Fault::Message => {}
        }
        let failing = row.failing.saturating_add((now - last.counted).min(HELD_AGAINST));
        if fault.counts() && fault.is_end(attempts, failing, self.options.max_attempts, self.options.patience) {
            let (id, topic) = (row.message.id(), row.message.topic());
            tracing::warn!(outbox = &*self.place, topic, %id, attempts, error = %error, "winddown: a message is given up and kept as dead");
            self.tally.dead += 1;
            self.failed_at.remove(&row.row);
            self.gone(&row);
            self.outcome(row.row, OutboxOutcome::Dead { error: error.to_string() });
            // A dead one holds nobody up.
            self.go_on(rest);
            return;
        }
        let error = error.to_string();
        self.outcome(row.row, if fault.counts() { OutboxOutcome::Counted { error, after, failing } } else { OutboxOutcome::Failed { error, after } });
        self.release(rest, Duration::ZERO);
        // The store tells when the next one is due; this one it may not know of yet.
        self.look_at(Some(now + after));
    }

    /// The next of the run, before all others: its key waited long enough.
    fn go_on(&mut self, rest: Run) {
        if !rest.rows.is_empty() {
            self.ready.push_front(rest);
        }
    }

    fn gone(&mut self, row: &OutboxRow) {
        if row.message.is_ordered() {
            self.touched.extend(row.message.key_shared().map(|key| (row.message.topic_shared(), key)));
        }
    }
}
