//! Why a program stops, and what each reason may change.

use crate::outcome::words;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

words! {
    /// The kinds of reason for a shutdown.
    ReasonKind {
        /// The operating system asked: SIGTERM, SIGINT, SIGQUIT or SIGHUP.
        Signal = "signal",
        /// The program asked, through a [`Handle`](crate::Handle).
        Request = "request",
        /// The set-up code failed, panicked or was late.
        SetupFailed = "setup_failed",
        /// A component's start failed, panicked or was late.
        StartFailed = "start_failed",
        /// A running component failed or panicked, or had to be restarted too often.
        ComponentFailed = "component_failed",
        /// A component's work ended by itself, with success.
        Finished = "finished",
    }
}

/// What began the shutdown: the first cause, later ones do not replace it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trigger {
    pub(crate) kind: ReasonKind,
    pub(crate) detail: String,
    pub(crate) component: Option<String>,
}

impl Trigger {
    /// Its kind.
    pub fn kind(&self) -> ReasonKind {
        self.kind
    }
    /// A signal's name (`SIGTERM`), the text given with a request, or the error's or panic's text.
    pub fn detail(&self) -> &str {
        &self.detail
    }
    /// The component that caused it, where one did.
    pub fn component(&self) -> Option<&str> {
        self.component.as_deref()
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.component) {
            (ReasonKind::Signal, _) => f.write_str(&self.detail),
            (ReasonKind::Request, _) => write!(f, "asked: {}", self.detail),
            (ReasonKind::SetupFailed, _) => write!(f, "set-up failed: {}", self.detail),
            (ReasonKind::StartFailed, Some(name)) => write!(f, "{name} did not start: {}", self.detail),
            (ReasonKind::ComponentFailed, Some(name)) => write!(f, "{name} failed: {}", self.detail),
            (ReasonKind::Finished, Some(name)) => write!(f, "{name} finished"),
            (kind, None) => write!(f, "{kind}: {}", self.detail),
        }
    }
}

/// What one kind of reason changes about the shutdown it causes; see [`App::profile`](crate::App::profile).
///
/// All is optional: an empty profile changes nothing.
///
/// ```
/// use winddown::{secs, App, Profile, ReasonKind};
/// // On a signal, serve for three more seconds while load balancers notice; when a component failed, be quick and say so.
/// let app = App::new("orders")
///     .profile(ReasonKind::Signal, Profile::new().drain_delay(secs(3)))
///     .profile(ReasonKind::ComponentFailed, Profile::new().grace(secs(5)).exit_code(70));
/// # drop(app);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub(crate) drain_delay: Duration,
    pub(crate) grace: Option<Duration>,
    pub(crate) exit_code: Option<u8>,
}

impl Profile {
    /// Changes nothing.
    pub fn new() -> Profile {
        Profile::default()
    }

    /// Time between the moment shutdown begins (readiness flips) and the first component being asked to stop. Default 0.
    /// It is part of the grace period; a second signal ends it early.
    pub fn drain_delay(mut self, delay: Duration) -> Profile {
        self.drain_delay = delay;
        self
    }

    /// Another grace period than the app's.
    pub fn grace(mut self, grace: Duration) -> Profile {
        self.grace = Some(grace);
        self
    }

    /// Another exit code for a run that ends clean or failed. What is forced, refused or left at once keeps its own.
    pub fn exit_code(mut self, code: u8) -> Profile {
        self.exit_code = Some(code);
        self
    }
}
