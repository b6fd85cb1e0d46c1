//! An order and its message in one transaction, in a process that is killed in the middle of it, again and again.
//!
//! ```text
//! cargo run --features sqlite --example transactional_outbox
//! ```
//!
//! The child takes orders: each is a row of its own table and a message in the outbox, in one transaction of the program's own connection. A
//! producer sends what is in the outbox to a broker in another file. The parent kills the child with SIGKILL three times, lets it stop in order
//! once, and compares: every order that is in the table was sent, nothing else was, and each customer's orders came in order. Ends by itself
//! within seconds.

use anyhow::{Context as _, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use winddown::messaging::rusqlite::{Connection, TransactionBehavior, params};
use winddown::messaging::{Broker as _, Interest, Message, MessageId, Outbox, Producer, SqliteBroker, outbox};
use winddown::{App, millis, secs};

const CUSTOMERS: i64 = 3;

fn main() -> ExitCode {
    let done = match std::env::args_os().nth(1) {
        Some(directory) => child(PathBuf::from(directory)),
        None => parent(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "transactional_outbox: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

/// The service: takes orders until it is told to stop, or killed.
fn child(directory: PathBuf) -> anyhow::Result<()> {
    let db = directory.join("shop.db");
    // A lease of a second: what a killed child had claimed is sent by the next one soon.
    let outbox = Outbox::builder(&db).lease(secs(1)).open()?;
    let producer = Producer::builder(SqliteBroker::open(directory.join("broker.db"))?).outbox(outbox.clone()).build();
    let app = App::new("shop");
    app.add(producer.component());
    let handle = app.handle();
    app.thread("orders", move |cx| {
        let mut db = Connection::open(&db)?;
        db.busy_timeout(secs(5))?;
        db.execute_batch("PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY, customer TEXT NOT NULL)")?;
        let taken: i64 = db.query_row("SELECT count(*) FROM orders", [], |row| row.get(0))?;
        for number in taken + 1.. {
            if cx.stopping().is_set() {
                break;
            }
            take(&mut db, number)?;
            outbox.wake();
            say(&format!("order {number}"))?;
            std::thread::sleep(millis(2));
        }
        Ok(())
    });
    std::thread::spawn(move || {
        // The parent closes our standard input when it wants an orderly stop.
        let _ = std::io::stdin().lock().read_line(&mut String::new());
        handle.shutdown("asked by the parent");
    });
    let report = app.run_blocking();
    ensure!(report.exit_code() == 0, "the stop was not clean: {report}");
    Ok(())
}

/// The whole point: both, or neither.
fn take(db: &mut Connection, number: i64) -> anyhow::Result<()> {
    let customer = format!("customer-{}", number % CUSTOMERS);
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute("INSERT INTO orders (number, customer) VALUES (?1, ?2)", params![number, customer])?;
    outbox::insert(&tx, &Message::new("orders", number.to_string()).with_ordered_key(customer))?;
    tx.commit()?;
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn parent() -> anyhow::Result<()> {
    let directory = std::env::temp_dir().join(format!("transactional-outbox-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    for round in 1..=4 {
        let kill = round < 4;
        let orders = run_child(&directory, millis(1200 + 37 * round), kill).with_context(|| format!("round {round}"))?;
        say(&format!("round {round}: {orders} orders heard of, then {}", if kill { "SIGKILL" } else { "an orderly stop" }))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(&directory))?;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// Runs it for so long from its first order on, then kills it or asks it to stop. How many orders were heard of.
fn run_child(directory: &Path, span: Duration, kill: bool) -> anyhow::Result<usize> {
    let mut child = Command::new(std::env::current_exe()?).arg(directory).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(child.stdout.take().context("a pipe")?).lines();
    said.next().context("the child ended before its first order")??;
    let heard = std::thread::spawn(move || said.map_while(Result::ok).count());
    std::thread::sleep(span);
    if kill {
        child.kill()?; // SIGKILL, wherever it is.
    } else {
        drop(child.stdin.take());
    }
    let status = child.wait()?;
    ensure!(kill != status.success(), "the child ended with {status}");
    let heard = heard.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
    ensure!(heard > 0, "one order only");
    Ok(heard + 1)
}

/// Is what was sent what was ordered?
async fn compare(directory: &Path) -> anyhow::Result<()> {
    let db = Connection::open(directory.join("shop.db"))?;
    let mut statement = db.prepare("SELECT number FROM orders")?;
    let ordered: BTreeSet<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;

    // What is still in the outbox is sent by a producer like any other: here, the service's next start.
    let outbox = Outbox::builder(directory.join("shop.db")).lease(secs(1)).open()?;
    let broker = SqliteBroker::open(directory.join("broker.db"))?;
    let left = outbox.counts().await?.pending;
    let app = App::new("rest");
    app.add(Producer::builder(broker.clone()).outbox(outbox.clone()).build().component());
    let (handle, counted) = (app.handle(), outbox.clone());
    app.task("watch", move |_| async move {
        while counted.counts().await?.pending > 0 {
            tokio::time::sleep(millis(20)).await;
        }
        handle.shutdown("the outbox is empty");
        Ok(())
    });
    let report = app.run().await;
    ensure!(report.exit_code() == 0, "the stop was not clean: {report}");

    let subscription = broker.subscribe(&Interest::new("audit", "orders")).await?;
    let (mut came, mut ids, mut last, mut twice) = (BTreeSet::new(), BTreeSet::<MessageId>::new(), BTreeMap::<String, i64>::new(), 0);
    loop {
        let deliveries = subscription.pull(500, Duration::ZERO).await?;
        if deliveries.is_empty() {
            break;
        }
        for delivery in &deliveries {
            let message = delivery.message();
            if !ids.insert(message.id()) {
                twice += 1; // Sent, and killed before that was written down. Its id tells.
                continue;
            }
            let number: i64 = std::str::from_utf8(message.body())?.parse()?;
            came.insert(number);
            let before = last.insert(message.key().context("a key")?.to_owned(), number);
            ensure!(before < Some(number), "order {number} came after {before:?} of the same customer");
        }
        let receipts: Vec<_> = deliveries.iter().map(|delivery| delivery.receipt().clone()).collect();
        subscription.ack(&receipts).await?;
    }
    ensure!(ordered == came, "ordered and not sent: {:?}; sent and not ordered: {:?}", &ordered - &came, &came - &ordered);
    outbox.close().await?;
    say(&format!("{} orders, each with its message; {left} were sent after the last stop, {twice} came twice", ordered.len()))
}
