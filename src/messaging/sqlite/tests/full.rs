//! No room: the caller is told, nothing is lost or half done, and it goes on when there is room again.

use super::super::super::{Class, ErrorKind};
use super::*;

async fn limit(broker: &SqliteBroker, more_pages: i64) {
    within(broker, move |store| {
        let pages: i64 = store.conn().query_row("PRAGMA page_count", [], |row| row.get(0))?;
        store.conn().query_row(&format!("PRAGMA max_page_count = {}", pages + more_pages), [], |row| row.get::<_, i64>(0))
    })
    .await;
}

fn large(n: u32) -> Message {
    Message::new("t", format!("{n:03000}"))
}

#[tokio::test]
async fn m2_a_full_disk_is_safe_to_retry_and_loses_nothing() {
    let scratch = Scratch::new();
    let broker = SqliteBroker::open(scratch.file()).unwrap();
    let member = join(&broker, LONG).await;
    limit(&broker, 40).await;
    let mut stored = 0;
    let error = loop {
        match broker.send(&large(stored), None).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1_000);
    };
    assert!(stored > 10);
    assert_eq!((error.kind(), error.class(), error.topic()), (ErrorKind::Full, Class::RetryableSafe, Some("t")), "{error}");
    assert!(error.text().contains("make room"), "{error}");
    // A batch is refused as a whole, and what needs no room is done beside it.
    let batch: Vec<_> = (0..20).map(large).collect();
    let (answers, counts) = tokio::join!(broker.send_batch(&batch, None), broker.counts("t", "g"));
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Full)));
    assert_eq!(counts.unwrap().stored, u64::from(stored));
    // A topic that was to come into being with it has not.
    let elsewhere = large(0).to_topic("new");
    assert_eq!(broker.send(&elsewhere, None).await.unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(broker.topics().await.unwrap(), ["t"]);
    // Room on the disk.
    limit(&broker, 1_000).await;
    broker.send(&large(stored), None).await.unwrap();
    broker.send(&large(0).to_topic("newer"), None).await.unwrap();
    broker.send(&elsewhere, None).await.unwrap();
    for topic in ["new", "newer"] {
        assert_eq!(broker.counts(topic, "g").await.unwrap().stored, 1, "{topic}");
    }
    let mut seen = Vec::new();
    loop {
        let got = member.pull(100, NOW).await.unwrap();
        if got.is_empty() {
            break;
        }
        seen.extend(got.iter().map(|one| String::from_utf8_lossy(one.message().body()).parse::<u32>().unwrap()));
        member.ack(&receipts(&got)).await.unwrap();
    }
    assert_eq!(seen, (0..=stored).collect::<Vec<_>>());
    broker.close().await.unwrap();
}

#[tokio::test]
async fn settling_needs_no_room_and_makes_room() {
    let scratch = Scratch::new();
    let broker = SqliteBroker::open(scratch.file()).unwrap();
    let member = join(&broker, LONG).await;
    let many: Vec<_> = (0..3_000).map(|n: u32| Message::new("t", n.to_string())).collect();
    broker.send_batch(&many, None).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    let held = member.pull(1_000, NOW).await.unwrap();
    // Not a single page more.
    limit(&broker, 0).await;
    while broker.send(&large(0), None).await.is_ok() {}
    while broker.send(&Message::new("t", "x"), None).await.is_ok() {}
    // A lease is a row too: a pull is told so, and has taken nothing.
    let error = member.pull(1_000, LONG).await.unwrap_err();
    assert_eq!((error.kind(), error.class(), error.topic()), (ErrorKind::Full, Class::RetryableSafe, Some("t")), "{error}");
    assert_eq!(broker.counts("t", "g").await.unwrap().in_flight, 1_000);
    assert_eq!(member.nack(&receipts(&held[..10]), NOW).await.unwrap().done, 10);
    assert_eq!(member.release(&receipts(&held[10..20])).await.unwrap().done, 10);
    assert_eq!(member.ack(&receipts(&held[20..])).await.unwrap().done, 980);
    broker.send(&large(0), None).await.unwrap();
    let left = broker.counts("t", "g").await.unwrap().stored as usize;
    let mut handled = 0;
    while handled < left {
        let got = member.pull(100, NOW).await.unwrap();
        assert!(!got.is_empty());
        handled += member.ack(&receipts(&got)).await.unwrap().done;
    }
    assert_eq!(broker.counts("t", "g").await.unwrap().stored, 0);
    broker.close().await.unwrap();
}

/// No test can cut the power, so this is asked of the connection itself.
#[tokio::test]
async fn every_commit_is_flushed() {
    let scratch = Scratch::new();
    let broker = SqliteBroker::open(scratch.file()).unwrap();
    let (synchronous, journal) = within(&broker, |store| {
        let synchronous: i64 = store.conn().query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        let journal: String = store.conn().query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
        Ok((synchronous, journal))
    })
    .await;
    assert_eq!((synchronous, journal.as_str()), (2, "wal"));
    broker.close().await.unwrap();
}
