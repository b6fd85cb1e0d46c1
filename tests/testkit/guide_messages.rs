//! The tests with messages of `docs/testing.md`, as they stand there.

use std::collections::HashSet;
use std::sync::Arc;
use winddown::messaging::{Broker, Bytes, Consumer, Faults, FaultyBroker, HandlerCx, MemoryBroker, Message, Producer};
use winddown::testkit::World;
use winddown::{App, millis, secs};

fn billing(broker: Arc<dyn Broker>) -> impl FnOnce(App) -> std::future::Ready<anyhow::Result<()>> {
    move |app| {
        let producer = Producer::new(broker.clone());
        app.add(producer.component());
        app.add(Consumer::new(broker, "billing", "orders", move |cx: HandlerCx| {
            let producer = producer.clone();
            async move {
                producer.send(Message::new("invoices", cx.message().body().clone())).await?;
                Ok(())
            }
        }));
        std::future::ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn no_order_is_lost_while_the_broker_is_busy_slow_and_once_away() {
    let (memory, faults) = (MemoryBroker::new(), Faults::new().busy(0.2).ambiguous(0.02).slow(millis(5)));
    for number in 0..500 {
        memory.send(&Message::new("orders", format!("order {number}")), None).await.unwrap();
    }
    let broker = Arc::new(FaultyBroker::new(Arc::new(memory.clone()), faults.clone()));
    let (away, back) = (faults.clone(), faults);
    let report = World::of(billing(broker))
        .at(millis(100), move || drop(away.down(true)))
        .at(secs(4), move || drop(back.down(false)))
        .shutdown_when(secs(60))
        .run()
        .await;
    assert_eq!(report.exit_code(), 0, "{report}");
    // At least one invoice for each order; some have two, since an ambiguous answer is tried again.
    let invoices: HashSet<Bytes> = memory.messages("invoices").iter().map(|invoice| invoice.body().clone()).collect();
    assert_eq!(invoices.len(), 500);
    assert_eq!(memory.pending("orders", "billing"), 0);
}
