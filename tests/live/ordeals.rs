//! What every broker has to come through, whatever it is: numbered like the clauses of the contract, tried with producers and consumers in an app.
//!
//! Each ends with the same reckoning: everything that was acknowledged to the producer is handled, at least once. Duplicates are counted and said.
#![allow(dead_code, reason = "what a broker cannot go through is not called")]
#![allow(clippy::print_stdout, reason = "how it went is worth a look, with --nocapture")]

use crate::server::Server;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use winddown::messaging::{Broker, Consumer, HandlerCx, Interest, Message, MessageId, Producer, ProducerStats};
use winddown::{App, Event, EventKind, Report, async_trait, millis, secs};

/// A kind of broker, and what is known of it.
#[async_trait]
pub(crate) trait Site: Send + Sync + 'static {
    /// A new client of the server. Panics when it cannot be had.
    async fn broker(&self) -> Arc<dyn Broker>;

    /// Makes a topic, where topics have to be made.
    async fn make_topic(&self, name: &str) {
        let _ = name;
    }

    /// For how long what nobody settles is gone after its holder died: the visibility that the ordeals ask for.
    fn visibility(&self) -> Duration {
        secs(5)
    }

    /// May what one member gives back go to another while the first is still there?
    fn any_member(&self) -> bool {
        true
    }

    /// Within so long, what a leaving member gives back is with another: as the broker's page says.
    fn handover(&self) -> Duration {
        secs(3)
    }
}

/// No ordeal takes longer.
const LIMIT: Duration = secs(180);

type Handled = Arc<Mutex<HashMap<MessageId, u32>>>;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A topic that nobody used before, with its group's name and dead-letter topic.
async fn topic(site: &dyn Site, label: &str) -> (String, String) {
    let stamp = MessageId::new().to_string()[4..].to_lowercase();
    let (topic, group) = (format!("o-{label}-{stamp}"), format!("g-{label}-{stamp}"));
    site.make_topic(&topic).await;
    site.make_topic(&format!("{group}.dead")).await;
    (topic, group)
}

async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {limit:?}"),
    }
}

async fn until(limit: Duration, what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        sleep(millis(5)).await;
    }
}

/// An app that runs beside the test until it is told to stop.
struct Running {
    handle: winddown::Handle,
    run: tokio::task::JoinHandle<Arc<Report>>,
    steps: Arc<Mutex<Vec<(String, u64)>>>,
}

async fn begin(name: &str, build: impl FnOnce(&App)) -> Running {
    let app = App::new(name).grace(secs(60)).signals(winddown::Signals::Ignore).output(winddown::Output::Quiet);
    let steps: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
    let seen = steps.clone();
    app.observe(move |event: &Event| {
        if let EventKind::Step { step, count, .. } = event.kind() {
            lock(&seen).push((step.to_string(), *count));
        }
    });
    build(&app);
    let handle = app.handle();
    let run = tokio::spawn(async move { app.run().await });
    assert!(within(secs(60), "the app's start", handle.wait_ready()).await, "the app did not start");
    Running { handle, run, steps }
}

impl Running {
    async fn stop(self) -> (Arc<Report>, Vec<(String, u64)>) {
        self.handle.request_shutdown("the ordeal is over");
        let report = within(secs(70), "the app's stop", self.run).await.unwrap();
        let steps = lock(&self.steps).clone();
        (report, steps)
    }
}

/// A consumer that notes what it handles.
fn noting(broker: Arc<dyn Broker>, site: &dyn Site, topic: &str, group: &str, handled: &Handled) -> Consumer {
    let handled = handled.clone();
    Consumer::builder(broker).group(group).topic(topic).concurrency(8).prefetch(32).visibility(site.visibility()).handler(move |cx: HandlerCx| {
        let handled = handled.clone();
        async move {
            *lock(&handled).entry(cx.message().id()).or_default() += 1;
            Ok(())
        }
    })
}

fn accounted(stats: &ProducerStats) {
    let ends = stats.acknowledged + stats.returned + stats.outboxed + stats.lost + stats.in_flight;
    assert_eq!(stats.accepted, ends, "{stats:?}");
}

/// L1. A producer's stop drains: what was accepted before it is stored when the app has ended, or came back.
pub(crate) async fn the_stop_drains(site: &dyn Site) {
    const COUNT: u32 = 500;
    let (topic, group) = topic(site, "drain").await;
    let broker = site.broker().await;
    let member = broker.subscribe(&Interest::new(&*group, &*topic)).await.unwrap();
    let producer = Producer::builder(site.broker().await).max_in_flight(COUNT as usize).timeout(secs(30)).build();
    let running = begin("drain", |app| drop(app.add(producer.component()).stop_budget(secs(40)))).await;
    let mut sends = Vec::new();
    for number in 0..COUNT {
        sends.push(producer.try_send(Message::new(&*topic, number.to_string())).unwrap());
    }
    // None of them was waited for; the stop does.
    let (report, _) = running.stop().await;
    assert_eq!(report.exit_code(), 0, "{}", report.to_text(false));
    let stats = producer.stats();
    assert_eq!((stats.accepted, stats.acknowledged, stats.in_flight), (COUNT.into(), COUNT.into(), 0), "{stats:?}");
    for send in sends {
        send.await.unwrap();
    }
    let (mut came, began) = (HashMap::new(), Instant::now());
    while came.len() < COUNT as usize {
        assert!(began.elapsed() < LIMIT, "{} of {COUNT} came", came.len());
        for delivery in member.pull(100, secs(1)).await.unwrap() {
            *came.entry(delivery.message().id()).or_insert(0u32) += 1;
            member.ack(std::slice::from_ref(delivery.receipt())).await.unwrap();
        }
    }
    member.close().await.unwrap();
    broker.close().await.unwrap();
}

/// L2. A consumer's stop goes in the order of M6, and what it had fetched and not begun is with another member within the stated time.
pub(crate) async fn the_stop_hands_back(site: &dyn Site) {
    const COUNT: usize = 40;
    let (topic, group) = topic(site, "handover").await;
    let broker = site.broker().await;
    let handled = Handled::default();
    // Far longer than the test: what comes to the other was given back, not forgotten.
    let lease = secs(120);
    let busy = Consumer::builder(site.broker().await).group(&*group).topic(&*topic).concurrency(2).prefetch(20).visibility(lease);
    let busy = busy.handler({
        let handled = handled.clone();
        move |cx: HandlerCx| {
            let handled = handled.clone();
            async move {
                // The first two finish what they began; whoever else should be begun waits to be cancelled.
                cx.cancelled().cancelled().await;
                *lock(&handled).entry(cx.message().id()).or_default() += 1;
                anyhow::bail!("cut short")
            }
        }
    });
    let stats = busy.handle();
    let running = begin("leaving", |app| drop(app.add(busy).stop_budget(secs(5)))).await;
    for number in 0..COUNT {
        broker.send(&Message::new(&*topic, number.to_string()), None).await.unwrap();
    }
    until(secs(60), "something prefetched", || stats.stats().in_flight == 2 && stats.stats().prefetched > 0).await;
    let other = site.broker().await;
    let heir = other.subscribe(&Interest { visibility: lease, ..Interest::new(&*group, &*topic) }).await.unwrap();
    let (mut came, mut early, began) = (HashMap::new(), None, Instant::now());
    let stopping = tokio::spawn(running.stop());
    let bound = secs(5) + site.handover();
    while came.len() < COUNT {
        assert!(began.elapsed() < bound + secs(10), "{} of {COUNT} came to the other member", came.len());
        for delivery in heir.pull(COUNT, millis(200)).await.unwrap() {
            *came.entry(delivery.message().id()).or_insert(0u32) += 1;
            heir.ack(std::slice::from_ref(delivery.receipt())).await.unwrap();
        }
        if came.len() >= COUNT - 2 {
            early.get_or_insert(began.elapsed());
        }
    }
    let early = early.unwrap_or_default();
    let took = began.elapsed();
    let (report, steps) = stopping.await.unwrap();
    println!(
        "L2: after the stop began, what was not begun was with the other member within {} ms, all within {}",
        early.as_millis(),
        took.as_millis()
    );
    assert!(early < site.handover() || !site.any_member(), "it took {early:?} until the other member had what was not begun");
    assert!(took < bound, "it took {took:?} until the other member had all, {bound:?} is stated");
    assert_eq!(report.exit_code(), 0, "{}", report.to_text(false));
    let order = ["pull_stopped", "handed_back", "drained", "cancelled", "committed", "left_group"];
    let got: Vec<_> = steps.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(got, order, "{steps:?}");
    assert!(stats.stats().handed_back > 0, "{:?}", stats.stats());
    heir.close().await.unwrap();
    other.close().await.unwrap();
    broker.close().await.unwrap();
}

/// Sends without a pause and handles what comes while something is done to the server; then everything that was acknowledged must be handled.
async fn through<F: Future<Output = ()>>(site: &dyn Site, label: &str, harm: impl FnOnce(Handled) -> F) {
    let (topic, group) = topic(site, label).await;
    let (sending, receiving) = (site.broker().await, site.broker().await);
    let handled = Handled::default();
    let producer = Producer::builder(sending.clone()).max_in_flight(64).timeout(secs(90)).max_attempts(u32::MAX).build();
    let consumer = noting(receiving.clone(), site, &topic, &group, &handled);
    let consumed = consumer.handle();
    let running = begin(label, |app| {
        app.add(producer.component()).stop_budget(secs(20));
        app.add(consumer).stop_budget(secs(20));
    })
    .await;
    let over = tokio_util::sync::CancellationToken::new();
    let senders = {
        let (producer, over, topic) = (producer.clone(), over.clone(), topic.clone());
        tokio::spawn(async move {
            let (mut sent, mut failed, mut sends) = (Vec::new(), Vec::new(), tokio::task::JoinSet::new());
            let mut take = |ended: Result<Result<MessageId, String>, tokio::task::JoinError>| match ended.unwrap() {
                Ok(id) => sent.push(id),
                Err(error) => failed.push(error),
            };
            for number in 0u64.. {
                if over.is_cancelled() {
                    break;
                }
                let message = Message::new(&*topic, number.to_string());
                let (producer, id) = (producer.clone(), message.id());
                sends.spawn(async move { producer.send(message).await.map(|_| id).map_err(|error| error.to_string()) });
                if sends.len() >= 64 {
                    sends.join_next().await.into_iter().for_each(&mut take);
                }
                sleep(millis(2)).await;
            }
            while let Some(ended) = sends.join_next().await {
                take(ended);
            }
            (sent, failed)
        })
    };
    until(secs(60), "the first hundred handled", || lock(&handled).len() >= 100).await;
    harm(handled.clone()).await;
    // It goes on by itself: another hundred after the harm.
    let before = lock(&handled).len();
    until(secs(90), "a hundred more handled after the harm", || lock(&handled).len() >= before + 100).await;
    over.cancel();
    let (sent, failed) = within(LIMIT, "the last sends", senders).await.unwrap();
    assert!(failed.is_empty(), "{} sends failed in spite of 90 s each, such as: {}", failed.len(), failed[0]);
    let missing = |handled: &Handled| sent.iter().filter(|id| !lock(handled).contains_key(id)).count();
    let began = Instant::now();
    while missing(&handled) > 0 {
        assert!(began.elapsed() < LIMIT, "{} of {} acknowledged messages were not handled", missing(&handled), sent.len());
        sleep(millis(20)).await;
    }
    let (report, _) = running.stop().await;
    let stats = producer.stats();
    accounted(&stats);
    assert_eq!(stats.lost, 0, "{stats:?}");
    assert_eq!(report.exit_code(), 0, "{}", report.to_text(false));
    let again: u32 = lock(&handled).values().map(|times| times - 1).sum();
    println!(
        "{label}: {} acknowledged, all handled; {again} handled again, {} sends tried again, {} of them in doubt, {} pulls failed",
        sent.len(),
        stats.retries,
        stats.ambiguous,
        consumed.stats().pull_errors
    );
    sending.close().await.unwrap();
    receiving.close().await.unwrap();
}

/// L3. The server is killed in the middle and comes back.
pub(crate) async fn a_kill(site: &dyn Site, server: &Server) {
    through(site, "kill", |_| async {
        server.kill();
        server.restart();
    })
    .await;
}

/// L4. The server stands still for ten seconds, and its connections with it.
pub(crate) async fn a_pause(site: &dyn Site, server: &Server) {
    through(site, "pause", |_| async {
        server.pause();
        // The ordeal itself, nothing that is waited for.
        sleep(secs(10)).await;
        server.resume();
    })
    .await;
}

/// L5. All connections are cut, three times.
pub(crate) async fn cut_connections(site: &dyn Site, server: &Server) {
    through(site, "cut", |handled| async move {
        for _ in 0..3 {
            server.cut();
            let before = lock(&handled).len();
            until(secs(60), "twenty more handled after a cut", || lock(&handled).len() >= before + 20).await;
        }
    })
    .await;
}
