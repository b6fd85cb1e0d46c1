//! The trace dispatcher (M10–M14): takes records of what became of messages from producers and consumers, and exports them in batches.
//!
//! The way of a record: [`TraceDispatcher::append`] puts it into a bounded buffer behind a gate; one task, the owner, takes batches out by count,
//! bytes and age; each batch is exported by a task of its own, so many at a time, each bounded; its end settles the accounts. A stop closes the
//! gate, lets the owner empty the buffer without waiting for age, and waits for the exports themselves.

mod broker;
mod component;
mod dispatcher;
mod events;
mod exporter;
mod exporting;
mod gate;
mod json;
mod json_lines;
mod owner;
mod record;
#[cfg(test)]
mod tests;
pub mod wire;

pub use broker::BrokerExporter;
pub use component::TraceComponent;
pub use dispatcher::{Builder, Rejected, TraceDispatcher};
pub use events::TracingExporter;
pub use exporter::Exporter;
pub use gate::{TraceCounts, Why};
pub use json_lines::{JsonLines, JsonLinesError, JsonLinesErrorKind};
pub use record::{ContextCode, MessageKind, PubTrace, SubAfter, SubBefore, TraceRecord};
