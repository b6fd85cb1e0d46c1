//! Messages come in, groups come into being.

use super::super::super::{Interest, Message, StartFrom};
use super::super::clock::lasting;
use super::codec::encode_properties;
use super::{Member, Store};
use rusqlite::{OptionalExtension, params};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

impl Store {
    /// Stores a message; gives its number.
    pub(in super::super) fn insert(&mut self, message: &Message) -> rusqlite::Result<i64> {
        let topic = self.topic(&message.topic_shared())?;
        let delay = message.delay().unwrap_or_default();
        let due = if delay.is_zero() { 0 } else { self.now.wall + lasting(delay) };
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO broker_messages (topic, id, tag, key, ordered, properties, sent, due, delay_ns, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        let id = message.id().as_u128().to_be_bytes();
        let properties = encode_properties(message);
        let seq = insert.insert(params![
            topic,
            id.as_slice(),
            message.tag(),
            message.key(),
            message.is_ordered(),
            properties,
            self.now.wall,
            due,
            nanos(delay),
            message.body().as_ref()
        ])?;
        drop(insert);
        self.touched.topics.insert(topic);
        Ok(seq)
    }

    /// The group, which exists from now on, and a new member of it.
    pub(in super::super) fn join(&mut self, interest: &Interest, holder: i64) -> rusqlite::Result<Member> {
        let topic = self.topic(&interest.topic)?;
        let find = "SELECT grp FROM broker_groups WHERE topic = ?1 AND name = ?2";
        let known = self.conn.prepare_cached(find)?.query_row(params![topic, &*interest.group], |row| row.get(0)).optional()?;
        let group = match known {
            Some(group) => group,
            None => {
                let cursor = match interest.start {
                    StartFrom::Earliest => 0,
                    StartFrom::Latest => self.last_seq()?,
                };
                self.floors.remove(&topic);
                let make = "INSERT INTO broker_groups (topic, name, cursor) VALUES (?1, ?2, ?3)";
                self.conn.prepare_cached(make)?.insert(params![topic, &*interest.group, cursor])?
            }
        };
        Ok(Member { group, topic, holder, interest: interest.clone(), left: AtomicBool::new(false) })
    }

    /// The highest number ever given.
    fn last_seq(&self) -> rusqlite::Result<i64> {
        let find = "SELECT seq FROM sqlite_sequence WHERE name = 'broker_messages'";
        Ok(self.conn.prepare_cached(find)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
    }
}

fn nanos(delay: Duration) -> i64 {
    i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX)
}
