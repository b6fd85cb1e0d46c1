//! What is refused, how it is called, and how soon.

use super::{Server, bodies, collect, connect, numbered, topic};
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use tokio::net::TcpListener;
use winddown::messaging::rocketmq::{Credentials, Delays};
use winddown::messaging::{Broker, Class, ErrorKind, Interest, Message, RocketMqBroker};
use winddown::{millis, secs};

#[tokio::test]
async fn where_no_server_listens_the_error_says_so_at_once() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let began = Instant::now();
    let error = RocketMqBroker::connect(&free.to_string()).await.unwrap_err();
    assert!(began.elapsed() < secs(1));
    assert_eq!((error.kind(), error.class(), error.broker()), (ErrorKind::Disconnected, Class::RetryableSafe, "rocketmq"));
    assert!(error.text().contains(&free.to_string()), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_beyond_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let began = Instant::now();
    let error = RocketMqBroker::builder(&address).connect_timeout(millis(300)).connect().await.unwrap_err();
    assert!(began.elapsed() < secs(2));
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(error.text().contains(&address), "{error}");
}

#[tokio::test]
async fn a_list_of_name_servers_that_is_none_is_said() {
    for list in ["", ";", "localhost", "a:b", ":9876", "http://x"] {
        let error = RocketMqBroker::connect(list).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (ErrorKind::Invalid, Class::Fatal), "{list}: {error}");
    }
}

#[tokio::test]
async fn the_second_name_server_answers_where_the_first_does_not() {
    let server = Server::up("rocketmq");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let broker = RocketMqBroker::builder(&format!("{free};{}", server.url())).request_timeout(secs(10)).connect().await.unwrap();
    let (topic, member) = topic(&broker, "second").await;
    broker.send(&numbered(&topic, 1), None).await.unwrap();
    assert_eq!(bodies(&collect(&member, 1).await), ["000001"]);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_in_any_of_its_parts_is_refused_for_good() {
    let server = Server::up("rocketmq");
    let broker = connect(&server).await;
    let (topic, _member) = topic(&broker, "large").await;
    let body = Message::new(topic.clone(), vec![b'x'; (4 << 20) + 1]);
    let wide = Message::new(topic.clone(), "x").with_property("wide", "x".repeat(40_000));
    for message in [body, wide] {
        let error = broker.send(&message, None).await.unwrap_err();
        assert_eq!((error.kind(), error.class(), error.topic()), (ErrorKind::TooLarge, Class::Fatal, Some(&*topic)), "{error}");
    }
    // A client that thinks the broker takes more is told by the broker.
    let mut limits = broker.limits();
    limits.message_bytes = 16 << 20;
    let bold = RocketMqBroker::builder(server.url()).limits(limits).compress_from(usize::MAX).connect().await.unwrap();
    let error = bold.send(&Message::new(topic.clone(), vec![b'x'; 5 << 20]), None).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::TooLarge, Some(13)), "{error}");
    bold.close().await.unwrap();
    broker.close().await.unwrap();
}

#[tokio::test]
async fn a_busy_broker_is_safe_to_try_again() {
    let server = Server::up("rocketmq");
    let broker = connect(&server).await;
    let (topic, member) = topic(&broker, "busy").await;
    broker.send(&numbered(&topic, 1), None).await.unwrap();
    script("busy", &["on"], &[]);
    let sent = broker.send(&numbered(&topic, 2), None).await;
    script("busy", &["off"], &[]);
    let error = sent.unwrap_err();
    assert_eq!((error.kind(), error.class(), error.code()), (ErrorKind::Busy, Class::RetryableSafe, Some(2)), "{error}");
    broker.send(&numbered(&topic, 3), None).await.unwrap();
    assert_eq!(bodies(&collect(&member, 2).await), ["000001", "000003"]);
    broker.close().await.unwrap();
}

#[tokio::test]
async fn with_levels_only_a_delay_is_a_level_or_refused() {
    let server = Server::up("rocketmq");
    let broker = RocketMqBroker::builder(server.url()).request_timeout(secs(10)).delays(Delays::standard_levels()).connect().await.unwrap();
    let (topic, member) = topic(&broker, "levels").await;
    let error = broker.send(&numbered(&topic, 1).with_delay(secs(3)), None).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (ErrorKind::Unsupported, Class::Fatal), "{error}");
    let began = Instant::now();
    broker.send(&numbered(&topic, 2).with_delay(secs(1)), None).await.unwrap();
    assert_eq!(bodies(&collect(&member, 1).await), ["000002"]);
    assert!(began.elapsed() >= secs(1), "{:?}", began.elapsed());
    broker.close().await.unwrap();
}

#[tokio::test]
async fn a_delay_is_never_too_short_wherever_in_the_second_it_begins() {
    let server = Server::up("rocketmq");
    let broker = connect(&server).await;
    let (topic, member) = topic(&broker, "wheel").await;
    for part in 0..6 {
        tokio::time::sleep(millis(170)).await;
        let began = Instant::now();
        broker.send(&numbered(&topic, part).with_delay(millis(1500)), None).await.unwrap();
        collect(&member, 1).await;
        assert!(began.elapsed() >= millis(1500), "after {:?}", began.elapsed());
    }
    let error = broker.send(&numbered(&topic, 9).with_delay(secs(10 * 24 * 3600)), None).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, Some(13)), "{error}");
    broker.close().await.unwrap();
}

/// A second pair of servers, whose broker asks who is there.
const GUARDED: [(&str, &str); 2] = [
    ("LIVE_OFFSET", "200"),
    (
        "ROCKETMQ_EXTRA",
        "authenticationEnabled=true\nauthenticationProvider=org.apache.rocketmq.auth.authentication.provider.DefaultAuthenticationProvider\n\
         authenticationMetadataProvider=org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider\n\
         initAuthenticationUser={\"username\":\"keeper\",\"password\":\"secret\"}\n\
         innerClientAuthenticationCredentials={\"accessKey\":\"keeper\",\"secretKey\":\"secret\"}\n\
         migrateAuthFromV1Enabled=false\ntraceTopicEnable=true",
    ),
];

#[tokio::test]
async fn wrong_credentials_are_unauthorised_and_the_right_ones_are_taken() {
    let _turn = Server::up("rocketmq");
    let said = script("up", &["rocketmq"], &GUARDED);
    let url = said.trim().rsplit(' ').next().unwrap().to_owned();
    let known = RocketMqBroker::builder(&url).request_timeout(secs(10)).credentials(Credentials::new("keeper", "secret")).connect().await.unwrap();
    let (topic, member) = topic(&known, "guarded").await;
    known.send(&numbered(&topic, 1), None).await.unwrap();
    assert_eq!(bodies(&collect(&member, 1).await), ["000001"]);

    let strangers = [None, Some(Credentials::new("keeper", "wrong")), Some(Credentials::new("nobody", "secret"))];
    for credentials in strangers {
        let builder = RocketMqBroker::builder(&url).request_timeout(secs(10));
        let builder = if let Some(credentials) = credentials { builder.credentials(credentials) } else { builder };
        let stranger = builder.connect().await.unwrap();
        let began = Instant::now();
        let sent = stranger.send(&numbered(&topic, 2), None).await.unwrap_err();
        let joined = stranger.subscribe(&Interest::new("strangers", topic.clone())).await.err().expect("no stranger may join");
        for error in [sent, joined] {
            assert_eq!((error.kind(), error.class()), (ErrorKind::Unauthorised, Class::Fatal), "{error}");
        }
        assert!(began.elapsed() < secs(20));
        stranger.close().await.unwrap();
    }
    known.close().await.unwrap();
    script("down", &["--now", "rocketmq"], &GUARDED);
}

fn script(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/live").join(name);
    let output = Command::new(path).args(arguments).envs(environment.iter().copied()).output().expect("a script that can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name} failed: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}
