//! Carrying out what the machine says.

use super::step::Conductor;
use crate::error::Error;
use crate::lifecycle::Body;
use crate::reason::ReasonKind;
use crate::run::{Action, Failure, Input, Refusal, Ticket};
use crate::scope::gate::{CANCELLED, STOPPING};
use crate::scope::{RESOURCES, Role, Scope, Wrapped};
use crate::span::Moment;
use std::sync::Arc;
use tokio::task::AbortHandle;

impl Conductor {
    /// One action; what is known at once comes back as a fact.
    pub(super) fn act(&mut self, now: Moment, action: Action) -> Option<Input> {
        match action {
            Action::DropSetUp => return self.drop_set_up(),
            Action::PlanForUnwinding => self.plan(now),
            Action::Start { id, epoch, deadline } => return self.start_component(id, epoch, deadline),
            Action::Interrupt { id } => {
                let scope = self.scope(id)?;
                scope.fire(CANCELLED);
                scope.seal();
            }
            Action::AskStop { id, deadline } => self.ask_component(id, deadline),
            Action::Cancel { id, deadline } => {
                let scope = self.scope(id)?;
                scope.set_deadline(deadline);
                scope.fire(CANCELLED);
            }
            Action::Abort { id } => return self.abort_component(id, false),
            Action::AbortNow { id } => return self.abort_component(id, true),
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

    fn scope(&self, id: u32) -> Option<&Arc<Scope>> {
        self.slots.get(id as usize)?.scope.as_ref()
    }

    fn start_component(&mut self, id: u32, epoch: u32, deadline: Moment) -> Option<Input> {
        let shared = self.inner.shared.clone();
        let scope = Scope::new(&shared, id, epoch, deadline);
        let slot = &mut self.slots[id as usize];
        let previous = slot.scope.replace(scope.clone());
        let failed = |text: &str| Some(Input::StartReturned { id, epoch, result: Err(Failure::error(text)) });
        let answer = match (&mut slot.body, shared.runtime.get()) {
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
        let slot = &mut self.slots[id as usize];
        let Some(scope) = &slot.scope else { return };
        scope.set_deadline(deadline);
        scope.fire(STOPPING);
        if let (Body::Component(home), Some(runtime)) = (&slot.body, self.inner.shared.runtime.get()) {
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
        let scope = slot.scope.take();
        let body = if again { None } else { Some(std::mem::replace(&mut slot.body, Body::Gone)) };
        if let Some(scope) = &scope {
            self.collect(id, scope);
        }
        match body {
            // Never started, or its start was taken back: dropped like all that is the user's.
            Some(Body::Component(home)) => {
                if let Some(component) = home.take() {
                    self.drop_elsewhere(id, component);
                }
            }
            Some(Body::Task(task)) => self.drop_elsewhere(id, task),
            Some(Body::Program(_) | Body::Gone) | None => {}
        }
    }

    /// K1: a drop may be any code.
    fn drop_elsewhere<T: Send + 'static>(&self, subject: u32, value: T) {
        let shared = &self.inner.shared;
        let Some(runtime) = shared.runtime.get() else {
            // No runtime, so nothing was started; leaking is the only safe way.
            return std::mem::forget(value);
        };
        let scope = Scope::new(shared, subject, u32::MAX, Moment::NEVER);
        scope.enter();
        let work = async move {
            drop(value);
            Ok(())
        };
        runtime.spawn(Wrapped::new(work, scope, Role::Drop));
    }

    fn destroy(&mut self, id: u32) -> Option<Input> {
        let shared = &self.inner.shared;
        let (Some(resource), Some(runtime)) = (self.resources.get_mut(id as usize).and_then(Option::take), shared.runtime.get()) else {
            return Some(Input::ResourceEnded { id, result: Ok(()) });
        };
        let holders = resource.holders();
        let scope = Scope::new(shared, RESOURCES + id, 0, Moment::NEVER);
        scope.enter();
        self.destroying = Some(resource.destroy(scope, runtime));
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
