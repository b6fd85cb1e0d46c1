//! One fact of a run. All of them in order are the timeline; log, report and metrics are folds over it.

use crate::outcome::{Outcome, ResourceOutcome};
use crate::reason::Trigger;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::sync::Arc;
use std::time::Duration;

/// One fact: when, about whom, what.
#[derive(Clone, Debug)]
pub struct Event {
    pub(crate) at: Duration,
    pub(crate) subject: Option<Arc<str>>,
    pub(crate) kind: EventKind,
}

impl Event {
    /// When, since the run began.
    pub fn at(&self) -> Duration {
        self.at
    }
    /// The component or resource it is about; `None` when it is about the whole run.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
    /// What happened.
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }
}

/// What can happen: a closed set. Whatever lasts comes as a pair, `…Began` and `…Ended`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The run began; the clock counts from here.
    RunBegan,
    /// The set-up code began.
    SetUpBegan,
    /// The set-up code ended.
    SetUpEnded {
        /// Its error's or panic's text.
        error: Option<Arc<str>>,
    },
    /// A resource was opened (in set-up).
    ResourceCreated,
    /// A component's start was called.
    StartBegan,
    /// It runs, or will not.
    StartEnded {
        /// Why it does not run.
        error: Option<Arc<str>>,
    },
    /// Everything that starts by itself runs.
    Ready,
    /// Work ended though nobody asked.
    TaskEnded {
        /// The task's name.
        task: Arc<str>,
        /// Its error's or panic's text; `None` after success.
        error: Option<Arc<str>>,
    },
    /// A component will be started again.
    RestartScheduled {
        /// After this pause.
        pause: Duration,
        /// Which restart it is.
        restart: u32,
    },
    /// A signal came in.
    SignalReceived {
        /// Its name.
        signal: &'static str,
        /// What it did, and what the next will do.
        effect: &'static str,
    },
    /// The shutdown began: readiness is gone, the deadline is fixed.
    ShutdownBegan {
        /// Why.
        trigger: Box<Trigger>,
        /// Time to the last deadline.
        grace: Duration,
    },
    /// A component was asked to stop.
    StopBegan {
        /// In this time.
        budget: Duration,
    },
    /// A component's `stop` returned, and tasks in its scope are still waited for.
    StopReturned,
    /// A component took a step of its own, such as one of those in which it stops.
    Step {
        /// Which.
        step: Arc<str>,
        /// How many units it was about.
        count: u64,
    },
    /// A component's `cancelled` token was fired.
    CancelBegan,
    /// A component's futures are being dropped.
    AbortBegan,
    /// A critical section holds the abort back.
    CriticalHeld {
        /// At most this long.
        bound: Duration,
    },
    /// A component is terminal.
    ComponentEnded {
        /// How.
        outcome: Outcome,
    },
    /// A lease outlived the component that held it, or all of them.
    LeaseOutlived {
        /// Who holds it.
        holder: Arc<str>,
    },
    /// A resource's destruction began.
    DestroyBegan {
        /// In this time.
        budget: Duration,
    },
    /// A resource is done with.
    DestroyEnded {
        /// How.
        outcome: ResourceOutcome,
    },
    /// A component has kept a runtime worker from everybody else.
    WorkerBlocked {
        /// The task whose poll or drop does it.
        task: Arc<str>,
        /// Since when.
        since: Duration,
    },
    /// That worker is free again.
    WorkerFreed {
        /// The task.
        task: Arc<str>,
        /// How long it was held.
        lasted: Duration,
    },
    /// A registration came after the run began and was refused.
    RegistrationRefused,
    /// All is terminal; the report is ready.
    RunEnded,
}

impl EventKind {
    /// Its stable name, as in JSON and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            EventKind::RunBegan => "run_began",
            EventKind::SetUpBegan => "set_up_began",
            EventKind::SetUpEnded { .. } => "set_up_ended",
            EventKind::ResourceCreated => "resource_created",
            EventKind::StartBegan => "start_began",
            EventKind::StartEnded { .. } => "start_ended",
            EventKind::Ready => "ready",
            EventKind::TaskEnded { .. } => "task_ended",
            EventKind::RestartScheduled { .. } => "restart_scheduled",
            EventKind::SignalReceived { .. } => "signal_received",
            EventKind::ShutdownBegan { .. } => "shutdown_began",
            EventKind::StopBegan { .. } => "stop_began",
            EventKind::StopReturned => "stop_returned",
            EventKind::Step { .. } => "step",
            EventKind::CancelBegan => "cancel_began",
            EventKind::AbortBegan => "abort_began",
            EventKind::CriticalHeld { .. } => "critical_held",
            EventKind::ComponentEnded { .. } => "component_ended",
            EventKind::LeaseOutlived { .. } => "lease_outlived",
            EventKind::DestroyBegan { .. } => "destroy_began",
            EventKind::DestroyEnded { .. } => "destroy_ended",
            EventKind::WorkerBlocked { .. } => "worker_blocked",
            EventKind::WorkerFreed { .. } => "worker_freed",
            EventKind::RegistrationRefused => "registration_refused",
            EventKind::RunEnded => "run_ended",
        }
    }
}

/// Milliseconds with fractions, as all instants and spans stand in JSON.
pub(crate) fn ms(span: Duration) -> f64 {
    // Rounded to whole microseconds: more digits would be noise.
    (span.as_nanos() / 1_000) as f64 / 1e3
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("at_ms", &ms(self.at))?;
        map.serialize_entry("kind", self.kind.name())?;
        map.serialize_entry("subject", &self.subject.as_deref())?;
        match &self.kind {
            EventKind::SetUpEnded { error } | EventKind::StartEnded { error } => map.serialize_entry("error", &error.as_deref())?,
            EventKind::TaskEnded { task, error } => {
                map.serialize_entry("task", &**task)?;
                map.serialize_entry("error", &error.as_deref())?;
            }
            EventKind::RestartScheduled { pause, restart } => {
                map.serialize_entry("pause_ms", &ms(*pause))?;
                map.serialize_entry("restart", restart)?;
            }
            EventKind::SignalReceived { signal, effect } => {
                map.serialize_entry("signal", signal)?;
                map.serialize_entry("effect", effect)?;
            }
            EventKind::ShutdownBegan { trigger, grace } => {
                map.serialize_entry("trigger", trigger)?;
                map.serialize_entry("grace_ms", &ms(*grace))?;
            }
            EventKind::StopBegan { budget } | EventKind::DestroyBegan { budget } => map.serialize_entry("budget_ms", &ms(*budget))?,
            EventKind::Step { step, count } => {
                map.serialize_entry("step", &**step)?;
                map.serialize_entry("count", count)?;
            }
            EventKind::CriticalHeld { bound } => map.serialize_entry("bound_ms", &ms(*bound))?,
            EventKind::ComponentEnded { outcome } => map.serialize_entry("outcome", outcome)?,
            EventKind::DestroyEnded { outcome } => map.serialize_entry("outcome", outcome)?,
            EventKind::LeaseOutlived { holder } => map.serialize_entry("holder", &**holder)?,
            EventKind::WorkerBlocked { task, since } => {
                map.serialize_entry("task", &**task)?;
                map.serialize_entry("since_ms", &ms(*since))?;
            }
            EventKind::WorkerFreed { task, lasted } => {
                map.serialize_entry("task", &**task)?;
                map.serialize_entry("lasted_ms", &ms(*lasted))?;
            }
            _ => {}
        }
        map.end()
    }
}

/// Something that wants to see every event.
///
/// It is called on a thread of its own, in order, one event at a time; when it is slow, events are dropped for it and counted
/// (a queue of 4,096 stands between), never for the run. A panic in it ends its subscription.
///
/// Any `FnMut(&Event) + Send + 'static` is one:
///
/// ```
/// let app = winddown::App::new("orders");
/// app.observe(|event: &winddown::Event| {
///     if event.kind().name() == "ready" { /* tell somebody */ }
/// });
/// ```
pub trait Observer: Send + 'static {
    /// One event.
    fn on_event(&mut self, event: &Event);
}

impl<F: FnMut(&Event) + Send + 'static> Observer for F {
    fn on_event(&mut self, event: &Event) {
        self(event)
    }
}
