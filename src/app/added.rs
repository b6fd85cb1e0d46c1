//! What is said about one component.

use super::App;
use crate::error::Error;
use crate::id::ComponentId;
use crate::phase::Phase;
use crate::plan::spec::{Dependency, Spec, Use};
use crate::policy::Policy;
use crate::resource::Resource;
use std::time::Duration;

/// One registration; each call says more about it. Ends with [`id`](Added::id) where others depend on it.
///
/// What is registered after the run began is not added: [`error`](Added::error) says so, and so does an event in the report.
#[derive(Debug)]
pub struct Added<'a> {
    pub(super) app: &'a App,
    pub(super) id: ComponentId,
    pub(super) refused: Option<Error>,
}

impl<'a> Added<'a> {
    fn say(self, change: impl FnOnce(&mut Spec)) -> Added<'a> {
        if self.refused.is_none() {
            let mut registered = self.app.inner.registered();
            if let (false, Some(spec)) = (registered.sealed, registered.registry.components.get_mut(self.id.index as usize)) {
                change(spec);
            }
        }
        self
    }

    /// Another name than its own.
    pub fn named(self, name: impl Into<String>) -> Added<'a> {
        let name: String = name.into();
        self.say(|c| c.name = name.into())
    }

    /// Another phase than its own.
    pub fn phase(self, phase: impl Into<Phase>) -> Added<'a> {
        let phase = phase.into();
        self.say(|c| c.phase = phase)
    }

    /// Starts after that one runs, and stops before it does. In another phase it may only be a lower one.
    pub fn after(self, dependency: ComponentId) -> Added<'a> {
        self.say(|c| c.after.push(Dependency::Id(dependency)))
    }

    /// The same by name, for what is read from files; looked up when the plan is made.
    pub fn after_named(self, dependency: impl Into<String>) -> Added<'a> {
        let dependency = dependency.into();
        self.say(|c| c.after.push(Dependency::Name(dependency)))
    }

    /// It uses this resource: should it have to be abandoned, the resource is left alone instead of pulled from under it.
    pub fn uses<T: Send + Sync + 'static>(self, resource: &Resource<T>) -> Added<'a> {
        self.say(|c| c.uses.push(Use::Id(resource.id(), resource.name().to_owned())))
    }

    /// The same by name.
    pub fn uses_named(self, resource: impl Into<String>) -> Added<'a> {
        let resource = resource.into();
        self.say(|c| c.uses.push(Use::Name(resource)))
    }

    /// Time for its start. Default: [`App::start_budget`].
    pub fn start_budget(self, budget: Duration) -> Added<'a> {
        self.say(|c| c.start_budget = Some(budget))
    }

    /// Time for its stop: explicit, so it is never shortened, and a plan in which such budgets cannot fit is refused.
    /// Default: [`App::stop_budget`].
    pub fn stop_budget(self, budget: Duration) -> Added<'a> {
        self.say(|c| c.stop_budget = Some(budget))
    }

    /// Time between `cancelled` and the drop of its futures. Default: [`App::cancel_wait`].
    pub fn cancel_wait(self, wait: Duration) -> Added<'a> {
        self.say(|c| c.cancel_wait = Some(wait))
    }

    /// Time for the drop of its futures. Default: [`App::abort_wait`].
    pub fn abort_wait(self, wait: Duration) -> Added<'a> {
        self.say(|c| c.abort_wait = Some(wait))
    }

    /// What happens when its work ends though nobody asked. Default: [`Policy::ShutDown`].
    pub fn policy(self, policy: Policy) -> Added<'a> {
        self.say(|c| c.policy = policy)
    }

    /// Is it started by itself? Default: yes. Otherwise only through [`Handle::start`](crate::Handle::start).
    pub fn auto_startup(self, auto: bool) -> Added<'a> {
        self.say(|c| c.on_demand = !auto)
    }

    /// It runs only once [`Cx::ready`](crate::Cx::ready) was called from its scope.
    pub fn waits_for_ready(self) -> Added<'a> {
        self.say(|c| c.declares_ready = true)
    }

    /// How long its start usually takes; used by [`Plan::rehearse`](crate::Plan::rehearse). Default 0.
    pub fn typical_start(self, span: Duration) -> Added<'a> {
        self.say(|c| c.typical_start = Some(span))
    }

    /// How long its stop usually takes; used by [`Plan::rehearse`](crate::Plan::rehearse). Default 0.
    pub fn typical_stop(self, span: Duration) -> Added<'a> {
        self.say(|c| c.typical_stop = Some(span))
    }

    /// Its typed id, to depend on.
    pub fn id(&self) -> ComponentId {
        self.id
    }

    /// Why nothing was added or changed, if so: the run had begun, or the id is of another app.
    pub fn error(&self) -> Option<Error> {
        self.refused.clone()
    }
}
