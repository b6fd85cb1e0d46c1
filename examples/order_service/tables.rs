//! The tables and what one order does to them; the caller has the transaction.
//!
//! 1. `accepted` is only ever added to: what stands there was promised to a client.
//! 2. `orders` has each id once, and never with another content than `accepted` has.
//! 3. `repeats` counts how often an order was handled again.
//! 4. `dead` has each dead letter once, as it came first.

use crate::dead_letter::DeadLetter;
use crate::order::Order;
use rusqlite::{Connection, OptionalExtension, Result};

pub(crate) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS orders (
    id       TEXT PRIMARY KEY NOT NULL,
    item     TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 1)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accepted (
    id       TEXT PRIMARY KEY NOT NULL,
    item     TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 1)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS repeats (
    id    TEXT PRIMARY KEY NOT NULL,
    times INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead (
    id       TEXT PRIMARY KEY NOT NULL,
    reason   TEXT NOT NULL,
    attempts INTEGER NOT NULL
) WITHOUT ROWID;
";
const INSERT_ORDER: &str = "INSERT INTO orders (id, item, quantity) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";
const INSERT_ACCEPTED: &str = "INSERT INTO accepted (id, item, quantity) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";
const INSERT_REPEAT: &str = "INSERT INTO repeats (id, times) VALUES (?1, 1) ON CONFLICT (id) DO UPDATE SET times = times + 1";
const INSERT_DEAD: &str = "INSERT INTO dead (id, reason, attempts) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO NOTHING";
const SELECT_ORDER: &str = "SELECT id, item, quantity FROM orders WHERE id = ?1";
const SELECT_ACCEPTED: &str = "SELECT id, item, quantity FROM accepted WHERE id = ?1";

/// How an order stands to those that were promised before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody has its id.
    New,
    /// It was accepted before, or is now.
    Accepted,
    /// A different order has its id, and keeps it.
    IdTaken,
}

/// What handling made of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handled {
    First,
    /// It was handled before; nothing changed.
    Again,
    /// A different order has its id, and keeps it.
    IdTaken,
}

/// Prepares every statement, so that a table of another shape is an error at once and not at the first order.
pub(crate) fn prepare(connection: &Connection) -> Result<()> {
    for statement in [INSERT_ORDER, INSERT_ACCEPTED, INSERT_REPEAT, INSERT_DEAD, SELECT_ORDER, SELECT_ACCEPTED] {
        connection.prepare_cached(statement)?;
    }
    Ok(())
}

pub(crate) fn standing(connection: &Connection, order: &Order) -> Result<Standing> {
    let accepted = find(connection, SELECT_ACCEPTED, &order.id)?;
    // What was handled without having been accepted (its client got no 202) has a right to its id too.
    let holder = match accepted {
        Some(_) => accepted.clone(),
        None => find(connection, SELECT_ORDER, &order.id)?,
    };
    Ok(match holder {
        Some(holder) if holder != *order => Standing::IdTaken,
        _ if accepted.is_some() => Standing::Accepted,
        _ => Standing::New,
    })
}

/// Writes the promise down.
pub(crate) fn accept(connection: &Connection, order: &Order) -> Result<Standing> {
    let standing = standing(connection, order)?;
    if standing == Standing::New {
        connection.prepare_cached(INSERT_ACCEPTED)?.execute((&order.id, &order.item, order.quantity))?;
        return Ok(Standing::Accepted);
    }
    Ok(standing)
}

/// The work on an order, done once however often it comes.
pub(crate) fn handle(connection: &Connection, order: &Order) -> Result<Handled> {
    if standing(connection, order)? == Standing::IdTaken {
        return Ok(Handled::IdTaken);
    }
    if connection.prepare_cached(INSERT_ORDER)?.execute((&order.id, &order.item, order.quantity))? == 1 {
        return Ok(Handled::First);
    }
    connection.prepare_cached(INSERT_REPEAT)?.execute([&order.id])?;
    Ok(Handled::Again)
}

/// Writes a dead letter down, if it is not there yet.
pub(crate) fn bury(connection: &Connection, dead: &DeadLetter) -> Result<()> {
    connection.prepare_cached(INSERT_DEAD)?.execute((&dead.id, &dead.reason, dead.attempts))?;
    Ok(())
}

/// A handled order.
pub(crate) fn handled(connection: &Connection, id: &str) -> Result<Option<Order>> {
    find(connection, SELECT_ORDER, id)
}

fn find(connection: &Connection, select: &str, id: &str) -> Result<Option<Order>> {
    connection.prepare_cached(select)?.query_row([id], |row| Ok(Order { id: row.get(0)?, item: row.get(1)?, quantity: row.get(2)? })).optional()
}
