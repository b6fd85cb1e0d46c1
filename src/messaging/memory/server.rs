//! The broker's server: requests queue in front of it, and what waits for too long is turned away unexecuted.
//!
//! Q1. One request is served at a time, in the order of arrival.
//! Q2. Fast failure: a scan at fixed moments answers what has waited longer than allowed. What is served is not waiting any more.
//! Q3. A request that is dropped leaves the queue, or the server, at once.

use crate::messaging::{BrokerError, ErrorKind};
use crate::sync::{Mutex, lock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

/// As often as RocketMQ's broker does.
const SCAN: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) queue: usize,
    pub(super) service_time: Duration,
    pub(super) fast_failure: Duration,
}

#[derive(Debug)]
pub(super) struct Server {
    settings: Settings,
    /// The scan's first moment.
    epoch: Instant,
    waiting: AtomicUsize,
    stalled: AtomicBool,
    resumed: Notify,
    /// One permit: being served.
    turn: Semaphore,
    /// When the server is done with what it has begun. Kept apart from timers, which are coarse: what one oversleeps, the next makes up for.
    free_at: Mutex<Instant>,
}

/// One request's turn; it is the next one's when this is dropped.
pub(super) struct Turn<'a>(Option<SemaphorePermit<'a>>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.0.take());
    }
}

/// One place in the queue.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    pub(super) fn new(settings: Settings) -> Server {
        let now = Instant::now();
        Server {
            settings,
            epoch: now,
            waiting: AtomicUsize::new(0),
            stalled: AtomicBool::new(false),
            resumed: Notify::new(),
            turn: Semaphore::new(1),
            free_at: Mutex::new(now),
        }
    }

    pub(super) fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::SeqCst);
        if !stalled {
            self.resumed.notify_waiters();
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Is there nothing to wait for?
    pub(super) fn free(&self) -> bool {
        self.settings.service_time.is_zero() && !self.stalled.load(Ordering::Relaxed)
    }

    /// Waits until the request has been served; the caller then carries it out, with the turn in its hand.
    pub(super) async fn serve(&self, broker: &Arc<str>) -> Result<Turn<'_>, BrokerError> {
        let arrived = Instant::now();
        let place = self.enqueue(broker)?;
        let turned_away = sleep_until(self.scan_after(arrived));
        let permit = tokio::select! {
            biased;
            permit = self.next() => permit,
            () = turned_away => {
                let text = format!(
                    "[TIMEOUT_CLEAN_QUEUE] taken out of the queue unexecuted after {} ms; {} waited there",
                    arrived.elapsed().as_millis(),
                    self.waiting(),
                );
                return Err(busy(broker, text));
            }
        };
        drop(place);
        let done = {
            let mut free_at = lock(&self.free_at);
            *free_at = (*free_at).max(arrived) + self.settings.service_time;
            *free_at
        };
        if done > Instant::now() {
            sleep_until(done).await;
        }
        Ok(Turn(permit))
    }

    fn enqueue(&self, broker: &Arc<str>) -> Result<Place<'_>, BrokerError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiting);
        if before < self.settings.queue { Ok(place) } else { Err(busy(broker, format!("[OVERLOAD] the queue is full: {before} wait"))) }
    }

    /// The turn, once the ones before are done and nothing is stalled.
    async fn next(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        let permit = self.turn.acquire().await.ok();
        loop {
            let mut resumed = std::pin::pin!(self.resumed.notified());
            resumed.as_mut().enable();
            if !self.stalled.load(Ordering::SeqCst) {
                return permit;
            }
            resumed.await;
        }
    }

    /// The first scan that finds a request that came then to have waited for longer than allowed.
    fn scan_after(&self, arrived: Instant) -> Instant {
        let limit = arrived.duration_since(self.epoch) + self.settings.fast_failure;
        let scans = limit.as_nanos() / SCAN.as_nanos() + 1;
        u32::try_from(scans)
            .ok()
            .and_then(|scans| SCAN.checked_mul(scans))
            .map_or_else(|| super::later(self.epoch, Duration::MAX), |at| self.epoch + at)
    }
}

fn busy(broker: &Arc<str>, text: String) -> BrokerError {
    // 2 is RocketMQ's SYSTEM_BUSY.
    BrokerError::new(broker.clone(), ErrorKind::Busy, text).with_code(2)
}
