//! winddown
#![deny(unsafe_code)]
mod error;
mod event;
mod id;
mod outcome;
mod phase;
mod plan;
mod policy;
mod reason;
mod run;
mod span;
pub use error::{Error, Problem};
pub use event::{Event, EventKind, Observer};
pub use id::{ComponentId, ResourceId};
pub use outcome::{Outcome, ResourceOutcome, Rung, Verdict};
pub use phase::Phase;
pub use plan::Plan;
pub use policy::{Policy, Restart};
pub use reason::{Profile, ReasonKind, Trigger};
pub use run::{Case, Rehearsal};
pub use span::{millis, parse_span, secs};
