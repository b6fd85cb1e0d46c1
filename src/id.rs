//! Typed ids. Dependencies are said with these; names are for people.

/// Names one component of one app. Handed out by [`Added::id`](crate::Added::id), taken by [`Added::after`](crate::Added::after).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    pub(crate) app: u32,
    pub(crate) index: u32,
}

/// Names one resource of one app; see [`Resource::id`](crate::Resource::id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    pub(crate) app: u32,
    pub(crate) index: u32,
}
