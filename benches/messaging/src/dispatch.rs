//! Messages through the consumer with a handler that does nothing, beside a plain channel; and the stop of one that has fetched a lot.

use crate::table::{Contender, compare, median, short};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use winddown::messaging::{Broker, Consumer, HandlerCx, MemoryBroker, Message};
use winddown::{App, secs};

const MESSAGES: u64 = 1_000_000;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Counts up, and says when all are there.
struct Goal {
    count: AtomicU64,
    goal: u64,
    reached: Notify,
}

impl Goal {
    fn of(goal: u64) -> Arc<Goal> {
        Arc::new(Goal { count: AtomicU64::new(0), goal, reached: Notify::new() })
    }
    fn one(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == self.goal {
            self.reached.notify_one();
        }
    }
}

/// A channel, and a task for each message.
async fn channel() -> Duration {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(MESSAGES as usize);
    for _ in 0..MESSAGES {
        sender.try_send(Message::new("orders", "two pumps")).expect("there is room");
    }
    let goal = Goal::of(MESSAGES);
    let began = Instant::now();
    let own = goal.clone();
    tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            let goal = own.clone();
            tokio::spawn(async move {
                std::hint::black_box(&message);
                goal.one();
            });
        }
    });
    goal.reached.notified().await;
    began.elapsed()
}

async fn filled(messages: u64) -> MemoryBroker {
    let broker = MemoryBroker::new();
    for _ in 0..messages {
        broker.send(&Message::new("orders", "two pumps"), None).await.expect("it is taken");
    }
    broker
}

/// The memory broker and a consumer, with leases, acknowledgements and all.
async fn consumer() -> Duration {
    let (broker, goal) = (filled(MESSAGES).await, Goal::of(MESSAGES));
    let own = goal.clone();
    let handler = move |cx: HandlerCx| {
        std::hint::black_box(cx.message());
        own.one();
        std::future::ready(anyhow::Ok(()))
    };
    let app = App::new("bench");
    app.add(Consumer::builder(Arc::new(broker)).group("g").topic("orders").concurrency(2).prefetch(1024).handler(handler));
    let began = Instant::now();
    let (running, handle) = (app.clone(), app.handle());
    let run = tokio::spawn(async move { running.run().await });
    goal.reached.notified().await;
    let took = began.elapsed();
    handle.shutdown("measured").await;
    let _ = run.await;
    took
}

/// How long a consumer takes to stop that has so many fetched and not begun.
async fn stop(fetched: u64) -> Duration {
    let broker = filled(fetched + 1).await;
    let handler = |cx: HandlerCx| async move {
        cx.cancelled().cancelled().await;
        anyhow::bail!("cut short")
    };
    let consumer = Consumer::builder(Arc::new(broker)).group("g").topic("orders").concurrency(1).prefetch(2 * fetched as usize).handler(handler);
    let stats = consumer.handle();
    let app = App::new("bench");
    app.add(consumer).stop_budget(secs(1));
    let running = app.clone();
    let run = tokio::spawn(async move { running.run().await });
    while stats.stats().prefetched < fetched {
        tokio::task::yield_now().await;
    }
    let report = app.handle().shutdown("measured").await;
    let _ = run.await;
    let handed_back = report.component("g-consumer").map_or(0, |c| c.handed_back);
    assert!(handed_back >= fetched, "{handed_back} of {fetched} were handed back:\n{report}");
    report.shutdown_took().unwrap_or_default()
}

pub(crate) fn run(rounds: usize) {
    let runtime = runtime();
    compare(
        "messages handled by a handler that does nothing, two workers",
        MESSAGES,
        rounds,
        vec![
            Contender { name: "bounded `tokio::sync::mpsc`, a task each, nothing acknowledged", sample: Box::new(|| runtime.block_on(channel())) },
            Contender { name: "`Consumer` on `MemoryBroker`", sample: Box::new(|| runtime.block_on(consumer())) },
        ],
    );
    println!(
        "\n**stop of a consumer with a handler that must be cancelled, budget 1 s** (median of {rounds})\n\n| fetched, not begun | ms |\n|---:|---:|"
    );
    for fetched in [100, 10_000] {
        let samples = (0..rounds).map(|_| runtime.block_on(stop(fetched)).as_secs_f64() * 1e3).collect();
        println!("| {fetched} | {} |", short(median(samples)));
    }
}
