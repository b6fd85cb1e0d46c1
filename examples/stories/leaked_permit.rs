//! Permits leaked: a service sends 250 small messages a second and, at two bad moments, large reports.
//!
//! `cargo run --release --features sqlite --example story_leaked_permit -- [--json]`
//!
//! *Before* is a small model of the back-pressure of RocketMQ's asynchronous sends ([`old`], its issue 8140): a send takes one permit of a count, then as
//! many as it has bytes of another, both within its time. When the time is over between the two, the first is kept for good. *After* is the same
//! traffic through winddown's producer, which lets a message in by both or by neither.
//!
//! Both runs have the same broker, which is 20 ms away and answers nobody, twice, for 0.8 s; the same messages at the same moments; the same limits (32 messages
//! and 4 MiB in flight, 500 ms for a send); and the same patience: whoever has a message to send tries again for two and a half seconds, then gives it up.
//! What arrived is counted at the broker, by the messages' ids.

mod common;
#[cfg(feature = "rocketmq")]
#[path = "rocketmq/permits.rs"]
mod live;
#[cfg(feature = "rocketmq")]
mod rocketmq;

use common::{Run, Story};
use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use winddown::messaging::{Broker, Bytes, Faults, FaultyBroker, MemoryBroker, Message, MessageId, Producer};
use winddown::{App, Signals, millis};

const STORY: Story = Story {
    name: "story_leaked_permit",
    about: "twice the broker answers nobody for 0.8 s, while large reports wait among small messages",
    live: "a real RocketMQ stands still while 10,000 sends run out of their time; 500 more are sent after that",
    units: "messages",
};

/// The limits of both runs.
const IN_FLIGHT: usize = 32;
const IN_FLIGHT_BYTES: usize = 4 << 20;
const TIMEOUT: Duration = millis(500);

/// The traffic of both runs.
const SMALL: u32 = 600;
const PACE: Duration = millis(4);
/// When the broker begins to answer nobody, which is when the reports come, and for how long it does not.
const BAD_MOMENTS: [Duration; 2] = [millis(300), millis(1300)];
const LASTING: Duration = millis(800);
const REPORTS: u32 = 16;
const REPORT_BYTES: usize = 5 << 19;
/// What comes at once in the end, when all is quiet and the broker well.
const BURST: u32 = 400;
const PATIENCE: Duration = millis(2500);

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

/// A broker with a way to it, and what was to be sent.
#[derive(Clone)]
struct Ground {
    memory: MemoryBroker,
    faults: Faults,
    given: Arc<Mutex<HashSet<MessageId>>>,
}

impl Ground {
    fn new() -> Ground {
        Ground { memory: MemoryBroker::new(), faults: Faults::new().slow(millis(20)), given: Arc::default() }
    }

    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(FaultyBroker::new(Arc::new(self.memory.clone()), self.faults.clone()))
    }

    /// Two and a half seconds of traffic with two bad moments, and, when all of it is over, a burst.
    async fn traffic<F>(&self, send: impl Fn(Message) -> F + Clone + Send + 'static) -> anyhow::Result<()>
    where
        F: Future<Output = Result<(), Message>> + Send + 'static,
    {
        let began = Instant::now();
        let mut callers = JoinSet::new();
        let give = |callers: &mut JoinSet<()>, message: Message| {
            self.given.lock().unwrap().insert(message.id());
            callers.spawn(insist(message, send.clone()));
        };
        let report = Bytes::from(vec![b'.'; REPORT_BYTES]);
        for number in 0..SMALL {
            sleep_until(began + PACE * number).await;
            let at = PACE * number;
            if BAD_MOMENTS.contains(&at) {
                self.faults.stalled(true);
                (0..REPORTS).for_each(|_| give(&mut callers, Message::new("reports", report.clone())));
            }
            if BAD_MOMENTS.contains(&at.saturating_sub(LASTING)) {
                self.faults.stalled(false);
            }
            give(&mut callers, Message::new("orders", format!("order {number}")));
        }
        while let Some(ended) = callers.join_next().await {
            ended?;
        }
        (0..BURST).for_each(|number| give(&mut callers, Message::new("orders", format!("late order {number}"))));
        while let Some(ended) = callers.join_next().await {
            ended?;
        }
        Ok(())
    }

    fn count(&self) -> Run {
        let given = self.given.lock().unwrap();
        let stored = ["orders", "reports"].into_iter().flat_map(|topic| self.memory.messages(topic));
        let arrived: HashSet<MessageId> = stored.map(|message| message.id()).filter(|id| given.contains(id)).collect();
        Run::new(given.len() as u64, arrived.len() as u64)
    }
}

/// Whoever has something to send tries for a while.
async fn insist<F: Future<Output = Result<(), Message>>>(mut message: Message, send: impl Fn(Message) -> F) {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match send(message).await {
            Ok(()) => return,
            Err(back) => message = back,
        }
        sleep(millis(50)).await;
    }
}

async fn before() -> anyhow::Result<Run> {
    let ground = Ground::new();
    let producer = Arc::new(old::Producer::new(ground.broker()));
    let sender = producer.clone();
    ground
        .traffic(move |message| {
            let producer = sender.clone();
            async move { producer.send(message).await }
        })
        .await?;
    Ok(ground.count().note("permits left when all is quiet, of 32", producer.permits_left()))
}

async fn after() -> anyhow::Result<Run> {
    let ground = Ground::new();
    let app = App::new("orders").signals(Signals::Ignore);
    let producer = Producer::builder(ground.broker()).max_in_flight(IN_FLIGHT).max_in_flight_bytes(IN_FLIGHT_BYTES).timeout(TIMEOUT).build();
    app.add(producer.component());
    let (service, sender) = (ground.clone(), producer.clone());
    app.task("service", |_| async move {
        service
            .traffic(move |message| {
                let producer = sender.clone();
                async move { producer.send(message).await.map(drop).map_err(|error| error.into_message()) }
            })
            .await
    });
    let report = app.run().await;
    anyhow::ensure!(report.exit_code() == 0, "{report}");
    Ok(ground.count().note("permits left when all is quiet, of 32", IN_FLIGHT - producer.permits().in_flight().0))
}

mod old {
    //! A model of RocketMQ's asynchronous sends with back-pressure before its issue 8140 was mended: two fair semaphores, taken one after the other.

    use super::{IN_FLIGHT, IN_FLIGHT_BYTES, TIMEOUT};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::Semaphore;
    use tokio::time::{Instant, timeout_at};
    use winddown::messaging::{Broker, Message};

    const SCAN: Duration = Duration::from_secs(1);

    pub(crate) struct Producer {
        broker: Arc<dyn Broker>,
        count: Semaphore,
        bytes: Semaphore,
    }

    impl Producer {
        pub(crate) fn new(broker: Arc<dyn Broker>) -> Producer {
            Producer { broker, count: Semaphore::new(IN_FLIGHT), bytes: Semaphore::new(IN_FLIGHT_BYTES) }
        }

        pub(crate) async fn send(&self, message: Message) -> Result<(), Message> {
            let until = Instant::now() + TIMEOUT;
            let Ok(Ok(count)) = timeout_at(until, self.count.acquire()).await else { return Err(message) };
            let size = u32::try_from(message.body().len()).unwrap_or(u32::MAX);
            let Ok(Ok(bytes)) = timeout_at(until, self.bytes.acquire_many(size)).await else {
                // The way out that forgot what it had.
                count.forget();
                return Err(message);
            };
            // Requests that nobody answers are looked for once a second, and given up when they are a second late.
            let sent = timeout_at(until + SCAN, self.broker.send(&message, None)).await;
            // The callback gives both back, whatever the answer.
            drop((count, bytes));
            if matches!(sent, Ok(Ok(_))) { Ok(()) } else { Err(message) }
        }

        pub(crate) fn permits_left(&self) -> usize {
            self.count.available_permits()
        }
    }
}
