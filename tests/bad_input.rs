//! What cannot be carried out is refused before anything starts, and what comes too late is answered: never a panic, never silence.
//!
//! A test's name begins with the rule that it proves; the rules stand in `docs/semantics.md`.
#![cfg(unix)]

#[path = "bad_input/late.rs"]
mod late;
#[path = "bad_input/problems.rs"]
mod problems;
#[path = "bad_input/refused.rs"]
mod refused;
#[path = "bad_input/shown.rs"]
mod shown;
#[path = "bad_input/spans.rs"]
mod spans;

use std::future::Future;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use winddown::{Added, App, OnDeadline, Output, Problem, Signals, Verdict};

/// An app that neither hears signals nor prints nor leaves the process.
fn app() -> App {
    App::new("shop").signals(Signals::Ignore).output(Output::Quiet).on_deadline(OnDeadline::Return)
}

/// A component that waits until it is asked to stop.
fn idle<'a>(app: &'a App, name: &str) -> Added<'a> {
    app.task(name, |cx| async move {
        cx.stopping().await;
        Ok(())
    })
}

/// On a runtime of its own; what hangs fails the test.
fn block_on<F>(work: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (done, answer) = channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let output = runtime.block_on(work);
        runtime.shutdown_background();
        let _ = done.send(output);
    });
    match answer.recv_timeout(Duration::from_secs(60)) {
        Ok(output) => output,
        Err(RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("it ended without an answer"),
        },
    }
}

/// The plan has exactly these problems, with these texts, and a run of it is refused for them.
#[track_caller]
fn has_problems(app: &App, problems: &[Problem], texts: &[&str]) {
    is_told(app, problems, texts);
    let report = app.run_blocking();
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Refused, 2));
    assert_eq!(report.problems(), texts);
    assert!(report.trigger().is_none() && report.shutdown_took().is_none());
    assert!(report.events().iter().all(|event| event.kind().name() != "start_began"));
}

/// The plan alone, without a run.
#[track_caller]
fn is_told(app: &App, problems: &[Problem], texts: &[&str]) {
    let error = app.plan().expect_err("this plan is bad");
    assert!(error.is_plan() && !error.is_sealed() && !error.is_already_run());
    assert_eq!(error.problems(), problems);
    let told: Vec<String> = error.problems().iter().map(Problem::to_string).collect();
    assert_eq!(told, texts);
    let plural = if texts.len() == 1 { "problem" } else { "problems" };
    let listed: String = texts.iter().map(|text| format!("\n  - {text}")).collect();
    assert_eq!(error.to_string(), format!("the plan has {} {plural}; nothing was started{listed}", texts.len()));
}

/// The same for one problem.
#[track_caller]
fn has_problem(app: &App, problem: Problem, text: &str) {
    has_problems(app, &[problem], &[text]);
}
