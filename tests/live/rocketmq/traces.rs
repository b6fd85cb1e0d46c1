//! What the trace dispatcher writes, as RocketMQ's own decoder reads it.

use super::{Server, connect, topic};
use std::sync::Arc;
use winddown::messaging::trace::{BrokerExporter, TraceDispatcher};
use winddown::messaging::{Broker, Consumer, HandlerCx, Message, Producer};
use winddown::{App, Output, Signals, millis, secs};

const MESSAGES: u64 = 25;

/// Each message is sent and handled by an app that traces to the broker; then Java counts the records of each kind.
#[tokio::test(flavor = "multi_thread")]
async fn the_trace_topic_is_read_by_rocketmqs_own_decoder() {
    let server = Server::up("rocketmq");
    let broker = Arc::new(connect(&server).await);
    let (topic, member) = topic(&broker, "traced").await;
    member.close().await.unwrap();
    let group = format!("{topic}-traced");
    let traces = TraceDispatcher::new(BrokerExporter::new(broker.clone()));
    let producer = Producer::builder(broker.clone()).trace(&traces).build();
    let handler = |_: HandlerCx| async { Ok(()) };
    let consumer = Consumer::builder(broker.clone()).group(&*group).topic(topic.clone()).trace(&traces).handler(handler);
    let handled = consumer.handle();
    let app = App::new("traced").grace(secs(40)).signals(Signals::Ignore).output(Output::Quiet);
    app.add(traces.component()).stop_budget(secs(10));
    app.add(producer.component()).stop_budget(secs(5));
    app.add(consumer).stop_budget(secs(5));
    app.task("work", move |_| async move {
        for number in 0..MESSAGES {
            let message = Message::new(topic.clone(), number.to_string()).with_tag("created").with_key(format!("order-{number}"));
            let _stored = producer.send(message).await?;
        }
        while handled.stats().handled < MESSAGES {
            tokio::time::sleep(millis(20)).await;
        }
        Ok(())
    });
    let report = tokio::time::timeout(secs(60), app.run()).await.expect("the app did not end");
    assert_eq!(report.exit_code(), 0, "{}", report.to_text(false));
    assert_eq!(report.component("trace").map(|trace| trace.lost), Some(0));
    broker.close().await.unwrap();
    let read = server.java("ReadTraces", &[group.trim_end_matches("-traced"), &group]);
    assert_eq!((read["published"].as_u64(), read["messages"].as_u64()), (Some(MESSAGES), Some(MESSAGES)), "{read}");
    assert_eq!((read["sub_before"].as_u64(), read["sub_after"].as_u64()), (Some(MESSAGES), Some(MESSAGES)), "{read}");
}
