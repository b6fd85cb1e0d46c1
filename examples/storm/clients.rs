//! The clients: they post orders to wherever the service is, and try again as clients do.

use crate::client::{Answer, Client};
use crate::dice::Dice;
use crate::heard::Heard;
use anyhow::Context;
use hyper::StatusCode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

const CLIENTS: u64 = 12;

/// A client's pause between two orders is below this.
const PAUSE: u64 = 30;

/// How often a client tries with one order before it gives up.
const TRIES: u32 = 4;

/// How often an order is posted again though it was accepted, since clients do that too.
const AGAIN: f64 = 0.03;

pub(crate) struct Clients {
    pub(crate) heard: Arc<Heard>,
    at: watch::Sender<Option<SocketAddr>>,
    over: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Clients {
    /// They begin as soon as they are told where the service is.
    pub(crate) fn begin(seed: u64) -> anyhow::Result<Clients> {
        let (at, _) = watch::channel(None);
        let (heard, over) = (Arc::new(Heard::default()), CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot make the clients' runtime")?;
        let all = {
            let (at, heard, over) = (at.clone(), Arc::clone(&heard), over.clone());
            async move {
                let mut clients = JoinSet::new();
                for number in 0..CLIENTS {
                    let (one, at) = (One { number, heard: Arc::clone(&heard), dice: Dice::seeded(seed ^ number) }, at.subscribe());
                    let over = over.clone();
                    clients.spawn(async move { one.post_until(&over, at).await });
                }
                clients.join_all().await;
            }
        };
        let thread = thread::Builder::new().name("clients".into()).spawn(move || runtime.block_on(all))?;
        Ok(Clients { heard, at, over, thread: Some(thread) })
    }

    /// Where the service is now, or that it is nowhere.
    pub(crate) fn send_to(&self, address: Option<SocketAddr>) {
        self.at.send_replace(address);
    }

    /// Ends them, each after the answer it waits for.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.over.cancel();
        self.send_to(None);
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => anyhow::bail!("a client panicked"),
            _ => Ok(()),
        }
    }
}

struct One {
    number: u64,
    heard: Arc<Heard>,
    dice: Dice,
}

impl One {
    async fn post_until(&self, over: &CancellationToken, mut at: watch::Receiver<Option<SocketAddr>>) {
        let mut client = None;
        for n in 0u64.. {
            let id = format!("{}-{n}", self.number);
            for _ in 0..TRIES {
                let Some(Ok(address)) = over.run_until_cancelled(at.wait_for(Option::is_some)).await.map(|at| at.map(|at| *at)) else { return };
                // A new process has a new address; connections to the old one are of no use.
                let client = match &mut client {
                    Some((old, client)) if Some(*old) == address => client,
                    client => match address {
                        Some(new) => &mut client.insert((new, Client::new(new))).1,
                        None => return,
                    },
                };
                if self.post(client, &id).await && !self.dice.chance(AGAIN) {
                    break;
                }
                self.pause().await;
            }
            self.pause().await;
        }
    }

    /// True if it was accepted.
    async fn post(&self, client: &Client, id: &str) -> bool {
        let order = serde_json::json!({ "id": id, "item": "teapot", "quantity": 1 }).to_string();
        match client.post(order).await {
            Answer::Status(StatusCode::ACCEPTED) => {
                self.heard.accepted(id);
                return true;
            }
            Answer::ComeBack => self.heard.refused(),
            Answer::None | Answer::Unreachable => self.heard.silence(),
            Answer::Status(other) => self.heard.wrong(other.to_string()),
        }
        false
    }

    async fn pause(&self) {
        sleep(Duration::from_millis(self.dice.next() % PAUSE)).await;
    }
}
