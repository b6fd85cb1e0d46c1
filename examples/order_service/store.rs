//! The resource: the order database, owned by a thread of its own, since its calls block.

use crate::database::Database;
use crate::dead_letter::DeadLetter;
use crate::order::Order;
use anyhow::Context;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use tokio::sync::oneshot;

pub(crate) use crate::tables::{Handled, Standing};

/// The way to the thread that owns the database. Dropping it closes the database too, only without a word about errors.
pub(crate) struct Store {
    asks: Sender<Ask>,
}

/// An error is SQLite's text: one may be for many orders.
type Answer<T> = Result<T, String>;

type Reply<T> = oneshot::Sender<Answer<T>>;

enum Ask {
    Standing(Order, Reply<Standing>),
    Accept(Order, Reply<Standing>),
    Handle(Order, Reply<Handled>),
    Bury(DeadLetter, Reply<()>),
    Find(String, Reply<Option<Order>>),
    Close(Reply<()>),
}

impl Store {
    /// Opens the database of this directory, making both if they are not there yet.
    pub(crate) async fn open(data: PathBuf) -> anyhow::Result<Store> {
        let (asks, asked) = channel();
        let (opened, open) = oneshot::channel();
        let owner = move || match Database::open(&data) {
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

    /// How the order stands to those that were accepted before.
    pub(crate) async fn standing(&self, order: Order) -> anyhow::Result<Standing> {
        self.ask(|reply| Ask::Standing(order, reply)).await
    }

    /// Logs the order as accepted. Durable when it returns `Accepted`.
    pub(crate) async fn accept(&self, order: Order) -> anyhow::Result<Standing> {
        self.ask(|reply| Ask::Accept(order, reply)).await
    }

    /// Does the order, once. Durable when it returns.
    pub(crate) async fn handle(&self, order: Order) -> anyhow::Result<Handled> {
        self.ask(|reply| Ask::Handle(order, reply)).await
    }

    /// Keeps a dead letter. Durable when it returns.
    pub(crate) async fn bury(&self, dead: DeadLetter) -> anyhow::Result<()> {
        self.ask(|reply| Ask::Bury(dead, reply)).await
    }

    /// Looks up one that was handled.
    pub(crate) async fn find(&self, id: String) -> anyhow::Result<Option<Order>> {
        self.ask(|reply| Ask::Find(id, reply)).await
    }

    /// Closes the database after what was asked before, and says whether that went well.
    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        self.ask(Ask::Close).await.context("the database did not close cleanly")
    }

    async fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> anyhow::Result<T> {
        let (reply, answer) = oneshot::channel();
        // A thread that is gone drops the ask, and the reply with it: both cases end in the same error.
        let _ = self.asks.send(ask(reply));
        answer.await.context("the database's thread is gone")?.map_err(anyhow::Error::msg)
    }
}

/// Answers until it is told to close or nobody is left to ask.
///
/// All that waits is taken at once and written in one commit: the busier it is, the more orders share an fsync. What is only
/// looked up is answered first, from what was there before.
fn serve(mut database: Database, asked: &Receiver<Ask>) {
    while let Ok(first) = asked.recv() {
        let (mut batch, mut close) = (Batch::default(), None);
        for ask in std::iter::once(first).chain(asked.try_iter()) {
            match ask {
                Ask::Standing(order, reply) => drop(reply.send(database.standing(&order).map_err(text))),
                Ask::Find(id, reply) => drop(reply.send(database.handled(&id).map_err(text))),
                Ask::Accept(order, reply) => batch.accepts.push((order, reply)),
                Ask::Handle(order, reply) => batch.handles.push((order, reply)),
                Ask::Bury(dead, reply) => batch.buries.push((dead, reply)),
                Ask::Close(reply) => close = Some(reply),
            }
        }
        commit(&mut database, batch);
        if let Some(reply) = close {
            let _ = reply.send(database.close().map_err(text));
            return;
        }
    }
}

/// What is to be written in one commit.
#[derive(Default)]
struct Batch {
    accepts: Vec<(Order, Reply<Standing>)>,
    handles: Vec<(Order, Reply<Handled>)>,
    buries: Vec<(DeadLetter, Reply<()>)>,
}

fn commit(database: &mut Database, Batch { accepts, handles, buries }: Batch) {
    if accepts.is_empty() && handles.is_empty() && buries.is_empty() {
        return;
    }
    let committed =
        database.commit(accepts.iter().map(|(order, _)| order), handles.iter().map(|(order, _)| order), buries.iter().map(|(dead, _)| dead));
    match committed {
        Ok(committed) => {
            tell(accepts, committed.accepted.into_iter().map(Ok));
            tell(handles, committed.handled.into_iter().map(Ok));
            tell(buries, std::iter::repeat_with(|| Ok(())));
        }
        Err(error) => {
            let refused = format!("the database refused it: {error}");
            tell(accepts, std::iter::repeat_with(|| Err(refused.clone())));
            tell(handles, std::iter::repeat_with(|| Err(refused.clone())));
            tell(buries, std::iter::repeat_with(|| Err(refused.clone())));
        }
    }
}

/// A client or a handler that is gone by now does not hear it; what was written stays written.
fn tell<A, T>(asks: Vec<(A, Reply<T>)>, answers: impl Iterator<Item = Answer<T>>) {
    for ((_, reply), answer) in asks.into_iter().zip(answers) {
        let _ = reply.send(answer);
    }
}

fn text(error: rusqlite::Error) -> String {
    error.to_string()
}
