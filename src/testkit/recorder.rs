//! The events of a run, to be asked and waited for.

use super::when::When;
use crate::event::{Event, Observer};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Records every event of a run. A cheap handle: give a clone to [`App::observe`](crate::App::observe) and keep one to ask.
///
/// For real time as well as virtual: it is told on the observers' thread, a little after the fact, and has everything once the report is
/// there. In virtual time the clock does not wait for that thread; make things happen at an event with [`World`](super::World) instead of
/// waiting for it here.
///
/// ```
/// use winddown::{App, millis, secs, testkit::Recorder};
///
/// let recorder = Recorder::new();
/// let app = App::new("orders");
/// app.task("consumer", |cx| async move { cx.stopping().await; Ok(()) });
/// app.observe(recorder.clone());
///
/// let (asks, handle) = (recorder.clone(), app.handle());
/// std::thread::spawn(move || {
///     asks.wait_for_blocking(("start_ended", "consumer"), secs(10)).expect("it starts");
///     handle.request_shutdown("seen enough");
/// });
/// app.run_blocking();
///
/// assert_eq!(recorder.kinds_of("consumer"), ["start_began", "start_ended", "stop_began", "component_ended"]);
/// assert_eq!(recorder.kinds().last(), Some(&"run_ended"));
/// ```
#[derive(Clone, Default)]
pub struct Recorder {
    tape: Arc<Tape>,
}

#[derive(Default)]
struct Tape {
    events: Mutex<Vec<Event>>,
    /// For those who wait on a thread, and in a task.
    grown: Condvar,
    rung: Notify,
}

impl Tape {
    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// One that has recorded nothing yet.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// All so far, in order.
    pub fn events(&self) -> Vec<Event> {
        self.tape.lock().clone()
    }

    /// Their kinds.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.tape.lock().iter().map(|event| event.kind().name()).collect()
    }

    /// Those about one component or resource.
    pub fn of(&self, subject: &str) -> Vec<Event> {
        self.tape.lock().iter().filter(|event| event.subject() == Some(subject)).cloned().collect()
    }

    /// Their kinds.
    pub fn kinds_of(&self, subject: &str) -> Vec<&'static str> {
        self.tape.lock().iter().filter(|event| event.subject() == Some(subject)).map(|event| event.kind().name()).collect()
    }

    /// Waits for an event, also among those already there. Only an event: a time is never seen here.
    ///
    /// Cancel safe. Waits for ever if it never comes: give it a bound, `tokio::time::timeout(secs(10), recorder.wait_for("ready"))`. Not under
    /// a paused clock, which would jump over that bound while the observers' thread is on its way.
    pub async fn wait_for(&self, what: impl Into<When>) -> Event {
        let mut what = what.into();
        let mut looked = 0;
        loop {
            let rung = self.tape.rung.notified();
            let mut rung = std::pin::pin!(rung);
            // From here on a ring is not missed.
            rung.as_mut().enable();
            if let Some(event) = self.next(&mut what, &mut looked) {
                return event;
            }
            rung.await;
        }
    }

    /// The same on a thread, for at most so long.
    pub fn wait_for_blocking(&self, what: impl Into<When>, bound: Duration) -> Option<Event> {
        let mut what = what.into();
        let until = Instant::now() + bound;
        let mut looked = 0;
        let mut events = self.tape.lock();
        loop {
            if let Some(event) = fitting(&events, &mut what, &mut looked) {
                return Some(event);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            events = self.tape.grown.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn next(&self, what: &mut When, looked: &mut usize) -> Option<Event> {
        fitting(&self.tape.lock(), what, looked)
    }
}

/// Each event is looked at once.
fn fitting(events: &[Event], what: &mut When, looked: &mut usize) -> Option<Event> {
    while let Some(event) = events.get(*looked) {
        *looked += 1;
        if what.fits(event) {
            return Some(event.clone());
        }
    }
    None
}

impl Observer for Recorder {
    fn on_event(&mut self, event: &Event) {
        self.tape.lock().push(event.clone());
        self.tape.grown.notify_all();
        self.tape.rung.notify_waiters();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("events", &self.tape.lock().len()).finish()
    }
}
