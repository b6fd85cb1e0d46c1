//! What is where in a data directory.

use std::path::{Path, PathBuf};

/// The orders that were handled, and the log of those that were accepted.
pub(crate) fn orders(data: &Path) -> PathBuf {
    data.join("orders.sqlite")
}

/// The broker: orders on their way, and dead letters.
pub(crate) fn broker(data: &Path) -> PathBuf {
    data.join("broker.db")
}

/// What the broker would not take yet.
pub(crate) fn outbox(data: &Path) -> PathBuf {
    data.join("outbox.db")
}

/// The name of the broker that the rest belongs to.
pub(crate) fn note(data: &Path) -> PathBuf {
    data.join("broker.name")
}

/// One line for each message that was sent or handled.
pub(crate) fn trace(data: &Path) -> PathBuf {
    data.join("trace.jsonl")
}
