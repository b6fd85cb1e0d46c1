//! From a [`Scenario`] to an app that is ready to run.

use crate::args::Args;
use crate::model::{Component, Destroy, Policy, Resource, Scenario, Start, Stop};
use crate::scripted::{Scripted, pause};
use anyhow::bail;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use winddown::{App, ComponentId, Event, Handle, Phase, Restart};

/// The app that is run: its resources are opened by its set-up.
pub(crate) fn app(scenario: &Scenario, args: &Args) -> App {
    let (app, wiring) = register(scenario, args);
    app.setup(move |app| wiring.open(app))
}

/// The app with its components, and what is left to be done before it is whole.
pub(crate) fn register(scenario: &Scenario, args: &Args) -> (App, Wiring) {
    let mut app = App::new(scenario.name.as_str()).worker_threads(scenario.worker_threads);
    if let Some(grace) = scenario.grace {
        app = app.grace(grace);
    }
    if let Some(budget) = scenario.stop_budget {
        app = app.stop_budget(budget);
    }
    if let Some(path) = &args.report {
        app = app.report_to(path);
    }
    let uses = scenario.components.iter().map(|component| (add(&app, component), component.uses.clone())).collect();
    if args.trace {
        app.observe(|event: &Event| {
            if let Ok(line) = serde_json::to_string(event) {
                crate::complain(line);
            }
        });
    }
    announce(&app, scenario.stop_after);
    (app, Wiring { resources: scenario.resources.clone(), uses })
}

/// Stands for a connection pool or the like.
struct Pool;

/// Resources, and who uses them. Both wait for the set-up: as long as a resource is not there, a component that uses it
/// makes the plan impossible, and a run that is stopped that early could not even list its components.
pub(crate) struct Wiring {
    resources: Vec<Resource>,
    uses: Vec<(ComponentId, Vec<String>)>,
}

impl Wiring {
    /// Opens them in the file's order: that is what makes them known to the plan, too.
    pub(crate) async fn open(self, app: App) -> anyhow::Result<()> {
        for Resource { name, destroy } in self.resources {
            let opening = app.resource(name, async { Ok::<_, Infallible>(Pool) });
            opening.destroy_with(move |_| free(destroy)).await?;
        }
        for (component, names) in self.uses {
            names.iter().fold(app.configure(component), |added, name| added.uses_named(name));
        }
        Ok(())
    }
}

async fn free(destroy: Destroy) -> anyhow::Result<()> {
    match destroy {
        Destroy::Takes(span) => pause(span).await,
        Destroy::Fail => bail!("the destroy fails, as scripted"),
        Destroy::Panic => panic!("the destroy panics, as scripted"),
        Destroy::Hang => pending().await,
    }
    Ok(())
}

fn add(app: &App, component: &Component) -> ComponentId {
    let mut added = app
        .add(Scripted(component.script))
        .named(component.name.as_str())
        .phase(Phase::new(component.phase))
        .auto_startup(component.auto_startup)
        .policy(policy(component.policy));
    for name in &component.after {
        added = added.after_named(name);
    }
    if let Some(budget) = component.start_budget {
        added = added.start_budget(budget);
    }
    if let Some(budget) = component.stop_budget {
        added = added.stop_budget(budget);
    }
    // What the script knows of its own durations makes the rehearsal true to it.
    if let Start::Takes(span) | Start::Block(span) = component.script.start {
        added = added.typical_start(span);
    }
    if let Stop::Takes(span) | Stop::Block(span) = component.script.stop {
        added = added.typical_stop(span);
    }
    added.id()
}

fn policy(policy: Policy) -> winddown::Policy {
    match policy {
        Policy::ShutDown => winddown::Policy::ShutDown,
        Policy::Ignore => winddown::Policy::Ignore,
        Policy::Restart { max, window, backoff } => winddown::Policy::Restart(Restart::new(max, window).backoff(backoff)),
    }
}

/// Says `ready` when everything runs, and asks for the shutdown later where the file wants that.
fn announce(app: &App, stop_after: Option<Duration>) {
    let handle = app.handle();
    app.observe(move |event: &Event| {
        if event.kind().name() != "ready" {
            return;
        }
        if let Some(span) = stop_after {
            stop_later(handle.clone(), span);
        }
        // Last, since stdout may be a pipe that nobody reads.
        crate::say("ready");
    });
}

/// On a thread of its own: it has to work also when the runtime's workers are all blocked.
fn stop_later(handle: Handle, span: Duration) {
    let ask = move || {
        std::thread::sleep(span);
        let _ = handle.shutdown("stop_after is over");
    };
    let _ = std::thread::Builder::new().name("stop_after".to_owned()).spawn(ask);
}
