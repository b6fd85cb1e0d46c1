//! One message on its way to one member of a group.

use super::{Message, Receipt};
use std::time::Duration;

/// A message as it was delivered: the how-manieth time, by which receipt, for how long.
#[derive(Clone, Debug)]
pub struct Delivery {
    message: Message,
    attempt: u32,
    receipt: Receipt,
    visibility: Option<Duration>,
}

impl Delivery {
    /// For brokers: a delivery. `attempt` is 1 the first time.
    pub fn new(message: Message, attempt: u32, receipt: Receipt) -> Delivery {
        Delivery { message, attempt: attempt.max(1), receipt, visibility: None }
    }

    /// For brokers: until it comes again unless it is settled or extended, counted from the pull's return.
    pub fn with_visibility(mut self, visibility: Duration) -> Delivery {
        self.visibility = Some(visibility);
        self
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }
    /// The message, to be kept.
    pub fn into_message(self) -> Message {
        self.message
    }
    /// 1 the first time, 2 the second: as the broker counts. What was handed back unhandled may or may not have been counted.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
    /// What it is settled by.
    pub fn receipt(&self) -> &Receipt {
        &self.receipt
    }
    /// For how long it is ours; `None` where the broker gives it until the connection ends.
    pub fn visibility(&self) -> Option<Duration> {
        self.visibility
    }
}
