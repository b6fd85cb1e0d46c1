//! A moment of a run, for what a test wants to happen then.

use crate::event::{Event, EventKind};
use crate::span::Show;
use std::fmt;
use std::time::Duration;

/// A moment of a run: an event, or a virtual time. The first event that fits counts, once.
///
/// Most calls take one of these in its stead:
///
/// | given | the moment is |
/// |---|---|
/// | `"ready"` | the first event of this kind ([`EventKind::name`]) |
/// | `("start_ended", "producer")` | the same, about this component or resource |
/// | `secs(5)` | so long after the run began |
/// | `\|event: &Event\| …` | the first event for which it says true |
///
/// ```
/// use winddown::{Event, secs, testkit::When};
///
/// let _ = When::event("ready").then(secs(2));             // two seconds later
/// let _ = When::step("consumer", "pull_stopped");         // a step that a component takes, see `Cx::step`
/// let _ = When::from(|event: &Event| event.at() > secs(3) && event.kind().name() == "task_ended");
/// ```
pub struct When {
    pub(super) what: What,
    pub(super) then: Duration,
}

pub(super) enum What {
    At(Duration),
    Kind(String),
    Of(String, String),
    Step(String, String),
    Fits(Box<dyn FnMut(&Event) -> bool + Send>),
}

impl When {
    fn new(what: What) -> When {
        When { what, then: Duration::ZERO }
    }

    /// The first event of this kind, by its stable name such as `"ready"` or `"shutdown_began"`.
    pub fn event(kind: impl Into<String>) -> When {
        When::new(What::Kind(kind.into()))
    }

    /// The first event of this kind about this component or resource.
    pub fn of(kind: impl Into<String>, subject: impl Into<String>) -> When {
        When::new(What::Of(kind.into(), subject.into()))
    }

    /// The first time that this component takes this step ([`Cx::step`](crate::Cx::step)).
    pub fn step(component: impl Into<String>, step: impl Into<String>) -> When {
        When::new(What::Step(component.into(), step.into()))
    }

    /// So long after the run began.
    pub fn at(span: Duration) -> When {
        When::new(What::At(span))
    }

    /// So much later than that. Adds up.
    pub fn then(mut self, span: Duration) -> When {
        self.then += span;
        self
    }

    pub(super) fn fits(&mut self, event: &Event) -> bool {
        match &mut self.what {
            What::At(_) => false,
            What::Kind(kind) => event.kind().name() == kind,
            What::Of(kind, subject) => event.kind().name() == kind && event.subject() == Some(subject),
            What::Step(subject, wanted) => {
                event.subject() == Some(subject) && matches!(event.kind(), EventKind::Step { step, .. } if **step == **wanted)
            }
            What::Fits(fits) => fits(event),
        }
    }

    /// A kind that there is not would be waited for in vain.
    pub(super) fn unknown_kind(&self) -> Option<&str> {
        match &self.what {
            What::Kind(kind) | What::Of(kind, _) => (!KINDS.contains(&kind.as_str())).then_some(kind),
            _ => None,
        }
    }

    /// Whom it is about.
    pub(super) fn subject(&self) -> Option<&str> {
        match &self.what {
            What::Of(_, subject) | What::Step(subject, _) => Some(subject),
            _ => None,
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::At(span) => write!(f, "{}", Show(*span)),
            What::Kind(kind) => write!(f, "`{kind}`"),
            What::Of(kind, subject) => write!(f, "`{kind}` of `{subject}`"),
            What::Step(subject, step) => write!(f, "the step `{step}` of `{subject}`"),
            What::Fits(_) => f.write_str("an event that fits the closure"),
        }?;
        if self.then.is_zero() { Ok(()) } else { write!(f, " and {}", Show(self.then)) }
    }
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "When({self})")
    }
}

impl From<&str> for When {
    fn from(kind: &str) -> When {
        When::event(kind)
    }
}

impl From<(&str, &str)> for When {
    fn from((kind, subject): (&str, &str)) -> When {
        When::of(kind, subject)
    }
}

impl From<Duration> for When {
    fn from(span: Duration) -> When {
        When::at(span)
    }
}

impl<F: FnMut(&Event) -> bool + Send + 'static> From<F> for When {
    fn from(fits: F) -> When {
        When::new(What::Fits(Box::new(fits)))
    }
}

/// Every name that [`EventKind::name`] can give.
pub(super) const KINDS: [&str; 25] = [
    "run_began",
    "set_up_began",
    "set_up_ended",
    "resource_created",
    "start_began",
    "start_ended",
    "ready",
    "task_ended",
    "restart_scheduled",
    "signal_received",
    "shutdown_began",
    "stop_began",
    "stop_returned",
    "step",
    "cancel_began",
    "abort_began",
    "critical_held",
    "component_ended",
    "lease_outlived",
    "destroy_began",
    "destroy_ended",
    "worker_blocked",
    "worker_freed",
    "registration_refused",
    "run_ended",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_is_listed() {
        // The words of `EventKind::name`, out of its own text: a kind that is added there must be added here.
        let source = include_str!("../event.rs");
        let body = source.split("pub const fn name").nth(1).and_then(|rest| rest.split("\n    }\n").next()).unwrap();
        let named: Vec<&str> = body.lines().filter_map(|line| line.split("=> \"").nth(1)?.split('"').next()).collect();
        assert_eq!(named, KINDS);
    }
}
