//! The resource: SQLite, owned by a thread of its own, since its calls block.

use crate::database::Database;
use crate::order::Order;
use anyhow::Context;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use tokio::sync::oneshot;

pub(crate) use crate::database::Saved;

/// The way to the thread that owns the database. Dropping it closes the database too, only without a word about errors.
pub(crate) struct Store {
    asks: Sender<Ask>,
}

/// An error is SQLite's text: one may be for several batches.
type Answer<T> = Result<T, String>;

type Reply<T> = oneshot::Sender<Answer<T>>;

enum Ask {
    Save(Vec<Order>, Reply<Vec<Saved>>),
    Find(String, Reply<Option<Order>>),
    Close(Reply<()>),
}

impl Store {
    /// Opens the database in this directory, making both if they are not there yet.
    pub(crate) async fn open(directory: PathBuf) -> anyhow::Result<Store> {
        let (asks, asked) = channel();
        let (opened, open) = oneshot::channel();
        let owner = move || match Database::open(&directory) {
            Ok(database) => {
                if opened.send(Ok(())).is_ok() {
                    serve(database, &asked);
                }
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        thread::Builder::new().name("orders-db".into()).spawn(owner).context("cannot start the database's thread")?;
        open.await.context("the database's thread died while opening it")??;
        Ok(Store { asks })
    }

    /// Saves all of them in one durable commit, or none. The outer error means that the store is gone for good.
    pub(crate) async fn save(&self, orders: Vec<Order>) -> anyhow::Result<Answer<Vec<Saved>>> {
        self.ask(|reply| Ask::Save(orders, reply)).await
    }

    /// Looks one up.
    pub(crate) async fn find(&self, id: String) -> anyhow::Result<Option<Order>> {
        self.ask(|reply| Ask::Find(id, reply)).await?.map_err(anyhow::Error::msg)
    }

    /// Closes the database after what was asked before, and says whether that went well.
    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        self.ask(Ask::Close).await?.map_err(anyhow::Error::msg).context("the database did not close cleanly")
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> anyhow::Result<Answer<T>> {
        let (reply, answer) = oneshot::channel();
        // A thread that is gone drops the ask, and the reply with it: both cases end in the same error.
        let _ = self.asks.send(ask(reply));
        answer.await.context("the database's thread is gone")
    }
}

/// Answers until it is told to close or nobody is left to ask.
///
/// All that waits is taken at once and saved in one commit: the busier it is, the more orders share an fsync.
fn serve(mut database: Database, asked: &Receiver<Ask>) {
    while let Ok(first) = asked.recv() {
        let (mut saves, mut finds, mut close) = (Vec::new(), Vec::new(), None);
        for ask in std::iter::once(first).chain(asked.try_iter()) {
            match ask {
                Ask::Save(orders, reply) => saves.push((orders, reply)),
                Ask::Find(id, reply) => finds.push((id, reply)),
                Ask::Close(reply) => close = Some(reply),
            }
        }
        if !saves.is_empty() {
            save_together(&mut database, saves);
        }
        for (id, reply) in finds {
            let _ = reply.send(database.find(&id).map_err(text));
        }
        if let Some(reply) = close {
            let _ = reply.send(database.close().map_err(text));
            return;
        }
    }
}

fn save_together(database: &mut Database, saves: Vec<(Vec<Order>, Reply<Vec<Saved>>)>) {
    let mut saved = database.save(saves.iter().flat_map(|(orders, _)| orders)).map_err(text);
    for (orders, reply) in saves {
        let own = saved.as_mut().map(|saved| saved.drain(..orders.len()).collect());
        let _ = reply.send(own.map_err(|why| why.clone()));
    }
}

fn text(error: rusqlite::Error) -> String {
    error.to_string()
}
