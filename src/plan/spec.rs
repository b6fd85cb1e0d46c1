//! What was registered, as plain data, before anybody judged it.

use crate::id::{ComponentId, Link, ResourceId};
use crate::phase::Phase;
use crate::policy::Policy;
use crate::reason::{Profile, ReasonKind};
use std::sync::Arc;
use std::time::Duration;

/// Settings of a whole app. The defaults are the documented ones of [`App`](crate::App).
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) grace: Duration,
    pub(crate) setup_budget: Duration,
    pub(crate) start_budget: Duration,
    pub(crate) stop_budget: Duration,
    pub(crate) cancel_wait: Duration,
    pub(crate) abort_wait: Duration,
    pub(crate) resource_budget: Duration,
    pub(crate) profiles: Vec<(ReasonKind, Profile)>,
    /// The report goes to a file: that takes time, which is kept.
    pub(crate) written: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            // Under Kubernetes' default of 30 s, with room for the sidecars and the kubelet.
            grace: Duration::from_secs(25),
            setup_budget: Duration::from_secs(30),
            start_budget: Duration::from_secs(30),
            stop_budget: Duration::from_secs(5),
            cancel_wait: Duration::from_millis(500),
            abort_wait: Duration::from_millis(250),
            resource_budget: Duration::from_secs(1),
            profiles: Vec::new(),
            written: false,
        }
    }
}

impl Settings {
    pub(crate) fn profile(&self, kind: ReasonKind) -> Profile {
        // The last one said wins, as with every other setting.
        self.profiles.iter().rev().find(|(k, _)| *k == kind).map(|(_, p)| *p).unwrap_or_default()
    }
    pub(crate) fn grace_for(&self, kind: ReasonKind) -> Duration {
        self.profile(kind).grace.unwrap_or(self.grace)
    }
}

/// A dependency as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dependency {
    Id(ComponentId),
    Name(String),
}

/// A use of a resource as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Id(ResourceId, String),
    Name(String),
}

/// One component as registered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec {
    pub(crate) name: Arc<str>,
    pub(crate) phase: Phase,
    pub(crate) after: Vec<Dependency>,
    pub(crate) uses: Vec<Use>,
    pub(crate) start_budget: Option<Duration>,
    pub(crate) stop_budget: Option<Duration>,
    pub(crate) cancel_wait: Option<Duration>,
    pub(crate) abort_wait: Option<Duration>,
    pub(crate) policy: Policy,
    pub(crate) on_demand: bool,
    pub(crate) declares_ready: bool,
    pub(crate) once_only: bool,
    pub(crate) typical_start: Option<Duration>,
    pub(crate) typical_stop: Option<Duration>,
}

/// One resource as registered.
#[derive(Clone, Debug)]
pub(crate) struct ResourceSpec {
    pub(crate) name: String,
    pub(crate) budget: Option<Duration>,
}

impl Registry {
    /// The components alone, without what may be wrong between them: for a report in which none of them was started.
    pub(crate) fn bare(mut self) -> Registry {
        for spec in &mut self.components {
            let (name, phase) = (spec.name.clone(), spec.phase);
            *spec = Spec { name, phase, ..Spec::default() };
        }
        self.links.clear();
        self
    }
}

/// Everything registered so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry {
    pub(crate) app: String,
    pub(crate) app_id: u32,
    pub(crate) settings: Settings,
    pub(crate) components: Vec<Spec>,
    pub(crate) resources: Vec<ResourceSpec>,
    /// Few components have any, so they do not burden each one.
    pub(crate) links: Vec<Linked>,
}

/// One end of a link as it was said.
#[derive(Clone, Debug)]
pub(crate) struct Linked {
    pub(crate) component: u32,
    pub(crate) link: Link,
    pub(crate) provides: bool,
}
