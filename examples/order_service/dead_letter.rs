//! An order that nobody could do, and the handler that keeps it: whichever broker it comes from, it ends in the service's own table.

use crate::store::Store;
use winddown::messaging::{Handler, HandlerCx, Message};
use winddown::{Lease, async_trait};

/// What is kept of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetter {
    /// The order's id, or the message's where it is no order.
    pub(crate) id: String,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
}

impl DeadLetter {
    pub(crate) fn of(message: &Message) -> DeadLetter {
        DeadLetter {
            id: message.key().map_or_else(|| message.id().to_string(), str::to_owned),
            reason: message.property("winddown.dead-reason").unwrap_or("no reason was given").to_owned(),
            attempts: message.property("winddown.dead-attempts").and_then(|n| n.parse().ok()).unwrap_or(0),
        }
    }
}

/// Writes each dead letter down, durably, before it is acknowledged. One that comes twice is written once.
pub(crate) struct Graveyard {
    store: Lease<Store>,
}

impl Graveyard {
    pub(crate) fn new(store: Lease<Store>) -> Graveyard {
        Graveyard { store }
    }
}

#[async_trait]
impl Handler for Graveyard {
    async fn handle(&self, cx: &HandlerCx) -> anyhow::Result<()> {
        self.store.bury(DeadLetter::of(cx.message())).await
    }
}
