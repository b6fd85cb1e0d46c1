//! The service's parts and how they are joined.

use crate::args::Args;
use crate::belongs;
use crate::brokers::Chosen;
use crate::dead_letter::Graveyard;
use crate::files;
use crate::handler::OrderHandler;
use crate::order::TOPIC;
use crate::server::HttpServer;
use crate::store::Store;
use anyhow::Context;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::UnboundedSender;
use winddown::messaging::trace::{JsonLines, TraceDispatcher};
use winddown::messaging::{Backoff, Broker, Consumer, Failure, Faults, FaultyBroker, Outbox, Producer};
use winddown::{App, millis, secs};

/// The group that handles orders.
pub(crate) const GROUP: &str = "order-service";

/// Where its dead letters go, and the group that keeps them.
pub(crate) const DEAD: &str = "order-service.dead";
pub(crate) const GRAVEYARD: &str = "order-service-graveyard";

/// For how long a killed process's orders stay its own, and after that go to its successor.
pub(crate) const LEASE: Duration = secs(10);

/// No try is made later than this after the one before. Together with the leases it bounds how long a restart takes to clear
/// everything.
const PAUSES: Backoff = Backoff::new(millis(100), secs(5));

/// How many tries an order has before it is a dead letter.
const TRIES: u32 = 16;

/// The service's life. Each component has its share of the grace period to stop in, whatever that is: most of it for what is worth waiting
/// for, orders that are begun and orders that are being handled. A sixth is left for the resources and for force.
pub(crate) fn service(args: &Args, data: PathBuf, tell: Option<UnboundedSender<SocketAddr>>) -> App {
    let mut app = App::new("order-service").grace(args.grace);
    if let Some(file) = &args.report {
        app = app.report_to(file);
    }
    let share = |percent| args.grace * percent / 100;
    let (edge, consuming, sending, tracing) = (share(25), share(40), share(10), share(10));
    let (listen, concurrency, work) = (args.listen.clone(), args.concurrency, args.work);
    let (chosen, faults) = (args.broker.clone(), args.faults.clone());
    app.setup(move |app| async move {
        let store = app.resource("orders-db", Store::open(data.clone())).destroy_with(|store| async move { store.close().await }).await?;
        let broker =
            app.resource("broker", open_broker(chosen, data.clone(), faults)).destroy_with(|broker| async move { close(&broker).await }).await?;
        let outbox = app.resource("outbox", open_outbox(data.clone())).destroy_with(|outbox| async move { Ok(outbox.close().await?) }).await?;
        let transport = Arc::clone(&*broker.lease("set-up")?);
        let kept = Outbox::clone(&*outbox.lease("set-up")?);

        let trace = TraceDispatcher::new(JsonLines::create(files::trace(&data)).context("cannot open the trace file")?);
        let producer = Producer::builder(Arc::clone(&transport)).name("orders-producer").outbox(kept).trace(&trace).build();
        let graveyard = Consumer::builder(&transport)
            .name("orders-graveyard")
            .group(GRAVEYARD)
            .topic(DEAD)
            .concurrency(4)
            .prefetch(16)
            .visibility(LEASE)
            // There is nowhere to go from here: one that cannot be written is tried until it can be.
            .max_attempts(u32::MAX)
            .backoff(PAUSES)
            .trace(&trace)
            .handler(Graveyard::new(store.lease("orders-graveyard")?));
        let consumer = Consumer::builder(transport)
            .name("orders-consumer")
            .group(GROUP)
            .topic(TOPIC)
            .concurrency(concurrency)
            .prefetch(4 * concurrency)
            .visibility(LEASE)
            .max_attempts(TRIES)
            .backoff(PAUSES)
            .on_failure(tell_the_operator)
            .trace(&trace)
            .handler(OrderHandler::new(store.lease("orders-consumer")?, work));

        app.add(trace.component()).stop_budget(tracing);
        app.add(producer.component()).uses(&broker).uses(&outbox).stop_budget(sending);
        app.add(graveyard).uses(&broker).uses(&store).stop_budget(consuming);
        app.add(consumer).uses(&broker).uses(&store).stop_budget(consuming);
        app.add(HttpServer::new(listen, store.clone(), producer, tell)).uses(&store).stop_budget(edge);
        Ok(())
    })
}

/// Opens the broker; with faults, something that makes it look worse than it is.
async fn open_broker(chosen: Chosen, data: PathBuf, faults: Option<Faults>) -> anyhow::Result<Arc<dyn Broker>> {
    belongs::claim(&data, &chosen)?;
    let broker = chosen.open(&data, &[TOPIC, DEAD]).await?.broker;
    Ok(match faults {
        Some(faults) => Arc::new(FaultyBroker::new(broker, faults)),
        None => broker,
    })
}

async fn open_outbox(data: PathBuf) -> anyhow::Result<Outbox> {
    let open = move || Outbox::builder(files::outbox(&data)).backoff(PAUSES).lease(LEASE).max_attempts(TRIES).open();
    tokio::task::spawn_blocking(open).await?.context("cannot open the outbox")
}

/// A busy broker is asked again, within the resource's budget. What it holds is safe in any case, so a broker that cannot be told is said
/// and is no failure.
async fn close(broker: &Arc<dyn Broker>) -> anyhow::Result<()> {
    for _ in 0..8 {
        match broker.close().await {
            Ok(()) => return Ok(()),
            Err(error) if error.class().is_retryable() => tokio::time::sleep(millis(50)).await,
            Err(error) => return say(&format!("the broker was not closed in an orderly way: {error}")).await,
        }
    }
    say("the broker was too busy to be closed in an orderly way").await
}

/// The hook for orders that go wrong again and again.
async fn tell_the_operator(failure: Failure) {
    let Failure { delivery, attempt, error, next, .. } = failure;
    let order = delivery.message().key().unwrap_or_default();
    let _ = say(&format!("order {order} failed for the {attempt}th time: {error}; next: {next:?}")).await;
}

/// Through the runtime's stderr, so that a full pipe holds no worker.
async fn say(line: &str) -> anyhow::Result<()> {
    let _ = tokio::io::stderr().write_all(format!("order_service: {line}\n").as_bytes()).await;
    Ok(())
}
