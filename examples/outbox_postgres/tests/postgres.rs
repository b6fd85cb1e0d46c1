//! Against the Postgres at `DATABASE_URL`; `./with-postgres` starts one for the tests. Each test has a schema of its own.

use outbox_postgres::{PostgresOutbox, insert};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{query, query_scalar};
use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use winddown::messaging::{
    Backoff, Faults, FaultyBroker, MemoryBroker, Message, Outbox, OutboxBounds, OutboxClaim, OutboxErrorKind, OutboxFilter, OutboxOutcome,
    OutboxPick, OutboxSettled, OutboxState, OutboxStore as _, Producer, Sent,
};
use winddown::{App, millis, secs};

async fn pool(schema: &str) -> PgPool {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names the server to test against: run examples/outbox_postgres/with-postgres");
    let options = PgConnectOptions::from_str(&url).expect("DATABASE_URL is an address").options([("search_path", schema)]);
    let pool = PgPoolOptions::new().max_connections(8).connect_with(options).await.expect("it connects");
    query(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).execute(&pool).await.expect("dropped");
    query(&format!("CREATE SCHEMA {schema}")).execute(&pool).await.expect("made");
    pool
}

async fn store(schema: &str) -> (PgPool, Arc<PostgresOutbox>) {
    let pool = pool(schema).await;
    let store = Arc::new(PostgresOutbox::new(pool.clone()));
    store.create_tables().await.expect("made");
    store.create_tables().await.expect("made twice is made once");
    (pool, store)
}

fn numbered(topic: &'static str, count: usize) -> Vec<Message> {
    (0..count).map(|n| Message::new(topic, n.to_string())).collect()
}

fn claim(rows: usize) -> OutboxClaim {
    OutboxClaim { rows, bytes: usize::MAX, run: 4, lease: secs(30), horizon: secs(60), skip: Vec::new() }
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

async fn emptied(outbox: &Outbox) {
    let begun = Instant::now();
    while outbox.counts().await.expect("counted").pending > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "something stays in the outbox");
        tokio::time::sleep(millis(10)).await;
    }
}

/// A service with a producer, until its work is over.
async fn live(producer: &Producer, work: impl Future<Output = ()> + Send + 'static) {
    let app = App::new("shop");
    app.add(producer.component());
    let handle = app.handle();
    app.task("work", move |_| async move {
        work.await;
        handle.shutdown("the work is done");
        Ok(())
    });
    let report = app.run().await;
    assert_eq!(report.exit_code(), 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_and_its_message_commit_or_vanish_together() {
    let (pool, store) = store("together").await;
    query("CREATE TABLE orders (number integer)").execute(&pool).await.expect("made");
    let (outbox, broker) = (Outbox::with_store(store), MemoryBroker::new());
    let producer = Producer::builder(broker.clone()).outbox(outbox.clone()).build();
    let kept = pool.clone();
    live(&producer, async move {
        for number in 0..30 {
            let mut tx = kept.begin().await.expect("begun");
            query("INSERT INTO orders VALUES ($1)").bind(number).execute(&mut *tx).await.expect("an order");
            insert(&mut tx, &Message::new("orders", number.to_string()).with_ordered_key("a")).await.expect("handed in");
            if number % 3 == 0 {
                tx.rollback().await.expect("rolled back")
            } else {
                tx.commit().await.expect("committed")
            }
            outbox.wake();
        }
        emptied(&outbox).await;
    })
    .await;
    let orders: Vec<i32> = query_scalar("SELECT number FROM orders ORDER BY number").fetch_all(&pool).await.expect("read");
    assert_eq!(broker.messages("orders").iter().map(text).collect::<Vec<_>>(), orders.iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_is_sent_later_in_order_by_two_services_at_once() {
    let (_pool, store) = store("two").await;
    let (broker, faults) = (MemoryBroker::new(), Faults::new());
    let service = |faults: &Faults| {
        let outbox = Outbox::builder_on(store.clone()).backoff(Backoff::new(millis(5), millis(40))).open().expect("a store of one's own opens");
        let broker = FaultyBroker::new(Arc::new(broker.clone()), faults.clone());
        (outbox.clone(), Producer::builder(broker).timeout(millis(50)).outbox(outbox).build())
    };
    faults.down(true);
    let (_, producer) = service(&faults);
    let sender = producer.clone();
    live(&producer, async move {
        let keys = ["a", "b", "c"];
        for n in 0..40 {
            let [one, two, three] = keys.map(|key| sender.send(Message::new("t", format!("{n:03}")).with_ordered_key(key)));
            let stored = tokio::join!(one, two, three);
            assert_eq!(stored, (Ok(Sent::Stored), Ok(Sent::Stored), Ok(Sent::Stored)));
        }
    })
    .await;
    faults.down(false);
    faults.busy(0.2);
    let ((outbox, one), (_, other)) = (service(&faults), service(&faults));
    assert!(outbox.ordered_pending("t", "a"), "not known yet, so taken for yes");
    let (first, second) = (outbox.clone(), outbox.clone());
    tokio::join!(live(&one, async move { emptied(&first).await }), live(&other, async move { emptied(&second).await }));
    outbox.refresh().await.expect("looked");
    assert!(!outbox.ordered_pending("t", "a"));
    let sent = broker.messages("t");
    assert_eq!(sent.len(), 120, "each once");
    for key in ["a", "b", "c"] {
        let bodies: Vec<String> = sent.iter().filter(|message| message.key() == Some(key)).map(text).collect();
        assert_eq!(bodies, (0..40).map(|n| format!("{n:03}")).collect::<Vec<_>>(), "key {key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claimers_side_by_side_never_have_the_same_row() {
    let (_pool, store) = store("claimers").await;
    let mut messages = numbered("t", 200);
    messages.extend((0..50).flat_map(|n| ["a", "b"].map(|key| Message::new("t", format!("{key}{n}")).with_ordered_key(key))));
    store.put(&messages, OutboxBounds::default()).await.expect("stored");
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut had = Vec::new();
                while store.counts().await.expect("counted").pending > 0 {
                    let claimed = store.claim(claim(7)).await.expect("claimed");
                    let keys: Vec<_> = claimed.rows.iter().filter(|row| row.message.is_ordered()).map(|row| row.message.key_shared()).collect();
                    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "of one key one at a time");
                    had.extend(claimed.rows.iter().map(|row| row.row));
                    let sent = claimed.rows.iter().map(|row| OutboxSettled { row: row.row, claim: row.claim, outcome: OutboxOutcome::Sent });
                    store.settle(&sent.collect::<Vec<_>>()).await.expect("settled");
                }
                had
            })
        })
        .collect();
    let mut had = Vec::new();
    for task in tasks {
        had.extend(task.await.expect("no panic"));
    }
    had.sort_unstable();
    assert_eq!(had, (1..=300).collect::<Vec<_>>(), "each once");
}

#[tokio::test]
async fn a_claim_ends_with_its_lease_and_an_old_one_settles_nothing() {
    let (_pool, store) = store("lease").await;
    store.put(&numbered("t", 1), OutboxBounds::default()).await.expect("stored");
    let first = store.claim(OutboxClaim { lease: millis(300), ..claim(9) }).await.expect("claimed");
    assert_eq!(first.rows.len(), 1);
    let none = store.claim(claim(9)).await.expect("claimed");
    assert!(none.rows.is_empty() && none.next.is_some_and(|next| next <= millis(300)), "{none:?}");
    tokio::time::sleep(millis(320)).await;
    let second = store.claim(claim(9)).await.expect("claimed");
    assert_eq!(second.rows.len(), 1, "who had it is thought dead");
    let settled = |claim: i64, outcome: OutboxOutcome| [OutboxSettled { row: 1, claim, outcome }];
    store.settle(&settled(first.rows[0].claim, OutboxOutcome::Released { after: Duration::ZERO })).await.expect("settled");
    assert!(store.claim(claim(9)).await.expect("claimed").rows.is_empty(), "it is the second one's");
    let counted = OutboxOutcome::Counted { error: "why".into(), after: Duration::ZERO, failing: secs(7) };
    store.settle(&settled(second.rows[0].claim, counted)).await.expect("settled");
    let third = store.claim(claim(9)).await.expect("claimed");
    assert_eq!((third.rows[0].attempts, third.rows[0].failing), (1, secs(7)));
    assert_eq!(store.claim(OutboxClaim { horizon: secs(1), ..claim(9) }).await.expect("claimed").rows.len(), 1, "so far ahead, a clock has jumped");
    store.settle(&settled(second.rows[0].claim, OutboxOutcome::Sent)).await.expect("settled");
    assert_eq!(store.counts().await.expect("counted").rows(), 0, "sent is sent");
}

#[tokio::test]
async fn a_message_comes_out_as_it_went_in() {
    let (_pool, store) = store("round").await;
    let plain = Message::new("", vec![0, 159, 146, 150]);
    let whole = Message::new("tö", "b").with_tag("t").with_ordered_key("k").with_property("a", "b").with_property("", "ü").with_delay(millis(1500));
    let keyed = Message::new("t", "").with_key("k");
    let messages = [plain, whole, keyed];
    store.put(&messages, OutboxBounds::default()).await.expect("stored");
    let rows = store.claim(claim(9)).await.expect("claimed").rows;
    assert_eq!(rows.iter().map(|row| row.message.clone()).collect::<Vec<_>>(), messages);
    let listed = store.list(OutboxFilter::all().after(1).limit(1)).await.expect("listed");
    assert_eq!(listed.len(), 1);
    assert!(
        listed[0].message.as_ref() == Some(&messages[1])
            && listed[0].claimed
            && listed[0].created.is_some_and(|at| at.elapsed().is_ok_and(|age| age < secs(600)))
    );
    // What Postgres's texts cannot hold is said, not lost.
    let refused = store.put(&[Message::new("t", "").with_key("a\0b")], OutboxBounds::default()).await.expect_err("no NUL");
    assert_eq!(refused.kind(), OutboxErrorKind::Other);
}

#[tokio::test]
async fn damaged_and_dead_rows_are_kept_listed_retried_and_purged() {
    let (pool, store) = store("aside").await;
    query("INSERT INTO winddown_outbox (topic, body, properties) VALUES ('t', 'bad', '[1]')").execute(&pool).await.expect("inserted");
    query("INSERT INTO winddown_outbox (topic, body) VALUES ('t', 'good')").execute(&pool).await.expect("inserted");
    let claimed = store.claim(claim(9)).await.expect("claimed");
    assert_eq!((claimed.rows.len(), claimed.damaged, text(&claimed.rows[0].message)), (1, 1, "good".to_owned()));
    let dead = OutboxSettled { row: claimed.rows[0].row, claim: claimed.rows[0].claim, outcome: OutboxOutcome::Dead { error: "why".into() } };
    store.settle(&[dead]).await.expect("settled");
    let listed = store.list(OutboxFilter::all()).await.expect("listed");
    assert_eq!((listed[0].state, listed[0].message.as_ref(), listed[1].state), (OutboxState::Damaged, None, OutboxState::Dead));
    assert_eq!((listed[0].error.as_deref().is_some_and(|error| error.contains("properties")), listed[1].error.as_deref()), (true, Some("why")));
    let counts = store.counts().await.expect("counted");
    assert_eq!((counts.pending, counts.dead, counts.damaged), (0, 1, 1));
    let id = listed[1].message.as_ref().expect("a message").id();
    assert_eq!((store.retry(OutboxPick::Id(id)).await, store.retry(OutboxPick::Dead).await), (Ok(1), Ok(0)));
    query("UPDATE winddown_outbox SET properties = '{\"a\": \"b\"}' WHERE state = 'damaged'").execute(&pool).await.expect("mended");
    assert_eq!(store.retry(OutboxPick::Row(1)).await, Ok(1));
    assert_eq!(store.claim(claim(9)).await.expect("claimed").rows.len(), 2);
    assert_eq!((store.purge(OutboxPick::Row(1)).await, store.purge(id.into()).await, store.purge(OutboxPick::Damaged).await), (Ok(1), Ok(1), Ok(0)));
}

#[tokio::test]
async fn a_full_outbox_gives_messages_back_and_errors_say_what_to_do() {
    let (pool, store) = store("bounds").await;
    let outbox = Outbox::builder_on(store).max_messages(5).open().expect("a store of one's own opens");
    outbox.put(numbered("t", 5)).await.expect("there is room");
    let refused = outbox.put(numbered("t", 1)).await.expect_err("no room");
    assert_eq!((refused.kind(), refused.messages().len()), (OutboxErrorKind::Full, 1));
    query("DELETE FROM winddown_outbox").execute(&pool).await.expect("deleted");
    outbox.put(numbered("t", 5)).await.expect("room again");
    query("DROP TABLE winddown_outbox").execute(&pool).await.expect("dropped");
    let refused = outbox.counts().await.expect_err("no table");
    assert!(refused.kind() == OutboxErrorKind::WrongSchema && refused.text().contains("schema.sql"), "{refused}");
    outbox.close().await.expect("closed");
    assert_eq!(outbox.counts().await.expect_err("closed").kind(), OutboxErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_service_had_claimed_is_sent_by_the_next() {
    let (_pool, store) = store("killed").await;
    let open = || Outbox::builder_on(store.clone()).lease(secs(1)).open().expect("a store of one's own opens");
    store.put(&numbered("t", 10), OutboxBounds::default()).await.expect("stored");
    // Claimed, and never heard of again.
    assert_eq!(store.claim(OutboxClaim { lease: secs(1), ..claim(6) }).await.expect("claimed").rows.len(), 6);
    let (outbox, broker) = (open(), MemoryBroker::new());
    let producer = Producer::builder(broker.clone()).outbox(outbox.clone()).build();
    live(&producer, async move { emptied(&outbox).await }).await;
    let bodies: BTreeSet<String> = broker.messages("t").iter().map(text).collect();
    assert_eq!(bodies.len(), 10);
}
