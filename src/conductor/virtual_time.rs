//! The shell over tokio's paused clock: an async task, the same machine, the same actions.
//!
//! Facts and a timeout at the same virtual instant: the facts count first (T6). To know that there are no more of them, a timeout at T is
//! carried out only when the paused clock has moved past T, which tokio does only once every other task has nothing left to do.
//!
//! A test may direct the run: it sees every event here, between two steps of the machine and in order, and what it answers is a fact of the
//! same instant. Nothing of that goes through another thread, so the same app under the same direction has the same timeline.

use super::patience::{Asked, Patience};
use super::step::Conductor;
use crate::error::Error;
use crate::event::Event;
use crate::lifecycle::Body;
use crate::plan::Plan;
use crate::run::machine::{Machine, Stage};
use crate::run::{Input, Subject};
use crate::scope::gate::CANCELLED;
use crate::scope::{Extra, Message};
use crate::span::Moment;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;

/// tokio's timers count in milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// What happens to the registered bodies once they are planned; an error refuses the plan.
pub(crate) type Interpose = Box<dyn FnOnce(&Plan, &mut [Body]) -> Result<(), Error> + Send>;

/// Who directs a run in virtual time. `()` leaves it alone.
pub(crate) trait Director {
    /// When it wants to be asked at the latest.
    fn next(&self) -> Option<Moment> {
        None
    }
    /// That moment has come.
    fn due(&mut self, _now: Moment) -> Vec<Input> {
        Vec::new()
    }
    /// An event: each once, in the timeline's order.
    fn saw(&mut self, _event: &Event) -> Vec<Input> {
        Vec::new()
    }
}

impl Director for () {}

/// Runs until the report is published.
pub(crate) async fn conduct(conductor: &mut Conductor, inbox: &Receiver<Message>, bell: &Arc<Notify>, director: &mut dyn Director) {
    let shared = conductor.inner.shared.clone();
    let early = inbox.try_iter().collect();
    let now = shared.clock.now();
    conductor.begin(now, early);
    let (mut seen, patience) = (0, Patience::default());
    conductor.show(now, director, &mut seen);
    while conductor.machine.stage != Stage::Done {
        let now = shared.clock.now();
        catch_up(conductor, now, director, &mut seen);
        for message in inbox.try_iter() {
            conductor.take(now, message);
        }
        conductor.settle(now);
        conductor.show(now, director, &mut seen);
        if conductor.machine.stage == Stage::Done {
            break;
        }
        // While it lives, the clock stands still.
        let _held = patience.hold(conductor.threads_asked());
        match [conductor.machine.next_timeout(), director.next()].into_iter().flatten().min() {
            Some(at) => {
                let until = tokio::time::Instant::from_std(shared.clock.at(at.max(now)) + TICK);
                let (mut rung, mut slept) = (pin!(bell.notified()), pin!(tokio::time::sleep_until(until)));
                poll_fn(|cx| match rung.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => slept.as_mut().poll(cx),
                })
                .await;
            }
            None => bell.notified().await,
        }
    }
    // The end itself comes with the report, which has taken the timeline over.
    if let Some(report) = shared.report.get() {
        report.events().iter().skip(seen).for_each(|event| drop(director.saw(event)));
    }
}

/// What was due before now happens first, each at its own time; what is directed, as a fact, before a timeout of the same moment.
fn catch_up(conductor: &mut Conductor, now: Moment, director: &mut dyn Director, seen: &mut usize) {
    loop {
        let (timeout, directed) = (conductor.machine.next_timeout(), director.next());
        let Some(at) = [timeout, directed].into_iter().flatten().min().filter(|at| *at < now) else { return };
        if directed == Some(at) {
            director.due(at).into_iter().for_each(|input| conductor.machine.handle(at, input));
        } else {
            conductor.machine.handle_timeout(at);
        }
        conductor.settle(at);
        conductor.show(at, director, seen);
    }
}

impl Conductor {
    /// Components on threads of their own that were asked to stop, or cancelled, and are still there.
    fn threads_asked(&self) -> Vec<Asked> {
        if self.inner.shared.threads.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let scopes = self.slots.iter().filter_map(|slot| slot.scope.as_ref());
        let asked = scopes.filter(|scope| scope.asked() && scope.members() > 0 && scope.extra_if_any().is_some_and(Extra::is_threaded));
        asked.map(|scope| Asked { subject: scope.subject, epoch: scope.epoch, cancelled: scope.gate.is_set(CANCELLED) }).collect()
    }

    /// Jitter of restarts as this seed gives it.
    pub(crate) fn seed(&mut self, seed: u64) {
        self.machine = Machine::new(seed);
    }

    /// Shows the director what is new, and does what it says, until there is nothing new.
    fn show(&mut self, now: Moment, director: &mut dyn Director, seen: &mut usize) {
        // When all is done, the report has the timeline.
        while self.machine.stage != Stage::Done && *seen < self.machine.timeline.len() {
            let event = self.event(*seen);
            *seen += 1;
            for input in director.saw(&event) {
                self.machine.handle(now, input);
            }
            self.settle(now);
        }
    }

    fn event(&self, index: usize) -> Event {
        let timeline = &self.machine.timeline;
        let mut event = timeline.event(&self.machine.plan, index);
        // Opened in set-up, when there is no plan yet that knows its name.
        if let (None, Subject::Resource(id)) = (&event.subject, timeline.subject(index)) {
            event.subject = self.inner.registered().registry.resources.get(id as usize).map(|resource| resource.name.as_str().into());
        }
        event
    }

    /// The plan, once the test has had its word. A set-up that is being taken back is none of its business.
    pub(super) fn interposed(&mut self, plan: Plan, bodies: &mut [Body]) -> Result<Plan, Error> {
        if let (Some(interpose), None) = (self.interpose.take(), &self.machine.shutdown) {
            interpose(&plan, bodies)?;
        }
        Ok(plan)
    }
}
