//! Traces lost at shutdown: a service is replaced six times while it sends, and every message leaves one trace record.
//!
//! `cargo run --release --features sqlite --example story_lost_traces -- [--json]`
//!
//! *Before* is a small model of the dispatcher that RocketMQ had until 2021 ([`old`]): a shutdown closes the executor that the batches are sent by and
//! the producer that it needs, and waits for neither the batch that is just being put together, nor the tasks. Later versions flush first, and went on
//! closing executor and producer without waiting until 5.3.3. *After* is the same service on winddown, with its trace dispatcher.
//!
//! Both runs have the same broker, the same messages at the same pace, and the same count in the end: of the messages that were sent, those whose
//! record is in the trace topic. The model is treated kindly: what it had handed to the network is let through, and nothing of it dies with the
//! process.

mod common;
#[cfg(feature = "rocketmq")]
#[path = "rocketmq/traces.rs"]
mod live;
#[cfg(feature = "rocketmq")]
mod rocketmq;

use common::{Run, Story};
use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use winddown::messaging::trace::{BrokerExporter, PubTrace, TraceDispatcher, TraceRecord, wire};
use winddown::messaging::{Broker, MemoryBroker, Message, MessageId, Producer};
use winddown::{App, Signals, millis};

const STORY: Story = Story {
    name: "story_lost_traces",
    about: "a service is replaced six times while it sends; each message leaves a trace",
    live: "1,500 messages are sent to a real RocketMQ, each leaves a trace, and the service is closed when the last is answered",
    units: "traces",
};

/// How many messages each instance of the service sends before it is replaced: no whole number of batches, as in life.
fn instances() -> impl Iterator<Item = u64> {
    (0..6).map(|n| 150 + 37 * n)
}

fn main() -> ExitCode {
    STORY.tell(|| runtime()?.block_on(async { Ok((before().await?, after().await?)) }), on_rocketmq)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

#[cfg(feature = "rocketmq")]
fn on_rocketmq(url: &str) -> anyhow::Result<(Run, Run)> {
    runtime()?.block_on(live::play(url))
}

#[cfg(not(feature = "rocketmq"))]
fn on_rocketmq(_: &str) -> anyhow::Result<(Run, Run)> {
    anyhow::bail!("built without RocketMQ")
}

/// What both runs stand on: a broker that takes a millisecond for each message, and what was sent through it.
#[derive(Clone)]
struct Ground {
    broker: MemoryBroker,
    sent: Arc<Mutex<HashSet<MessageId>>>,
}

impl Ground {
    fn new() -> Ground {
        Ground { broker: MemoryBroker::builder().service_time(millis(1)).build(), sent: Arc::default() }
    }

    /// The service's work: sends one message after the other, by a producer that has each traced.
    async fn work<F>(&self, messages: u64, send: impl Fn(Message) -> F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        for number in 0..messages {
            let message = Message::new("orders", format!("order {number}"));
            let id = message.id();
            send(message).await?;
            self.sent.lock().unwrap().insert(id);
        }
        Ok(())
    }

    /// Counts at the broker: which of the messages have their record in the trace topic?
    fn count(&self) -> anyhow::Result<Run> {
        let sent = self.sent.lock().unwrap();
        let mut traced = HashSet::new();
        for message in self.broker.messages(wire::TOPIC) {
            traced.extend(wire::decode(message.body())?.iter().map(TraceRecord::message_id).filter(|id| sent.contains(id)));
        }
        Ok(Run::new(sent.len() as u64, traced.len() as u64))
    }
}

async fn before() -> anyhow::Result<Run> {
    let ground = Ground::new();
    let mut fate = old::Fate::default();
    for messages in instances() {
        let dispatcher = old::Dispatcher::start(Arc::new(ground.broker.clone()));
        let send = |message: Message| {
            let (broker, dispatcher) = (&ground.broker, &dispatcher);
            async move {
                broker.send(&message, None).await?;
                dispatcher.append(PubTrace::of(&"orders".into(), &message).into());
                Ok(())
            }
        };
        ground.work(messages, send).await?;
        dispatcher.shutdown();
        fate = fate.plus(dispatcher.end().await?);
    }
    Ok(ground
        .count()?
        .note("in a batch that the closed executor refused", fate.refused)
        .note("in a task that found its producer closed", fate.orphaned))
}

async fn after() -> anyhow::Result<Run> {
    let ground = Ground::new();
    let (mut flushed, mut lost) = (0, 0);
    for messages in instances() {
        let broker: Arc<dyn Broker> = Arc::new(ground.broker.clone());
        let app = App::new("orders").signals(Signals::Ignore);
        let traces = TraceDispatcher::new(BrokerExporter::new(broker.clone()));
        let producer = Producer::builder(broker).trace(&traces).build();
        app.add(traces.component());
        app.add(producer.component());
        let service = ground.clone();
        // When its work is done the instance is replaced: everything stops, in order.
        app.task("service", move |_| async move {
            let send = |message| {
                let producer = &producer;
                async move { Ok(producer.send(message).await.map(drop)?) }
            };
            service.work(messages, send).await
        });
        let report = app.run().await;
        anyhow::ensure!(report.exit_code() == 0, "{report}");
        let trace = report.component("trace").expect("it was added");
        (flushed, lost) = (flushed + trace.drained, lost + trace.lost);
    }
    Ok(ground.count()?.note("flushed by the stop, in all", flushed).note("lost, as the report says", lost))
}

mod old {
    //! A model of RocketMQ's trace dispatcher until 2021 (its issue 2988), with its numbers: a queue of 1024, batches of up to 100, ten sending threads.
    //!
    //! The way of a record: `append` offers it to the queue; a thread collects a batch, until it is full or nothing came for 5 ms, and submits it to the
    //! executor; a thread of that sends it through the trace producer, without waiting for the answer. `shutdown` tells the collecting thread, closes
    //! the executor and closes the producer, each without waiting.

    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::sync::{Arc, Condvar, Mutex};
    use std::thread::JoinHandle;
    use std::time::Duration;
    use tokio_util::task::TaskTracker;
    use winddown::messaging::trace::{TraceRecord, wire};
    use winddown::messaging::{Broker, Message};

    const QUEUE: usize = 1024;
    const BATCH: usize = 100;
    const POLL: Duration = Duration::from_millis(5);
    const THREADS: usize = 10;

    /// Where records ended that did not reach the broker.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Fate {
        /// Submitted to an executor that was closed; what was behind it in the queue was never collected.
        pub(crate) refused: u64,
        /// In a task that ran when its producer was closed.
        pub(crate) orphaned: u64,
    }

    impl Fate {
        pub(crate) fn plus(self, other: Fate) -> Fate {
            Fate { refused: self.refused + other.refused, orphaned: self.orphaned + other.orphaned }
        }
    }

    pub(crate) struct Dispatcher {
        queue: SyncSender<TraceRecord>,
        stopped: Arc<AtomicBool>,
        executor: Arc<Executor>,
        producer: Arc<Producer>,
        collector: JoinHandle<u64>,
        threads: Vec<JoinHandle<()>>,
    }

    impl Dispatcher {
        pub(crate) fn start(broker: Arc<dyn Broker>) -> Dispatcher {
            let (queue, records) = sync_channel(QUEUE);
            let stopped = Arc::new(AtomicBool::new(false));
            let producer = Arc::new(Producer {
                broker,
                runtime: tokio::runtime::Handle::current(),
                running: AtomicBool::new(true),
                sends: TaskTracker::new(),
                orphaned: AtomicU64::new(0),
            });
            let executor = Arc::new(Executor::default());
            let threads = (0..THREADS)
                .map(|_| {
                    let (executor, producer) = (executor.clone(), producer.clone());
                    std::thread::spawn(move || executor.work(&producer))
                })
                .collect();
            let collector = {
                let (stopped, executor) = (stopped.clone(), executor.clone());
                std::thread::spawn(move || collect(&records, &stopped, &executor))
            };
            Dispatcher { queue, stopped, executor, producer, collector, threads }
        }

        /// What finds the queue full is discarded, as there. It is not full in this story.
        pub(crate) fn append(&self, record: TraceRecord) {
            let _ = self.queue.try_send(record);
        }

        pub(crate) fn shutdown(&self) {
            self.stopped.store(true, Ordering::SeqCst);
            self.executor.shutdown();
            self.producer.shutdown();
        }

        /// Not part of the original, whose process is gone by now: waits until nothing of it moves any more.
        pub(crate) async fn end(self) -> anyhow::Result<Fate> {
            let Dispatcher { producer, collector, threads, .. } = self;
            let joined = tokio::task::spawn_blocking(move || {
                let refused = collector.join();
                threads.into_iter().for_each(|thread| drop(thread.join()));
                refused
            });
            let refused = joined.await?.map_err(|_| anyhow::anyhow!("the collecting thread panicked"))?;
            producer.sends.close();
            producer.sends.wait().await;
            Ok(Fate { refused, orphaned: producer.orphaned.load(Ordering::SeqCst) })
        }
    }

    /// The collecting thread. Gives the records that were in its hands, and behind them in the queue, when the executor refused a batch.
    fn collect(records: &Receiver<TraceRecord>, stopped: &AtomicBool, executor: &Executor) -> u64 {
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH
                && let Ok(record) = records.recv_timeout(POLL)
            {
                batch.push(record);
            }
            if batch.is_empty() {
                if stopped.load(Ordering::SeqCst) {
                    return 0;
                }
                continue;
            }
            // The exception of a refused task ends the thread.
            if let Err(refused) = executor.submit(batch) {
                return refused.len() as u64 + records.try_iter().count() as u64;
            }
        }
    }

    /// A pool of threads with a queue of tasks.
    #[derive(Default)]
    struct Executor {
        tasks: Mutex<Tasks>,
        changed: Condvar,
    }

    #[derive(Default)]
    struct Tasks {
        waiting: VecDeque<Vec<TraceRecord>>,
        closed: bool,
    }

    impl Executor {
        fn submit(&self, batch: Vec<TraceRecord>) -> Result<(), Vec<TraceRecord>> {
            let mut tasks = self.tasks.lock().unwrap();
            if tasks.closed {
                return Err(batch);
            }
            tasks.waiting.push_back(batch);
            self.changed.notify_one();
            Ok(())
        }

        /// Takes no more; what waits is still run. Does not wait for it.
        fn shutdown(&self) {
            self.tasks.lock().unwrap().closed = true;
            self.changed.notify_all();
        }

        fn work(&self, producer: &Producer) {
            let mut tasks = self.tasks.lock().unwrap();
            loop {
                if let Some(batch) = tasks.waiting.pop_front() {
                    drop(tasks);
                    producer.send(&batch);
                    tasks = self.tasks.lock().unwrap();
                } else if tasks.closed {
                    return;
                } else {
                    tasks = self.changed.wait(tasks).unwrap();
                }
            }
        }
    }

    /// The producer of the trace topic.
    struct Producer {
        broker: Arc<dyn Broker>,
        runtime: tokio::runtime::Handle,
        running: AtomicBool,
        sends: TaskTracker,
        orphaned: AtomicU64,
    }

    impl Producer {
        /// Sends without waiting for the answer; an error is logged there, and counted here.
        fn send(&self, batch: &[TraceRecord]) {
            if !self.running.load(Ordering::SeqCst) {
                self.orphaned.fetch_add(batch.len() as u64, Ordering::SeqCst);
                return;
            }
            let (broker, message) = (self.broker.clone(), Message::new(wire::TOPIC, wire::encode(batch)));
            let send = async move {
                let _ = broker.send(&message, None).await;
            };
            self.sends.spawn_on(send, &self.runtime);
        }

        fn shutdown(&self) {
            self.running.store(false, Ordering::SeqCst);
        }
    }
}
