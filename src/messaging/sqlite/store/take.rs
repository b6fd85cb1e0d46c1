//! What a pull gets: first what was given back or whose lease is over, then what the group has not seen.

use super::super::super::Message;
use super::super::clock::lasting;
use super::super::schema::{BEHIND, LEASED, WAITING};
use super::codec::{COLUMNS, DELAY, DUE, KEY, ORDERED, SEQ, TAG, decode, text};
use super::{Member, SCAN, Store};
use rusqlite::params;
use std::collections::HashSet;
use std::time::Duration;

/// One pull gives no more bytes than this, unless a single message has more.
const BYTES: usize = 64 << 20;

/// A message that was leased.
#[derive(Debug)]
pub(in super::super) struct Leased {
    pub(in super::super) seq: i64,
    pub(in super::super) lease: i64,
    pub(in super::super) attempt: i64,
    pub(in super::super) message: Message,
}

/// What one look gave.
#[derive(Debug, Default)]
pub(in super::super) struct Taken {
    pub(in super::super) leased: Vec<Leased>,
    /// The look ended before the end of the topic: if nothing was found, look again.
    pub(in super::super) more: bool,
    bytes: usize,
}

impl Taken {
    fn room(&self, max: usize) -> usize {
        if self.bytes >= BYTES { 0 } else { max - self.leased.len() }
    }
    fn add(&mut self, leased: Leased) {
        self.bytes += leased.message.size();
        self.leased.push(leased);
    }
}

/// A row of `broker_deliveries` that may be delivered again.
struct Ready {
    seq: i64,
    attempt: i64,
    lease: i64,
    okey: Option<String>,
}

/// A message behind the cursor, as far as it matters.
enum Fresh {
    Unwanted(i64),
    Later { seq: i64, due: i64, span: i64, okey: Option<String>, state: i64 },
    Wanted { seq: i64, okey: Option<String>, message: Message },
}

impl Store {
    /// Leases up to `max` messages to this member.
    pub(in super::super) fn take(&mut self, member: &Member, max: usize) -> rusqlite::Result<Taken> {
        let mut taken = Taken::default();
        for state in [WAITING, LEASED] {
            self.take_again(member, state, max, &mut taken)?;
        }
        if taken.room(max) > 0 && !taken.more {
            self.take_fresh(member, max, &mut taken)?;
        }
        Ok(taken)
    }

    fn take_again(&mut self, member: &Member, state: i64, max: usize, taken: &mut Taken) -> rusqlite::Result<()> {
        let room = taken.room(max);
        if room == 0 {
            return Ok(());
        }
        let ready = self.ready(member.group, state, room)?;
        let full = ready.len() == room.min(SCAN);
        for row in ready {
            if taken.room(max) == 0 {
                return Ok(());
            }
            if member.interest.ordered && self.is_behind(member.group, &row)? {
                self.hold_back(member.group, &row)?;
                continue;
            }
            let Some(message) = self.message(member, row.seq)? else {
                // Not wanted (any more): handled, for this group.
                self.forget(member.group, row.seq)?;
                self.settled(member.group, member.topic, row.seq, row.okey.as_deref())?;
                continue;
            };
            let (attempt, lease) = (row.attempt + 1, row.lease + 1);
            let update =
                "UPDATE broker_deliveries SET state = ?3, due = ?4, span = ?5, attempt = ?6, lease = ?7, holder = ?8 WHERE seq = ?1 AND grp = ?2";
            let (due, span) = self.lease(member.interest.visibility);
            self.conn.prepare_cached(update)?.execute(params![row.seq, member.group, LEASED, due, span, attempt, lease, member.holder])?;
            taken.add(Leased { seq: row.seq, lease, attempt, message });
        }
        taken.more |= full;
        Ok(())
    }

    fn ready(&self, group: i64, state: i64, room: usize) -> rusqlite::Result<Vec<Ready>> {
        let now = if state == LEASED { self.now.lease } else { self.now.wall };
        let find = "SELECT seq, attempt, lease, okey FROM broker_deliveries INDEXED BY broker_deliveries_due
            WHERE grp = ?1 AND state = ?2 AND due <= ?3 ORDER BY due, seq LIMIT ?4";
        let mut find = self.conn.prepare_cached(find)?;
        let rows = find.query_map(params![group, state, now, room.min(SCAN) as i64], |row| {
            Ok(Ready { seq: row.get(0)?, attempt: row.get(1)?, lease: row.get(2)?, okey: row.get(3)? })
        })?;
        rows.collect()
    }

    /// The message of this number, if the member wants it.
    fn message(&self, member: &Member, seq: i64) -> rusqlite::Result<Option<Message>> {
        let mut find = self.conn.prepare_cached(&format!("SELECT {COLUMNS} FROM broker_messages m WHERE m.seq = ?1"))?;
        let mut rows = find.query([seq])?;
        // It is there: a message is deleted only when no group has a row for it.
        match rows.next()? {
            Some(row) if member.interest.tags.wants(text(row, TAG)?) => decode(&member.interest.topic, row).map(Some),
            _ => Ok(None),
        }
    }

    fn take_fresh(&mut self, member: &Member, max: usize, taken: &mut Taken) -> rusqlite::Result<()> {
        let cursor: i64 = self.conn.prepare_cached("SELECT cursor FROM broker_groups WHERE grp = ?1")?.query_row([member.group], |row| row.get(0))?;
        let (found, more) = self.fresh(member, cursor, taken.room(max), BYTES - taken.bytes)?;
        let Some(last) = found.last().map(Fresh::seq) else { return Ok(()) };
        // First the cursor, so that what is found settled below it can go.
        self.conn.prepare_cached("UPDATE broker_groups SET cursor = ?2 WHERE grp = ?1")?.execute([member.group, last])?;
        self.floors.remove(&member.topic);
        for one in found {
            match one {
                Fresh::Unwanted(seq) => self.settled(member.group, member.topic, seq, None)?,
                Fresh::Later { seq, due, span, okey, state } => self.put(member, seq, state, due, span, okey.as_deref())?,
                Fresh::Wanted { seq, okey, message } => {
                    let (due, span) = self.lease(member.interest.visibility);
                    self.put(member, seq, LEASED, due, span, okey.as_deref())?;
                    taken.add(Leased { seq, lease: 1, attempt: 1, message });
                }
            }
        }
        taken.more |= more;
        Ok(())
    }

    /// Reads on from the cursor: up to `room` messages that are wanted now, and up to [`SCAN`] that are not.
    fn fresh(&self, member: &Member, cursor: i64, room: usize, mut bytes: usize) -> rusqlite::Result<(Vec<Fresh>, bool)> {
        let limit = room.saturating_add(SCAN);
        let find = format!(
            "SELECT {COLUMNS} FROM broker_messages m INDEXED BY broker_messages_topic WHERE m.topic = ?1 AND m.seq > ?2 ORDER BY m.seq LIMIT ?3"
        );
        let mut find = self.conn.prepare_cached(&find)?;
        let mut rows = find.query(params![member.topic, cursor, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let (mut found, mut wanted, mut keys) = (Vec::new(), 0, HashSet::new());
        while wanted < room && bytes > 0 {
            let Some(row) = rows.next()? else { return Ok((found, false)) };
            let seq: i64 = row.get(SEQ)?;
            if !member.interest.tags.wants(text(row, TAG)?) {
                found.push(Fresh::Unwanted(seq));
            } else {
                let okey = if row.get(ORDERED)? { text(row, KEY)?.map(str::to_owned) } else { None };
                let behind = match &okey {
                    Some(key) if member.interest.ordered => !keys.insert(key.clone()) || self.key_is_busy(member.group, key)?,
                    _ => false,
                };
                // A clock that was set back since does not make the delay longer than it was.
                let span = lasting(Duration::from_nanos(row.get::<_, i64>(DELAY)?.unsigned_abs()));
                let due = row.get::<_, i64>(DUE)?.min(self.now.wall + span);
                if behind || due > self.now.wall {
                    found.push(Fresh::Later { seq, due, span, okey, state: if behind { BEHIND } else { WAITING } });
                } else {
                    let message = decode(&member.interest.topic, row)?;
                    wanted += 1;
                    bytes = bytes.saturating_sub(message.size());
                    found.push(Fresh::Wanted { seq, okey, message });
                }
            }
            if found.len() == limit {
                break;
            }
        }
        Ok((found, true))
    }

    fn put(&self, member: &Member, seq: i64, state: i64, due: i64, span: i64, okey: Option<&str>) -> rusqlite::Result<()> {
        let first = i64::from(state == LEASED);
        let insert =
            "INSERT INTO broker_deliveries (seq, grp, state, due, span, attempt, lease, holder, okey) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8)";
        let holder = if state == LEASED { member.holder } else { 0 };
        self.conn.prepare_cached(insert)?.execute(params![seq, member.group, state, due, span, first, holder, okey])?;
        Ok(())
    }

    /// When a lease given now ends, and how long it is. It counts from the pull's return, so it gets what the commit will take, or nearly.
    fn lease(&self, visibility: Duration) -> (i64, i64) {
        let span = lasting(visibility.saturating_add(self.last_commit.min(visibility / 10))).max(1);
        (self.now.lease + span, span)
    }

    /// Is a message of this key on its way?
    fn key_is_busy(&self, group: i64, okey: &str) -> rusqlite::Result<bool> {
        self.conn.prepare_cached("SELECT 1 FROM broker_deliveries WHERE grp = ?1 AND okey = ?2")?.exists(params![group, okey])
    }

    /// Is an earlier one of its key on its way? Only where the group was read without order before.
    fn is_behind(&self, group: i64, row: &Ready) -> rusqlite::Result<bool> {
        let Some(okey) = &row.okey else { return Ok(false) };
        // Three looks into the index of keys, one for each state.
        let find = "SELECT 1 FROM broker_deliveries WHERE grp = ?1 AND okey = ?2 AND state IN (0, 1, 2) AND seq < ?3";
        self.conn.prepare_cached(find)?.exists(params![group, okey, row.seq])
    }

    fn hold_back(&mut self, group: i64, row: &Ready) -> rusqlite::Result<()> {
        let park = "UPDATE broker_deliveries SET state = ?3, due = 0, span = 0, holder = 0 WHERE seq = ?1 AND grp = ?2";
        self.conn.prepare_cached(park)?.execute(params![row.seq, group, BEHIND])?;
        self.next_of_key(group, row.okey.as_deref())
    }
}

impl Fresh {
    fn seq(&self) -> i64 {
        match self {
            Fresh::Unwanted(seq) | Fresh::Later { seq, .. } | Fresh::Wanted { seq, .. } => *seq,
        }
    }
}
