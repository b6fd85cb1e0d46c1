//! A folder for each test, short ways to say things, and child processes that do not outlive it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use winddown::messaging::{Broker, Delivery, Interest, Message, SqliteBroker, Subscription};

pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A folder that goes with the test.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sqlite-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("queue.db")
    }
    pub(crate) fn open(&self) -> SqliteBroker {
        SqliteBroker::open(self.file()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) async fn send(broker: &SqliteBroker, topic: &str, bodies: impl IntoIterator<Item = u32>) {
    let messages: Vec<Message> = bodies.into_iter().map(|n| Message::new(topic, n.to_string())).collect();
    for answer in broker.send_batch(&messages, None).await {
        answer.unwrap();
    }
}

pub(crate) async fn join(broker: &SqliteBroker, group: &str, topic: &str) -> Arc<dyn Subscription> {
    broker.subscribe(&Interest::new(group, topic)).await.unwrap()
}

pub(crate) async fn join_for(broker: &SqliteBroker, group: &str, topic: &str, visibility: Duration) -> Arc<dyn Subscription> {
    broker.subscribe(&Interest { visibility, ..Interest::new(group, topic) }).await.unwrap()
}

pub(crate) fn number(delivery: &Delivery) -> u32 {
    text(delivery.message()).parse().unwrap()
}

pub(crate) fn text(message: &Message) -> &str {
    std::str::from_utf8(message.body()).unwrap()
}

pub(crate) fn numbers(deliveries: &[Delivery]) -> Vec<u32> {
    deliveries.iter().map(number).collect()
}

/// Pulls once and acknowledges it.
pub(crate) async fn take(member: &Arc<dyn Subscription>, max: usize, wait: Duration) -> Vec<u32> {
    let got = member.pull(max, wait).await.unwrap();
    ack(member, &got).await;
    numbers(&got)
}

pub(crate) async fn ack(member: &Arc<dyn Subscription>, got: &[Delivery]) {
    let receipts: Vec<_> = got.iter().map(|delivery| delivery.receipt().clone()).collect();
    let settled = member.ack(&receipts).await.unwrap();
    assert_eq!((settled.done, settled.stale), (got.len(), 0));
}

/// What stands in the file's topic.
pub(crate) fn stored(file: &Path, topic: &str) -> BTreeSet<u32> {
    let inside = SqliteBroker::inspect(file).unwrap();
    inside.messages(topic).unwrap().map(|one| text(&one.unwrap().message).parse().unwrap()).collect()
}

/// SQLite's own judgement of the whole file.
pub(crate) fn assert_sound(file: &Path) {
    let conn = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    conn.busy_timeout(LONG).unwrap();
    let said: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
    let strays = "SELECT count(*) FROM broker_deliveries d WHERE NOT EXISTS (SELECT 1 FROM broker_messages m WHERE m.seq = d.seq)";
    assert_eq!(conn.query_row(strays, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "rows without a message");
    let stuck = "SELECT count(*) FROM broker_deliveries b WHERE state = 2 AND NOT EXISTS
        (SELECT 1 FROM broker_deliveries f WHERE f.grp = b.grp AND f.okey = b.okey AND f.state IN (0, 1))";
    assert_eq!(conn.query_row(stuck, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "rows behind nothing");
}

/// This executable in a role, with its lines of output.
pub(crate) struct Role {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Role {
    pub(crate) fn start(role: &str, file: &Path, more: &[(&str, &str)]) -> Role {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["roles::role", "--exact", "--nocapture", "--test-threads", "1"]);
        command.env("WINDDOWN_SQLITE_ROLE", role).env("WINDDOWN_SQLITE_FILE", file).envs(more.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Role { child, lines }
    }

    /// The next line that the role itself wrote; `None` when it has ended.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // A line that was cut by the kill does not count: nobody was told.
            if let Some(said) = line.strip_suffix('\n').and_then(|line| line.split_once("> ")) {
                return Some(said.1.to_owned());
            }
        }
    }

    /// Kills it at once, and gives what it had still said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.line()).collect()
    }

    /// Tells it to end by closing its input, and gives what it says until then.
    pub(crate) fn finish(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let said = std::iter::from_fn(|| self.line()).collect();
        let until = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return said;
            }
            assert!(Instant::now() < until, "the role does not end");
            std::thread::sleep(ms(5));
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
