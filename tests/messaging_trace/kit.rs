//! What the tests share: an exporter that does as it is told and keeps what it was given, and apps in virtual time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use winddown::messaging::MessageId;
use winddown::messaging::trace::{Exporter, SubBefore, TraceCounts, TraceDispatcher, TraceRecord};
use winddown::{App, EventKind, Handle, Report, async_trait, secs, testkit};

/// One step of virtual time: what the core has decided on is seen up to this much later.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// What an export does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Send,
    SendAfter(Duration),
    Fail,
    FailAfter(Duration),
    Hang,
    Panic,
    PanicAfter(Duration),
}

type Plan = Box<dyn Fn(usize, &[TraceRecord]) -> Act + Send + Sync>;

/// An exporter under control.
pub(crate) struct Spy {
    plan: Plan,
    begun: Instant,
    calls: AtomicUsize,
    batches: Mutex<Vec<Batch>>,
    running: AtomicUsize,
    pub(crate) most: AtomicUsize,
    pub(crate) closed: AtomicUsize,
}

/// What it was given, and when, counted from when it was made.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) at: Duration,
    pub(crate) numbers: Vec<u32>,
    /// Did it say that they have arrived?
    pub(crate) sent: bool,
}

impl Spy {
    pub(crate) fn new(plan: impl Fn(usize, &[TraceRecord]) -> Act + Send + Sync + 'static) -> Arc<Spy> {
        Arc::new(Spy {
            plan: Box::new(plan),
            begun: Instant::now(),
            calls: AtomicUsize::new(0),
            batches: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
        })
    }

    pub(crate) fn sending() -> Arc<Spy> {
        Spy::new(|_, _| Act::Send)
    }

    pub(crate) fn batches(&self) -> Vec<Batch> {
        self.batches.lock().unwrap().clone()
    }

    /// When each batch came, and how many records it had.
    pub(crate) fn arrivals(&self) -> Vec<(Duration, usize)> {
        self.batches().iter().map(|batch| (batch.at, batch.numbers.len())).collect()
    }

    /// The numbers of all records that were given, in order.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.batches().into_iter().flat_map(|batch| batch.numbers).collect()
    }
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Exporter for Spy {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let place = {
            let mut batches = self.batches.lock().unwrap();
            batches.push(Batch { at: self.begun.elapsed(), numbers: batch.iter().map(number).collect(), sent: false });
            batches.len() - 1
        };
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let _running = Running(&self.running);
        let act = (self.plan)(call, batch);
        match act {
            Act::SendAfter(pause) | Act::FailAfter(pause) | Act::PanicAfter(pause) => tokio::time::sleep(pause).await,
            Act::Hang => std::future::pending().await,
            Act::Send | Act::Fail | Act::Panic => {}
        }
        match act {
            Act::Fail | Act::FailAfter(_) => anyhow::bail!("no way"),
            Act::Panic | Act::PanicAfter(_) => panic!("the exporter panics, as told"),
            _ => {}
        }
        self.batches.lock().unwrap()[place].sent = true;
        Ok(())
    }

    async fn close(&self) -> anyhow::Result<()> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// A record that can be told from others by its number.
pub(crate) fn record(number: u32) -> TraceRecord {
    let before = SubBefore {
        timestamp: 1_725_000_000_123,
        region: None,
        group: "billing".into(),
        request_id: MessageId::from_u128(7),
        message_id: MessageId::from_u128(number.into()),
        retry_times: number,
        keys: None,
    };
    before.into()
}

pub(crate) fn number(record: &TraceRecord) -> u32 {
    record.message_id().as_u128() as u32
}

/// Appends these, all of which have to be taken.
pub(crate) fn append(traces: &TraceDispatcher, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        traces.append(record(number)).unwrap();
    }
}

/// Runs an app with this dispatcher, does something beside it once it runs, and stops it then.
pub(crate) async fn run<F, Fut>(traces: &TraceDispatcher, act: F) -> Arc<Report>
where
    F: FnOnce(Handle) -> Fut,
    Fut: Future<Output = ()>,
{
    let app = App::new("traced");
    app.add(traces.component());
    run_app(&app, act).await
}

/// The same with an app of its own.
pub(crate) async fn run_app<F, Fut>(app: &App, act: F) -> Arc<Report>
where
    F: FnOnce(Handle) -> Fut,
    Fut: Future<Output = ()>,
{
    let handle = app.handle();
    let beside = async {
        assert!(handle.wait_ready().await);
        act(handle.clone()).await;
        handle.request_shutdown("the test is over");
    };
    let both = async { tokio::join!(testkit::run(app), beside).0 };
    tokio::time::timeout(secs(24 * 3600), both).await.expect("the run did not end within a day")
}

/// The steps of the dispatcher's stop.
pub(crate) fn steps(report: &Report) -> Vec<(String, u64)> {
    let of = |kind: &EventKind| match kind {
        EventKind::Step { step, count } => Some((step.to_string(), *count)),
        _ => None,
    };
    report.events().iter().filter_map(|event| of(event.kind())).collect()
}

/// Do the accounts balance?
pub(crate) fn balanced(counts: &TraceCounts) -> bool {
    counts.accepted == counts.sent + counts.failed + counts.abandoned + counts.buffered + counts.in_flight
}

/// Do they, and is nothing left?
pub(crate) fn settled(counts: &TraceCounts) -> bool {
    balanced(counts) && counts.buffered == 0 && counts.in_flight == 0
}
