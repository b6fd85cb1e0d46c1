//! winddown
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
#[cfg(feature = "testkit")]
pub mod testkit;

pub use app::{Added, App, Exit, Guard, OnDeadline, Opening, Output, Signals, Watched, guard, run};
pub use async_trait::async_trait;
pub use error::{Error, Problem};
pub use event::{Event, EventKind, Observer};
pub use handle::{Handle, Shutdown};
pub use id::{ComponentId, ResourceId};
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
