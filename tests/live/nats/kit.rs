//! What the ordeals share.

use crate::server::Server;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use winddown::messaging::nats::async_nats;
use winddown::messaging::{Broker, BrokerError, Delivery, Interest, Message, MessageId, NatsBroker, Receipt, Subscription};
use winddown::{millis, secs};

pub(crate) type Group = Arc<dyn Subscription>;

pub(crate) async fn connect(server: &Server) -> NatsBroker {
    NatsBroker::connect(server.url()).await.expect("the server is up")
}

/// A client of the library's, without the adapter.
pub(crate) async fn raw(url: &str) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(async_nats::connect(url).await.expect("the server is up"))
}

pub(crate) async fn version(url: &str) -> String {
    async_nats::connect(url).await.expect("the server is up").server_info().version
}

/// New for each test and run.
pub(crate) fn name(label: &str) -> String {
    format!("{label}-{}", MessageId::new())
}

/// For longer than any test lasts.
pub(crate) fn interest(group: &str, topic: &str) -> Interest {
    Interest { visibility: secs(60), ..Interest::new(format!("{group}-{topic}"), topic) }
}

pub(crate) fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt().clone()).collect()
}

/// Pulls until so many are there.
pub(crate) async fn collect(group: &Group, count: usize) -> Vec<Delivery> {
    let (mut all, began) = (Vec::new(), Instant::now());
    while all.len() < count {
        assert!(began.elapsed() < secs(30), "only {} of {count} came", all.len());
        all.extend(group.pull(count - all.len(), secs(2)).await.expect("a pull"));
    }
    all
}

pub(crate) async fn one(group: &Group) -> Delivery {
    collect(group, 1).await.pop().expect("one")
}

/// Sends so many at the same time: those that were stored, and the errors.
pub(crate) async fn send_at_once(broker: &NatsBroker, topic: &str, count: usize) -> (Vec<MessageId>, Vec<BrokerError>) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..count {
        let (broker, message) = (broker.clone(), Message::new(topic, number.to_string()));
        tasks.spawn(async move { broker.send(&message, None).await.map(|_| message.id()) });
    }
    let (mut sent, mut failed) = (Vec::new(), Vec::new());
    while let Some(ended) = tasks.join_next().await {
        match ended.expect("no panic") {
            Ok(id) => sent.push(id),
            Err(error) => failed.push(error),
        }
    }
    (sent, failed)
}

/// Waits until the server takes messages again.
pub(crate) async fn sends_again(broker: &NatsBroker, topic: &str) -> Message {
    let (message, began) = (Message::new(topic, "again"), Instant::now());
    loop {
        match broker.send(&message, None).await {
            Ok(_) => return message,
            Err(error) => assert!(error.class().is_retryable() && began.elapsed() < secs(20), "{error}"),
        }
        tokio::time::sleep(millis(20)).await;
    }
}

/// No socket of this machine is connected to the server.
pub(crate) async fn no_connection_is_left(url: &str) {
    let port: u16 = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let began = Instant::now();
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
        // Its columns: number, own address, the other's, state, which is 01 for an established one.
        let to_it = |line: &&str| {
            let columns: Vec<_> = line.split_whitespace().collect();
            columns[2].ends_with(&format!(":{port:04X}")) && columns[3] == "01"
        };
        let left = table.lines().skip(1).filter(to_it).count();
        if left == 0 {
            return;
        }
        assert!(began.elapsed() < secs(3), "{left} connections are left");
        tokio::time::sleep(millis(20)).await;
    }
}

/// Another server, with a configuration of its own. Gone with its drop.
pub(crate) struct Second {
    pub(crate) url: String,
    _file: tempfile::File,
}

/// A file with these lines.
mod tempfile {
    pub(crate) struct File(pub(crate) std::path::PathBuf);

    impl File {
        pub(crate) fn with(text: &str) -> File {
            let path = std::env::temp_dir().join(format!("winddown-nats-{}.conf", std::process::id()));
            std::fs::write(&path, text).expect("a file");
            File(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

impl Second {
    /// Needs the turn of the first: tests that have a second come one at a time too.
    pub(crate) fn up(_turn: &Server, configuration: &str) -> Second {
        let file = tempfile::File::with(configuration);
        script("down", &["--now", "nats"], "");
        let said = script("up", &["nats"], &format!("-c {}", file.0.display()));
        let url = said.lines().find_map(|line| line.strip_prefix("ready: nats ")).expect("a ready line");
        Second { url: url.to_owned(), _file: file }
    }

    pub(crate) fn port(&self) -> &str {
        self.url.rsplit(':').next().expect("a port")
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        script("down", &["--now", "nats"], "");
    }
}

fn script(name: &str, arguments: &[&str], extra: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/live").join(name);
    let mut command = Command::new(&path);
    command.args(arguments).env("LIVE_OFFSET", "200").env("NATS_EXTRA", extra).stdin(Stdio::null());
    let output = command.output().expect("a script");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails rather than hang.
pub(crate) async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("{what} took longer than {} ms", limit.as_millis()))
}
