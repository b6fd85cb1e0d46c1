//! A server that dies, stands still, or takes nothing: every call is answered in time, with the right class, and the client goes on by itself.

use super::kit::{QUEUE_NOTED, fresh, handle, joined, one, receipt};
use super::server::Server;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use winddown::messaging::rabbitmq::RabbitMqBroker;
use winddown::messaging::{Broker, Class, ErrorKind, Message, MessageId};
use winddown::{millis, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_under_load_is_answered_and_survived() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::builder(server.url()).send_timeout(secs(5)).connect().await.expect("connected");
    let topic = fresh("kill");
    let member = joined(&broker, "g", &topic).await;
    broker.send(&Message::new(&*topic, "held"), None).await.expect("sent");
    let held = one(&member).await;
    // RabbitMQ 3.10 notes that there is a new quorum queue some seconds late; after a kill before that, it is empty and has no leader.
    sleep(QUEUE_NOTED).await;
    let mut sends = JoinSet::new();
    for number in 0..400u64 {
        let (broker, message) = (broker.clone(), Message::new(&*topic, number.to_string()));
        sends.spawn(async move {
            sleep(millis(number)).await;
            let began = Instant::now();
            let answer = timeout(secs(20), broker.send(&message, None)).await.expect("a send hangs");
            (message.id(), answer, began.elapsed())
        });
    }
    sleep(millis(150)).await;
    server.kill();
    let (mut stored, mut kinds) = (BTreeSet::<MessageId>::new(), BTreeSet::new());
    while let Some(ended) = sends.join_next().await {
        let (id, answer, took) = ended.expect("no panic");
        assert!(took < secs(12), "a send was answered after {took:?}");
        match answer {
            Ok(_) => drop(stored.insert(id)),
            Err(error) => {
                assert!(error.class().is_retryable(), "{error}");
                kinds.insert(format!("{} {}", error.kind().name(), error.class().name()));
            }
        }
    }
    println!("{} stored; errors: {kinds:?}", stored.len());
    assert!(kinds.contains("disconnected retryable-safe"), "{kinds:?}");
    // A pull says what is the matter, and does not wait for ever.
    let began = Instant::now();
    assert!(member.pull(1, secs(2)).await.is_err() && began.elapsed() < secs(8), "it took {:?}", began.elapsed());
    server.restart();
    // The same client: it connects again by itself.
    let last = Message::new(&*topic, "after");
    let began = Instant::now();
    while let Err(error) = broker.send(&last, None).await {
        assert!(error.class().is_retryable() && began.elapsed() < secs(60), "{error}");
        sleep(millis(100)).await;
    }
    stored.extend([last.id(), held.message().id()]);
    let began = Instant::now();
    while !stored.is_empty() {
        assert!(began.elapsed() < secs(60), "{} messages that were stored did not come", stored.len());
        for delivery in member.pull(100, secs(1)).await.unwrap_or_default() {
            stored.remove(&delivery.message().id());
            assert_eq!(member.ack(receipt(&delivery)).await.expect("acknowledged").done, 1);
        }
    }
    // What was held before the kill is another delivery now.
    assert_eq!(member.ack(receipt(&held)).await.expect("answered").stale, 1);
    broker.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_answered_in_time() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::builder(server.url()).send_timeout(secs(2)).close_timeout(secs(1)).connect().await.expect("connected");
    let topic = fresh("still");
    let member = joined(&broker, "g", &topic).await;
    broker.send(&Message::new(&*topic, "before"), None).await.expect("sent");
    server.pause();
    let began = Instant::now();
    let error = broker.send(&Message::new(&*topic, "during"), None).await.expect_err("nobody answers");
    assert_eq!((error.kind(), error.class()), (ErrorKind::TimedOut, Class::RetryableAmbiguous), "{error}");
    assert!(began.elapsed() < secs(5), "it took {:?}", began.elapsed());
    let other = RabbitMqBroker::builder(server.url()).connect_timeout(secs(1)).connect().await.expect_err("nobody answers");
    assert_eq!((other.kind(), other.class()), (ErrorKind::TimedOut, Class::RetryableSafe), "{other}");
    // Closing is bounded too.
    let began = Instant::now();
    let _ = member.close().await;
    let _ = broker.close().await;
    assert!(began.elapsed() < secs(15), "closing took {:?}", began.elapsed());
    server.resume();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_alarm_is_on_sends_are_busy_and_receiving_goes_on() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::connect(server.url()).await.expect("connected");
    let topic = fresh("alarm");
    let member = joined(&broker, "g", &topic).await;
    broker.send(&Message::new(&*topic, "before"), None).await.expect("sent");
    alarm("on");
    let began = Instant::now();
    let mut answers = Vec::new();
    for number in 0..5 {
        answers.push(timeout(secs(15), broker.send(&Message::new(&*topic, number.to_string()), None)).await.expect("a send hangs"));
    }
    let took = began.elapsed();
    let received = handle(&member, 1).await;
    alarm("off");
    let errors: Vec<_> = answers.into_iter().map(|answer| answer.expect_err("nothing is taken")).collect();
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Busy), "{errors:?}");
    // The first may have got through before the server said so; the others were not begun.
    assert!(errors[1..].iter().all(|error| error.class() == Class::RetryableSafe), "{errors:?}");
    assert!(took < secs(15), "five sends took {took:?}");
    assert_eq!(received[0].body().as_ref(), b"before");
    let began = Instant::now();
    while let Err(error) = broker.send(&Message::new(&*topic, "after"), None).await {
        assert!(error.class().is_retryable() && began.elapsed() < secs(30), "{error}");
        sleep(millis(100)).await;
    }
    broker.close().await.expect("closed");
}

fn alarm(state: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/live/alarm");
    let status = Command::new(script).arg(state).status().expect("the script runs");
    assert!(status.success(), "the alarm could not be switched {state}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_in_flight_are_all_answered_and_all_come() {
    const COUNT: usize = 5_000;
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::connect(server.url()).await.expect("connected");
    let topic = fresh("many");
    let member = joined(&broker, "g", &topic).await;
    let began = Instant::now();
    let mut sends = JoinSet::new();
    for number in 0..COUNT {
        let (broker, message) = (broker.clone(), Message::new(&*topic, number.to_string()));
        sends.spawn(async move { broker.send(&message, None).await.map(|_| message.id()) });
    }
    let mut sent = BTreeSet::new();
    while let Some(ended) = sends.join_next().await {
        sent.insert(ended.expect("no panic").expect("sent"));
    }
    let sending = began.elapsed();
    // A thousand held at once, settled together.
    let mut came = BTreeSet::new();
    while came.len() < COUNT {
        let mut held = Vec::new();
        while held.len() < 1_000 {
            let more = member.pull(1_000 - held.len(), secs(10)).await.expect("pulled");
            assert!(!more.is_empty(), "{} came", came.len() + held.len());
            held.extend(more);
        }
        let receipts: Vec<_> = held.iter().map(|delivery| delivery.receipt().clone()).collect();
        assert_eq!(member.ack(&receipts).await.expect("acknowledged").done, 1_000);
        came.extend(held.iter().map(|delivery| delivery.message().id()));
    }
    member.commit().await.expect("committed");
    println!("{COUNT} sent in {sending:?}, and handled in {:?} more", began.elapsed().saturating_sub(sending));
    assert_eq!(came, sent);
    assert_eq!(broker.backlog("g", &topic).await.expect("told").waiting, 0);
    broker.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_on_the_server_after_a_close() {
    let server = Server::up("rabbitmq");
    let broker = RabbitMqBroker::connect(server.url()).await.expect("connected");
    let topic = fresh("gone");
    let member = joined(&broker, "g", &topic).await;
    broker.send(&Message::new(&*topic, "x"), None).await.expect("sent");
    one(&member).await;
    broker.close().await.expect("closed");
    drop((member, broker));
    // The client library's threads end by themselves, a moment after the server's last word.
    let began = Instant::now();
    while threads() > 0 {
        assert!(began.elapsed() < secs(10), "{} threads of the client library are left", threads());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Threads of the client library in this process. One test at a time has the server, so they are this test's.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").map(|tasks| tasks.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let name = |task: &std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    tasks.iter().filter(|task| name(task).starts_with("lapin-io-loop")).count()
}
