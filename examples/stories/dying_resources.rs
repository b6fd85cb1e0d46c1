//! Resources that die first: a service is told to stop while its listeners write to the database through a connection pool.
//!
//! `cargo run --release --features sqlite --example story_dying_resources -- [--json]`
//!
//! *Before* is a small model of a program whose parts ("beans") are destroyed in the opposite order of their making ([`old`]). Its listeners were
//! made first; the pool was made when the first message needed it, and nobody had said that the listeners need it. So on SIGTERM the
//! pool is closed first. The listeners then finish what they have fetched, as they should: each message fails ten times in a row on the closed
//! pool, is logged, passed over, and committed with its batch. That is how widely used listener containers treat a message that cannot be handled,
//! unless told otherwise. *After* is the same work on winddown: the pool is a resource that the consumer uses, so it outlives the consumer, which
//! hands back what it has not begun and finishes the rest.
//!
//! Both runs have the same messages, database and work, a real SIGTERM at the same point, and the same number of tries. In the end the program
//! is started again, so what the broker still has arrives late and is not lost. Counted are rows in the database.

mod common;
#[cfg(feature = "rocketmq")]
#[path = "rocketmq/rolling.rs"]
mod live;
#[cfg(feature = "rocketmq")]
mod rocketmq;

use anyhow::{Context, ensure};
use common::{Run, Story};
use signal_hook::consts::SIGTERM;
use signal_hook::low_level::raise;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use winddown::messaging::{Broker, Consumer, HandlerCx, Interest, MemoryBroker, Message};
use winddown::{App, millis, secs};

const STORY: Story = Story {
    name: "story_dying_resources",
    about: "a service is told to stop while its listeners write to the database through a pool",
    live: "two consumers of a real RocketMQ are replaced, one after the other, while 200 messages a second come",
    units: "messages",
};

const MESSAGES: u64 = 2_000;

/// When so many are in the database, the program is told to stop.
const STOP_AT: usize = 1_000;

/// Listeners, and connections.
const LISTENERS: usize = 4;

/// What a listener, or a consumer for each handler, fetches ahead.
const FETCH: usize = 50;

const TRIES: u32 = 10;

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

/// What both runs stand on, and what outlives the program: the broker, and the database's rows.
#[derive(Clone)]
struct Ground {
    broker: MemoryBroker,
    rows: watch::Sender<BTreeSet<String>>,
}

impl Ground {
    async fn new() -> anyhow::Result<Ground> {
        let ground = Ground { broker: MemoryBroker::new(), rows: watch::Sender::default() };
        for number in 0..MESSAGES {
            ground.broker.send(&Message::new("orders", number.to_string()), None).await?;
        }
        Ok(ground)
    }

    /// The operator: a real SIGTERM in the midst of the work.
    async fn terminate_half_way(self) -> anyhow::Result<()> {
        self.rows.subscribe().wait_for(|rows| rows.len() >= STOP_AT).await?;
        Ok(raise(SIGTERM)?)
    }

    /// The program's next start, without any trouble: handles what the broker still has. Then counts the rows.
    async fn next_start(&self) -> anyhow::Result<Run> {
        let (in_time, pool) = (self.rows.borrow().len(), Pool::open(self));
        let group = self.broker.subscribe(&Interest::new("billing", "orders")).await?;
        while self.broker.pending("orders", "billing") > 0 {
            for delivery in group.pull(FETCH, secs(1)).await? {
                pool.insert(delivery.message()).await?;
                group.ack(&[delivery.receipt().clone()]).await?;
            }
        }
        let rows = self.rows.borrow();
        Ok(Run::new(MESSAGES, rows.len() as u64)
            .note("handled before the stop ended", in_time)
            .note("handled by the next start", rows.len() - in_time))
    }
}

/// The program's connections to the database.
struct Pool {
    rows: watch::Sender<BTreeSet<String>>,
    connections: Semaphore,
    open: AtomicBool,
}

impl Pool {
    fn open(ground: &Ground) -> Arc<Pool> {
        Arc::new(Pool { rows: ground.rows.clone(), connections: Semaphore::new(LISTENERS), open: AtomicBool::new(true) })
    }

    async fn insert(&self, message: &Message) -> anyhow::Result<()> {
        let _connection = self.connections.acquire().await.context("the pool is closed")?;
        sleep(millis(2)).await; // the way to the database and back
        ensure!(self.open.load(Ordering::SeqCst), "the connection was closed");
        let row = String::from_utf8(message.body().to_vec())?;
        self.rows.send_if_modified(|rows| rows.insert(row));
        Ok(())
    }

    /// Closes idle connections and those in use.
    fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.connections.close();
    }
}

async fn before() -> anyhow::Result<Run> {
    let ground = Ground::new().await?;
    let operator = tokio::spawn(ground.clone().terminate_half_way());
    let passed_over = old::Program::start(&ground).await?.run_until_sigterm().await?;
    operator.await??;
    Ok(ground.next_start().await?.note("passed over, with an entry in the log", passed_over))
}

async fn after() -> anyhow::Result<Run> {
    let ground = Ground::new().await?;
    let operator = tokio::spawn(ground.clone().terminate_half_way());
    let app = App::new("orders").setup({
        let ground = ground.clone();
        move |app| async move {
            let made = Pool::open(&ground);
            let pool = app
                .resource("pool", async { Ok::<_, anyhow::Error>(made) })
                .destroy_with(|pool| async move {
                    pool.close();
                    Ok(())
                })
                .await?;
            let lease = pool.lease("orders")?;
            let work = move |cx: HandlerCx| {
                let pool = lease.clone();
                async move { pool.insert(cx.message()).await }
            };
            let consumer = Consumer::builder(Arc::new(ground.broker.client())).name("orders").group("billing").topic("orders");
            app.add(consumer.concurrency(LISTENERS).prefetch(LISTENERS * FETCH).max_attempts(TRIES).handler(work)).uses(&pool);
            Ok(())
        }
    });
    let report = app.run().await;
    operator.await??;
    ensure!(report.exit_code() == 0, "{report}");
    let handed_back = report.component("orders").map_or(0, |consumer| consumer.handed_back);
    Ok(ground.next_start().await?.note("handed back, as the report says", handed_back))
}

mod old {
    //! A model of a listener container in a program whose parts are destroyed in the opposite order of their making.

    use super::{FETCH, Ground, LISTENERS, Pool, TRIES};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;
    use tokio::signal::unix::{Signal, SignalKind, signal};
    use tokio::sync::OnceCell;
    use tokio::task::JoinSet;
    use winddown::messaging::{Broker, Delivery, Interest, Subscription};

    /// How long a stop of the container waits for its listeners.
    const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

    pub(crate) struct Program {
        sigterm: Signal,
        container: Container,
        shared: Arc<Shared>,
    }

    struct Container {
        listeners: JoinSet<anyhow::Result<()>>,
    }

    struct Shared {
        ground: Ground,
        /// Made by whoever needs it first.
        pool: OnceCell<Arc<Pool>>,
        stopping: AtomicBool,
        passed_over: AtomicU64,
    }

    impl Program {
        pub(crate) async fn start(ground: &Ground) -> anyhow::Result<Program> {
            let sigterm = signal(SignalKind::terminate())?;
            let shared = Shared { ground: ground.clone(), pool: OnceCell::new(), stopping: AtomicBool::new(false), passed_over: AtomicU64::new(0) };
            let shared = Arc::new(shared);
            let connection = ground.broker.client();
            let mut listeners = JoinSet::new();
            for _ in 0..LISTENERS {
                let group = connection.subscribe(&Interest::new("billing", "orders")).await?;
                listeners.spawn(shared.clone().listen(group));
            }
            Ok(Program { sigterm, container: Container { listeners }, shared })
        }

        /// The last made first: the pool, then the container. Gives how many messages were passed over.
        pub(crate) async fn run_until_sigterm(mut self) -> anyhow::Result<u64> {
            self.sigterm.recv().await;
            if let Some(pool) = self.shared.pool.get() {
                pool.close();
            }
            self.container.stop(&self.shared).await;
            Ok(self.shared.passed_over.load(Ordering::SeqCst))
        }
    }

    impl Container {
        /// Listeners finish the batch that they have.
        async fn stop(&mut self, shared: &Shared) {
            shared.stopping.store(true, Ordering::SeqCst);
            let all = async { while self.listeners.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, all).await;
        }
    }

    impl Shared {
        /// One listener: fetch, handle one by one, commit.
        async fn listen(self: Arc<Shared>, group: Arc<dyn Subscription>) -> anyhow::Result<()> {
            while !self.stopping.load(Ordering::SeqCst) {
                let batch = group.pull(FETCH, Duration::from_millis(100)).await?;
                for delivery in &batch {
                    self.handle(delivery).await;
                }
                let receipts: Vec<_> = batch.iter().map(|delivery| delivery.receipt().clone()).collect();
                group.ack(&receipts).await?;
            }
            group.close().await?;
            Ok(())
        }

        /// Tries without a pause in between, then an entry in the log, and on with the next.
        async fn handle(&self, delivery: &Delivery) {
            for _ in 0..TRIES {
                let pool = self.pool.get_or_init(async || Pool::open(&self.ground)).await;
                if pool.insert(delivery.message()).await.is_ok() {
                    return;
                }
            }
            self.passed_over.fetch_add(1, Ordering::SeqCst);
        }
    }
}
