//! Every file under `examples/scenarios` is run as its comments say, and has to end as they say. On top of that each
//! report has to keep what holds for all reports.
#![cfg(unix)]

mod common;

use common::child::{Ended, Setup};
use common::story::{Moment, Story};
use common::{PATIENCE, SLACK, invariants, verdict};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// They mostly sleep, but what they measure suffers when many start at once on a small machine.
const AT_ONCE: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios")
}

fn stories() -> Vec<Story> {
    let entries = std::fs::read_dir(folder()).expect("the folder of scenarios");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.iter().map(|path| Story::read(path)).collect()
}

/// Runs one story and says everything that is not as it should be.
fn tell(story: &Story) -> Vec<String> {
    let mut setup = Setup::file(&story.path).args(&story.args);
    if story.needs_trace() {
        setup = setup.args(["--trace"]);
    }
    let child = setup.spawn();
    let mut asked = None;
    for signal in &story.signals {
        match &signal.after {
            Moment::Ready => child.ready(),
            Moment::Event { kind, subject } => child.event(kind, subject.as_deref()),
        }
        std::thread::sleep(signal.plus);
        child.signal(&signal.name);
        asked.get_or_insert_with(Instant::now);
    }
    let end = child.end(PATIENCE);
    let mut wrong: Vec<String> = story.expects.iter().filter_map(|words| verdict::judge(words, &end)).collect();
    if let Some(report) = &end.report {
        wrong.extend(invariants::broken(report, &story.toml));
        if end.status.code().map(i64::from) != Some(report.exit_code()) {
            wrong.push(format!("the report says {}, the process left with {}", report.exit_code(), end.status));
        }
    }
    wrong.extend(asked.and_then(|asked| late(story, &end, asked)));
    if !wrong.is_empty() {
        wrong.push(format!("stderr was:\n{}", end.stderr));
        if let Some(report) = &end.report {
            wrong.push(format!("the report was:\n{:#}", report.0));
        }
    }
    wrong
}

/// `expect within` binds the process as well as its report. Seen from outside there is more noise: twice the slack.
fn late(story: &Story, end: &Ended, asked: Instant) -> Option<String> {
    let bound = story.expects.iter().find(|words| words[0] == "within")?;
    let bound = winddown::parse_span(&bound[1]).expect("a span") + 2 * SLACK;
    let took = end.at.saturating_duration_since(asked);
    (took > bound).then(|| format!("it was gone {took:?} after the first signal"))
}

#[test]
fn every_scenario_ends_as_its_file_says() {
    let stories = stories();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(story) = stories.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A story that cannot even be told (it panics) is that story's failure, and the others go on.
                    let wrong = std::panic::catch_unwind(|| tell(story)).unwrap_or_else(|_| vec!["it could not be told, see above".into()]);
                    if !wrong.is_empty() {
                        failures.lock().unwrap().push(format!("{}:\n  {}", story.name(), wrong.join("\n  ")));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} scenarios:\n{}", failures.len(), stories.len(), failures.join("\n"));
}

#[test]
fn the_table_lists_every_scenario_and_no_other() {
    let table = std::fs::read_to_string(folder().join("README.md")).expect("the table of scenarios");
    let listed: BTreeSet<&str> = table.split(['(', ')']).filter(|part| part.ends_with(".toml") && !part.contains(' ')).collect();
    let stories = stories();
    let names: Vec<String> = stories.iter().map(Story::name).collect();
    let there: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(listed, there);
}

#[test]
fn the_scenarios_show_every_outcome_and_rung() {
    let stories = stories();
    let shown: BTreeSet<&str> = stories.iter().flat_map(|story| story.expects.iter().flatten()).map(String::as_str).collect();
    let outcomes = ["stopped", "finished", "not_started", "failed", "panicked", "cancelled", "aborted", "abandoned"];
    let rungs = ["none", "graceful", "cancel", "abort", "abandon"];
    let resources = ["destroyed", "late", "leaked"];
    for word in outcomes.iter().chain(&rungs).chain(&resources) {
        assert!(shown.contains(word), "no scenario expects {word}");
    }
}
