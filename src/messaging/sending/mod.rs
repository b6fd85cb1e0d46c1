//! Sending: one try, by which route, and tries in a row until a budget is over (M2). What producer and outbox share.
//!
//! The way of a message: [`Engine::deliver`] asks [`Engine`] for one try after the other, with pauses; a try asks [`RouteTable`] for a route, goes
//! alone or, where batching is on, through a [`Batcher`], is bounded in time, and tells the table how it went.

mod batch;
mod contained;
mod engine;
mod one_try;
mod routes;

pub(super) use contained::{Contained, caught, drop_contained};
pub(super) use engine::{Engine, Noted, Tries, Undelivered};

use super::{BrokerError, Message, SendReceipt};
use async_trait::async_trait;

/// Something that makes one try to send a message, by whatever route it thinks best.
#[async_trait]
pub(crate) trait Attempt: Send + Sync + 'static {
    /// One try, bounded; nothing is tried again here. May be dropped.
    async fn attempt(&self, message: &Message) -> Result<SendReceipt, BrokerError>;
}
