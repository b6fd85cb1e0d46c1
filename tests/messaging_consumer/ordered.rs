//! M7: one at a time per key, in order.

use crate::kit::*;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use winddown::messaging::{
    Broker, BrokerError, Delivery, HandlerCx, Interest, MemoryBroker, Message, Receipt, Route, SendReceipt, Settled, Subscription,
};
use winddown::{App, async_trait, millis, secs};

async fn send_keyed(broker: &MemoryBroker, keys: usize, each: usize) {
    for number in 0..each {
        for key in 0..keys {
            let body = (key * 1000 + number).to_string();
            broker.send(&Message::new(TOPIC, body).with_ordered_key(format!("key {key}")), None).await.unwrap();
        }
    }
}

/// Who is inside, by key; and in which order each key's messages succeeded.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Keys>>);

type Keys = HashMap<usize, (bool, Vec<usize>)>;

impl Order {
    fn enter(&self, number: usize) -> Inside {
        let mut keys = self.0.lock().unwrap();
        let (busy, _) = keys.entry(number / 1000).or_default();
        assert!(!std::mem::replace(busy, true), "two of key {} at once", number / 1000);
        Inside(self.clone(), number)
    }
    fn handled(&self, number: usize) {
        self.0.lock().unwrap().get_mut(&(number / 1000)).unwrap().1.push(number % 1000);
    }
}

struct Inside(Order, usize);
impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().get_mut(&(self.1 / 1000)).unwrap().0 = false;
    }
}

/// Each message fails in its first attempts, in one way or another.
fn failing_at_first(order: &Order) -> impl winddown::messaging::Handler + use<> {
    let order = order.clone();
    move |cx: HandlerCx| {
        let inside = order.enter(number(&cx));
        let order = order.clone();
        async move {
            let _inside = inside;
            tokio::time::sleep(millis(number(&cx) as u64 % 7)).await;
            let bad = number(&cx) % 3;
            assert!(!(bad == 1 && cx.attempt() == 1), "a panic");
            anyhow::ensure!(!(bad == 2 && cx.attempt() <= 2), "an error");
            order.handled(number(&cx));
            Ok(())
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m7_per_key_order_holds_under_failures_and_across_members() {
    let broker = MemoryBroker::new();
    send_keyed(&broker, 5, 30).await;
    let order = Order::default();
    let app = App::new("test");
    for n in 0..2 {
        let consumer = builder(arc(&broker)).name(format!("member {n}")).ordered(true).concurrency(4).prefetch(16);
        app.add(consumer.handler(failing_at_first(&order)));
    }
    let look = broker.clone();
    let (report, ()) = run_while(&app, async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    assert_eq!(report.exit_code(), 0);
    let keys = order.0.lock().unwrap();
    for key in 0..5 {
        assert_eq!(keys[&key].1, (0..30).collect::<Vec<_>>(), "key {key}");
    }
}

#[tokio::test(start_paused = true)]
async fn m7_messages_of_other_keys_and_without_one_do_not_wait() {
    let broker = MemoryBroker::new();
    for number in [0, 1, 1000, 2000] {
        broker.send(&Message::new(TOPIC, number.to_string()).with_ordered_key(format!("key {}", number / 1000)), None).await.unwrap();
    }
    send(&broker, 3000..3002).await;
    let crowd = Crowd::default();
    let inside = crowd.clone();
    let consumer = builder(arc(&broker)).ordered(true).handler(move |_: HandlerCx| {
        let place = inside.enter();
        async move {
            let _place = place;
            tokio::time::sleep(secs(1)).await;
            Ok(())
        }
    });
    let report = run_for(&app(consumer), millis(500)).await;
    expect_stopped(&report);
    assert_eq!(crowd.most(), 5, "all but the second of key 0");
}

/// A broker that knows no order: it gives what is asked for, the same key several times.
struct Loose(MemoryBroker);

#[async_trait]
impl Broker for Loose {
    fn name(&self) -> &str {
        "loose"
    }
    async fn send(&self, message: &Message, route: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        self.0.send(message, route).await
    }
    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        let interest = Interest { ordered: false, ..interest.clone() };
        Ok(Arc::new(LooseMember(self.0.subscribe(&interest).await?)))
    }
    async fn close(&self) -> Result<(), BrokerError> {
        self.0.close().await
    }
}

struct LooseMember(Arc<dyn Subscription>);

#[async_trait]
impl Subscription for LooseMember {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.0.pull(max, wait).await
    }
    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        // The answer takes its time: what is handled next must wait for it.
        tokio::time::sleep(millis(5)).await;
        self.0.ack(receipts).await
    }
    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        self.0.nack(receipts, delay).await
    }
    async fn release(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.0.release(receipts).await
    }
    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        self.0.dead_letter(delivery, reason).await
    }
    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<Receipt, BrokerError> {
        self.0.extend(receipt, by).await
    }
    async fn close(&self) -> Result<(), BrokerError> {
        self.0.close().await
    }
}

#[tokio::test(start_paused = true)]
async fn m7_order_holds_across_the_prefetch_also_at_a_broker_that_knows_none() {
    let broker = MemoryBroker::new();
    send_keyed(&broker, 4, 25).await;
    let order = Order::default();
    let entering = order.clone();
    let ended: Arc<Mutex<HashMap<usize, Instant>>> = Arc::default();
    let (consumer, handle) = with_handle(loose(&broker).handler(move |cx: HandlerCx| {
        let inside = entering.enter(number(&cx));
        let (order, key, ended) = (entering.clone(), number(&cx) / 1000, ended.clone());
        if let Some(before) = ended.lock().unwrap().get(&key) {
            assert!(before.elapsed() >= millis(5), "begun before the broker knew of the one before");
        }
        async move {
            let _inside = inside;
            tokio::time::sleep(millis(3 + number(&cx) as u64 % 5)).await;
            order.handled(number(&cx));
            ended.lock().unwrap().insert(key, Instant::now());
            Ok(())
        }
    }));
    let look = broker.clone();
    let counts = handle.clone();
    let (report, most) = run_while(&app(consumer), async move {
        let mut most = 0;
        while look.pending(TOPIC, GROUP) > 0 {
            most = most.max(counts.stats().prefetched);
            tokio::time::sleep(millis(1)).await;
        }
        most
    })
    .await;
    expect_stopped(&report);
    assert!(most <= 32, "those that wait behind a key count as fetched: {most}");
    let keys = order.0.lock().unwrap();
    (0..4).for_each(|key| assert_eq!(keys[&key].1, (0..25).collect::<Vec<_>>(), "key {key}"));
    assert_eq!((handle.stats().handed_back, handle.stats().panicked), (0, 0));
}

fn loose(broker: &MemoryBroker) -> winddown::messaging::ConsumerBuilder {
    builder(Arc::new(Loose(broker.clone()))).ordered(true).concurrency(8).prefetch(32)
}

#[tokio::test(start_paused = true)]
async fn m7_after_a_failure_those_behind_it_are_handed_back_and_not_handled_first() {
    let broker = MemoryBroker::new();
    send_keyed(&broker, 1, 4).await;
    let log = Log::default();
    let seen = log.clone();
    let (consumer, handle) = with_handle(loose(&broker).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async move {
            tokio::time::sleep(millis(10)).await;
            anyhow::ensure!(number(&cx) != 0 || cx.attempt() > 1, "no");
            Ok(())
        }
    }));
    let counts = handle.clone();
    run_while(&app(consumer), async move { until(|| counts.stats().acked == 4).await }).await;
    // The broker gave the rest again before the one that had failed: across deliveries order is the broker's.
    assert_eq!(handle.stats().handed_back, 3);
    assert_eq!(log.numbers()[0], 0);
    assert_eq!(log.attempts(0), [1, 2]);
    assert!((1..4).all(|n| log.attempts(n) == [1]));
}
