//! What the tests share: a broker with messages, an app around a consumer, and ways to read its report.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use winddown::messaging::{Broker, Consumer, ConsumerBuilder, ConsumerHandle, HandlerCx, Interest, MemoryBroker, Message, Subscription};
use winddown::{App, Event, EventKind, Outcome, Report, secs, testkit};

pub(crate) const GROUP: &str = "g";
pub(crate) const TOPIC: &str = "t";
/// The consumer's name.
pub(crate) const NAME: &str = "g-consumer";

/// A broker with a group that has joined, so that it counts from the first message, and so many messages: `0`, `1`, `2`…
pub(crate) async fn broker_with(messages: usize) -> MemoryBroker {
    let broker = MemoryBroker::new();
    send(&broker, 0..messages).await;
    broker
}

pub(crate) async fn send(broker: &dyn Broker, numbers: std::ops::Range<usize>) {
    for number in numbers {
        broker.send(&Message::new(TOPIC, number.to_string()), None).await.unwrap();
    }
}

pub(crate) fn builder(broker: Arc<dyn Broker>) -> ConsumerBuilder {
    Consumer::builder(broker).group(GROUP).topic(TOPIC)
}

pub(crate) fn arc(broker: &MemoryBroker) -> Arc<dyn Broker> {
    Arc::new(broker.clone())
}

/// Another member of the same group, by hand.
pub(crate) async fn member(broker: &MemoryBroker) -> Arc<dyn Subscription> {
    broker.client().subscribe(&Interest::new(GROUP, TOPIC)).await.unwrap()
}

pub(crate) fn number(cx: &HandlerCx) -> usize {
    std::str::from_utf8(cx.message().body()).unwrap().parse().unwrap()
}

/// An app with this consumer, with 10 s for its stop.
pub(crate) fn app(consumer: Consumer) -> App {
    let app = App::new("test").grace(secs(30));
    app.add(consumer).stop_budget(secs(10));
    app
}

/// Runs it, and something beside it once it runs; then asks it to stop. What goes on for a virtual day fails the test.
pub(crate) async fn run_while<F, T>(app: &App, beside: F) -> (Arc<Report>, T)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let handle = app.handle();
    let beside = tokio::spawn(async move {
        assert!(handle.wait_ready().await, "it did not start");
        let found = beside.await;
        handle.request_shutdown("the test is over");
        found
    });
    let report = tokio::time::timeout(secs(24 * 3600), testkit::run(app)).await.expect("the run did not end");
    (report, beside.await.expect("what ran beside it failed"))
}

/// Runs it until this long after it was ready.
pub(crate) async fn run_for(app: &App, span: Duration) -> Arc<Report> {
    run_while(app, tokio::time::sleep(span)).await.0
}

/// Waits until something is so: looks each virtual millisecond, later each ten, twenty minutes at most.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    for look in 0..120_000 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(if look < 2_000 { 1 } else { 10 })).await;
    }
    panic!("it did not come about");
}

/// The steps of a component with their counts, in order.
pub(crate) fn steps(report: &Report) -> Vec<(String, u64)> {
    report.events().iter().filter(|event| event.subject() == Some(NAME)).filter_map(step).collect()
}

fn step(event: &Event) -> Option<(String, u64)> {
    match event.kind() {
        EventKind::Step { step, count } => Some((step.to_string(), *count)),
        _ => None,
    }
}

/// When a step was taken, after the stop began.
pub(crate) fn step_after(report: &Report, name: &str) -> Duration {
    let at = report.events().iter().find(|event| step(event).is_some_and(|(step, _)| step == name)).expect(name).at();
    at - report.component(NAME).unwrap().stop.unwrap().began
}

pub(crate) fn expect_steps(report: &Report, expected: [u64; 6]) {
    let names = ["pull_stopped", "handed_back", "drained", "cancelled", "committed", "left_group"];
    let expected: Vec<(String, u64)> = names.into_iter().map(String::from).zip(expected).collect();
    assert_eq!(steps(report), expected);
}

/// It ended as a stop should, and lost nothing.
pub(crate) fn expect_stopped(report: &Report) {
    let component = report.component(NAME).unwrap();
    assert_eq!(component.outcome, Outcome::Stopped, "{:?} {:?}", component.error, steps(report));
    assert_eq!(component.lost, 0);
    assert_eq!(report.exit_code(), 0);
}

/// How many are at work at the same time, and how many were at most.
#[derive(Clone, Default)]
pub(crate) struct Crowd(Arc<(AtomicUsize, AtomicUsize)>);

impl Crowd {
    pub(crate) fn enter(&self) -> impl Drop + use<> {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        struct Leave(Crowd);
        impl Drop for Leave {
            fn drop(&mut self) {
                self.0.0.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        Leave(self.clone())
    }
    pub(crate) fn now(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }
    pub(crate) fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// What was handled, when, in which attempt.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(usize, u32, Instant)>>>);

impl Log {
    pub(crate) fn add(&self, cx: &HandlerCx) {
        self.0.lock().unwrap().push((number(cx), cx.attempt(), Instant::now()));
    }
    pub(crate) fn all(&self) -> Vec<(usize, u32, Instant)> {
        self.0.lock().unwrap().clone()
    }
    pub(crate) fn numbers(&self) -> Vec<usize> {
        self.all().into_iter().map(|(number, ..)| number).collect()
    }
    pub(crate) fn attempts(&self, number: usize) -> Vec<u32> {
        self.all().into_iter().filter(|(n, ..)| *n == number).map(|(_, attempt, _)| attempt).collect()
    }
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A consumer with its handle.
pub(crate) fn with_handle(consumer: Consumer) -> (Consumer, ConsumerHandle) {
    let handle = consumer.handle();
    (consumer, handle)
}
