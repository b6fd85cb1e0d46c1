//! M12 and M13 with the real producer, consumer and broker: the traces of a whole app's life, and what plans are refused.

use crate::kit::{run_app, settled};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use winddown::messaging::trace::{BrokerExporter, Exporter, TraceDispatcher, TraceRecord, wire};
use winddown::messaging::{Broker, Consumer, HandlerCx, MemoryBroker, Message, MessageId, Producer};
use winddown::{App, Link, Phase, Problem, async_trait, millis};

fn shared(broker: &MemoryBroker) -> Arc<dyn Broker> {
    Arc::new(broker.clone())
}

#[tokio::test(start_paused = true)]
async fn m12_m13_every_send_and_every_handling_is_on_record_after_the_stop() {
    let broker = MemoryBroker::new();
    let traces = TraceDispatcher::new(BrokerExporter::new(broker.clone()));
    let producer = Producer::builder(broker.clone()).trace(&traces).build();
    // A handler sends too, until its end: its producer is open, and so is the dispatcher of both.
    let forward = producer.clone();
    let handler = move |cx: HandlerCx| {
        let forward = forward.clone();
        async move {
            tokio::time::sleep(millis(30)).await;
            let _ = forward.send(Message::new("handled", cx.message().body().clone())).await?;
            anyhow::Ok(())
        }
    };
    let app = App::new("traced");
    app.add(Consumer::builder(shared(&broker)).group("billing").topic("orders").trace(&traces).handler(handler));
    app.add(producer.component());
    app.add(traces.component());
    let mut sent = BTreeSet::new();
    let report = run_app(&app, |_| async {
        for number in 0..200 {
            let message = Message::new("orders", format!("order {number}"));
            sent.insert(message.id());
            let _ = producer.send(message).await.unwrap();
        }
    })
    .await;
    assert_eq!(report.exit_code(), 0, "{report}");

    let counts = traces.counts();
    assert!(settled(&counts), "{counts:?}");
    assert_eq!((counts.sent, counts.dropped_full + counts.dropped_closed + counts.failed + counts.abandoned), (counts.accepted, 0));
    let records: Vec<TraceRecord> = broker.messages(wire::TOPIC).iter().flat_map(|message| wire::decode(message.body()).unwrap()).collect();
    assert_eq!(records.len() as u64, counts.accepted);
    let mut kinds: BTreeMap<&str, BTreeSet<MessageId>> = BTreeMap::new();
    for record in &records {
        let kind = match record {
            TraceRecord::Pub(sent) if &*sent.topic == "orders" => "sent",
            TraceRecord::Pub(_) => "forwarded",
            TraceRecord::SubBefore(_) => "before",
            TraceRecord::SubAfter(_) => "after",
        };
        kinds.entry(kind).or_default().insert(record.message_id());
    }
    let ids = |topic: &str| broker.messages(topic).iter().map(Message::id).collect::<BTreeSet<_>>();
    assert!(kinds["sent"] == sent, "every send");
    assert!(kinds["forwarded"] == ids("handled"), "and those from handlers, which were at it during the stop");
    assert!(kinds["before"] == kinds["after"] && kinds["after"].len() == kinds["forwarded"].len(), "every handling, with its end");
    let stop = |name: &str| report.component(name).unwrap().stop.unwrap();
    assert!(stop("billing-consumer").ended <= stop("producer").began && stop("producer").ended <= stop("trace").began, "{report}");
}

/// Exports through a producer.
struct Carried(Producer);

#[async_trait]
impl Exporter for Carried {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        let _ = self.0.send(Message::new(wire::TOPIC, wire::encode(batch)).with_key(wire::message_keys(batch))).await?;
        Ok(())
    }
    fn needs(&self) -> Vec<Link> {
        vec![self.0.link()]
    }
}

#[tokio::test(start_paused = true)]
async fn m13_a_producer_of_its_own_carries_the_traces_of_another() {
    let broker = MemoryBroker::new();
    let carrier = Producer::builder(broker.clone()).name("trace-carrier").build();
    let traces = TraceDispatcher::new(Carried(carrier.clone()));
    let producer = Producer::builder(broker.clone()).trace(&traces).build();
    let app = App::new("traced");
    app.add(producer.component());
    app.add(traces.component());
    app.add(carrier.component()).phase(Phase::CONNECTIONS);
    run_app(&app, |_| async {
        for _ in 0..30 {
            let _ = producer.send(Message::new("orders", "an order")).await.unwrap();
        }
    })
    .await;
    let records: usize = broker.messages(wire::TOPIC).iter().map(|message| wire::decode(message.body()).unwrap().len()).sum();
    assert_eq!((records, traces.counts().sent), (30, 30));
}

#[test]
fn m13_real_plans_that_would_lose_traces_are_refused() {
    let broker = MemoryBroker::new();
    let carrier = Producer::builder(broker.clone()).name("carrier").build();
    let traces = TraceDispatcher::new(Carried(carrier.clone()));
    // In its own phase the carrier would stop before the dispatcher.
    let app = App::new("traced");
    app.add(carrier.component());
    app.add(traces.component());
    let refused = app.plan().unwrap_err();
    assert!(matches!(refused.problems(), [Problem::AgainstPhases { .. }]), "{refused}");

    // A consumer whose dispatcher was forgotten.
    let traces = TraceDispatcher::new(BrokerExporter::new(broker.clone()));
    let app = App::new("traced");
    app.add(Consumer::builder(shared(&broker)).group("g").topic("t").trace(&traces).handler(|_: HandlerCx| async { anyhow::Ok(()) }));
    let refused = app.plan().unwrap_err();
    assert_eq!(refused.problems(), [Problem::NotProvided { component: "g-consumer".into(), link: "trace".into() }]);
}
