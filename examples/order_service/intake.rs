//! The intake: what an order goes through between its request and its answer.
//!
//! 202 is a promise, and is made in this order:
//!
//! 1. Nobody else has the id: not in the database, and not on its way through here.
//! 2. The producer has handed the order over: the broker or the outbox holds it durably.
//! 3. The order is logged as accepted, durably.
//! 4. The client is told.
//!
//! Whatever goes wrong before 3 is a 503. The order may then be handled nevertheless; the same order again is harmless.

use crate::answers;
use crate::gauge::Gauge;
use crate::order::Order;
use crate::store::{Standing, Store};
use crate::under_way::UnderWay;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use winddown::messaging::Producer;
use winddown::{Handle, Lease, StopCx};

/// What the request handlers share.
pub(crate) struct Intake {
    pub(crate) handle: Handle,
    pub(crate) store: Lease<Store>,
    producer: Producer,
    under_way: UnderWay,
    closing: Closing,
}

/// What becomes of the orders that were begun when the shutdown came.
struct Closing {
    begun: Gauge,
    /// Fired to answer all that is not logged yet.
    give_up: CancellationToken,
    answered: AtomicU64,
    handed_back: AtomicU64,
}

impl Intake {
    pub(crate) fn new(handle: Handle, store: Lease<Store>, producer: Producer) -> Intake {
        let give_up = CancellationToken::new();
        let closing = Closing { begun: Gauge::new(), give_up, answered: AtomicU64::new(0), handed_back: AtomicU64::new(0) };
        Intake { handle, store, producer, under_way: UnderWay::default(), closing }
    }

    /// Takes a valid order to its answer: 202 only once it is durable, 503 for whatever is not.
    pub(crate) async fn take(&self, order: Order) -> Response {
        // Counted before the look at `is_stopping`: so whoever sees no order under way after the shutdown began knows that
        // none will come.
        let _begun = self.closing.begun.enter();
        if self.handle.is_stopping() {
            return answers::unavailable("closing");
        }
        let answer = self.closing.give_up.run_until_cancelled(self.promise(order)).await;
        let answer = answer.unwrap_or_else(|| answers::unavailable("closing while the order is being taken"));
        if self.handle.is_stopping() {
            let kind = match answer.status() {
                StatusCode::SERVICE_UNAVAILABLE => &self.closing.handed_back,
                _ => &self.closing.answered,
            };
            kind.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    async fn promise(&self, order: Order) -> Response {
        let Some(_mine) = self.under_way.enter(&order.id) else {
            return answers::unavailable("an order with this `id` is being taken");
        };
        match self.store.standing(order.clone()).await {
            Ok(Standing::New) => {}
            Ok(Standing::Accepted) => return answers::accepted(&order.id),
            Ok(Standing::IdTaken) => return answers::id_taken(),
            Err(why) => return answers::unavailable(&format!("{why:#}")),
        }
        if let Err(error) = self.producer.send(order.to_message()).await {
            return answers::unavailable(&error.to_string());
        }
        let id = order.id.clone();
        match self.store.accept(order).await {
            Ok(Standing::IdTaken) => answers::id_taken(),
            Ok(_) => answers::accepted(&id),
            Err(why) => answers::unavailable(&format!("{why:#}")),
        }
    }

    /// Orders that were begun and are not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.closing.begun.count()
    }

    /// Sees to it that all orders that were begun are answered: waits for broker and database as long as it is worth it, then
    /// answers whatever is left.
    pub(crate) async fn answer_begun(&self, cx: &StopCx, patience: Duration) {
        let all_answered = || self.closing.begun.none(|count| cx.progress(format!("{count} orders in flight")));
        if timeout(patience, all_answered()).await.is_err() {
            self.answer_now();
            all_answered().await; // at once: nothing is left that an order could be waiting for
        }
    }

    /// Ends every wait for broker and database.
    pub(crate) fn answer_now(&self) {
        self.closing.give_up.cancel();
    }

    /// For the report: what became of the orders that were begun.
    pub(crate) fn account(&self, cx: &StopCx) {
        cx.drained(self.closing.answered.load(Ordering::Relaxed));
        cx.handed_back(self.closing.handed_back.load(Ordering::Relaxed));
    }
}
