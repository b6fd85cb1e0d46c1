//! A server that is killed, stopped and brought back, and many messages at a time.

use super::{Server, bodies, collect, connect, hasty, numbered, topic};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;
use winddown::messaging::{Broker, BrokerError, Class, ErrorKind, Interest, Message, RocketMqBroker};
use winddown::{millis, secs};

/// One answer of a send: how long it took, and what it was.
type Answers = Vec<(std::time::Duration, Result<String, BrokerError>)>;

/// Eight tasks that send until told to stop, each message numbered.
fn senders(broker: &RocketMqBroker, topic: &Arc<str>, stop: &Arc<AtomicUsize>) -> JoinSet<Answers> {
    let mut tasks = JoinSet::new();
    for sender in 0..8 {
        let (broker, topic, stop) = (broker.clone(), topic.clone(), stop.clone());
        tasks.spawn(async move {
            let mut answers = Vec::new();
            for number in 0.. {
                if stop.load(Ordering::Acquire) > 0 {
                    break;
                }
                let message = numbered(&topic, sender * 100_000 + number);
                let began = Instant::now();
                let sent = broker.send(&message, None).await.map(|_| String::from_utf8_lossy(message.body()).into_owned());
                let failed = sent.is_err();
                answers.push((began.elapsed(), sent));
                if failed {
                    tokio::time::sleep(millis(20)).await;
                }
            }
            answers
        });
    }
    tasks
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_sends_are_under_way_each_is_answered_and_the_same_client_goes_on() {
    let server = Server::up("rocketmq");
    let broker = connect(&server).await;
    let (topic, member) = topic(&broker, "killed").await;
    broker.send(&numbered(&topic, 999_999), None).await.unwrap();
    assert_eq!(collect(&member, 1).await.len(), 1);
    let stop = Arc::new(AtomicUsize::new(0));
    let tasks = senders(&broker, &topic, &stop);
    tokio::time::sleep(millis(500)).await;
    server.kill();
    tokio::time::sleep(millis(1500)).await;
    stop.store(1, Ordering::Release);
    let answers: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let longest = answers.iter().map(|(took, _)| *took).max().unwrap();
    println!("{} sends, the longest answered after {longest:?}", answers.len());
    assert!(longest < secs(15), "a send was answered after {longest:?} only");
    let errors: Vec<&BrokerError> = answers.iter().filter_map(|(_, sent)| sent.as_ref().err()).collect();
    assert!(!errors.is_empty(), "nobody noticed");
    for error in &errors {
        assert!(error.class().is_retryable(), "{error}");
        // Nothing was sent where no connection could be made.
        assert!(!error.text().contains("no connection") || error.class() == Class::RetryableSafe, "{error}");
    }
    let confirmed: BTreeSet<String> = answers.iter().filter_map(|(_, sent)| sent.as_ref().ok().cloned()).collect();
    let error = member.pull(1, millis(100)).await.unwrap_err();
    assert!(error.class().is_retryable(), "{error}");

    server.restart();
    let back = Instant::now();
    while let Err(error) = broker.send(&numbered(&topic, 900_000), None).await {
        assert!(error.class().is_retryable() && back.elapsed() < secs(30), "{error}");
        tokio::time::sleep(millis(50)).await;
    }
    println!("{} were confirmed, and it sends again {:?} after the server was back", confirmed.len(), back.elapsed());
    // Every message that was confirmed is there, whatever became of the process: the page cache survived it.
    let mut left = confirmed;
    left.insert("900000".to_owned());
    while !left.is_empty() {
        for delivery in collect(&member, 1).await {
            left.remove(&bodies(&[delivery])[0]);
        }
    }
    member.close().await.unwrap();
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_told_from_one_that_answers_and_is_used_again() {
    let server = Server::up("rocketmq");
    let builder = RocketMqBroker::builder(server.url()).request_timeout(millis(1000));
    let (broker, topic, member) = hasty(&server, builder, "hangs").await;
    while broker.send(&numbered(&topic, 1), None).await.is_err() {}
    server.pause();
    let began = Instant::now();
    let error = broker.send(&numbered(&topic, 2), None).await.unwrap_err();
    let took = began.elapsed();
    server.resume();
    assert_eq!((error.kind(), error.class()), (ErrorKind::TimedOut, Class::RetryableAmbiguous), "{error}");
    assert!(took < secs(5), "{took:?}");
    let back = Instant::now();
    while let Err(error) = broker.send(&numbered(&topic, 3), None).await {
        assert!(error.class().is_retryable() && back.elapsed() < secs(20), "{error}");
        tokio::time::sleep(millis(50)).await;
    }
    // The one in the middle was stored or not: it was ambiguous.
    let mut left = BTreeSet::from(["000001".to_owned(), "000003".to_owned()]);
    while !left.is_empty() {
        left.remove(&bodies(&collect(&member, 1).await)[0]);
    }
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_does_not_hang_where_the_server_does() {
    let server = Server::up("rocketmq");
    let builder = RocketMqBroker::builder(server.url()).request_timeout(millis(1000)).close_timeout(secs(1));
    let (broker, topic, member) = hasty(&server, builder, "close").await;
    while broker.send(&numbered(&topic, 1), None).await.is_err() {}
    while member.pull(1, secs(5)).await.is_ok_and(|held| held.is_empty()) {}
    server.pause();
    let began = Instant::now();
    let closed = broker.close().await;
    let took = began.elapsed();
    server.resume();
    assert!(closed.is_err(), "nobody was told, and the close says all was well");
    assert!(took < secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_in_flight_each_arrive_once() {
    const MANY: usize = 5000;
    let server = Server::up("rocketmq");
    let broker = connect(&server).await;
    let (topic, member) = topic(&broker, "many").await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..MANY {
        let (broker, topic) = (broker.clone(), topic.clone());
        tasks.spawn(async move {
            // So many at once are more than the broker's queue lets wait: what it turns away is tried again.
            while let Err(error) = broker.send(&numbered(&topic, number), None).await {
                assert_eq!(error.class(), Class::RetryableSafe, "{error}");
                tokio::time::sleep(millis(20)).await;
            }
        });
    }
    tasks.join_all().await;
    println!("{MANY} sent in {:?}", began.elapsed());
    let began = Instant::now();
    let came = collect(&member, MANY).await;
    println!("{MANY} received and acknowledged in {:?}", began.elapsed());
    assert_eq!(bodies(&came), (0..MANY).map(|number| format!("{number:06}")).collect::<Vec<_>>());
    assert!(member.pull(1, millis(500)).await.unwrap().is_empty());
    assert_eq!(broker.lag(&format!("g-{topic}"), &topic).await.map(|lag| lag <= MANY as u64), Ok(true));
    broker.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drops_a_subscription_or_a_broker_gives_back_what_it_held() {
    let server = Server::up("rocketmq");
    let (one, two) = (connect(&server).await, connect(&server).await);
    let (topic, member) = topic(&one, "dropped").await;
    let interest = Interest { visibility: secs(300), ..Interest::new(format!("g-{topic}"), topic.clone()) };
    drop(member);
    let long = one.subscribe(&interest).await.unwrap();
    one.send(&numbered(&topic, 1), None).await.unwrap();
    assert_eq!(long.pull(1, secs(5)).await.unwrap().len(), 1);
    drop(long);
    let other = two.subscribe(&interest).await.unwrap();
    let again = collect(&other, 1).await;
    assert_eq!(again[0].attempt(), 2);
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_can_be_sent_and_connections_wrapped() {
    let server = Server::up("rocketmq");
    let wrapped = Arc::new(AtomicUsize::new(0));
    let count = wrapped.clone();
    let builder = RocketMqBroker::builder(server.url()).wrap(move |stream, address| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(address.contains(':'));
            Ok(tokio::io::BufStream::new(stream))
        }
    });
    let broker = builder.connect().await.unwrap();
    let sent = broker.send(&Message::new("RMQ_SYS_TRACE_TOPIC", "Pub\u{1}…\u{2}").with_key("id"), None).await.unwrap();
    assert!(sent.broker_id.is_some() && sent.route.is_some());
    // The name server and the broker.
    assert_eq!(wrapped.load(Ordering::Relaxed), 2);
    broker.close().await.unwrap();
}

/// A broker takes two leases that begin in the same millisecond for one: what was given back at once would be lost now and then.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_the_moment_it_comes_is_not_lost() {
    const MANY: usize = 400;
    let server = Server::up("rocketmq");
    let broker = connect(&server).await;
    let (topic, member) = topic(&broker, "moment").await;
    member.close().await.unwrap();
    let brief = Interest { visibility: secs(3), ..Interest::new(format!("g-{topic}"), topic.clone()) };
    let member = broker.subscribe(&brief).await.unwrap();
    let mut returned = BTreeSet::new();
    let mut left = BTreeSet::new();
    for number in 0..MANY {
        broker.send(&numbered(&topic, number), None).await.unwrap();
        left.insert(format!("{number:06}"));
        for delivery in member.pull(1, secs(5)).await.unwrap() {
            let receipt = [delivery.receipt().clone()];
            if returned.insert(bodies(std::slice::from_ref(&delivery)).remove(0)) {
                member.nack(&receipt, millis(0)).await.unwrap();
            } else if member.ack(&receipt).await.unwrap().done == 1 {
                left.remove(&bodies(&[delivery])[0]);
            }
        }
    }
    let began = Instant::now();
    while !left.is_empty() {
        assert!(began.elapsed() < secs(40), "{left:?} were lost");
        for delivery in member.pull(32, secs(1)).await.unwrap() {
            let receipt = [delivery.receipt().clone()];
            if returned.insert(bodies(std::slice::from_ref(&delivery)).remove(0)) {
                member.nack(&receipt, millis(0)).await.unwrap();
            } else if member.ack(&receipt).await.unwrap().done == 1 {
                left.remove(&bodies(&[delivery])[0]);
            }
        }
    }
    broker.close().await.unwrap();
}
