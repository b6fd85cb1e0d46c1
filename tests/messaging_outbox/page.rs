//! The SQL that `docs/outbox.md` shows is run, word by word.

use super::Scratch;
use winddown::messaging::{Message, Outbox, OutboxFilter, OutboxState, rusqlite::Connection};

fn statements() -> Vec<&'static str> {
    let page = include_str!("../../docs/outbox.md");
    page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn m3_the_sql_of_the_page_does_what_the_page_says() {
    let scratch = Scratch::new("page");
    let outbox = Outbox::sqlite(scratch.file()).unwrap();
    let db = Connection::open(scratch.file()).unwrap();
    let [least, all, operating] = statements()[..] else { panic!("the page has other statements than it had") };
    db.execute_batch(least).unwrap();
    db.execute_batch(all).unwrap();
    let listed = outbox.list(OutboxFilter::pending()).await.unwrap();
    let least = listed[0].message.clone().unwrap();
    assert_eq!(least, Message::new("orders", "two pumps").with_id(least.id()));
    let whole = Message::new("orders", "two pumps")
        .with_id("0198f2c67d1e7000800000000000abcd".parse().unwrap())
        .with_tag("created")
        .with_ordered_key("order-17")
        .with_property("tenant", "blue")
        .with_delay(winddown::millis(1500));
    assert_eq!(listed[1].message.as_ref(), Some(&whole));

    db.execute_batch("UPDATE winddown_outbox SET state = 'dead', attempts = 16, error = 'why'").unwrap();
    let (select, update) = operating.split_once('\n').unwrap();
    let dead: Vec<(i64, String, i64, String)> = db
        .prepare(select)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(dead, [(1, "orders".into(), 16, "why".into()), (2, "orders".into(), 16, "why".into())]);
    db.execute_batch(update).unwrap();
    let listed = outbox.list(OutboxFilter::all()).await.unwrap();
    assert!(listed.iter().all(|entry| entry.state == OutboxState::Pending && entry.attempts == 0) && listed.len() == 2);
    assert_eq!(outbox.counts().await.unwrap().pending, 2, "counted, whoever changes it");
}
