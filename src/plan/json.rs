//! A plan as JSON, schema `winddown.plan/1`.

use super::Plan;
use super::budget::shrink;
use crate::event::ms;
use crate::policy::Policy;
use serde_json::{Value, json};

impl Plan {
    /// The plan as JSON: `schema` is `winddown.plan/1`, spans are milliseconds.
    pub fn to_json(&self) -> String {
        let components: Vec<Value> = (0..self.components.len()).map(|c| self.component_json(c)).collect();
        let resources: Vec<Value> = self
            .resources
            .iter()
            .map(|r| json!({ "name": &*r.name, "budget_ms": ms(if r.explicit { r.budget } else { shrink(r.budget, self.factor) }), "explicit": r.explicit }))
            .collect();
        let parallel: Vec<Value> = self
            .by_phase()
            .into_iter()
            .map(|(phase, members)| json!({ "phase": phase, "components": members.iter().map(|&c| &*self.components[c].name).collect::<Vec<_>>() }))
            .collect();
        let plan = json!({
            "schema": "winddown.plan/1",
            "app": self.app,
            "grace_ms": ms(self.settings.grace),
            "factor": self.factor,
            "worst_case_ms": ms(self.worst_case()),
            "critical_path": self.critical_path(),
            "phases": parallel,
            "components": components,
            "resources": resources,
        });
        format!("{plan:#}")
    }

    fn component_json(&self, index: usize) -> Value {
        let c = &self.components[index];
        let (cancel, abort) = self.waits(index as u32);
        json!({
            "name": &*c.name,
            "phase": c.phase.get(),
            "after": self.names(c.after()).collect::<Vec<_>>(),
            "uses": c.uses().iter().map(|&r| &*self.resources[r as usize].name).collect::<Vec<_>>(),
            "auto_startup": !c.on_demand,
            "start_budget_ms": ms(self.start_budget(index as u32)),
            "stop_budget_ms": ms(self.granted(index as u32, self.factor)),
            "stop_budget_explicit": c.explicit_stop().is_some(),
            "cancel_wait_ms": ms(shrink(cancel, self.factor)),
            "abort_wait_ms": ms(shrink(abort, self.factor)),
            "policy": match c.policy() { Policy::ShutDown => "shutdown", Policy::Restart(_) => "restart", Policy::Ignore => "ignore" },
        })
    }
}
