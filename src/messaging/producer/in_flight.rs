//! A send that goes on by itself.

use super::accepted::Outcome;
use super::core::Core;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// A send that goes on by itself: await it for its outcome, or drop it and let it go on.
///
/// Dropped before the send is over, a failure is nobody's any more: the message goes to the outbox if there is one, and is counted and reported as
/// lost otherwise (`on_lost`). The same if it is dropped with an error that was not read. It must not be polled again after it has ended: that panics.
#[must_use = "dropped, a failure of this send can only be reported as lost; `drop` it to say that this is meant"]
pub struct InFlight {
    answer: oneshot::Receiver<Outcome>,
    core: Arc<Core>,
    read: bool,
}

impl InFlight {
    pub(super) fn new(answer: oneshot::Receiver<Outcome>, core: &Arc<Core>) -> InFlight {
        InFlight { answer, core: core.clone(), read: false }
    }
}

impl Future for InFlight {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let answer = Pin::new(&mut self.answer).poll(cx);
        answer.map(|answer| {
            self.read = true;
            // N3: whatever becomes of a send, its reply is made; only a task that is leaked never drops it.
            answer.unwrap_or_else(|_| unreachable!("a send ended without an answer"))
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.read {
            return;
        }
        // After the close it is the sender's: it finds nobody, and says so itself.
        self.answer.close();
        if let Ok(Err(error)) = self.answer.try_recv() {
            self.core.ledger.returned_in_vain();
            self.core.lost(error);
        }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("over", &self.read).finish_non_exhaustive()
    }
}
