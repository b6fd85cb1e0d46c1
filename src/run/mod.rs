//! The run itself as a pure state machine: inputs and the time go in, actions and notes come out.
//!
//! Nothing here knows tokio, a clock, a log or a thread. Who drives it must do four things: hand in facts with the present time,
//! call [`Machine::handle_timeout`](machine::Machine::handle_timeout) when [`next_timeout`](machine::Machine::next_timeout) has come,
//! carry out every action in order, and apply facts before timeouts when both are ready (T6).
//!
//! Numbered invariants, cited by the code and the tests:
//! - I1. A component is asked to stop only when all its successors are terminal (O1–O3).
//! - I2. `AskStop` is emitted at most once per `Start`, and only for a component that runs (T4).
//! - I3. Rungs only rise (T5); a component is terminal exactly once per start.
//! - I4. No timer lies beyond the tail of the deadline once a shutdown is on, and at that tail everything becomes terminal (T1).
//! - I5. Every list is worked off with a stack of its own, never by recursion, and every edge is walked once each way, so a run costs
//!   time linear in components and edges (timers add their heap).

mod ladder;
pub(crate) mod machine;
mod resources;
mod single;
mod start;
mod stop;
mod supervise;
pub(crate) mod table;
mod timeline;
mod timers;

#[cfg(test)]
mod tests;

pub(crate) use timeline::{Subject, Timeline};

use crate::outcome::Outcome;
use crate::reason::ReasonKind;
use crate::span::Moment;
use std::sync::Arc;
use std::time::Duration;

/// An error or a panic of the user's code, as text: made where the code ran, since its `Display` is the user's code too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) panicked: bool,
    pub(crate) text: Arc<str>,
}

impl Failure {
    pub(crate) fn error(text: impl Into<Arc<str>>) -> Failure {
        Failure { panicked: false, text: text.into() }
    }
    pub(crate) fn panic(text: impl Into<Arc<str>>) -> Failure {
        Failure { panicked: true, text: text.into() }
    }
    pub(crate) fn outcome(&self) -> Outcome {
        if self.panicked { Outcome::Panicked } else { Outcome::Failed }
    }
}

/// Who asked for the start or stop of one component and waits for the answer.
pub(crate) type Ticket = u64;

/// A fact or a command. Facts about a component carry the epoch of its start, so that what comes late from an earlier one is known as such.
#[derive(Debug)]
pub(crate) enum Input {
    /// `start` returned.
    StartReturned { id: u32, epoch: u32, result: Result<(), Failure> },
    /// `ready()` was called in its scope.
    ReadyCalled { id: u32, epoch: u32 },
    /// A task ended; `lasting` ones were to live as long as the component.
    TaskEnded { id: u32, epoch: u32, task: Arc<str>, result: Result<(), Failure>, lasting: bool },
    /// The scope is sealed and nothing is left in it, no operation and no task.
    ScopeEmpty { id: u32, epoch: u32 },
    /// `stop` returned.
    StopReturned { id: u32, epoch: u32, result: Result<(), Failure> },
    /// An abort was held back by a critical section.
    Held { id: u32, bound: Duration },
    /// The last critical section of a held abort is over.
    Released { id: u32, epoch: u32 },
    /// A signal, by number and name.
    Signal { number: i32, name: &'static str },
    /// The program asks for shutdown.
    Request { why: String },
    /// Start one component.
    StartOne { id: u32, ticket: Ticket },
    /// Stop one component.
    StopOne { id: u32, ticket: Ticket },
    /// A resource's destruction ended.
    ResourceEnded { id: u32, result: Result<(), Failure> },
    /// A resource about to be destroyed is still leased.
    Leased { id: u32, holders: Vec<Arc<str>> },
    /// The set-up future was dropped.
    SetUpDropped,
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Drop the set-up future.
    DropSetUp,
    /// Set-up is over without success: plan what is there and hand it in with `planned`.
    PlanForUnwinding,
    /// Call `start` in a new scope.
    Start { id: u32, epoch: u32, deadline: Moment },
    /// Fire both tokens of the scope and seal it: its start is taken back, or it is to be started afresh.
    Interrupt { id: u32 },
    /// Fire `stopping`, call `stop`, seal the scope.
    AskStop { id: u32, deadline: Moment },
    /// Fire `cancelled`.
    Cancel { id: u32, deadline: Moment },
    /// Drop the operation and every task, unless a critical section holds (then answer `Held`).
    Abort { id: u32 },
    /// The same, whatever holds.
    AbortNow { id: u32 },
    /// The component is terminal and will not be started again by itself; if it never started, drop it.
    Ended { id: u32, abandoned: bool },
    /// A shutdown begins, and this one had ended before: it will not be started again, drop it.
    Discard { id: u32 },
    /// Begin to destroy a resource.
    Destroy { id: u32 },
    /// Its time is over: drop the destruction.
    DropDestroy { id: u32 },
    /// Leave it alone.
    Leak { id: u32 },
    /// Answer who asked for one component.
    Answer { ticket: Ticket, result: Result<(), Box<Refusal>> },
    /// All is terminal: make the report.
    Finish,
    /// A third signal: make the report and leave the process.
    Leave,
}

/// Why a single start or stop was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotNow { what: String, why: String },
    Unknown,
}

/// What a shutdown was caused by, before names are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) kind: ReasonKind,
    pub(crate) detail: String,
    pub(crate) component: Option<u32>,
}
