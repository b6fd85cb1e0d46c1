//! From the file's text to a [`Scenario`], or to everything that is wrong with it.
//!
//! What needs the whole picture (names used twice, unknown dependencies, cycles, phases, budgets against the grace
//! period) is not checked here: that is the plan's business, and it says so too.

use crate::model::{Component, Destroy, Policy, Resource, Run, Scenario, Script, Start, Stop};
use crate::section::{Section, Source};
use crate::words::{self, PolicyName};
use std::time::Duration;
use toml::de::DeTable;

/// More than any machine has, and few enough for the system to grant.
const MOST_WORKERS: i64 = 512;

const DEFAULT_WORKERS: usize = 2;

pub(crate) fn scenario(path: &str, text: &str, default_name: &str) -> Result<Scenario, Vec<String>> {
    let source = Source::new(path, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            source.problem(error.span().map_or(0, |span| span.start), error.message().to_owned());
        }
        return Err(source.into_problems());
    }
    let scenario = whole(&source, document.get_ref(), default_name);
    if source.is_clean() { Ok(scenario) } else { Err(source.into_problems()) }
}

fn whole<'a>(source: &'a Source<'a>, table: &'a DeTable<'a>, default_name: &str) -> Scenario {
    let mut file = Section::new(source, table, 0, String::new());
    let scenario = Scenario {
        name: file.name("name").unwrap_or_else(|| default_name.to_owned()),
        grace: file.word("grace", words::span_above_zero),
        stop_budget: file.word("stop_budget", words::span_above_zero),
        worker_threads: file.integer("worker_threads", 1..=MOST_WORKERS).and_then(|number| usize::try_from(number).ok()).unwrap_or(DEFAULT_WORKERS),
        stop_after: file.word("stop_after", words::span),
        resources: file.sections("resource").into_iter().map(|(at, table)| resource(source, table, at)).collect(),
        components: file.sections("component").into_iter().map(|(at, table)| component(source, table, at)).collect(),
    };
    file.end();
    scenario
}

/// A table that has to have a name; its other problems are told under that name.
fn named<'a>(source: &'a Source<'a>, table: &'a DeTable<'a>, at: usize, what: &str) -> (Section<'a>, String) {
    let mut unnamed = Section::new(source, table, at, format!("{what}: "));
    let name = unnamed.name("name");
    if name.is_none() && !table.contains_key("name") {
        unnamed.problem(unnamed.at(), "`name` is missing; every component and resource needs one");
    }
    let name = name.unwrap_or_default();
    let prefix = if name.is_empty() { format!("{what}: ") } else { format!("{what} `{name}`: ") };
    let mut section = Section::new(source, table, at, prefix);
    // It has been read; asking again only marks it as known.
    section.place("name");
    (section, name)
}

fn resource<'a>(source: &'a Source<'a>, table: &'a DeTable<'a>, at: usize) -> Resource {
    let (mut section, name) = named(source, table, at, "resource");
    let destroy = section.word("destroy", words::destroy).unwrap_or(Destroy::Takes(Duration::ZERO));
    section.end();
    Resource { name, destroy }
}

fn component<'a>(source: &'a Source<'a>, table: &'a DeTable<'a>, at: usize) -> Component {
    let (mut section, name) = named(source, table, at, "component");
    let component = Component {
        name,
        phase: section.integer("phase", i64::from(i32::MIN)..=i64::from(i32::MAX)).and_then(|number| i32::try_from(number).ok()).unwrap_or_default(),
        after: section.names("after"),
        uses: section.names("uses"),
        script: Script {
            start: section.word("start", words::start).unwrap_or(Start::Takes(Duration::ZERO)),
            run: section.word("run", words::run).unwrap_or(Run::Idle),
            stop: section.word("stop", words::stop).unwrap_or(Stop::Takes(Duration::ZERO)),
            drop_blocks: section.word("drop", words::drop_of_stop),
        },
        start_budget: section.word("start_budget", words::span_above_zero),
        stop_budget: section.word("stop_budget", words::span_above_zero),
        policy: policy(&mut section),
        auto_startup: section.boolean("auto_startup").unwrap_or(true),
    };
    section.end();
    component
}

/// The restart's own keys mean something only beside it: elsewhere they are a mistake worth telling.
fn policy(section: &mut Section<'_>) -> Policy {
    let policy = section.word("policy", words::policy).unwrap_or(PolicyName::ShutDown);
    let first = ["max_restarts", "window", "backoff"].map(|key| section.place(key)).into_iter().flatten().min();
    let max = section.integer("max_restarts", 0..=i64::from(u32::MAX)).and_then(|number| u32::try_from(number).ok());
    let window = section.word("window", words::span_above_zero);
    let backoff = section.word("backoff", words::span_above_zero);
    match policy {
        PolicyName::Restart => Policy::Restart {
            max: max.unwrap_or(3),
            window: window.unwrap_or(Duration::from_secs(10)),
            backoff: backoff.unwrap_or(Duration::from_millis(100)),
        },
        other => {
            if let Some(at) = first {
                section.problem(at, "`max_restarts`, `window` and `backoff` are allowed only with policy = \"restart\"");
            }
            if matches!(other, PolicyName::Ignore) { Policy::Ignore } else { Policy::ShutDown }
        }
    }
}
