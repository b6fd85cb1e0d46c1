//! Processes that put and replay, killed with SIGKILL at any moment. The test's executable is the process that is killed.
// The child tells its parent how far it is.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use super::super::scripted::until;
use super::{Scratch, text};
use crate::messaging::outbox::{Outbox, insert, replay};
use crate::messaging::random::Random;
use crate::messaging::sending::Attempt;
use crate::messaging::{Backoff, BrokerError, ErrorKind, Message, SendReceipt};
use crate::sync::{Mutex, lock};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Written line by line, so that what was said before the process was killed is there.
struct Log(Mutex<File>);

impl Log {
    fn append(path: &Path) -> Log {
        Log(Mutex::new(File::options().create(true).append(true).open(path).expect("the log opens")))
    }

    fn say(&self, line: &str) {
        lock(&self.0).write_all(format!("{line}\n").as_bytes()).expect("the log is written");
    }

    /// What was said; a last line that was cut off does not count.
    fn read(path: &Path) -> Vec<String> {
        let all = std::fs::read_to_string(path).unwrap_or_default();
        all.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }
}

/// A broker that is a file: what is written is taken. Sometimes it is busy, sometimes the answer is lost.
struct Broker {
    log: Log,
    random: Mutex<Random>,
    trouble: f64,
}

impl Broker {
    fn new(path: &Path, trouble: f64) -> Arc<Broker> {
        Arc::new(Broker { log: Log::append(path), random: Mutex::new(Random::fresh()), trouble })
    }

    fn chance(&self) -> bool {
        lock(&self.random).chance(self.trouble)
    }
}

#[async_trait]
impl Attempt for Broker {
    async fn attempt(&self, message: &Message) -> Result<SendReceipt, BrokerError> {
        tokio::task::yield_now().await;
        if self.chance() {
            return Err(BrokerError::new("file", ErrorKind::Busy, "as the test wants"));
        }
        self.log.say(&format!("{} {}", message.key().unwrap_or("none"), text(message)));
        if self.chance() {
            return Err(BrokerError::new("file", ErrorKind::Disconnected, "as the test wants"));
        }
        Ok(SendReceipt::default())
    }
}

fn open(directory: &Path) -> Outbox {
    // A lease that is short enough to see what a killed process had claimed.
    Outbox::builder(directory.join("outbox.db"))
        .lease(Duration::from_secs(1))
        .backoff(Backoff::new(Duration::from_millis(1), Duration::from_millis(20)))
        .open()
        .expect("it opens")
}

const CHILD: &str = "messaging::outbox::tests::sqlite::kill::child_that_is_killed";

/// What the killed process does; nothing in an ordinary run of the tests.
#[test]
fn child_that_is_killed() {
    let Some(directory) = std::env::var_os("WINDDOWN_TEST_OUTBOX").map(PathBuf::from) else { return };
    let name = std::env::var("WINDDOWN_TEST_NAME").expect("a name");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let (outbox, broker) = (open(&directory), Broker::new(&directory.join("sent.log"), 0.05));
        tokio::spawn(replay(outbox.clone(), broker, std::future::pending()));
        let mut tasks = Vec::new();
        // Two that put, each with a key of its own and one without, and one that hands in by transaction.
        for key in [format!("{name}-a"), format!("{name}-b")] {
            let (outbox, log) = (outbox.clone(), Log::append(&directory.join("stored.log")));
            tasks.push(tokio::spawn(async move {
                for n in 0.. {
                    let ordered = Message::new("t", format!("{n:08}")).with_ordered_key(key.clone());
                    let loose = Message::new("t", format!("{key}-{n}"));
                    outbox.put(vec![ordered, loose]).await.expect("stored");
                    log.say(&format!("{key} {n:08}"));
                    log.say(&format!("none {key}-{n}"));
                }
            }));
        }
        std::thread::spawn(move || {
            let mut db = super::own(&directory.join("outbox.db"));
            db.pragma_update(None, "synchronous", "FULL").expect("set");
            for n in 0.. {
                let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("begun");
                tx.execute("INSERT INTO orders (name) VALUES (?1)", [format!("{name}-c {n:08}")]).expect("an order");
                insert(&tx, &Message::new("t", format!("{n:08}")).with_ordered_key(format!("{name}-c"))).expect("handed in");
                tx.commit().expect("committed");
                outbox.wake();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        println!("running");
        for task in tasks {
            task.await.expect("it goes on until it is killed");
        }
    });
}

/// Killed when it is dropped, too.
struct Victim(Child);

impl Victim {
    fn start(directory: &Path, name: &str) -> Victim {
        let mut child = Command::new(std::env::current_exe().expect("the test's own path"));
        child.args([CHILD, "--exact", "--nocapture"]).env("WINDDOWN_TEST_OUTBOX", directory).env("WINDDOWN_TEST_NAME", name);
        Victim(child.stdout(Stdio::piped()).spawn().expect("it starts"))
    }

    /// Waits until it runs, then so much longer, then kills it.
    fn kill_after(mut self, pause: Duration) {
        let mut said = std::io::BufReader::new(self.0.stdout.take().expect("a pipe"));
        let mut line = String::new();
        while !line.contains("running") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut said, &mut line).expect("read") > 0, "it ended by itself");
        }
        std::thread::sleep(pause);
        assert_eq!(self.0.try_wait().expect("asked"), None, "it must be killed, not end");
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn m3_killed_at_any_moment_nothing_stored_is_lost_and_keys_stay_in_order() {
    let scratch = Scratch::new("kill");
    let directory = scratch.path("");
    drop(open(&directory));
    let db = super::own(&scratch.file());
    db.execute_batch("CREATE TABLE orders (name TEXT NOT NULL)").expect("the user's own table");
    let mut random = Random::fresh();
    let mut pause = move || Duration::from_micros(random.next() % 120_000);
    for round in 0..8 {
        // Two at a time on the same file, which die at different moments.
        let pauses = (pause(), pause());
        let (one, other) = (Victim::start(&directory, &format!("{round}x")), Victim::start(&directory, &format!("{round}y")));
        let first = std::thread::spawn(move || one.kill_after(pauses.0));
        other.kill_after(pauses.1);
        first.join().expect("no panic");
    }
    // What is left is sent by a process that is not killed.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (outbox, stop) = (open(&directory), CancellationToken::new());
        let task = tokio::spawn(replay(outbox.clone(), Broker::new(&directory.join("sent.log"), 0.0), stop.clone().cancelled_owned()));
        until("the outbox to be empty", || db.query_row("SELECT count(*) FROM winddown_outbox", [], |row| row.get::<_, i64>(0)) == Ok(0)).await;
        stop.cancel();
        task.await.expect("it ends");
    });
    let sent = Log::read(&directory.join("sent.log"));
    let stored = Log::read(&directory.join("stored.log"));
    let once: BTreeSet<&String> = sent.iter().collect();
    let lost: Vec<&String> = stored.iter().filter(|line| !once.contains(line)).collect();
    assert!(lost.is_empty(), "stored and never sent: {lost:?}");
    assert!(stored.len() > 16, "there was something to lose: {}", stored.len());
    // An order and its message stand or fall together.
    let mut statement = db.prepare("SELECT name FROM orders").expect("prepared");
    let orders: BTreeSet<String> = statement.query_map([], |row| row.get(0)).expect("read").collect::<Result<_, _>>().expect("names");
    let handed: BTreeSet<String> = once.iter().filter(|line| line.contains("-c ")).map(|line| (**line).clone()).collect();
    assert_eq!(orders, handed);
    // In order, leaving out what came again.
    let mut last = BTreeMap::<&str, &str>::new();
    let mut seen = BTreeSet::new();
    for line in sent.iter().filter(|line| !line.starts_with("none") && seen.insert(*line)) {
        let (key, body) = line.split_once(' ').expect("a key and a body");
        let before = last.insert(key, body).unwrap_or("");
        assert!(before < body, "{key}: {body} came after {before}");
    }
    assert!(sent.len() - once.len() < once.len(), "duplicates are the exception: {} of {}", sent.len() - once.len(), sent.len());
}
