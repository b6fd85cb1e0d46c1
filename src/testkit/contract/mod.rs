//! The contract of [`Broker`] and [`Subscription`](crate::messaging::Subscription), as numbered clauses that any adapter runs with one call.
//!
//! An adapter implements a [`Fixture`], which opens clients; [`run`] tries every clause on topics and groups of its own and says which are
//! kept, which are broken and how, and which the broker cannot keep and does not claim to. What it cannot do it has to refuse, or to declare
//! in its [`Capabilities`]; it is never passed over in silence.
//!
//! Times: the clauses know lower bounds ("not before"), and upper bounds with the fixture's [slack](Fixture::slack). A broker whose times are
//! tokio's runs in virtual time (`#[tokio::test(start_paused = true)]`) in no time; one with threads or sockets of its own needs real time.
//! A clause that was held up by the machine for so long that it proves nothing is tried again with longer times.
//!
//! ```
//! use std::sync::Arc;
//! use winddown::messaging::{Broker, MemoryBroker};
//! use winddown::testkit::contract::{self, Capabilities, Capability, Fixture};
//!
//! struct Memory(MemoryBroker);
//!
//! #[winddown::async_trait]
//! impl Fixture for Memory {
//!     async fn broker(&self) -> Arc<dyn Broker> {
//!         Arc::new(self.0.client())                       // another client of the same content
//!     }
//!     fn capabilities(&self) -> Capabilities {
//!         Capabilities::all().without(Capability::UnknownTopics)      // it makes topics when they are used
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let report = contract::run(&Memory(MemoryBroker::new())).await;
//! report.assert_ok();
//! # });
//! ```

mod bench;
mod capabilities;
mod clauses;
mod crowd;
mod ending;
mod order;
mod receiving;
mod redelivery;
mod report;
mod runner;
mod sending;
mod settling;

pub use capabilities::{Capabilities, Capability};
pub use clauses::{Clause, clauses};
pub use report::{ClauseOutcome, ClauseReport, ContractReport};

use crate::messaging::Broker;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// What the clauses need of an adapter.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// A new client of the same store or server. The clauses close what they open. May panic when it cannot; the clause is then broken.
    async fn broker(&self) -> Arc<dyn Broker>;

    /// What the broker can do. Default: everything.
    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    /// Makes a topic, where topics have to be made before they are used. Names are new for each clause and each run: letters, digits, `-`,
    /// and `.dead` at the end of dead-letter topics. Default: nothing.
    async fn make_topic(&self, name: &str) {
        let _ = name;
    }

    /// How much later than it should something may happen, on this machine and over this connection. Default: 2 s.
    fn slack(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// The visibility that clauses wait for, and the delays. The shorter the faster; too short for the machine, and clauses are repeated with
    /// longer ones. Default: 1 s.
    fn visibility(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Does what was stored survive when all clients are gone? Default: no.
    fn durable(&self) -> bool {
        false
    }

    /// How many messages are a large number. Default: 2000.
    fn many(&self) -> usize {
        2000
    }
}

/// Tries every clause, one after the other.
///
/// # Panics
/// Outside a tokio runtime with time.
pub async fn run(fixture: &dyn Fixture) -> ContractReport {
    runner::run(fixture, &|_| true).await
}

/// Tries the clauses with these numbers only: while you write the adapter.
///
/// # Panics
/// Outside a tokio runtime with time.
pub async fn run_only(fixture: &dyn Fixture, numbers: &[u32]) -> ContractReport {
    runner::run(fixture, &|number| numbers.contains(&number)).await
}
