//! How a broker in memory is to be.

use super::MemoryBroker;
use super::server::{Server, Settings};
use super::store::Store;
use crate::messaging::{Limits, Route};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Settings of a [`MemoryBroker`], from [`MemoryBroker::builder`].
#[derive(Clone, Debug)]
pub struct MemoryBrokerBuilder {
    name: Arc<str>,
    server: Settings,
    capacity: usize,
    topics: Option<HashSet<Arc<str>>>,
    routes: Vec<Route>,
    limits: Limits,
}

impl MemoryBrokerBuilder {
    pub(super) fn new() -> MemoryBrokerBuilder {
        let server = Settings { queue: 10_000, service_time: Duration::ZERO, fast_failure: Duration::from_millis(200) };
        let limits = Limits { batch: 1024, ..Limits::default() };
        MemoryBrokerBuilder { name: "memory".into(), server, capacity: usize::MAX, topics: None, routes: Vec::new(), limits }
    }

    /// What it is called in errors and spans. Default: `memory`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// So many sends may wait for the server; one more is answered [`Busy`](crate::messaging::ErrorKind::Busy) at once. Default: 10 000.
    pub fn queue(mut self, waiting: usize) -> Self {
        self.server.queue = waiting;
        self
    }

    /// How long the server takes for one send (or one batch), one after the other. Default: zero, and no queue.
    pub fn service_time(mut self, time: Duration) -> Self {
        self.server.service_time = time;
        self
    }

    /// A send that has waited longer than this is taken out of the queue and answered [`Busy`](crate::messaging::ErrorKind::Busy), certainly
    /// not executed. It is looked for every 10 ms. Default: 200 ms.
    pub fn fast_failure(mut self, longest: Duration) -> Self {
        self.server.fast_failure = longest;
        self
    }

    /// Messages that one topic holds; the next is answered [`Full`](crate::messaging::ErrorKind::Full). Default: no limit.
    pub fn capacity(mut self, messages: usize) -> Self {
        self.capacity = messages;
        self
    }

    /// Only these topics exist, and dead-letter topics (`….dead`). Default: a topic is made when it is first used.
    pub fn topics<T: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.topics = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Several addresses that take messages, each with a queue and a server of its own, for all topics. Default: no choice.
    pub fn routes<R: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = R>) -> Self {
        self.routes = names.into_iter().map(Route::new).collect();
        self
    }

    /// What it takes. Default: [`Limits::default`] with batches of 1024.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The broker. Needs no runtime; `send` and `pull` do.
    pub fn build(self) -> MemoryBroker {
        let servers = (0..self.routes.len().max(1)).map(|_| Server::new(self.server)).collect();
        MemoryBroker::with(Store::new(self.name, self.limits, self.capacity, self.topics), self.routes.into(), servers)
    }
}
