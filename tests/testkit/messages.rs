//! Messaging in a world: all of it keeps virtual time, and the same seed gives the same run.

use crate::actors::of;
use std::sync::Arc;
use winddown::messaging::trace::{BrokerExporter, TraceDispatcher, wire};
use winddown::messaging::{Broker, Consumer, Faults, FaultyBroker, HandlerCx, MemoryBroker, Message, Producer};
use winddown::testkit::{World, assert_stop_order};
use winddown::{App, Outcome, Report, Where, millis, secs};

/// Orders become invoices, traced, through a broker that is often busy, sometimes ambiguous and once away.
async fn run(seed: u64, change: impl FnOnce(World) -> World) -> (Arc<Report>, MemoryBroker) {
    let memory = MemoryBroker::new();
    for number in 0..200 {
        memory.send(&Message::new("orders", format!("order {number}")), None).await.unwrap();
    }
    let faults = Faults::new().busy(0.3).ambiguous(0.05).disconnect(0.02).slow(millis(3)).seed(5);
    let broker: Arc<dyn Broker> = Arc::new(FaultyBroker::new(Arc::new(memory.clone()), faults.clone()));
    let traces_go = memory.clone();
    let world = World::of(move |app: App| async move {
        let traces = TraceDispatcher::new(BrokerExporter::new(Arc::new(traces_go)));
        let producer = Producer::builder(broker.clone()).trace(&traces).build();
        app.add(traces.component());
        app.add(producer.component());
        let handler = move |cx: HandlerCx| {
            let producer = producer.clone();
            async move {
                producer.send(Message::new("invoices", cx.message().body().clone())).await?;
                Ok(())
            }
        };
        app.add(Consumer::builder(broker).group("billing").topic("orders").name("consumer").trace(&traces).handler(handler));
        Ok(())
    });
    let (away, back) = (faults.clone(), faults);
    let world = world.seed(seed).at(millis(150), move || drop(away.down(true))).at(secs(2), move || drop(back.down(false)));
    (change(world).run().await, memory)
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run_with_messages_too() {
    let stop = |world: World| world.signal_at(millis(2100), "SIGTERM");
    let ((first, _), (second, _), (other, _)) = (run(3, stop).await, run(3, stop).await, run(4, stop).await);
    assert!(first.to_json() == second.to_json(), "{}\n{}", first.to_json(), second.to_json());
    assert_ne!(first.to_json(), other.to_json());
}

#[tokio::test(start_paused = true)]
async fn m13_consumer_producer_and_dispatcher_stop_in_that_order_and_every_trace_arrives() {
    let (report, memory) = run(1, |world| world.shutdown_when(secs(60))).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_stop_order(&report, &["consumer", "producer", "trace"]);
    assert_eq!(memory.pending("orders", "billing"), 0);
    let traces = memory.messages(wire::TOPIC).iter().map(|m| wire::decode(m.body()).unwrap().len()).sum::<usize>();
    // Before and after each handling, and at least one send for each.
    assert!(traces >= 3 * 200, "{traces}");
}

#[tokio::test(start_paused = true)]
async fn m4_a_producer_that_hangs_in_its_stop_takes_nothing_from_the_dispatcher() {
    let (report, _) = run(1, |world| world.hang("producer", Where::Stop).shutdown_when(secs(20))).await;
    assert_eq!(of(&report, "producer").outcome, Outcome::Cancelled, "{report}");
    assert_eq!(of(&report, "trace").outcome, Outcome::Stopped, "{report}");
    assert_eq!(of(&report, "trace").lost, 0);
}
