//! What this member holds, and until when. The broker answers "yes" to receipts that are out of date, so the client keeps the time itself.
//!
//! Invariant: a lease is in the table, or in the hands of one call that settles it; a call that fails or goes away puts it back.

use super::handle::Handle;
use crate::messaging::Receipt;
use crate::sync::{Mutex, lock};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) handle: Handle,
    /// After this it is, or soon will be, somebody else's.
    pub(super) until: Instant,
    /// Not before this its time may be changed.
    ripe: Instant,
}

/// A broker knows a lease by the message's place and the millisecond in which it was given. A change makes a new lease and ends the old one; made
/// in the same millisecond, both have one name, and when the end is read after the new one, the message is never given to anybody again.
pub(super) const RIPENS: Duration = Duration::from_millis(2);

#[derive(Default)]
pub(super) struct Leases(Mutex<Table>);

#[derive(Default)]
struct Table {
    leases: HashMap<u64, Lease>,
    /// At so many, those that are over are looked for.
    sweep_at: usize,
}

/// So that no receipt of one subscription is good for another.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Leases {
    pub(super) fn add(&self, handle: Handle, until: Instant) -> Receipt {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut table = lock(&self.0);
        if table.leases.len() >= table.sweep_at.max(64) {
            let now = Instant::now();
            table.leases.retain(|_, lease| lease.until > now);
            table.sweep_at = table.leases.len() * 2;
        }
        table.leases.insert(number, Lease { handle, until, ripe: Instant::now() + RIPENS });
        Receipt::numbers(number, 0)
    }

    /// Takes a lease to settle it; `None` if it is over, settled, or none of ours.
    pub(super) fn claim(&self, receipt: &Receipt) -> Option<Claim<'_>> {
        let (number, _) = receipt.as_numbers();
        let lease = lock(&self.0).leases.remove(&number)?;
        (lease.until > Instant::now()).then(|| Claim { leases: self, number, lease: Some(lease) })
    }

    /// Everything that is still held.
    pub(super) fn drain(&self) -> Vec<Handle> {
        let now = Instant::now();
        let leases = std::mem::take(&mut lock(&self.0).leases);
        leases.into_values().filter(|lease| lease.until > now).map(|lease| lease.handle).collect()
    }
}

pub(super) struct Claim<'a> {
    leases: &'a Leases,
    number: u64,
    lease: Option<Lease>,
}

impl Claim<'_> {
    pub(super) fn handle(&self) -> Option<&Handle> {
        self.lease.as_ref().map(|lease| &lease.handle)
    }

    /// Waits until its time may be changed.
    pub(super) async fn ripe(&self) {
        if let Some(lease) = self.lease.as_ref().filter(|lease| lease.ripe > Instant::now()) {
            sleep_until(lease.ripe).await;
        }
    }

    /// It is settled.
    pub(super) fn done(mut self) {
        self.lease = None;
    }

    /// It is kept for longer, by the same receipt.
    pub(super) fn keep(mut self, handle: Handle, until: Instant) {
        self.lease = Some(Lease { handle, until, ripe: Instant::now() + RIPENS });
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            lock(&self.leases.0).leases.insert(self.number, lease);
        }
    }
}
