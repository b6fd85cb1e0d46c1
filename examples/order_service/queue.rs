//! The bounded queue between the intake and the workers, and the ticket that says who may still decide about an order.

use crate::order::Order;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Mutex, mpsc, oneshot};

/// What became of an order that a worker took.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It is in the database, durably; perhaps it was already.
    Saved,
    /// Another order has its id.
    IdTaken,
    /// It is not in the database, for the reason given.
    NotSaved(String),
}

/// The intake's half of an order on its way.
///
/// Either the intake withdraws an order or a worker takes it, never both: so an order answered "not taken" is never saved
/// behind the client's back. Whoever sets `decided` first has won. A ticket that is dropped withdraws its order.
pub(crate) struct Ticket {
    decided: Arc<AtomicBool>,
    fate: oneshot::Receiver<Fate>,
}

/// The workers' half: an order that waits.
pub(crate) struct Waiting {
    order: Order,
    decided: Arc<AtomicBool>,
    reply: oneshot::Sender<Fate>,
}

/// Makes both halves.
pub(crate) fn ticket(order: Order) -> (Ticket, Waiting) {
    let decided = Arc::new(AtomicBool::new(false));
    let (reply, fate) = oneshot::channel();
    (Ticket { decided: Arc::clone(&decided), fate }, Waiting { order, decided, reply })
}

impl Ticket {
    /// Takes the order back. False if a worker has it already: its fate is then about to be known.
    pub(crate) fn withdraw(&self) -> bool {
        // Relaxed is enough: the one flag decides, and publishes nothing else.
        !self.decided.swap(true, Ordering::Relaxed)
    }

    /// Waits for the order's fate; a worker that fails before it knows drops its half, which ends the wait too.
    /// Cancel safe.
    pub(crate) async fn fate(&mut self) -> Fate {
        (&mut self.fate).await.unwrap_or_else(|_| Fate::NotSaved("no worker finished it".into()))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Waiting {
    /// The order and where its fate is to be told; nothing if it was withdrawn.
    pub(crate) fn take(self) -> Option<(Order, oneshot::Sender<Fate>)> {
        let mine = !self.decided.swap(true, Ordering::Relaxed);
        mine.then_some((self.order, self.reply))
    }
}

/// The end of the queue that takes orders in; never waits.
pub(crate) type Inlet = mpsc::Sender<Waiting>;

/// The workers' end. Cloned freely; each order goes to one of them.
#[derive(Clone)]
pub(crate) struct Outlet(Arc<Mutex<mpsc::Receiver<Waiting>>>);

pub(crate) fn bounded(capacity: usize) -> (Inlet, Outlet) {
    let (inlet, outlet) = mpsc::channel(capacity);
    (inlet, Outlet(Arc::new(Mutex::new(outlet))))
}

impl Outlet {
    /// Waits for orders and takes at most `limit` at once; none means that no more can come. Cancel safe.
    pub(crate) async fn next(&self, limit: usize) -> Vec<Waiting> {
        let mut batch = Vec::new();
        // Held while waiting: one worker waits for the queue, the others for their turn. That is as good as all of them waiting.
        self.0.lock().await.recv_many(&mut batch, limit).await;
        batch
    }

    /// Takes at most `limit` of those that are in, without waiting.
    pub(crate) fn rest(&self, limit: usize) -> Vec<Waiting> {
        match self.0.try_lock() {
            Ok(mut queue) => std::iter::from_fn(|| queue.try_recv().ok()).take(limit).collect(),
            // Another worker is at the queue, and takes what is in.
            Err(_) => Vec::new(),
        }
    }
}
