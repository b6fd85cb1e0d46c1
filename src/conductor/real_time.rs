//! The shell over real time: a thread, and a channel with a timeout as its only wait.

use super::signals::Ears;
use super::step::{Conductor, Ownership};
use crate::app::{App, Signals};
use crate::error::Error;
use crate::report::Report;
use crate::scope::Message;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tokio::runtime::Handle as Runtime;

/// Facts taken at most before timeouts are looked at: a flood of them must not hide a deadline.
const BATCH: usize = 65_536;

/// The way to learn that a run is over, for a thread.
pub(crate) struct Ended(Receiver<Arc<Report>>);

impl Ended {
    /// Waits for the report; `None` only if the conductor itself died, which is a defect.
    pub(crate) fn wait(&self) -> Option<Arc<Report>> {
        self.0.recv().ok()
    }
    pub(crate) fn wait_for(&self, bound: Duration) -> Option<Arc<Report>> {
        self.0.recv_timeout(bound).ok()
    }
}

/// Begins a run: signals first, then the conductor's thread, which begins with the set-up.
pub(crate) fn start(app: &App, ownership: Ownership, runtime: Option<Runtime>) -> Result<Ended, Error> {
    let shared = app.inner().shared.clone();
    let mut conductor = Conductor::new(app, ownership, true)?;
    if let Some(runtime) = runtime {
        let _ = shared.runtime.set(runtime);
    }
    let inbox = shared.receiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take().ok_or_else(Error::already_run)?;
    let listens = app.inner().registered().options.signals == Signals::Own;
    // S4: heard before the set-up runs.
    let ears = listens.then(|| Ears::open(shared.app, shared.sender())).transpose().map_err(Error::runtime)?;
    conductor.ending.ears = ears;
    super::panics::watch(&shared);
    let (done, ended) = channel();
    conductor.ending.done = Some(done);
    shared.clock.begin(false);
    let body = move || {
        if let Err(failure) = crate::scope::caught(|| conduct(&mut conductor, &inbox)) {
            conductor.broken(&failure);
        }
        // What is left of the user's (a plan that was refused, a resource that was late) is dropped where it holds nobody.
        let _ = std::thread::Builder::new().name("winddown-rest".into()).spawn(move || drop(conductor));
    };
    std::thread::Builder::new().name("winddown".into()).spawn(body).map_err(Error::runtime)?;
    Ok(Ended(ended))
}

fn conduct(conductor: &mut Conductor, inbox: &Receiver<Message>) {
    let shared = conductor.inner.shared.clone();
    // A guarded program runs already: a signal that came meanwhile finds it running.
    let guarded = conductor.ending.ownership == Ownership::Guarded;
    let early = if guarded { Vec::new() } else { inbox.try_iter().collect() };
    conductor.begin(shared.clock.now(), early);
    loop {
        let now = shared.clock.now();
        if conductor.is_over(now) {
            return;
        }
        let wake = [conductor.next_wake(), conductor.host_deadline()].into_iter().flatten().min();
        let first = match wake {
            Some(wake) => inbox.recv_timeout(wake.since(now)),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let before = now;
        let now = shared.clock.now();
        let mut drained = true;
        if let Ok(first) = first {
            conductor.take(now, first);
            let mut taken = 1;
            drained = loop {
                match inbox.try_recv() {
                    Ok(message) => conductor.take(now, message),
                    Err(_) => break true,
                }
                taken += 1;
                if taken == BATCH {
                    break false;
                }
            };
        }
        conductor.settle(now);
        // K4: what had happened before the deadline counts, so the timeouts come after the last fact. In a flood of them, those that were due
        // when it began.
        conductor.machine.handle_timeout(if drained { now } else { before });
        conductor.settle(now);
        conductor.tick(now);
    }
}
