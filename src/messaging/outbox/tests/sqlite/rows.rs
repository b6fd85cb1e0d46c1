//! What a message is as a row, whoever wrote it.

use super::{Scratch, bodies, claimed, own, text};
use crate::messaging::outbox::{OutboxBounds, OutboxFilter, OutboxPick, OutboxState, OutboxStore, SqliteOutbox, create_table, insert};
use crate::messaging::{Message, MessageId};
use proptest::prelude::*;
use rusqlite::params;
use std::time::Duration;

fn any_message() -> impl Strategy<Value = Message> {
    let texts = || proptest::option::of(".{0,12}");
    let properties = proptest::collection::btree_map(".{0,6}", ".{0,6}", 0..4);
    (
        any::<u128>(),
        ".{0,12}",
        texts(),
        texts(),
        any::<bool>(),
        properties,
        proptest::collection::vec(any::<u8>(), 0..64),
        proptest::option::of(0u64..u64::from(u32::MAX)),
    )
        .prop_map(|(id, topic, tag, key, ordered, properties, body, delay)| {
            let mut message = Message::new(topic, body).with_id(MessageId::from_u128(id)).with_properties(properties);
            if let Some(tag) = tag {
                message = message.with_tag(tag);
            }
            message = match key {
                Some(key) if ordered => message.with_ordered_key(key),
                Some(key) => message.with_key(key),
                None => message,
            };
            message.with_delay(Duration::from_millis(delay.unwrap_or(0)))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn m3_a_message_comes_out_as_it_went_in(messages in proptest::collection::vec(any_message(), 1..20)) {
        let scratch = Scratch::new("round");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let store = SqliteOutbox::open(scratch.file()).expect("it opens");
            store.put(&messages, OutboxBounds::default()).await.expect("stored");
            store.close().await.expect("closed");
            let store = SqliteOutbox::open(scratch.file()).expect("it opens again");
            let listed = store.list(OutboxFilter::pending()).await.expect("listed");
            let out: Vec<Message> = listed.into_iter().filter_map(|entry| entry.message).collect();
            assert_eq!(out, messages);
            let mut out = claimed(&store, 100).await.rows;
            out.sort_by_key(|row| row.row);
            assert_eq!(out.into_iter().map(|row| row.message).collect::<Vec<_>>(), messages);
            assert_eq!(store.counts().await.expect("counted").pending, messages.len() as u64);
        });
    }
}

#[tokio::test]
async fn m3_rows_inserted_by_plain_sql_are_messages() {
    let scratch = Scratch::new("plain");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    let db = own(&scratch.file());
    db.execute("INSERT INTO winddown_outbox (topic, body) VALUES ('orders', 'two pumps')", []).expect("the least there is");
    db.execute(
        "INSERT INTO winddown_outbox (id, topic, tag, key, ordered, properties, body, delay_ms)
         VALUES ('0198f2c6-7d1e-7000-8000-00000000abcd', 'orders', 'created', 'order-17', 1, '{\"tenant\": \"blue\"}', x'00ff', 1500)",
        [],
    )
    .expect("all of it");
    db.execute("INSERT INTO winddown_outbox (id, topic, body) VALUES (?1, 'orders', 'by blob')", [MessageId::of(b"x").as_u128().to_be_bytes()])
        .expect("a blob");
    let rows = claimed(&store, 10).await.rows;
    let by = |body: &[u8]| rows.iter().map(|row| &row.message).find(|message| message.body().as_ref() == body).expect("it is there");
    assert_eq!((by(b"two pumps").topic(), by(b"two pumps").key()), ("orders", None));
    let whole = Message::new("orders", vec![0x00, 0xff])
        .with_id("0198F2C67D1E7000800000000000ABCD".parse().expect("an id"))
        .with_tag("created")
        .with_ordered_key("order-17")
        .with_property("tenant", "blue")
        .with_delay(Duration::from_millis(1500));
    assert_eq!(*by(&[0x00, 0xff]), whole);
    assert_eq!(by(b"by blob").id(), MessageId::of(b"x"));
    // Found by id in whichever form it is.
    assert_eq!((store.purge(whole.id().into()).await, store.purge(MessageId::of(b"x").into()).await), (Ok(1), Ok(1)));
    assert_eq!(store.counts().await.expect("counted").pending, 1);
}

#[tokio::test]
async fn m3_plain_sql_that_says_nonsense_is_refused_where_it_is_said() {
    let scratch = Scratch::new("refused");
    let _store = SqliteOutbox::open(scratch.file()).expect("it opens");
    let db = own(&scratch.file());
    for wrong in [
        "(topic) VALUES ('t')",
        "(body) VALUES ('b')",
        "(topic, body) VALUES (x'00', 'b')",
        "(topic, body) VALUES ('t', 5.5)",
        "(topic, body, id) VALUES ('t', 'b', 'short')",
        "(topic, body, id) VALUES ('t', 'b', 17)",
        "(topic, body, ordered) VALUES ('t', 'b', 1)",
        "(topic, body, ordered, key) VALUES ('t', 'b', 2, 'k')",
        "(topic, body, delay_ms) VALUES ('t', 'b', -1)",
        "(topic, body, delay_ms) VALUES ('t', 'b', 'soon')",
        "(topic, body, state) VALUES ('t', 'b', 'sent')",
        "(topic, body, key) VALUES ('t', 'b', x'00')",
    ] {
        assert!(db.execute(&format!("INSERT INTO winddown_outbox {wrong}"), []).is_err(), "{wrong}");
    }
    let count: i64 = db.query_row("SELECT count(*) FROM winddown_outbox", [], |row| row.get(0)).expect("counted");
    assert_eq!(count, 0);
}

#[tokio::test]
async fn m3_damaged_rows_are_set_aside_and_listed_and_the_others_go_on() {
    let scratch = Scratch::new("damaged");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    let db = own(&scratch.file());
    // Past the checks, as a bug or a failing disk would.
    db.execute_batch("PRAGMA ignore_check_constraints = ON").expect("set");
    let broken = [
        ("id", "(topic, body, id) VALUES ('t', 'b', 'zz98f2c67d1e7000800000000000abcd')"),
        ("id", "(topic, body, id) VALUES ('t', 'b', x'00')"),
        ("id", "(topic, body, id) VALUES ('t', 'b', 5)"),
        ("topic", "(topic, body) VALUES (CAST(x'ff' AS TEXT), 'b')"),
        ("topic", "(topic, body) VALUES (x'ff', 'b')"),
        ("tag", "(topic, body, tag) VALUES ('t', 'b', x'00')"),
        ("key", "(topic, body, key) VALUES ('t', 'b', CAST(x'c328' AS TEXT))"),
        ("key", "(topic, body, key, ordered) VALUES ('t', 'b', x'c328', 1)"),
        ("topic", "(topic, body, key, ordered) VALUES (x'c328', 'b', 'k', 1)"),
        ("key", "(topic, body, ordered) VALUES ('t', 'b', 1)"),
        ("ordered", "(topic, body, key, ordered) VALUES ('t', 'b', 'k', 7)"),
        ("properties", "(topic, body, properties) VALUES ('t', 'b', 'no json')"),
        ("properties", "(topic, body, properties) VALUES ('t', 'b', '[1]')"),
        ("properties", "(topic, body, properties) VALUES ('t', 'b', '{\"a\": 1}')"),
        ("delay_ms", "(topic, body, delay_ms) VALUES ('t', 'b', -5)"),
        ("body", "(topic, body) VALUES ('t', 5.5)"),
    ];
    for (n, (_, wrong)) in broken.iter().enumerate() {
        db.execute(&format!("INSERT INTO winddown_outbox {wrong}"), []).expect("past the checks");
        db.execute("INSERT INTO winddown_outbox (topic, body, key, ordered) VALUES ('t', ?1, 'k', 1)", [n.to_string()]).expect("a good one");
    }
    // Columns that are the outbox's own business damage no message.
    db.execute(
        "INSERT INTO winddown_outbox (topic, body, attempts, due_ms, created_ms, failing_ms, claim) VALUES ('t', 'odd', 'x', 'y', 'z', -5, 'c')",
        [],
    )
    .expect("odd");
    let mut good = Vec::new();
    let mut damaged = 0;
    loop {
        let claimed = claimed(&store, 5).await;
        damaged += claimed.damaged;
        if claimed.rows.is_empty() && claimed.damaged == 0 {
            break;
        }
        good.extend(bodies(&claimed));
        let sent = claimed.rows.iter().map(|row| crate::messaging::OutboxSettled {
            row: row.row,
            claim: row.claim,
            outcome: crate::messaging::OutboxOutcome::Sent,
        });
        store.settle(&sent.collect::<Vec<_>>()).await.expect("settled");
    }
    assert_eq!(damaged, broken.len() as u64);
    let odd = good.iter().position(|body| body == "odd").expect("odd, but a message");
    good.remove(odd);
    assert_eq!(good, (0..broken.len()).map(|n| n.to_string()).collect::<Vec<_>>(), "in order, past the damaged ones");
    let counts = store.counts().await.expect("counted");
    assert_eq!((counts.pending, counts.dead, counts.damaged), (0, 0, broken.len() as u64));
    let listed = store.list(OutboxFilter::damaged()).await.expect("listed");
    for (entry, (column, wrong)) in listed.iter().zip(broken) {
        let error = entry.error.as_deref().unwrap_or_default();
        assert!(entry.message.is_none() && entry.state == OutboxState::Damaged && error.contains(column), "{wrong}: {error}");
    }
    // Mended by hand, it is a message again; what is still damaged is set aside again.
    let row = listed[0].row;
    db.execute("UPDATE winddown_outbox SET id = randomblob(16) WHERE row = ?1", [row]).expect("mended");
    assert_eq!(store.retry(OutboxPick::Row(row)).await, Ok(1));
    assert_eq!(store.retry(OutboxPick::Row(listed[1].row)).await, Ok(1));
    let claimed = claimed(&store, 10).await;
    assert_eq!((claimed.rows.len(), claimed.damaged), (1, 1));
    assert_eq!(store.purge(OutboxPick::Damaged).await, Ok(broken.len() as u64 - 1));
}

#[tokio::test]
async fn m3_a_hand_in_stands_or_falls_with_its_transaction() {
    let scratch = Scratch::new("hand-in");
    let mut db = own(&scratch.file());
    db.execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY); PRAGMA user_version = 7; PRAGMA application_id = 9").expect("the user's own");
    create_table(&db).expect("made");
    create_table(&db).expect("made twice is made once");
    let message = Message::new("orders", "kept").with_ordered_key("a");
    for (commits, message) in [(true, message.clone()), (false, Message::new("orders", "dropped"))] {
        let tx = db.transaction().expect("begun");
        tx.execute("INSERT INTO orders DEFAULT VALUES", []).expect("an order");
        insert(&tx, &message).expect("handed in");
        if commits { tx.commit().expect("committed") } else { tx.rollback().expect("rolled back") }
    }
    let store = SqliteOutbox::open(scratch.file()).expect("it opens beside the user's tables");
    let rows = claimed(&store, 10).await.rows;
    assert_eq!(rows.iter().map(|row| row.message.clone()).collect::<Vec<_>>(), [message]);
    let ours = |pragma: &str| db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0)).expect("read");
    assert_eq!((ours("user_version"), ours("application_id")), (7, 9), "these belong to the file's owner");
    let all: Vec<String> = db
        .prepare("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND name <> 'orders'")
        .expect("prepared")
        .query_map([], |row| row.get(0))
        .expect("read")
        .collect::<Result<_, _>>()
        .expect("names");
    assert!(all.len() > 5 && all.iter().all(|name| name.starts_with("winddown_outbox")), "{all:?}");
}

#[tokio::test]
async fn m3_a_hand_in_without_tables_says_what_to_do() {
    let scratch = Scratch::new("no-table");
    let db = own(&scratch.file());
    let error = insert(&db, &Message::new("t", "b")).expect_err("there is no table");
    assert_eq!(error.kind(), crate::messaging::OutboxErrorKind::WrongSchema);
    assert!(error.to_string().contains("outbox.db") && error.to_string().contains("create_table"), "{error}");
    // The same inside a transaction that goes on.
    let tx = db.unchecked_transaction().expect("begun");
    assert!(insert(&tx, &Message::new("t", "b")).is_err());
    create_table(&tx).expect("made in the user's transaction");
    insert(&tx, &Message::new("t", "b")).expect("handed in");
    tx.commit().expect("committed");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    assert_eq!(bodies(&claimed(&store, 10).await), ["b"]);
}

#[tokio::test]
async fn m3_lists_go_page_by_page() {
    let scratch = Scratch::new("pages");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    store.put(&super::numbered("t", 25), OutboxBounds::default()).await.expect("stored");
    let db = own(&scratch.file());
    db.execute("UPDATE winddown_outbox SET state = 'dead', error = 'why' WHERE row % 2 = 0", params![]).expect("some are dead");
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = store.list(OutboxFilter::dead().after(after).limit(5)).await.expect("listed");
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 5 && page.iter().all(|entry| entry.state == OutboxState::Dead && entry.error.as_deref() == Some("why")));
        after = last.row;
        seen.extend(page.iter().filter_map(|entry| entry.message.as_ref().map(text)));
    }
    assert_eq!(seen, (0..25).filter(|n| n % 2 == 1).map(|n: i32| n.to_string()).collect::<Vec<_>>());
    assert!(
        store
            .list(OutboxFilter::all())
            .await
            .expect("listed")
            .iter()
            .all(|entry| entry.created.is_some_and(|at| at.elapsed().is_ok_and(|age| age.as_secs() < 600)))
    );
}
