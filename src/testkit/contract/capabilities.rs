//! What not every broker can do.

use std::collections::BTreeSet;

/// Something that a broker may not be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// What is not settled comes again when its visibility is over. Without it: when the member leaves.
    Visibility,
    /// Deliveries count their attempts.
    Attempts,
    /// What was given back comes again after the delay, not before. Without it: at any time.
    NackDelay,
    /// What was released does not count as an attempt. Without it: it may.
    ReleaseUncounted,
    /// What a member held is there for others at once when it leaves. Without it: when its visibility is over.
    CloseReleases,
    /// A delivery's visibility can be extended. Without it: refused as [`Unsupported`](crate::messaging::ErrorKind::Unsupported).
    Extend,
    /// What was settled too late is counted as stale. Without it: it may be counted as done, but it settles nothing.
    StaleCounted,
    /// A member may want some tags only. Without it: refused as unsupported when it joins.
    Tags,
    /// A message may be sent with a delay. Without it: refused as unsupported when it is sent.
    Delay,
    /// A group may have the messages of one key one after the other. Without it: refused as unsupported when it joins.
    OrderedKeys,
    /// A new group gets what was sent before it. Without it: what is sent after it was first joined.
    StartEarliest,
    /// A new group may begin with what is sent from now on. Without it: refused as unsupported when it joins.
    StartLatest,
    /// Topics that do not exist are unknown. Without it: they are made when they are used.
    UnknownTopics,
    /// What is sent, and what was given back, may come to any member. Without it: to the one that has its part of the topic, for as long as it is there.
    AnyMember,
    /// The broker tells how much a group has left to do. Without it: refused as unsupported when asked.
    Backlog,
}

impl Capability {
    /// All of them.
    pub const ALL: [Capability; 15] = [
        Capability::Visibility,
        Capability::Attempts,
        Capability::NackDelay,
        Capability::ReleaseUncounted,
        Capability::CloseReleases,
        Capability::Extend,
        Capability::StaleCounted,
        Capability::Tags,
        Capability::Delay,
        Capability::OrderedKeys,
        Capability::StartEarliest,
        Capability::StartLatest,
        Capability::UnknownTopics,
        Capability::AnyMember,
        Capability::Backlog,
    ];
}

/// What a broker can do.
///
/// ```
/// use winddown::testkit::contract::{Capabilities, Capability};
///
/// let can = Capabilities::all().without(Capability::Delay);
/// assert!(can.has(Capability::Tags) && !can.has(Capability::Delay));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// Everything.
    pub fn all() -> Capabilities {
        Capabilities(Capability::ALL.into_iter().collect())
    }

    /// Less this.
    pub fn without(mut self, capability: Capability) -> Capabilities {
        self.0.remove(&capability);
        self
    }

    /// Can it do this?
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}
