//! The handle that records are appended through, and how it is made.

use super::component::TraceComponent;
use super::gate::{Gate, Shape, TraceCounts, Why};
use super::{Exporter, TraceRecord};
use crate::{Link, secs};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Takes trace records from producers and consumers and exports them in batches, behind their backs. A cheap handle; clones are the same one.
///
/// It is open from the moment it is made; its [`component`](TraceDispatcher::component), once started, takes the records away, and when it is
/// stopped flushes what is left (M10 to M14, and `docs/trace-dispatcher.md`).
///
/// ```
/// use winddown::messaging::{MessageId, trace::{TraceDispatcher, TracingExporter, SubBefore}};
///
/// let app = winddown::App::new("orders");
/// let traces = TraceDispatcher::new(TracingExporter::new());
/// app.add(traces.component());
/// // Producers and consumers take `&traces` in their builders, and are then planned to stop before it.
/// let record = SubBefore {
///     timestamp: 1_700_000_000_000, region: None, group: "billing".into(), request_id: MessageId::new(),
///     message_id: MessageId::new(), retry_times: 0, keys: None,
/// };
/// traces.append(record.into()).unwrap();
/// assert_eq!(traces.counts().buffered, 1);
/// ```
#[derive(Clone)]
pub struct TraceDispatcher {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) name: String,
    pub(super) link: Link,
    pub(super) gate: Gate<TraceRecord>,
    pub(super) exporter: Box<dyn Exporter>,
    pub(super) max_age: Duration,
    pub(super) export_timeout: Duration,
    /// Did the last export fail? Of a row of failures only the first is logged.
    pub(super) failing: AtomicBool,
}

impl TraceDispatcher {
    /// One with the defaults.
    pub fn new(exporter: impl Exporter) -> TraceDispatcher {
        TraceDispatcher::builder(exporter).build()
    }

    /// One with settings of its own.
    pub fn builder(exporter: impl Exporter) -> Builder {
        Builder {
            name: "trace".to_owned(),
            exporter: Box::new(exporter),
            shape: Shape { capacity: 2048, batch: 20, bytes: 128_000, exports: 4 },
            max_age: secs(5),
            export_timeout: secs(3),
        }
    }

    /// The component that takes the records away, in [`Phase::TRACE`](crate::Phase::TRACE). Add it to the app once.
    pub fn component(&self) -> TraceComponent {
        TraceComponent::new(self.clone())
    }

    /// Stands for the component: whoever appends [needs](crate::Lifecycle::needs) it.
    pub fn link(&self) -> Link {
        self.inner.link.clone()
    }

    /// Takes a record, or gives it back. Never waits, allocates nothing.
    ///
    /// # Errors
    /// The buffer is full, or the dispatcher is being stopped. Either is counted; the caller need not do anything.
    // The record comes back whole, and nobody wants it boxed on the way.
    #[allow(clippy::result_large_err)]
    pub fn append(&self, record: TraceRecord) -> Result<(), Rejected> {
        let size = record.size();
        self.inner.gate.append(record, size).map_err(|(record, why)| Rejected { record, why })
    }

    /// How many records went where, at one moment.
    pub fn counts(&self) -> TraceCounts {
        self.inner.gate.counts()
    }
}

impl fmt::Debug for TraceDispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceDispatcher").field("name", &self.inner.name).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// A record that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The record.
    pub record: TraceRecord,
    /// Why.
    pub why: Why,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            Why::Full => "the trace buffer is full: records come faster than the exporter takes them; look at the exporter, or give the dispatcher more capacity or exports",
            Why::Closed => "the trace dispatcher is being stopped and takes no more records: whoever appends has to stop before it",
        })
    }
}

impl std::error::Error for Rejected {}

/// Settings of a [`TraceDispatcher`].
#[must_use = "it becomes a dispatcher with `build`"]
pub struct Builder {
    name: String,
    exporter: Box<dyn Exporter>,
    shape: Shape,
    max_age: Duration,
    export_timeout: Duration,
}

impl Builder {
    /// The component's name. Default: `trace`.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = name.into();
        self
    }

    /// Records that may wait; what comes when so many do is turned away. At least 1. Default: 2048. Memory for so many (about 170 bytes each) is
    /// taken at once.
    pub fn capacity(mut self, records: usize) -> Builder {
        self.shape.capacity = records;
        self
    }

    /// Records of one batch. At least 1. Default: 20.
    pub fn batch(mut self, records: usize) -> Builder {
        self.shape.batch = records;
        self
    }

    /// Bytes of one batch, by [`TraceRecord::size`]. A record that is larger goes alone. Default: 128 000.
    pub fn batch_bytes(mut self, bytes: usize) -> Builder {
        self.shape.bytes = bytes;
        self
    }

    /// For how long a batch that is not full is waited with, from its first record on, or from when the batch before it left if that is
    /// later. Default: 5 s.
    pub fn max_age(mut self, age: Duration) -> Builder {
        self.max_age = age;
        self
    }

    /// Batches that are exported at a time. At least 1. Default: 4.
    pub fn exports(mut self, exports: usize) -> Builder {
        self.shape.exports = exports;
        self
    }

    /// How long one export may take. Default: 3 s.
    pub fn export_timeout(mut self, timeout: Duration) -> Builder {
        self.export_timeout = timeout;
        self
    }

    /// The dispatcher, open from now on.
    pub fn build(self) -> TraceDispatcher {
        let capacity = self.shape.capacity.max(1);
        // A batch of more than may wait would never be full.
        let shape = Shape { capacity, batch: self.shape.batch.clamp(1, capacity), bytes: self.shape.bytes, exports: self.shape.exports.max(1) };
        let inner = Inner {
            link: Link::new(self.name.clone()),
            name: self.name,
            gate: Gate::new(shape),
            exporter: self.exporter,
            max_age: self.max_age,
            export_timeout: self.export_timeout,
            failing: AtomicBool::new(false),
        };
        TraceDispatcher { inner: Arc::new(inner) }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Builder { name, exporter: _, shape, max_age, export_timeout } = self;
        f.debug_struct("Builder")
            .field("name", name)
            .field("shape", shape)
            .field("max_age", max_age)
            .field("export_timeout", export_timeout)
            .finish_non_exhaustive()
    }
}
