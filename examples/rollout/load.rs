//! The load: clients that post at a steady rate to whoever is in service, and keep on with each order until it is accepted.

use crate::client::{Answer, Client};
use anyhow::Context;
use hyper::StatusCode;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

const CLIENTS: u32 = 20;

/// A refused client asks the next service so much later.
const NEXT: Duration = Duration::from_millis(5);

/// What the clients found.
#[derive(Default)]
pub(crate) struct Book {
    /// The ids answered 202.
    pub(crate) accepted: Vec<String>,
    /// From when an order was due to its 202.
    pub(crate) waits: Vec<Duration>,
    /// The longest time that one client was without a 202.
    pub(crate) gap: Duration,
    /// Answered 503, and so posted to the next.
    pub(crate) refused: u64,
    /// No answer or no connection, and so posted to the next.
    pub(crate) silent: u64,
    /// Answers that a valid order must never get.
    pub(crate) wrong: Vec<String>,
}

pub(crate) struct Load {
    book: Arc<Mutex<Book>>,
    at: watch::Sender<Vec<SocketAddr>>,
    over: CancellationToken,
    thread: JoinHandle<()>,
}

impl Load {
    /// They begin at once.
    pub(crate) fn begin(rate: u32, services: Vec<SocketAddr>) -> anyhow::Result<Load> {
        let (at, _) = watch::channel(services);
        let (book, over) = (Arc::<Mutex<Book>>::default(), CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot make the clients' runtime")?;
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            let every = Duration::from_secs(1) * CLIENTS / rate;
            clients.push(One { number, every, at: at.subscribe(), book: book.clone(), over: over.clone(), known: HashMap::new() });
        }
        let all = async {
            let mut tasks = JoinSet::new();
            clients.into_iter().for_each(|one| drop(tasks.spawn(one.post_all())));
            tasks.join_all().await;
        };
        let thread = thread::Builder::new().name("clients".into()).spawn(move || runtime.block_on(all))?;
        Ok(Load { book, at, over, thread })
    }

    /// Who is in service now.
    pub(crate) fn send_to(&self, services: Vec<SocketAddr>) {
        self.at.send_replace(services);
    }

    /// Ends them, each after the order that it is at.
    pub(crate) fn end(self) -> anyhow::Result<Book> {
        self.over.cancel();
        self.thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?;
        Ok(std::mem::take(&mut *held(&self.book)))
    }
}

struct One {
    number: u32,
    every: Duration,
    at: watch::Receiver<Vec<SocketAddr>>,
    book: Arc<Mutex<Book>>,
    over: CancellationToken,
    known: HashMap<SocketAddr, Client>,
}

impl One {
    async fn post_all(mut self) {
        // Not all at the same moment.
        let began = Instant::now() + self.every * self.number / CLIENTS;
        let mut last = began;
        for n in 0u32.. {
            // By the clock and not after the order before: who waits for one order has the next ones waiting too.
            let due = began + self.every * n;
            if self.over.run_until_cancelled(sleep_until(due)).await.is_none() {
                return;
            }
            let id = format!("{}-{n}", self.number);
            let accepted = self.post(&id, n as usize).await;
            let mut book = held(&self.book);
            book.gap = book.gap.max(last.elapsed());
            last = Instant::now();
            if accepted {
                book.waits.push(due.elapsed());
                book.accepted.push(id);
            }
        }
    }

    /// Until one of them accepts it, beginning with this one.
    async fn post(&mut self, id: &str, first: usize) -> bool {
        let order = serde_json::json!({ "id": id, "item": "teapot", "quantity": 1 }).to_string();
        for turn in first.. {
            let all = self.at.borrow().clone();
            let Some(&address) = all.get(turn % all.len().max(1)) else {
                sleep(NEXT).await;
                continue;
            };
            // A process that came again has another port.
            self.known.retain(|known, _| all.contains(known));
            let client = self.known.entry(address).or_insert_with(|| Client::new(address));
            let answer = client.post(order.clone()).await;
            match answer {
                Answer::Status(StatusCode::ACCEPTED) => return true,
                Answer::ComeBack => held(&self.book).refused += 1,
                Answer::None | Answer::Unreachable => held(&self.book).silent += 1,
                Answer::Status(other) => {
                    held(&self.book).wrong.push(format!("{id}: {other}"));
                    return false;
                }
            }
            sleep(NEXT).await;
        }
        false
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
