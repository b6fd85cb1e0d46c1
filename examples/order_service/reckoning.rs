//! The arithmetic of an audit where a server has the orders: it can say how many it has, and not which.
//!
//! Orders move one way: outbox, broker, tables. The files that come after the broker are read after it was asked, so an order in none of
//! the files was on the broker when it was asked, or is nowhere. What the broker has left to do may also be orders that are known from a
//! file (sent twice, or handled and not acknowledged yet) or that were promised to nobody: so while it has something left, as many lost
//! ones could hide behind it. Once it has nothing left, the reckoning is exact.

/// What orders that are in no file must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unaccounted {
    pub(crate) pending: u64,
    pub(crate) lost: u64,
}

/// `nowhere`: accepted orders that are in none of the files. `left`: what the broker has left to do, all groups together.
pub(crate) fn reckon(nowhere: u64, left: u64) -> Unaccounted {
    Unaccounted { pending: nowhere.min(left), lost: nowhere.saturating_sub(left) }
}
