//! Typed ids. Dependencies are said with these; names are for people.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names one component of one app. Handed out by [`Added::id`](crate::Added::id), taken by [`Added::after`](crate::Added::after).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    pub(crate) app: u32,
    pub(crate) index: u32,
}

/// Joins a component that others need to those that need it: whoever [needs](crate::Lifecycle::needs) a link starts after the component
/// that [provides](crate::Lifecycle::provides) it and stops before it.
///
/// For components that reach each other through handles, such as a producer that feeds a trace dispatcher: the order follows from the
/// handle, nobody has to say it again with [`Added::after`](crate::Added::after). A link that nobody provides, that two provide or that
/// contradicts the phases is refused when the plan is made. Clones are the same link.
#[derive(Clone, Debug)]
pub struct Link {
    number: u64,
    name: Arc<str>,
}

impl Link {
    /// A new link. The name is for error texts: what it stands for.
    pub fn new(name: impl Into<Arc<str>>) -> Link {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Link { number: NEXT.fetch_add(1, Ordering::Relaxed), name: name.into() }
    }

    /// What it stands for.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl PartialEq for Link {
    fn eq(&self, other: &Link) -> bool {
        self.number == other.number
    }
}

impl Eq for Link {}

/// Names one resource of one app; see [`Resource::id`](crate::Resource::id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    pub(crate) app: u32,
    pub(crate) index: u32,
}
