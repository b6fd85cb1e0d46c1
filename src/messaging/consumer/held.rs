//! One message in this consumer's hands, from the pull until it is settled: its receipt, its lease, its handler's token.
//!
//! Invariants:
//! - H1. The receipt is read and changed under its lock, which an extension holds while it asks the broker. So whoever settles sees the receipt
//!   that the broker knows last.
//! - H2. `over` is set before the receipt is read for settling, and an extension looks at it under the lock. So nothing is extended that
//!   is being settled.
//! - H3. A token is fired once `fired` is set: whoever makes the token looks at `fired` afterwards, whoever sets `fired` looks for the token
//!   afterwards. One of the two comes second.

use crate::messaging::{Delivery, Receipt};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// No lease to renew, no deadline.
const NEVER: u64 = u64::MAX;
/// No lease is renewed more often than this, however short it is: a broker that gives none would be asked in a loop.
pub(super) const LEAST_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Held {
    delivery: Delivery,
    /// `None`: the delivery's own.
    pub(super) receipt: Mutex<Option<Receipt>>,
    /// When it came: what the instants below count from.
    came: Instant,
    /// Nanoseconds for which it was last given to us.
    lease: AtomicU64,
    /// When that ends.
    lapse: AtomicU64,
    /// When to renew it.
    due: AtomicU64,
    /// When its handler times out.
    deadline: AtomicU64,
    over: AtomicBool,
    failed: AtomicBool,
    fired: AtomicBool,
    token: OnceLock<CancellationToken>,
}

impl Held {
    pub(super) fn new(delivery: Delivery, came: Instant) -> Held {
        let lease = delivery.visibility().map_or(NEVER, nanos);
        Held {
            delivery,
            receipt: Mutex::const_new(None),
            came,
            lease: AtomicU64::new(lease),
            lapse: AtomicU64::new(lease),
            due: AtomicU64::new(if lease == NEVER { NEVER } else { half(lease) }),
            deadline: AtomicU64::new(NEVER),
            over: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            fired: AtomicBool::new(false),
            token: OnceLock::new(),
        }
    }

    pub(super) fn delivery(&self) -> &Delivery {
        &self.delivery
    }
    pub(super) fn attempt(&self) -> u32 {
        self.delivery.attempt()
    }

    /// When to renew its lease; `None` when there is no need.
    pub(super) fn due(&self) -> Option<Instant> {
        self.at(self.due.load(Ordering::Relaxed))
    }

    /// When it is no longer ours, unless it is renewed; `None` when it is ours until the connection ends.
    pub(super) fn lapses(&self) -> Option<Instant> {
        self.at(self.lapse.load(Ordering::Relaxed))
    }

    /// For how long it was last given to us.
    pub(super) fn lease(&self) -> Option<Duration> {
        let lease = self.lease.load(Ordering::Relaxed);
        (lease != NEVER).then_some(Duration::from_nanos(lease))
    }

    /// It is ours for so long from now on.
    pub(super) fn extended(&self, by: Duration) {
        let (now, by) = (nanos(self.came.elapsed()), nanos(by));
        self.lease.store(by, Ordering::Relaxed);
        self.lapse.store(now.saturating_add(by).min(NEVER - 1), Ordering::Relaxed);
        self.due.store(now.saturating_add(half(by)), Ordering::Relaxed);
    }

    /// Renewing did not work: once more after this.
    pub(super) fn renew_after(&self, pause: Duration) {
        let pause = nanos(pause.max(LEAST_PAUSE));
        self.due.store(nanos(self.came.elapsed()).saturating_add(pause), Ordering::Relaxed);
    }

    /// It need not, or cannot, be renewed.
    pub(super) fn renew_never(&self) {
        self.due.store(NEVER, Ordering::Relaxed);
    }

    pub(super) fn set_deadline(&self, at: Instant) {
        self.deadline.store(nanos(at - self.came), Ordering::Relaxed);
    }
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.at(self.deadline.load(Ordering::Relaxed))
    }

    fn at(&self, nanos: u64) -> Option<Instant> {
        (nanos != NEVER).then(|| self.came.checked_add(Duration::from_nanos(nanos))).flatten()
    }

    /// Nothing is done about it any more but to settle it (H2).
    pub(super) fn finish(&self) {
        self.over.store(true, Ordering::Release);
    }
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Its handling failed, and is counted so.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Tells its handler to end (H3).
    pub(super) fn fire(&self) {
        self.fired.store(true, Ordering::SeqCst);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
    }
    pub(super) fn is_fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }
    pub(super) fn token(&self) -> CancellationToken {
        let token = self.token.get_or_init(CancellationToken::new);
        if self.is_fired() {
            token.cancel();
        }
        // A child: who cancels what was handed out cancels nobody else.
        token.child_token()
    }

    /// What it is to be settled by, once no extension is under way (H1); after `until` what was known last.
    pub(super) async fn last_receipt(&self, until: Instant) -> Receipt {
        self.finish();
        let known = match self.receipt.try_lock() {
            Ok(receipt) => receipt.clone(),
            Err(_) => tokio::time::timeout_at(until, self.receipt.lock()).await.ok().and_then(|receipt| receipt.clone()),
        };
        known.unwrap_or_else(|| self.delivery.receipt().clone())
    }

    /// The delivery as the broker knows it now.
    pub(super) async fn last_delivery(&self, until: Instant) -> Delivery {
        let receipt = self.last_receipt(until).await;
        let delivery = Delivery::new(self.delivery.message().clone(), self.delivery.attempt(), receipt);
        match self.delivery.visibility() {
            Some(visibility) => delivery.with_visibility(visibility),
            None => delivery,
        }
    }
}

fn half(lease: u64) -> u64 {
    (lease / 2).max(nanos(LEAST_PAUSE))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::Message;

    fn held(visibility: Option<u64>) -> Held {
        let delivery = Delivery::new(Message::new("t", "b"), 1, Receipt::numbers(1, 1));
        let delivery = match visibility {
            Some(seconds) => delivery.with_visibility(Duration::from_secs(seconds)),
            None => delivery,
        };
        Held::new(delivery, Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn m9_a_lease_is_due_at_its_half_and_lapses_at_its_end() {
        let (began, held) = (Instant::now(), held(Some(30)));
        assert_eq!((held.due(), held.lapses()), (Some(began + Duration::from_secs(15)), Some(began + Duration::from_secs(30))));
        tokio::time::advance(Duration::from_secs(15)).await;
        held.extended(Duration::from_secs(10));
        assert_eq!((held.due(), held.lapses()), (Some(began + Duration::from_secs(20)), Some(began + Duration::from_secs(25))));
        held.renew_never();
        assert_eq!(held.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn m9_without_a_visibility_nothing_is_due() {
        let held = held(None);
        assert_eq!((held.due(), held.lapses(), held.lease()), (None, None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn m9_who_settles_waits_for_an_extension_but_not_for_ever() {
        let held = held(Some(30));
        let mut extension = held.receipt.lock().await;
        let until = Instant::now() + Duration::from_secs(1);
        assert_eq!(held.last_receipt(until).await, Receipt::numbers(1, 1));
        assert_eq!(Instant::now(), until);
        assert!(held.is_over());
        *extension = Some(Receipt::numbers(1, 2));
        drop(extension);
        assert_eq!(held.last_receipt(until).await, Receipt::numbers(1, 2));
    }

    #[test]
    fn h3_a_token_that_is_made_late_is_fired_too() {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            let early = held(None);
            let token = early.token();
            early.fire();
            assert!(token.is_cancelled());
            let late = held(None);
            late.fire();
            assert!(late.token().is_cancelled());
            let own = held(None);
            own.token().cancel();
            assert!(!own.is_fired() && !own.token().is_cancelled());
        });
    }
}
