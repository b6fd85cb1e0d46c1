//! How many there are of what: the same for the broker itself and for who looks in from outside.

use super::super::schema::LEASED;
use rusqlite::{Connection, OptionalExtension, params};

/// What stands in the file for one group of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteCounts {
    /// Messages of the topic, whoever still needs them.
    pub stored: u64,
    /// Of them, those that this group has not settled: not reached yet (also what its tag filter will pass over), waiting, or in flight. All of
    /// them where there is no such group yet.
    pub pending: u64,
    /// Of the pending ones, those that somebody holds a lease of that is not over.
    pub in_flight: u64,
    /// Messages in the group's dead-letter topic.
    pub dead: u64,
}

pub(in super::super) fn count(conn: &Connection, topic: &str, group: &str, lease_now: i64) -> rusqlite::Result<SqliteCounts> {
    let number = |name: &str| -> rusqlite::Result<Option<i64>> {
        conn.prepare_cached("SELECT topic FROM broker_topics WHERE name = ?1")?.query_row([name], |row| row.get(0)).optional()
    };
    let ask = |sql: &str, values: &[i64]| -> rusqlite::Result<u64> {
        let found: i64 = conn.prepare_cached(sql)?.query_row(rusqlite::params_from_iter(values), |row| row.get(0))?;
        Ok(found.unsigned_abs())
    };
    let mut counts = SqliteCounts::default();
    if let Some(dead) = number(&format!("{group}.dead"))? {
        counts.dead = ask("SELECT count(*) FROM broker_messages WHERE topic = ?1", &[dead])?;
    }
    let Some(topic) = number(topic)? else { return Ok(counts) };
    counts.stored = ask("SELECT count(*) FROM broker_messages WHERE topic = ?1", &[topic])?;
    let find = "SELECT grp, cursor FROM broker_groups WHERE topic = ?1 AND name = ?2";
    let group: Option<(i64, i64)> = conn.prepare_cached(find)?.query_row(params![topic, group], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((group, cursor)) = group else {
        counts.pending = counts.stored;
        return Ok(counts);
    };
    let ahead = ask("SELECT count(*) FROM broker_messages WHERE topic = ?1 AND seq > ?2", &[topic, cursor])?;
    let under_way = ask("SELECT count(*) FROM broker_deliveries WHERE grp = ?1", &[group])?;
    counts.pending = ahead + under_way;
    counts.in_flight = ask("SELECT count(*) FROM broker_deliveries WHERE grp = ?1 AND state = ?2 AND due > ?3", &[group, LEASED, lease_now])?;
    Ok(counts)
}

pub(in super::super) fn topic_names(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    conn.prepare_cached("SELECT name FROM broker_topics ORDER BY name")?.query_map([], |row| row.get(0))?.collect()
}

pub(in super::super) fn group_names(conn: &Connection, topic: &str) -> rusqlite::Result<Vec<String>> {
    let find = "SELECT g.name FROM broker_groups g JOIN broker_topics t ON t.topic = g.topic WHERE t.name = ?1 ORDER BY g.name";
    conn.prepare_cached(find)?.query_map([topic], |row| row.get(0))?.collect()
}
