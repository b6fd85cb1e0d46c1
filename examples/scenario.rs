//! A whole service's life from one TOML file, without writing code: components that start, run and stop as told, so
//! that every rule can be tried from outside.
//!
//! `cargo run --release --example scenario -- FILE.toml [--report OUT.json] [--plan] [--rehearse]`
//!
//! The files under `examples/scenarios` show what can be written; `--help` lists the flags.

#[path = "scenario/args.rs"]
mod args;
#[path = "scenario/assemble.rs"]
mod assemble;
#[path = "scenario/model.rs"]
mod model;
#[path = "scenario/read.rs"]
mod read;
#[path = "scenario/scripted.rs"]
mod scripted;
#[path = "scenario/section.rs"]
mod section;
#[path = "scenario/words.rs"]
mod words;

use args::{Args, Request};
use model::Scenario;
use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;
use std::process::{ExitCode, Termination as _};
use winddown::{Plan, Problem, Report};

/// As for a plan that the library refuses: nothing was started.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    match args::read() {
        Ok(Request::Help) => {
            say(args::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Request::Run(args)) => run(&args),
        Err(problem) => {
            complain(format_args!("scenario: {problem}\n\n{}", args::USAGE));
            ExitCode::from(REFUSED)
        }
    }
}

fn run(args: &Args) -> ExitCode {
    let file = args.file.display().to_string();
    let text = match std::fs::read_to_string(&args.file) {
        Ok(text) => text,
        Err(error) => return refuse(args, &args.stem(), vec![format!("{file}: cannot be read: {error}")]),
    };
    let scenario = match read::scenario(&file, &text, &args.stem()) {
        Ok(scenario) => scenario,
        Err(problems) => return refuse(args, &args.stem(), problems),
    };
    if args.plan || args.rehearse {
        return show(args, &file, &scenario);
    }
    assemble::app(&scenario, args).run_main().report()
}

/// Prints what would happen, without starting anything.
fn show(args: &Args, file: &str, scenario: &Scenario) -> ExitCode {
    let plan = match plan(args, scenario) {
        Ok(plan) => plan,
        Err(problems) => return refuse(args, &scenario.name, problems.iter().map(|problem| format!("{file}: {problem}")).collect()),
    };
    if args.plan {
        say(&plan);
    }
    if args.rehearse {
        say(plan.rehearse());
    }
    ExitCode::SUCCESS
}

/// The plan knows a resource once it is open. These are made of nothing, so opening them starts nothing either.
fn plan(args: &Args, scenario: &Scenario) -> Result<Plan, Vec<String>> {
    let (app, wiring) = assemble::register(scenario, args);
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| vec![error.to_string()])?;
    runtime.block_on(wiring.open(app.clone())).map_err(|error| vec![format!("{error:#}")])?;
    app.plan().map_err(|error| error.problems().iter().map(Problem::to_string).collect())
}

/// Says everything that is wrong at once, also in the report where one was asked for.
fn refuse(args: &Args, app: &str, problems: Vec<String>) -> ExitCode {
    for problem in &problems {
        complain(problem);
    }
    if let Some(path) = &args.report {
        write_refusal(path, app, problems);
    }
    ExitCode::from(REFUSED)
}

fn write_refusal(path: &Path, app: &str, problems: Vec<String>) {
    if let Err(error) = Report::refused(app, problems).write_to(path) {
        complain(format_args!("{}: the report cannot be written: {error}", path.display()));
    }
}

/// A line on stdout. It may be closed, and nothing depends on it: so a failed write is no error here.
fn say(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A line on stderr, under the same terms. In one piece, since others write there, too.
fn complain(text: impl Display) {
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}
