//! What goes wrong with a component.

use crate::rehearse::Fault;
use std::sync::Arc;
use std::time::Duration;

/// One thing that goes wrong: what, how long after the beginning of the place where it is put, and how often.
///
/// A [`Fault`] of a rehearsal is one too.
///
/// ```
/// use winddown::{Fault, secs, testkit::Sabotage};
///
/// let _ = Sabotage::fail("connection lost").after(secs(5)).times(2);      // in the first two of its runs, 5 s into each
/// let _ = Sabotage::from(Fault::IgnoresCancel);
/// ```
#[derive(Clone, Debug)]
#[must_use = "give it to `World::sabotage`"]
pub struct Sabotage {
    pub(super) what: What,
    pub(super) after: Duration,
    pub(super) left: Option<u32>,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Hang,
    IgnoreCancel,
    Block,
    Fail(Arc<str>),
    Panic(Arc<str>),
    Delay(Duration),
}

impl Sabotage {
    const fn new(what: What) -> Sabotage {
        Sabotage { what, after: Duration::ZERO, left: None }
    }

    /// It never ends by itself; it obeys its `cancelled` token.
    pub const fn hang() -> Sabotage {
        Sabotage::new(What::Hang)
    }

    /// It never ends by itself and ignores the token; it can be dropped.
    pub const fn ignore_cancel() -> Sabotage {
        Sabotage::new(What::IgnoreCancel)
    }

    /// It returns an error with this text.
    pub fn fail(text: impl Into<Arc<str>>) -> Sabotage {
        Sabotage::new(What::Fail(text.into()))
    }

    /// It panics with this text.
    pub fn panic(text: impl Into<Arc<str>>) -> Sabotage {
        Sabotage::new(What::Panic(text.into()))
    }

    /// It stands still for this long, then goes on as it would have.
    pub const fn delay(span: Duration) -> Sabotage {
        Sabotage::new(What::Delay(span))
    }

    /// Not at once: the component's own code runs until then. Default: at once. If that code has ended by then, nothing goes wrong.
    pub const fn after(mut self, span: Duration) -> Sabotage {
        self.after = span;
        self
    }

    /// Only the first `n` times. Default: each time. Matters for what is started again.
    pub const fn times(mut self, n: u32) -> Sabotage {
        self.left = Some(n);
        self
    }
}

impl From<Fault> for Sabotage {
    fn from(fault: Fault) -> Sabotage {
        match fault {
            Fault::Hangs => Sabotage::hang(),
            Fault::IgnoresCancel => Sabotage::ignore_cancel(),
            Fault::Blocks => Sabotage::new(What::Block),
            Fault::Fails => Sabotage::fail("sabotage"),
            Fault::Panics => Sabotage::panic("sabotage"),
        }
    }
}
