//! A scenario as it stands in memory: every word checked, every default filled in.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// `None`: the library's own default, here and below.
    pub(crate) grace: Option<Duration>,
    pub(crate) stop_budget: Option<Duration>,
    pub(crate) worker_threads: usize,
    /// Ask for the shutdown this long after everything runs.
    pub(crate) stop_after: Option<Duration>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) components: Vec<Component>,
}

#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) name: String,
    pub(crate) destroy: Destroy,
}

#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) phase: i32,
    pub(crate) after: Vec<String>,
    pub(crate) uses: Vec<String>,
    pub(crate) script: Script,
    pub(crate) start_budget: Option<Duration>,
    pub(crate) stop_budget: Option<Duration>,
    pub(crate) policy: Policy,
    pub(crate) auto_startup: bool,
}

/// What a component does when it is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) start: Start,
    pub(crate) run: Run,
    pub(crate) stop: Stop,
    /// The drop of its stop future keeps the worker this long.
    pub(crate) drop_blocks: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    Takes(Duration),
    Fail,
    Panic,
    Hang,
    /// Sleeps on the worker's own thread.
    Block(Duration),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Run {
    Idle,
    Finish(Duration),
    Fail(Duration),
    Panic(Duration),
    /// Keeps a runtime worker.
    Block {
        lasts: Duration,
        after: Duration,
    },
    /// Keeps a thread of the blocking pool.
    Blocking {
        lasts: Duration,
        after: Duration,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    Takes(Duration),
    Fail,
    Panic,
    /// Never returns; can be dropped.
    Hang,
    /// Returns this long after it was cancelled.
    Stubborn(Duration),
    Block(Duration),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Destroy {
    Takes(Duration),
    Fail,
    Panic,
    Hang,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Policy {
    ShutDown,
    Ignore,
    Restart { max: u32, window: Duration, backoff: Duration },
}
