//! One error type with predicates, and the closed list of what can be wrong with a plan.

use crate::span::Show;
use std::fmt;
use std::time::Duration;

/// What winddown itself refuses or cannot do. Errors of your own components stay `anyhow::Error`.
///
/// Opaque, so that it can grow; ask it with the predicates. Its text says what to do.
#[derive(Clone, Debug)]
pub struct Error(Box<Kind>);

#[derive(Clone, Debug)]
enum Kind {
    InvalidSpan(String),
    Plan(Vec<Problem>),
    Sealed { what: String },
    AlreadyRun,
    NoRuntime,
    Runtime(String),
    NotNow { what: String, why: String },
    UnknownComponent,
    ResourceGone { name: String },
}

impl Error {
    pub(crate) fn invalid_span(text: &str) -> Error {
        Kind::InvalidSpan(text.to_owned()).into()
    }
    pub(crate) fn plan(problems: Vec<Problem>) -> Error {
        Kind::Plan(problems).into()
    }
    pub(crate) fn sealed(what: impl Into<String>) -> Error {
        Kind::Sealed { what: what.into() }.into()
    }
    pub(crate) fn already_run() -> Error {
        Kind::AlreadyRun.into()
    }
    pub(crate) fn no_runtime() -> Error {
        Kind::NoRuntime.into()
    }
    pub(crate) fn runtime(text: impl fmt::Display) -> Error {
        Kind::Runtime(text.to_string()).into()
    }
    pub(crate) fn not_now(what: impl Into<String>, why: impl Into<String>) -> Error {
        Kind::NotNow { what: what.into(), why: why.into() }.into()
    }
    pub(crate) fn unknown_component() -> Error {
        Kind::UnknownComponent.into()
    }
    pub(crate) fn resource_gone(name: impl Into<String>) -> Error {
        Kind::ResourceGone { name: name.into() }.into()
    }

    /// The text was not a span such as `50ms`, `2s` or `1m`.
    pub fn is_invalid_span(&self) -> bool {
        matches!(*self.0, Kind::InvalidSpan(_))
    }
    /// The plan was refused; [`problems`](Error::problems) has all the reasons.
    pub fn is_plan(&self) -> bool {
        matches!(*self.0, Kind::Plan(_))
    }
    /// Something was registered after the run began.
    pub fn is_sealed(&self) -> bool {
        matches!(*self.0, Kind::Sealed { .. })
    }
    /// The app has been run before, or is running.
    pub fn is_already_run(&self) -> bool {
        matches!(*self.0, Kind::AlreadyRun)
    }
    /// There is no tokio runtime here, or none could be made.
    pub fn is_no_runtime(&self) -> bool {
        matches!(*self.0, Kind::NoRuntime | Kind::Runtime(_))
    }
    /// Not possible in the present state, such as starting what runs.
    pub fn is_not_now(&self) -> bool {
        matches!(*self.0, Kind::NotNow { .. })
    }
    /// The id is of another app.
    pub fn is_unknown_component(&self) -> bool {
        matches!(*self.0, Kind::UnknownComponent)
    }
    /// The resource is being destroyed or is gone.
    pub fn is_resource_gone(&self) -> bool {
        matches!(*self.0, Kind::ResourceGone { .. })
    }
    /// Everything that is wrong with the plan; empty for other errors.
    pub fn problems(&self) -> &[Problem] {
        match &*self.0 {
            Kind::Plan(problems) => problems,
            _ => &[],
        }
    }
    /// One line for each thing that is wrong.
    pub(crate) fn lines(&self) -> Vec<String> {
        match &*self.0 {
            Kind::Plan(problems) => problems.iter().map(Problem::to_string).collect(),
            _ => vec![self.to_string()],
        }
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Error {
        Error(Box::new(kind))
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::InvalidSpan(text) => {
                write!(f, "`{text}` is not a span: write a number and us, ms, s, m or h, such as 50ms, 2s or 1m, up to 366 days")
            }
            Kind::Plan(problems) => {
                let plural = if problems.len() == 1 { "problem" } else { "problems" };
                write!(f, "the plan has {} {plural}; nothing was started", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
            Kind::Sealed { what } => {
                write!(f, "`{what}` was registered after the run began: register everything before `run` or in the set-up closure")
            }
            Kind::AlreadyRun => f.write_str("this app has been run already: an app runs once, make a new one with `App::new`"),
            Kind::NoRuntime => {
                f.write_str("no tokio runtime here: call `run().await` inside one, or use `run_blocking` or `winddown::run`, which make their own")
            }
            Kind::Runtime(text) => write!(f, "the runtime or a thread could not be made: {text}"),
            Kind::NotNow { what, why } => write!(f, "{what} is not possible now: {why}"),
            Kind::UnknownComponent => f.write_str("this id is of another app: use the ids that this app's `add` gave"),
            Kind::ResourceGone { name } => write!(f, "the resource `{name}` is being destroyed: take leases while the components that use it run"),
        }
    }
}

/// One thing that is wrong with a plan. [`App::plan`](crate::App::plan) reports all of them at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Two components (or two resources) have the same name.
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A component or resource has an empty name.
    EmptyName,
    /// `after` names a component that is not there, or an id of another app.
    UnknownDependency {
        /// Who depends.
        component: String,
        /// On what.
        dependency: String,
    },
    /// `uses` names a resource that is not there, or one of another app.
    UnknownResource {
        /// Who uses.
        component: String,
        /// What.
        resource: String,
    },
    /// Components wait for each other in a circle.
    Cycle {
        /// The way round; the first name is repeated at the end.
        path: Vec<String>,
    },
    /// A component is `after` one in a higher phase, which starts later.
    AgainstPhases {
        /// Who depends.
        component: String,
        /// Its phase.
        phase: i32,
        /// On what.
        dependency: String,
        /// That one's phase.
        dependency_phase: i32,
    },
    /// A component that starts by itself is `after` one that does not.
    NotStartedAutomatically {
        /// Who depends.
        component: String,
        /// On what.
        dependency: String,
    },
    /// Explicit stop budgets along one chain are longer than the grace period.
    BudgetsExceedGrace {
        /// Who, in the order in which they stop.
        chain: Vec<String>,
        /// Their sum.
        needed: Duration,
        /// The grace period.
        grace: Duration,
    },
    /// A span that may not be zero is.
    ZeroSpan {
        /// Whose: a component, a resource or the app.
        of: String,
        /// Which.
        which: &'static str,
    },
    /// A span is longer than 366 days.
    SpanTooLong {
        /// Whose: a component, a resource or the app.
        of: String,
        /// Which.
        which: &'static str,
    },
    /// The restart policy was given to a task that can run only once.
    NotRestartable {
        /// Which.
        component: String,
    },
    /// A policy's numbers make no sense.
    InvalidRestart {
        /// Which.
        component: String,
    },
    /// A component needs a link that no component provides.
    NotProvided {
        /// Who needs it.
        component: String,
        /// What it stands for.
        link: String,
    },
    /// Two components provide the same link: one handle was added twice.
    ProvidedTwice {
        /// What it stands for.
        link: String,
        /// Who provides it.
        first: String,
        /// Who does too.
        second: String,
    },
    /// More components than a plan can hold.
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::DuplicateName { name } => write!(f, "the name `{name}` is used twice: names must be unique, use `named` to tell them apart"),
            Problem::EmptyName => f.write_str("a component or resource has an empty name: give it one with `named`"),
            Problem::UnknownDependency { component, dependency } => write!(f, "`{component}` is after `{dependency}`, which is not registered here"),
            Problem::UnknownResource { component, resource } => write!(f, "`{component}` uses `{resource}`, which is not a resource registered here"),
            Problem::Cycle { path } => write!(f, "a cycle, nothing in it could ever start: {}", path.join(" -> ")),
            Problem::AgainstPhases { component, phase, dependency, dependency_phase } => write!(
                f,
                "`{component}` (phase {phase}) is after `{dependency}` (phase {dependency_phase}), which starts later: change a phase or drop the dependency"
            ),
            Problem::NotStartedAutomatically { component, dependency } => {
                write!(f, "`{component}` is after `{dependency}`, which is not started automatically: give both `auto_startup(false)` or neither")
            }
            Problem::BudgetsExceedGrace { chain, needed, grace } => write!(
                f,
                "the explicit stop budgets of {} add up to {}, the grace period is {}: shorten them or raise the grace",
                chain.join(" -> "),
                Show(*needed),
                Show(*grace)
            ),
            Problem::ZeroSpan { of, which } => write!(f, "the {which} of `{of}` is zero: give it at least 1 ms"),
            Problem::SpanTooLong { of, which } => write!(f, "the {which} of `{of}` is longer than 366 days"),
            Problem::NotRestartable { component } => {
                write!(f, "`{component}` can run only once and so cannot be restarted: use `task_factory`, `service` or `add`")
            }
            Problem::InvalidRestart { component } => {
                write!(f, "the restart policy of `{component}` needs a window and a backoff above zero, and a cap not below the backoff")
            }
            Problem::NotProvided { component, link } => {
                write!(f, "`{component}` needs `{link}`, whose component is not registered here: `add` it to the same app")
            }
            Problem::ProvidedTwice { link, first, second } => {
                write!(f, "both `{first}` and `{second}` are the component of `{link}`: add it once")
            }
            Problem::TooMany { limit } => write!(f, "more than {limit} components"),
        }
    }
}
