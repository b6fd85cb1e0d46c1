//! The server dies, hangs and comes back.

use crate::kit::{self, collect, connect, one, receipts, sends_again, within};
use crate::server::Server;
use std::collections::BTreeSet;
use std::time::Instant;
use winddown::messaging::{Backoff, Broker, Class, ErrorKind, Message, NatsBroker};
use winddown::{millis, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_under_load_leaves_no_send_without_an_answer_and_no_message_lost() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("killed"));
    let group = broker.subscribe(&kit::interest("g", &topic)).await.unwrap();
    let sending = {
        let (broker, topic) = (broker.clone(), topic.clone());
        tokio::spawn(async move {
            let (mut sent, mut failed, began) = (Vec::new(), Vec::new(), Instant::now());
            // For longer than the server is away.
            while began.elapsed() < millis(1_500) {
                let tried = Instant::now();
                let (more, errors) = kit::send_at_once(&broker, &topic, 200).await;
                assert!(tried.elapsed() < secs(3), "a send took {:?}", tried.elapsed());
                sent.extend(more);
                failed.extend(errors);
                tokio::time::sleep(millis(10)).await;
            }
            (sent, failed)
        })
    };
    let waits = tokio::spawn({
        let group = broker.subscribe(&kit::interest("idle", &topic.replace("killed", "nothing"))).await.unwrap();
        async move { group.pull(1, secs(30)).await }
    });
    tokio::time::sleep(millis(300)).await;
    server.kill();
    let waited = within(secs(3), "a pull whose server died", waits).await.unwrap();
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::Disconnected);
    let (sent, failed) = within(secs(10), "the sends", sending).await.unwrap();
    assert!(!sent.is_empty() && !failed.is_empty(), "{} and {}", sent.len(), failed.len());
    for error in &failed {
        assert!(matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::Unavailable), "{error}");
        assert!(error.class().is_retryable() && error.topic() == Some(&*topic), "{error}");
    }
    // Who asked while there was no connection knows that nothing was stored.
    assert_eq!(failed.last().unwrap().class(), Class::RetryableSafe, "{}", failed.last().unwrap());

    server.restart();
    let again = sends_again(&broker, &topic).await;
    let mut wanted: BTreeSet<_> = sent.iter().copied().chain([again.id()]).collect();
    let began = Instant::now();
    while !wanted.is_empty() {
        assert!(began.elapsed() < secs(20), "{} that were confirmed did not come", wanted.len());
        let Ok(came) = group.pull(100, secs(1)).await else { continue };
        came.iter().for_each(|delivery| _ = wanted.remove(&delivery.message().id()));
        group.ack(&receipts(&came)).await.unwrap();
    }
    broker.close().await.unwrap();
    kit::no_connection_is_left(server.url()).await;
}

/// The consumer outlives the server, and so does what was held: it can be settled over the new connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_when_the_server_restarts_can_be_settled() {
    let server = Server::up("nats");
    let (broker, topic) = (connect(&server).await, kit::name("held"));
    let group = broker.subscribe(&kit::interest("g", &topic)).await.unwrap();
    broker.send(&Message::new(&*topic, "1"), None).await.unwrap();
    let held = one(&group).await;
    // The server writes its consumers' state down a moment later.
    tokio::time::sleep(millis(500)).await;
    server.kill();
    let error = within(secs(2), "an ack", group.ack(&receipts(std::slice::from_ref(&held)))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected, "{error}");
    server.restart();
    sends_again(&broker, &topic).await;
    assert_eq!(group.ack(&receipts(&[held])).await.unwrap().done, 1);
    let next = one(&group).await;
    assert_eq!(next.message().body().as_ref(), b"again");
    group.ack(&receipts(&[next])).await.unwrap();
    assert_eq!(broker.backlog(&kit::interest("g", &topic).group, &topic).await.unwrap().total(), 0);
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_holds_nobody_for_longer_than_the_request_timeout() {
    let server = Server::up("nats");
    let broker = NatsBroker::builder(server.url()).request_timeout(millis(400)).close_timeout(millis(400)).connect().await.unwrap();
    let topic = kit::name("hangs");
    let group = broker.subscribe(&kit::interest("g", &topic)).await.unwrap();
    broker.send(&Message::new(&*topic, "1"), None).await.unwrap();
    let held = one(&group).await;
    server.pause();
    let unsure = Message::new(&*topic, "2");
    let error = within(secs(2), "a send", broker.send(&unsure, None)).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (ErrorKind::TimedOut, Class::RetryableAmbiguous), "{error}");
    let error = within(secs(2), "an ack", group.ack(&receipts(std::slice::from_ref(&held)))).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (ErrorKind::TimedOut, Class::RetryableAmbiguous), "{error}");
    let error = within(secs(2), "a pull", group.pull(1, millis(300))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    server.resume();
    // It was stored after all; sent again it is one and the same.
    broker.send(&unsure, None).await.unwrap();
    let came = collect(&group, 1).await;
    assert_eq!(came[0].message().id(), unsure.id());
    group.ack(&receipts(&came)).await.unwrap();
    assert!(group.pull(1, millis(200)).await.unwrap().is_empty());

    // A close waits for its own time limits, and no longer.
    broker.send(&Message::new(&*topic, "3"), None).await.unwrap();
    let _held = one(&group).await;
    server.pause();
    let closed = within(secs(4), "a close", broker.close()).await;
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::TimedOut);
    server.resume();
    kit::no_connection_is_left(server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_while_the_server_is_away_ends_everything_too() {
    let server = Server::up("nats");
    let backoff = Backoff::new(millis(10), millis(50));
    let broker = NatsBroker::builder(server.url()).reconnect(backoff).connect().await.unwrap();
    let topic = kit::name("away");
    let group = broker.subscribe(&kit::interest("g", &topic)).await.unwrap();
    broker.send(&Message::new(&*topic, "1"), None).await.unwrap();
    let _held = one(&group).await;
    server.kill();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    // What it held comes again by itself; that it could not be given back is told.
    let left = within(secs(3), "leaving", group.close()).await;
    assert_eq!(left.unwrap_err().kind(), ErrorKind::Disconnected);
    let _ = within(secs(3), "a close", broker.close()).await;
    let began = Instant::now();
    while tasks() > 0 {
        assert!(began.elapsed() < secs(3), "{} tasks are left", tasks());
        tokio::time::sleep(millis(10)).await;
    }
    let error = broker.send(&Message::new(&*topic, "2"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    server.restart();
    // Nothing of it comes back.
    tokio::time::sleep(millis(300)).await;
    kit::no_connection_is_left(server.url()).await;
}
