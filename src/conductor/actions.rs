//! Carrying out what the machine says.

use super::step::Conductor;
use crate::error::Error;
use crate::lifecycle::Body;
use crate::reason::ReasonKind;
use crate::resource::Graveyard;
use crate::run::{Action, Failure, Input, Refusal, Ticket};
use crate::scope::gate::{CANCELLED, STOPPING};
use crate::scope::{RESOURCES, Role, Scope, Wrapped};
use crate::span::Moment;
use std::sync::Arc;
use tokio::runtime::Handle as Runtime;
use tokio::task::AbortHandle;

impl Conductor {
    /// One action; what is known at once comes back as a fact.
    pub(super) fn act(&mut self, now: Moment, action: Action) -> Option<Input> {
        match action {
            Action::DropSetUp => return self.drop_set_up(),
            Action::PlanForUnwinding => self.plan(now),
            Action::Start { id, epoch, deadline } => return self.start_component(id, epoch, deadline),
            Action::Interrupt { id } => {
                let scope = self.slots.get(id as usize)?.scope.as_ref()?;
                scope.set_deadline(now.plus(self.machine.cancel_wait(id)));
                scope.fire(CANCELLED, &mut self.wakers);
                scope.seal();
            }
            Action::AskStop { id, deadline } => self.ask_component(id, deadline),
            Action::Cancel { id, deadline } => {
                let scope = self.slots.get(id as usize)?.scope.as_ref()?;
                scope.set_deadline(deadline);
                scope.fire(CANCELLED, &mut self.wakers);
            }
            Action::Abort { id } => return self.abort_component(id, false),
            Action::AbortNow { id } => return self.abort_component(id, true),
            Action::Discard { id } => self.discard(id),
            Action::Ended { id, abandoned } => self.component_ended(id, abandoned),
            Action::Destroy { id } => return self.destroy(id),
            Action::DropDestroy { .. } => self.destroying.take().iter().for_each(AbortHandle::abort),
            Action::Leak { id } => {
                if let Some(resource) = self.resources.get_mut(id as usize).and_then(Option::take) {
                    resource.leak();
                }
            }
            Action::Answer { ticket, result } => self.answer(ticket, result),
            Action::Finish => self.finish(now),
            Action::Leave => self.leave_at_once(),
        }
        None
    }

    fn drop_set_up(&mut self) -> Option<Input> {
        if let Some(task) = &self.set_up_task {
            task.abort();
            return None;
        }
        // Not begun yet: the closure is the user's, and dropped elsewhere.
        if let Some(set_up) = self.set_up.take() {
            self.drop_elsewhere(crate::scope::SET_UP, set_up);
        }
        Some(Input::SetUpDropped)
    }

    fn start_component(&mut self, id: u32, epoch: u32, deadline: Moment) -> Option<Input> {
        let shared = self.inner.shared.clone();
        let runtime = self.runtime().cloned();
        // A task has no start, so no deadline for one.
        let is_task = matches!(self.slots[id as usize].body, Body::Task(_) | Body::Program(_));
        let scope = Scope::new(&shared, id, epoch, if is_task { Moment::NEVER } else { deadline });
        let slot = &mut self.slots[id as usize];
        let previous = slot.scope.replace(scope.clone());
        let failed = |text: &str| Some(Input::StartReturned { id, epoch, result: Err(Failure::error(text)) });
        let answer = match (&mut slot.body, &runtime) {
            (Body::Component(home), Some(runtime)) => {
                scope.enter();
                let planned = &self.machine.plan.components[id as usize];
                // After a start that failed it is needed again only if somebody may start it again.
                let keep = planned.on_demand || *planned.policy() != crate::Policy::ShutDown;
                slot.operation = Some(home.start(scope, runtime, keep));
                None
            }
            (Body::Task(_), Some(runtime)) => {
                let Body::Task(task) = std::mem::replace(&mut slot.body, Body::Gone) else { return None };
                scope.enter();
                slot.operation = Some(task.spawn(scope, runtime));
                // It runs: a task has no start of its own.
                Some(Input::StartReturned { id, epoch, result: Ok(()) })
            }
            (Body::Program(place), _) => {
                scope.enter();
                let _ = place.send(scope);
                Some(Input::StartReturned { id, epoch, result: Ok(()) })
            }
            (Body::Gone, _) => failed("it can run only once"),
            (_, None) => failed("there is no runtime"),
        };
        if let Some(previous) = previous {
            self.collect(id, &previous);
        }
        answer
    }

    fn ask_component(&mut self, id: u32, deadline: Moment) {
        let shutdown = self.machine.shutdown.as_ref();
        let reason = shutdown.map_or(ReasonKind::Request, |s| s.cause.kind);
        // When only this one is stopped it may be started again.
        let keep = shutdown.is_none();
        let runtime = match self.slots[id as usize].body {
            Body::Component(_) => self.runtime().cloned(),
            _ => None,
        };
        let slot = &mut self.slots[id as usize];
        let Some(scope) = &slot.scope else { return };
        scope.set_deadline(deadline);
        scope.fire(STOPPING, &mut self.wakers);
        if let (Body::Component(home), Some(runtime)) = (&slot.body, &runtime) {
            scope.enter();
            slot.operation = Some(home.stop(scope.clone(), runtime, reason, keep));
        }
        // After the stop has entered: otherwise the scope could close before it.
        scope.seal();
    }

    fn abort_component(&mut self, id: u32, now: bool) -> Option<Input> {
        let slot = self.slots.get(id as usize)?;
        match slot.scope.as_ref()?.abort(now) {
            Ok(()) => slot.operation.iter().for_each(AbortHandle::abort),
            Err(bound) => return Some(Input::Held { id, bound }),
        }
        None
    }

    fn component_ended(&mut self, id: u32, abandoned: bool) {
        let again = self.machine.shutdown.is_none();
        let slot = &mut self.slots[id as usize];
        slot.operation = None;
        if abandoned {
            // Its scope stays: it names who still runs.
            if let Some(scope) = slot.scope.clone() {
                self.collect(id, &scope);
            }
            return;
        }
        if let Some(scope) = slot.scope.take() {
            self.collect(id, &scope);
        }
        // Stopped alone, it may be started again; at the begin of a shutdown it is discarded like the rest.
        if !again {
            self.discard(id);
        }
    }

    /// Never started, or kept for another start: dropped like all that is the user's.
    fn discard(&mut self, id: u32) {
        match std::mem::replace(&mut self.slots[id as usize].body, Body::Gone) {
            Body::Component(home) => {
                if let Some(component) = home.take() {
                    self.drop_elsewhere(id, component);
                }
            }
            Body::Task(task) => self.drop_elsewhere(id, task),
            Body::Program(_) | Body::Gone => {}
        }
    }

    /// K1: a drop may be any code. Resources wait for it.
    pub(super) fn drop_elsewhere<T: Send + 'static>(&self, subject: u32, value: T) {
        let Some(runtime) = self.runtime() else {
            // Nowhere to run it: leaking is the only safe way.
            return std::mem::forget(value);
        };
        let scope = Scope::new(&self.inner.shared, subject, u32::MAX, Moment::NEVER);
        scope.enter();
        let buried = Graveyard::enter(&self.graveyard);
        let work = async move {
            drop(value);
            drop(buried);
            Ok(())
        };
        runtime.spawn(Wrapped::new(work, scope, Role::Drop));
    }

    /// The runtime, unless it is gone: it would then drop what is spawned here and now, on this thread.
    fn runtime(&self) -> Option<&Runtime> {
        let runtime = self.inner.shared.runtime.get()?;
        if !self.host_gone {
            return Some(runtime);
        }
        let probe = Arc::new(());
        let held = probe.clone();
        let waits = Arc::new(tokio::sync::Notify::new());
        let until = waits.clone();
        // It cannot end before we have looked, except by being dropped.
        runtime.spawn(async move {
            until.notified().await;
            drop(held);
        });
        let alive = Arc::strong_count(&probe) > 1;
        waits.notify_one();
        alive.then_some(runtime)
    }

    fn destroy(&mut self, id: u32) -> Option<Input> {
        let Some(resource) = self.resources.get_mut(id as usize).and_then(Option::take) else {
            return Some(Input::ResourceEnded { id, result: Ok(()) });
        };
        let Some(runtime) = self.runtime().cloned() else {
            resource.leak();
            return Some(Input::ResourceEnded { id, result: Err(Failure::error("its runtime is gone")) });
        };
        let shared = &self.inner.shared;
        let holders = resource.holders();
        let scope = Scope::new(shared, RESOURCES + id, 0, Moment::NEVER);
        scope.enter();
        self.destroying = Some(resource.destroy(scope, &runtime, self.graveyard.clone()));
        (!holders.is_empty()).then_some(Input::Leased { id, holders })
    }

    fn answer(&mut self, ticket: Ticket, result: Result<(), Box<Refusal>>) {
        if let Some(reply) = self.tickets.remove(&ticket) {
            let result = result.map_err(|refusal| match *refusal {
                Refusal::NotNow { what, why } => Error::not_now(what, why),
                Refusal::Unknown => Error::unknown_component(),
            });
            let _ = reply.send(result);
        }
    }
}
