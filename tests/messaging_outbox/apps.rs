//! Apps with a producer that has an outbox, over several lives.

use super::{Scratch, emptied};
use std::sync::Arc;
use winddown::messaging::{Broker as _, Faults, FaultyBroker, MemoryBroker, Message, Outbox, Producer, Sent, outbox, rusqlite};
use winddown::{App, Report, millis, secs};

/// One life of a service: `work` runs beside the producer, and its end is the service's.
async fn live<F>(producer: &Producer, work: F) -> Arc<Report>
where
    F: Future<Output = ()> + Send + 'static,
{
    let app = App::new("shop");
    app.add(producer.component());
    let handle = app.handle();
    app.task("work", move |_| async move {
        work.await;
        handle.shutdown("the work is done");
        Ok(())
    });
    app.run().await
}

fn bodies(broker: &MemoryBroker, topic: &str) -> Vec<String> {
    broker.messages(topic).iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn m3_what_one_life_could_not_send_the_next_one_sends_in_order() {
    let (scratch, broker, faults) = (Scratch::new("lives"), MemoryBroker::new(), Faults::new());
    let producer = || {
        let outbox = Outbox::sqlite(scratch.file()).unwrap();
        let broker = FaultyBroker::new(Arc::new(broker.clone()), faults.clone());
        (outbox.clone(), Producer::builder(broker).timeout(millis(50)).outbox(outbox).build())
    };
    faults.down(true);
    let (outbox, first) = producer();
    let sender = first.clone();
    let report = live(&first, async move {
        for n in 0..20 {
            let sent = sender.send(Message::new("orders", n.to_string()).with_ordered_key("customer-1")).await;
            assert_eq!(sent, Ok(Sent::Stored), "the broker is down");
        }
    })
    .await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_eq!(outbox.counts().await.unwrap().pending, 20);
    assert!(bodies(&broker, "orders").is_empty());
    outbox.close().await.unwrap();

    faults.down(false);
    let (outbox, second) = producer();
    assert!(outbox.ordered_pending("orders", "customer-1"), "known right after opening");
    let (sender, watched) = (second.clone(), outbox.clone());
    live(&second, async move {
        // What comes now stays behind what is stored.
        for n in 20..30 {
            sender.send(Message::new("orders", n.to_string()).with_ordered_key("customer-1")).await.unwrap();
        }
        emptied(&watched).await;
        watched.refresh().await.unwrap();
        assert!(!watched.ordered_pending("orders", "customer-1"));
        assert!(
            matches!(sender.send(Message::new("orders", "30").with_ordered_key("customer-1")).await, Ok(Sent::Acknowledged(_))),
            "the straight way again"
        );
    })
    .await;
    assert_eq!(bodies(&broker, "orders"), (0..31).map(|n| n.to_string()).collect::<Vec<_>>());
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn m3_what_the_stop_cuts_off_is_in_the_outbox() {
    let (scratch, broker, faults) = (Scratch::new("cut"), MemoryBroker::new(), Faults::new());
    let outbox = Outbox::sqlite(scratch.file()).unwrap();
    let hanging = FaultyBroker::new(Arc::new(broker.clone()), faults.clone());
    let producer = Producer::builder(hanging).timeout(secs(60)).outbox(outbox.clone()).build();
    faults.stalled(true);
    let app = App::new("shop");
    app.add(producer.component()).stop_budget(secs(2));
    let (handle, sender) = (app.handle(), producer.clone());
    app.task("work", move |_| async move {
        for n in 0..10 {
            drop(sender.enqueue(Message::new("orders", n.to_string())).await.map_err(|error| anyhow::anyhow!("{error}"))?);
        }
        handle.shutdown("enough");
        Ok(())
    });
    let report = app.run().await;
    assert_eq!(report.exit_code(), 0, "{report}");
    let stats = producer.stats();
    assert_eq!((stats.accepted, stats.outboxed, stats.lost, stats.in_flight), (10, 10, 0, 0));
    assert_eq!(outbox.counts().await.unwrap().pending, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn m3_an_order_and_its_message_commit_or_vanish_together() {
    let (scratch, broker) = (Scratch::new("together"), MemoryBroker::new());
    let outbox = Outbox::sqlite(scratch.file()).unwrap();
    let producer = Producer::builder(broker.clone()).outbox(outbox.clone()).build();
    let (path, watched, seen) = (scratch.file(), outbox.clone(), broker.clone());
    live(&producer, async move {
        let taken = tokio::task::spawn_blocking(move || {
            let mut db = rusqlite::Connection::open(path).unwrap();
            db.execute_batch("CREATE TABLE orders (number INTEGER)").unwrap();
            for number in 0..20 {
                let tx = db.transaction().unwrap();
                tx.execute("INSERT INTO orders VALUES (?1)", [number]).unwrap();
                outbox::insert(&tx, &Message::new("orders", number.to_string())).unwrap();
                if number % 3 == 0 { tx.rollback().unwrap() } else { tx.commit().unwrap() }
            }
            let mut statement = db.prepare("SELECT number FROM orders").unwrap();
            statement
                .query_map([], |row| row.get::<_, i64>(0))
                .unwrap()
                .map(|number| number.unwrap().to_string())
                .collect::<std::collections::BTreeSet<_>>()
        });
        let taken = taken.await.unwrap();
        watched.wake();
        emptied(&watched).await;
        assert_eq!(bodies(&seen, "orders").into_iter().collect::<std::collections::BTreeSet<_>>(), taken);
        assert_eq!(seen.messages("orders").len(), taken.len());
    })
    .await;
}

/// The same by an example that is killed in between.
#[test]
fn m3_the_example_that_is_killed_loses_no_order() {
    let out = std::process::Command::new(super::example("transactional_outbox")).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{}: {text}{}", out.status, String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("each with its message"), "{text}");
}
