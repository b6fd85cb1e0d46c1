//! winddown owns the life of a service: it starts components in order, keeps them running, and on SIGTERM stops them in reverse inside
//! one hard deadline, before anything they use is destroyed, with a report of what happened.
//!
//! ```no_run
//! use winddown::{Exit, Phase, async_trait, secs};
//!
//! struct Consumer;
//!
//! #[async_trait]
//! impl winddown::Service for Consumer {
//!     fn phase(&self) -> Phase { Phase::INTAKE }
//!     async fn run(&mut self, cx: &winddown::RunCx) -> anyhow::Result<()> {
//!         while let Some(message) = cx.until_stopping(async { "a message" }).await {
//!             println!("{message}");
//!         }
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> Exit {
//!     winddown::run("orders", |app| async move {
//!         app.task("producer", |cx| async move { cx.stopping().await; Ok(()) }).phase(Phase::CLIENTS);
//!         app.service(Consumer).stop_budget(secs(8));     // started after the producer, stopped before it
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # The map
//!
//! - The door: [`run`] owns the process; [`App`] has the settings, [`App::run`] (inside a runtime), [`App::run_blocking`] and
//!   [`App::run_main`]; [`guard`] is the smallest way in, for a program that stays as it is.
//! - What you implement: [`Lifecycle`] (start and stop) or [`Service`] (one loop); or nothing, with [`App::task`], [`App::future`],
//!   [`App::thread`], [`App::tracked`]. What your code is given: [`StartCx`], [`RunCx`], [`StopCx`], all of them a [`Cx`].
//! - Order: [`Phase`], [`Added::after`], and the checked [`Plan`]; [`Plan::rehearse`] plays every single failure through.
//! - What must outlive components: [`Resource`] and its [`Lease`]s.
//! - Messages: the module `messaging`, with a producer, a consumer and a trace dispatcher as components (feature `messaging`).
//! - From any thread: a [`Handle`]. Watching: an [`Observer`], or `tracing` (target `winddown`, the message is the event's name; spans
//!   `winddown.start`, `winddown.stop` and `winddown.task` around your code).
//! - In the end: the [`Report`], whose exit code `main` returns as an [`Exit`].
//!
//! # Features
//!
//! | feature | default | |
//! |---|---|---|
//! | `messaging` | on | the module `messaging`: producer, consumer, trace dispatcher, the broker in memory |
//! | `sqlite` | off | broker and outbox in an SQLite file |
//! | `rocketmq`, `kafka`, `rabbitmq`, `nats` | off | these servers as brokers, one feature each |
//! | `testkit` | off | the module `testkit`: an app's whole life in virtual time, for your own tests |
//!
//! # Threads
//!
//! A run has a thread that decides (`winddown`), and, when they are needed, one that writes to stderr, one that calls observers, one that leaves
//! after the last deadline should all else hang, and one for signals, which the process keeps. None of them runs your futures. Wakers run on
//! the first: a waker of your own must not block.
#![deny(unsafe_code)]

#[cfg(not(unix))]
compile_error!("winddown works with Unix signals; Windows is not supported yet");

mod app;
mod conductor;
mod error;
mod event;
mod handle;
mod id;
mod lifecycle;
#[cfg(feature = "messaging")]
pub mod messaging;
mod outcome;
mod phase;
mod plan;
mod policy;
mod reason;
mod rehearse;
mod report;
mod resource;
mod run;
mod scope;
mod span;
#[cfg(feature = "messaging")]
mod sync;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use app::{Added, App, Exit, Guard, OnDeadline, Opening, Output, Signals, Watched, guard, run};
pub use async_trait::async_trait;
pub use error::{Error, Problem};
pub use event::{Event, EventKind, Observer};
pub use handle::{Handle, Shutdown};
pub use id::{ComponentId, Link, ResourceId};
pub use lifecycle::{Critical, Cx, Lifecycle, RunCx, Service, ServiceComponent, StartCx, StopCx, ThreadCx, Tracked};
pub use outcome::{Outcome, ResourceOutcome, Rung, Verdict};
pub use phase::Phase;
pub use plan::Plan;
pub use policy::{Policy, Restart};
pub use reason::{Profile, ReasonKind, Trigger};
pub use rehearse::{Case, Fault, Rehearsal, Where};
pub use report::{BlockedWorker, ComponentReport, Interval, Report, ResourceReport, SCHEMA};
pub use resource::{Lease, Resource};
pub use scope::{Token, Wait};
pub use span::{millis, parse_span, secs};

/// The README's and the guides' code is compiled.
#[cfg(doctest)]
mod documents {
    #[cfg(feature = "sqlite")]
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/adopting.md")]
    struct Adopting;
    #[cfg(feature = "messaging")]
    #[doc = include_str!("../docs/consumer.md")]
    struct Consumer;
    #[cfg(feature = "kafka")]
    #[doc = include_str!("../docs/kafka.md")]
    struct Kafka;
    #[cfg(feature = "nats")]
    #[doc = include_str!("../docs/nats.md")]
    struct Nats;
    #[cfg(feature = "messaging")]
    #[doc = include_str!("../docs/producer.md")]
    struct Producer;
    #[cfg(feature = "sqlite")]
    #[doc = include_str!("../docs/outbox.md")]
    struct Outbox;
    #[cfg(feature = "rabbitmq")]
    #[doc = include_str!("../docs/rabbitmq.md")]
    struct RabbitMq;
    #[cfg(feature = "rocketmq")]
    #[doc = include_str!("../docs/rocketmq.md")]
    struct RocketMq;
}
