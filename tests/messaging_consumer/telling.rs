//! M8, M13: what is told of a handling: a span, and two trace records; and who blocks.

use crate::kit::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use winddown::messaging::trace::{ContextCode, Exporter, TraceDispatcher, TraceRecord};
use winddown::messaging::{Broker, HandlerCx, MemoryBroker, Message};
use winddown::{App, async_trait, millis, secs};

type Fields = BTreeMap<String, String>;

/// Keeps the spans of handlings: their fields, and how often each was entered and is open.
#[derive(Clone, Default)]
struct Ear {
    ids: Arc<AtomicU64>,
    spans: Arc<Mutex<BTreeMap<u64, Entered>>>,
    /// The spans that are entered right now, when an event comes.
    inside: Arc<Mutex<Vec<u64>>>,
    events: Arc<Mutex<Vec<Option<u64>>>>,
}

type Entered = (Fields, usize, usize);

struct Into<'a>(&'a mut Fields);
impl Visit for Into<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name() == "winddown.handle" || metadata.target() == "handler"
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Fields::new();
        span.record(&mut Into(&mut fields));
        self.spans.lock().unwrap().insert(id, (fields, 0, 1));
        Id::from_u64(id)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.events.lock().unwrap().push(self.inside.lock().unwrap().last().copied());
    }
    fn enter(&self, id: &Id) {
        self.inside.lock().unwrap().push(id.into_u64());
        self.spans.lock().unwrap().get_mut(&id.into_u64()).unwrap().1 += 1;
    }
    fn exit(&self, _: &Id) {
        self.inside.lock().unwrap().pop();
    }
    fn clone_span(&self, id: &Id) -> Id {
        self.spans.lock().unwrap().get_mut(&id.into_u64()).unwrap().2 += 1;
        id.clone()
    }
    fn try_close(&self, id: Id) -> bool {
        let mut spans = self.spans.lock().unwrap();
        let open = &mut spans.get_mut(&id.into_u64()).unwrap().2;
        *open -= 1;
        *open == 0
    }
}

#[test]
fn m8_each_handling_is_a_span_that_says_which_message_it_is_about() {
    let ear = Ear::default();
    let _heard = tracing::subscriber::set_default(ear.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let id = runtime.block_on(async {
        let broker = MemoryBroker::new();
        let message = Message::new(TOPIC, "0").with_tag("created").with_key("order-17");
        broker.send(&message, None).await.unwrap();
        let consumer = builder(arc(&broker)).handler(|cx: HandlerCx| async move {
            tracing::info!(target: "handler", "before");
            tokio::time::sleep(millis(10)).await;
            tracing::info!(target: "handler", "after");
            anyhow::ensure!(cx.attempt() == 2, "no");
            Ok(())
        });
        run_while(&app(consumer), async move { until(|| broker.pending(TOPIC, GROUP) == 0).await }).await;
        message.id()
    });
    let spans = ear.spans.lock().unwrap();
    assert_eq!(spans.len(), 2);
    for (attempt, (fields, entered, open)) in spans.values().enumerate() {
        let expected = [("attempt", (attempt + 1).to_string()), ("group", GROUP.into()), ("key", "order-17".into())];
        let more = [("message_id", id.to_string()), ("tag", "created".into()), ("topic", TOPIC.into())];
        let expected: Fields = expected.into_iter().chain(more).map(|(name, value)| (name.into(), value)).collect();
        assert_eq!(*fields, expected);
        assert!(*entered >= 2 && *open == 0, "entered {entered} times, {open} open");
    }
    assert_eq!(*ear.events.lock().unwrap(), [Some(1), Some(1), Some(2), Some(2)], "the handler's own events are inside");
}

/// Keeps what is exported.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<TraceRecord>>>);

#[async_trait]
impl Exporter for Kept {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        self.0.lock().unwrap().extend_from_slice(batch);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn m13_each_handling_has_its_two_records_and_the_last_of_them_arrives_too() {
    let broker = broker_with(5).await;
    let kept = Kept::default();
    let trace = TraceDispatcher::new(kept.clone());
    let consumer = builder(arc(&broker)).concurrency(1).trace(&trace).handler_timeout(secs(60)).handler(|cx: HandlerCx| async move {
        match (number(&cx), cx.attempt()) {
            (1, 1) => anyhow::bail!("an error"),
            (2, 1) => panic!("a panic"),
            (3, 1) => tokio::time::sleep(secs(61)).await,
            (4, _) => std::future::pending().await,
            _ => tokio::time::sleep(millis(10)).await,
        }
        Ok(())
    });
    let app = App::new("test").grace(secs(30));
    // Registered the wrong way round: the link puts it right.
    app.add(consumer).stop_budget(secs(10));
    app.add(trace.component());
    let (report, ()) = run_while(&app, async move {
        until(|| broker.pending(TOPIC, GROUP) == 1).await;
        tokio::time::sleep(secs(1)).await;
    })
    .await;
    expect_stopped(&report);
    let stop = |name: &str| report.component(name).unwrap().stop.unwrap();
    assert!(stop("trace").began >= stop(NAME).ended);
    let (mut before, mut after) = (BTreeMap::new(), Vec::new());
    for record in kept.0.lock().unwrap().iter() {
        match record {
            TraceRecord::SubBefore(record) => drop(before.insert(record.request_id, record.clone())),
            TraceRecord::SubAfter(record) => after.push(record.clone()),
            TraceRecord::Pub(_) => panic!("nothing was sent"),
        }
    }
    assert_eq!(before.len(), after.len());
    let told: Vec<(ContextCode, u32, bool)> = after.iter().map(|a| (a.code, before[&a.request_id].retry_times, a.success)).collect();
    let count = |code, retry| told.iter().filter(|(c, r, success)| (*c, *r) == (code, retry) && *success == (code == ContextCode::Success)).count();
    use ContextCode::*;
    // The fifth never ends: once it times out, once the stop cuts it short.
    let counts = [count(Success, 0), count(Failed, 0), count(Exception, 0), count(TimedOut, 0), count(Success, 1), count(Failed, 1)];
    assert_eq!(counts, [1, 1, 1, 2, 3, 1], "{told:?}");
    let late = after.iter().find(|record| record.code == TimedOut).unwrap();
    assert!(late.cost >= secs(60) && late.cost <= secs(60) + millis(2));
    assert!(after.iter().all(|record| &*record.group == GROUP && before[&record.request_id].message_id == record.message_id));
}

#[test]
fn m8_a_handler_that_blocks_its_thread_is_named() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(async {
        let broker = broker_with(1).await;
        let (consumer, handle) = with_handle(builder(arc(&broker)).handler(|_: HandlerCx| async {
            std::thread::sleep(millis(600));
            Ok(())
        }));
        let app = App::new("test");
        app.add(consumer);
        let shutdown = app.handle();
        tokio::spawn(async move {
            until(|| handle.stats().acked == 1).await;
            shutdown.request_shutdown("the test is over");
        });
        app.run().await
    });
    assert_eq!(report.exit_code(), 0);
    assert_eq!(report.component(NAME).unwrap().blocked_worker.clone().unwrap().task, "worker 1");
}
