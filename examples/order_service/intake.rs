//! The intake: what an order goes through between its request and its answer.

use crate::answers;
use crate::gauge::Gauge;
use crate::order::Order;
use crate::queue::{Fate, Inlet, ticket};
use crate::store::Store;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use winddown::{Handle, Lease, StopCx};

/// How long a client waits at most while workers are busy; then it is told to come back.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the request handlers share.
pub(crate) struct Intake {
    pub(crate) handle: Handle,
    pub(crate) store: Lease<Store>,
    pub(crate) queue: Inlet,
    closing: Closing,
}

/// What becomes of the orders that were begun when the shutdown came.
struct Closing {
    begun: Gauge,
    /// Fired to take back all that no worker has taken.
    hand_back: CancellationToken,
    /// Fired to answer even those whose commit is under way.
    give_up: CancellationToken,
    answered: AtomicU64,
    handed_back: AtomicU64,
}

impl Intake {
    pub(crate) fn new(handle: Handle, store: Lease<Store>, queue: Inlet) -> Intake {
        let closing = Closing {
            begun: Gauge::new(),
            hand_back: CancellationToken::new(),
            give_up: CancellationToken::new(),
            answered: AtomicU64::new(0),
            handed_back: AtomicU64::new(0),
        };
        Intake { handle, store, queue, closing }
    }

    /// Takes a valid order to its answer: 202 only once it is durable, 503 for whatever is not.
    pub(crate) async fn take(&self, order: Order) -> Response {
        // Counted before the look at `is_stopping`: so whoever sees no order under way after the shutdown began knows that
        // none will come.
        let _begun = self.closing.begun.enter();
        if self.handle.is_stopping() {
            return answers::unavailable("closing");
        }
        let answer = self.pass_on(order).await;
        if self.handle.is_stopping() {
            let kind = match answer.status() {
                StatusCode::SERVICE_UNAVAILABLE => &self.closing.handed_back,
                _ => &self.closing.answered,
            };
            kind.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    /// Orders that were begun and are not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.closing.begun.count()
    }

    async fn pass_on(&self, order: Order) -> Response {
        let id = order.id.clone();
        let (mut ticket, waiting) = ticket(order);
        match self.queue.try_send(waiting) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return answers::unavailable("overloaded"),
            Err(TrySendError::Closed(_)) => return answers::unavailable("closing"),
        }
        let patience = self.closing.hand_back.run_until_cancelled(timeout(PATIENCE, ticket.fate()));
        let fate = match patience.await {
            Some(Ok(fate)) => fate,
            late => {
                if ticket.withdraw() {
                    return answers::unavailable(if late.is_none() { "closing" } else { "overloaded" });
                }
                // A worker has it, so it is being saved now and the fate is worth waiting for. If even that takes too long the
                // answer is the one that is safe to give without knowing: the same order again is harmless.
                match self.closing.give_up.run_until_cancelled(ticket.fate()).await {
                    Some(fate) => fate,
                    None => return answers::unavailable("closing while the order is being saved"),
                }
            }
        };
        match fate {
            Fate::Saved => answers::accepted(&id),
            Fate::IdTaken => answers::id_taken(),
            Fate::NotSaved(why) => answers::unavailable(&why),
        }
    }

    /// Sees to it that all orders that were begun are answered: waits for the workers as long as it is worth it, then hands back
    /// what they have not taken, and after one more moment for a commit under way, whatever is left.
    pub(crate) async fn answer_begun(&self, cx: &StopCx, patience: Duration, moment: Duration) {
        let all_answered = || self.closing.begun.none(|count| cx.progress(format!("{count} orders in flight")));
        if timeout(patience, all_answered()).await.is_err() {
            self.closing.hand_back.cancel();
            if timeout(moment, all_answered()).await.is_err() {
                self.answer_now();
                all_answered().await; // at once: nothing is left that an order could be waiting for
            }
        }
    }

    /// Ends every wait for the workers.
    pub(crate) fn answer_now(&self) {
        self.closing.hand_back.cancel();
        self.closing.give_up.cancel();
    }

    /// For the report: what became of the orders that were begun.
    pub(crate) fn account(&self, cx: &StopCx) {
        cx.drained(self.closing.answered.load(Ordering::Relaxed));
        cx.handed_back(self.closing.handed_back.load(Ordering::Relaxed));
    }
}
