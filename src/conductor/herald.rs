//! Tells observers and `tracing` of every event, on a thread of its own behind a bounded queue (P7).

use crate::event::{Event, EventKind, Observer};
use crate::outcome::Outcome;
use crate::scope::caught;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;

/// Events that may wait; what comes when there are more is dropped and counted.
const WAITING: usize = 4096;

enum Job {
    Tell(Event),
    Flush(SyncSender<()>),
}

pub(super) struct Herald {
    app: String,
    /// Until the thread is needed.
    observers: Vec<Box<dyn Observer>>,
    dispatch: Dispatch,
    queue: Option<SyncSender<Job>>,
    pub(super) dropped: u64,
}

impl Herald {
    /// `dispatch` is the subscriber of the code that runs the app: a scoped one would not be seen on another thread.
    pub(super) fn new(app: String, dispatch: Dispatch) -> Herald {
        Herald { app, observers: Vec::new(), dispatch, queue: None, dropped: 0 }
    }

    pub(super) fn add(&mut self, observers: Vec<Box<dyn Observer>>) {
        self.observers.extend(observers);
    }

    /// Is anybody listening? Asked before events are made of notes.
    pub(super) fn listens(&self) -> bool {
        self.queue.is_some() || !self.observers.is_empty() || LevelFilter::current() != LevelFilter::OFF
    }

    /// Never blocks.
    pub(super) fn tell(&mut self, event: Event) {
        if self.queue.is_none() {
            self.queue = self.start();
        }
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_)) = queue.try_send(Job::Tell(event)) {
            self.dropped += 1;
        }
    }

    /// Waits until everybody was told, for a bounded time.
    pub(super) fn flush(&mut self, bound: Duration) {
        let Some(queue) = &self.queue else { return };
        let (done, wait) = sync_channel(1);
        if queue.try_send(Job::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(bound);
        }
    }

    fn start(&mut self) -> Option<SyncSender<Job>> {
        let (queue, jobs) = sync_channel(WAITING);
        let observers = std::mem::take(&mut self.observers);
        let (app, dispatch) = (self.app.clone(), self.dispatch.clone());
        let body = move || {
            if dispatch.is::<tracing::subscriber::NoSubscriber>() {
                announce(&app, observers, &jobs);
            } else {
                tracing::dispatcher::with_default(&dispatch, || announce(&app, observers, &jobs));
            }
        };
        std::thread::Builder::new().name("winddown-herald".into()).spawn(body).ok()?;
        Some(queue)
    }
}

fn announce(app: &str, mut observers: Vec<Box<dyn Observer>>, jobs: &Receiver<Job>) {
    for job in jobs {
        match job {
            Job::Tell(event) => {
                // One that panics is not asked again.
                let mut broken = observers.extract_if(.., |observer| caught(|| observer.on_event(&event)).is_err());
                broken.by_ref().for_each(|observer| drop(caught(move || drop(observer))));
                drop(broken);
                let _ = caught(|| trace(app, &event));
            }
            Job::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}

/// Stable names and fields: target `winddown`, message the event's name.
fn trace(app: &str, event: &Event) {
    let (subject, at_ms) = (event.subject().unwrap_or(app), crate::event::ms(event.at()));
    let detail = detail(event.kind());
    if is_bad(event.kind()) {
        tracing::warn!(target: "winddown", app, subject, at_ms, detail, "{}", event.kind().name());
    } else {
        tracing::info!(target: "winddown", app, subject, at_ms, detail, "{}", event.kind().name());
    }
}

/// Worth a warning?
pub(super) fn is_bad(kind: &EventKind) -> bool {
    match kind {
        EventKind::ComponentEnded { outcome } => *outcome >= Outcome::Failed,
        EventKind::DestroyEnded { outcome } => *outcome != crate::ResourceOutcome::Destroyed,
        EventKind::TaskEnded { error, .. } | EventKind::StartEnded { error } | EventKind::SetUpEnded { error } => error.is_some(),
        EventKind::CancelBegan
        | EventKind::AbortBegan
        | EventKind::CriticalHeld { .. }
        | EventKind::LeaseOutlived { .. }
        | EventKind::WorkerBlocked { .. }
        | EventKind::RestartScheduled { .. }
        | EventKind::RegistrationRefused => true,
        _ => false,
    }
}

/// What an event carries, as a line.
pub(super) fn detail(kind: &EventKind) -> String {
    use crate::span::Show;
    match kind {
        EventKind::SetUpEnded { error: Some(error) } | EventKind::StartEnded { error: Some(error) } => error.to_string(),
        EventKind::TaskEnded { task, error: Some(error) } => format!("{task}: {error}"),
        EventKind::TaskEnded { task, error: None } => format!("{task} ended"),
        EventKind::RestartScheduled { pause, restart } => format!("restart {restart} in {}", Show(*pause)),
        EventKind::SignalReceived { signal, effect } => format!("{signal}: {effect}"),
        EventKind::ShutdownBegan { trigger, grace } => format!("{trigger}; {} grace", Show(*grace)),
        EventKind::StopBegan { budget } | EventKind::DestroyBegan { budget } => format!("within {}", Show(*budget)),
        EventKind::Step { step, count } => format!("{step}: {count}"),
        EventKind::CriticalHeld { bound } => format!("for {} at most", Show(*bound)),
        EventKind::ComponentEnded { outcome } => outcome.name().into(),
        EventKind::DestroyEnded { outcome } => outcome.name().into(),
        EventKind::LeaseOutlived { holder } => format!("still leased by {holder}"),
        EventKind::WorkerBlocked { task, since } => format!("a runtime worker has been blocked in `{task}` since {}", Show(*since)),
        EventKind::WorkerFreed { task, lasted } => format!("`{task}` freed its worker after {}", Show(*lasted)),
        _ => String::new(),
    }
}
