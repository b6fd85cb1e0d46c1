//! What becomes of leases: acknowledged, given back, put off, extended, buried; and what nobody needs any more is deleted.

use super::super::super::{Message, Receipt, Settled};
use super::super::clock::lasting;
use super::super::schema::{BEHIND, LEASED, WAITING};
use super::codec::{COLUMNS, decode};
use super::{Floor, Member, Store};
use rusqlite::{OptionalExtension, params};
use std::time::Duration;

/// A lease is good while its row is leased, by this count, and not over (nor longer than it can be, after a clock jumped unseen).
const GOOD: &str = "seq = ?1 AND grp = ?2 AND state = 1 AND lease = ?3 AND due > ?4 AND due <= ?4 + span + 2000";

impl Store {
    /// Handled.
    pub(in super::super) fn ack(&mut self, member: &Member, receipts: &[Receipt]) -> rusqlite::Result<Settled> {
        let mut all = Settled::default();
        for receipt in receipts {
            let done = self.end(member, receipt)?;
            all = all.plus(one(done));
        }
        Ok(all)
    }

    /// Deletes the row of a good lease, and what follows from it.
    fn end(&mut self, member: &Member, receipt: &Receipt) -> rusqlite::Result<bool> {
        let (seq, lease) = numbers(receipt);
        let delete = format!("DELETE FROM broker_deliveries WHERE {GOOD} RETURNING okey");
        let gone: Option<Option<String>> =
            self.conn.prepare_cached(&delete)?.query_row(params![seq, member.group, lease, self.now.lease], |row| row.get(0)).optional()?;
        let Some(okey) = gone else { return Ok(false) };
        self.settled(member.group, member.topic, seq, okey.as_deref())?;
        Ok(true)
    }

    /// Comes again after the delay.
    pub(in super::super) fn nack(&mut self, member: &Member, receipts: &[Receipt], delay: Duration) -> rusqlite::Result<Settled> {
        let span = lasting(delay);
        let due = if span == 0 { 0 } else { self.now.wall + span };
        self.give_back(member, receipts, due, span, 0)
    }

    /// Comes again at once, and was not counted.
    pub(in super::super) fn release(&mut self, member: &Member, receipts: &[Receipt]) -> rusqlite::Result<Settled> {
        self.give_back(member, receipts, 0, 0, 1)
    }

    fn give_back(&mut self, member: &Member, receipts: &[Receipt], due: i64, span: i64, uncount: i64) -> rusqlite::Result<Settled> {
        let update = format!("UPDATE broker_deliveries SET state = 0, due = ?5, span = ?6, attempt = attempt - ?7, holder = 0 WHERE {GOOD}");
        let mut all = Settled::default();
        for receipt in receipts {
            let (seq, lease) = numbers(receipt);
            let values = params![seq, member.group, lease, self.now.lease, due, span, uncount];
            let done = self.conn.prepare_cached(&update)?.execute(values)? > 0;
            all = all.plus(one(done));
        }
        if all.done > 0 {
            self.touched.groups.insert(member.group);
        }
        Ok(all)
    }

    /// Ours for so much longer from now on, if it still is.
    pub(in super::super) fn extend(&mut self, member: &Member, receipt: &Receipt, by: Duration) -> rusqlite::Result<bool> {
        let (seq, lease) = numbers(receipt);
        let span = lasting(by).max(1);
        let update = format!("UPDATE broker_deliveries SET due = ?4 + ?5, span = ?5 WHERE {GOOD}");
        let values = params![seq, member.group, lease, self.now.lease, span];
        Ok(self.conn.prepare_cached(&update)?.execute(values)? > 0)
    }

    /// Moves it to the group's dead letters.
    pub(in super::super) fn bury(&mut self, member: &Member, receipt: &Receipt, reason: &str) -> rusqlite::Result<Settled> {
        let (seq, lease) = numbers(receipt);
        let find = format!("SELECT attempt FROM broker_deliveries WHERE {GOOD}");
        let values = params![seq, member.group, lease, self.now.lease];
        let attempts: Option<i64> = self.conn.prepare_cached(&find)?.query_row(values, |row| row.get(0)).optional()?;
        let Some(attempts) = attempts else { return Ok(one(false)) };
        let find = format!("SELECT {COLUMNS} FROM broker_messages m WHERE m.seq = ?1");
        let message = self.conn.prepare_cached(&find)?.query_row([seq], |row| decode(&member.interest.topic, row))?;
        self.insert(&dead(message, member, reason, attempts))?;
        Ok(one(self.end(member, receipt)?))
    }

    /// Gives back everything that these holders have. It counts as tried: whether it was, nobody has said.
    pub(in super::super) fn abandon(&mut self, group: i64, holders: (i64, i64)) -> rusqlite::Result<()> {
        let update = "UPDATE broker_deliveries INDEXED BY broker_deliveries_due SET state = ?4, due = 0, span = 0, holder = 0
            WHERE grp = ?1 AND state = ?5 AND holder BETWEEN ?2 AND ?3";
        if self.conn.prepare_cached(update)?.execute(params![group, holders.0, holders.1, WAITING, LEASED])? > 0 {
            self.touched.groups.insert(group);
        }
        Ok(())
    }

    /// The same in all groups.
    pub(in super::super) fn abandon_all(&mut self, holders: (i64, i64)) -> rusqlite::Result<()> {
        for group in self.groups()? {
            self.abandon(group, holders)?;
        }
        Ok(())
    }

    pub(super) fn groups(&self) -> rusqlite::Result<Vec<i64>> {
        self.conn.prepare_cached("SELECT grp FROM broker_groups")?.query_map([], |row| row.get(0))?.collect()
    }

    /// Takes a row away without asking for its lease.
    pub(super) fn forget(&self, group: i64, seq: i64) -> rusqlite::Result<()> {
        self.conn.prepare_cached("DELETE FROM broker_deliveries WHERE seq = ?1 AND grp = ?2")?.execute([seq, group])?;
        Ok(())
    }

    /// A message has no row in this group any more: the next of its key is up, and it is deleted if no group needs it.
    pub(super) fn settled(&mut self, group: i64, topic: i64, seq: i64, okey: Option<&str>) -> rusqlite::Result<()> {
        self.next_of_key(group, okey)?;
        let floor = self.floor(topic)?;
        if seq > floor.cursor {
            return Ok(());
        }
        let needed = floor.groups > 1 && self.conn.prepare_cached("SELECT 1 FROM broker_deliveries WHERE seq = ?1")?.exists([seq])?;
        if !needed {
            self.conn.prepare_cached("DELETE FROM broker_messages WHERE seq = ?1")?.execute([seq])?;
        }
        Ok(())
    }

    /// If nothing of this key is on its way, the first that was held back is up.
    pub(super) fn next_of_key(&mut self, group: i64, okey: Option<&str>) -> rusqlite::Result<()> {
        let Some(okey) = okey else { return Ok(()) };
        let busy = "SELECT 1 FROM broker_deliveries WHERE grp = ?1 AND okey = ?2 AND state IN (0, 1)";
        if self.conn.prepare_cached(busy)?.exists(params![group, okey])? {
            return Ok(());
        }
        let first = "SELECT seq FROM broker_deliveries WHERE grp = ?1 AND okey = ?2 AND state = ?3 ORDER BY seq LIMIT 1";
        let first: Option<i64> = self.conn.prepare_cached(first)?.query_row(params![group, okey, BEHIND], |row| row.get(0)).optional()?;
        if let Some(seq) = first {
            let up = "UPDATE broker_deliveries SET state = ?3 WHERE seq = ?1 AND grp = ?2";
            self.conn.prepare_cached(up)?.execute([seq, group, WAITING])?;
            self.touched.groups.insert(group);
        }
        Ok(())
    }

    /// How far all groups of the topic have come, as of this transaction.
    fn floor(&mut self, topic: i64) -> rusqlite::Result<Floor> {
        if let Some(floor) = self.floors.get(&topic) {
            return Ok(*floor);
        }
        let find = "SELECT count(*), coalesce(min(cursor), 0) FROM broker_groups WHERE topic = ?1";
        let floor = self.conn.prepare_cached(find)?.query_row([topic], |row| Ok(Floor { groups: row.get(0)?, cursor: row.get(1)? }))?;
        self.floors.insert(topic, floor);
        Ok(floor)
    }
}

fn dead(message: Message, member: &Member, reason: &str, attempts: i64) -> Message {
    message
        .with_property("winddown.dead-reason", reason)
        .with_property("winddown.dead-attempts", attempts.to_string())
        .with_property("winddown.dead-topic", &*member.interest.topic)
        .with_delay(Duration::ZERO)
        .to_topic(member.interest.dead_letter_topic())
}

fn one(done: bool) -> Settled {
    Settled { done: done.into(), stale: (!done).into() }
}

/// A receipt's message and lease. Numbers that this broker never gives name no row.
fn numbers(receipt: &Receipt) -> (i64, i64) {
    let (seq, lease) = receipt.as_numbers();
    (i64::try_from(seq).unwrap_or(-1), i64::try_from(lease).unwrap_or(-1))
}
