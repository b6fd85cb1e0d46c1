//! Times that cannot be, after a clock was set while nobody looked.
//!
//! A lease that ends further in the future than its span allows is over: it was given before a clock went back. A wait that ends further in the
//! future than its span is cut to its span: it comes late by at most as long as it was put off for, and never early.

use super::super::clock::JUMP;
use super::super::schema::{LEASED, WAITING};
use super::Store;
use rusqlite::params;

/// Two writers may differ by as much as the clocks may be apart unnoticed, each.
const SLACK: i64 = 2 * JUMP;

impl Store {
    /// Looks through all rows that lie in the future. Done when a file is opened and when clocks have jumped.
    pub(in super::super) fn heal(&mut self) -> rusqlite::Result<()> {
        for group in self.groups()? {
            self.heal_leases(group)?;
            let cut = "UPDATE broker_deliveries SET due = ?3 + span WHERE grp = ?1 AND state = ?2 AND due > ?3 AND due > ?3 + span";
            self.conn.prepare_cached(cut)?.execute(params![group, WAITING, self.now.wall])?;
        }
        self.touched.all = true;
        Ok(())
    }

    /// The leases of one group alone: there are no more of them than messages in flight.
    pub(in super::super) fn heal_leases(&mut self, group: i64) -> rusqlite::Result<()> {
        let end = "UPDATE broker_deliveries SET due = 0 WHERE grp = ?1 AND state = ?2 AND due > ?3 AND due > ?3 + span";
        if self.conn.prepare_cached(end)?.execute(params![group, LEASED, self.now.lease + SLACK])? > 0 {
            self.touched.groups.insert(group);
        }
        Ok(())
    }

    /// When the next row of this group is due: by wall time and by lease time.
    pub(in super::super) fn next_due(&self, group: i64) -> rusqlite::Result<(Option<i64>, Option<i64>)> {
        let find = "SELECT min(due) FROM broker_deliveries INDEXED BY broker_deliveries_due WHERE grp = ?1 AND state = ?2";
        let mut find = self.conn.prepare_cached(find)?;
        let waiting = find.query_row([group, WAITING], |row| row.get(0))?;
        let leased = find.query_row([group, LEASED], |row| row.get(0))?;
        Ok((waiting, leased))
    }
}
