//! The library inside runtimes as programs have them, in real time: hosts, threads, blocked workers, observers, guarded programs.
//!
//! A test's name begins with the rule that it proves, where it proves one; the rules stand in `docs/semantics.md`.
#![cfg(unix)]

mod common;

#[path = "real_time/blocked.rs"]
mod blocked;
#[path = "real_time/children.rs"]
mod children;
#[path = "real_time/crowds.rs"]
mod crowds;
#[path = "real_time/entries.rs"]
mod entries;
#[path = "real_time/guarded.rs"]
mod guarded;
#[path = "real_time/hosts.rs"]
mod hosts;
#[path = "real_time/threads.rs"]
mod threads;
#[path = "real_time/traced.rs"]
mod traced;

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use winddown::{Added, App, OnDeadline, Output, Signals};

/// An app that neither hears signals nor prints nor leaves the process.
fn app(name: &str) -> App {
    App::new(name).signals(Signals::Ignore).output(Output::Quiet).on_deadline(OnDeadline::Return)
}

/// A component that waits until it is asked to stop.
fn idle<'a>(app: &'a App, name: &str) -> Added<'a> {
    app.task(name, |cx| async move {
        cx.stopping().await;
        Ok(())
    })
}

/// The runtimes that a program may have, by name: of either flavour, with and without timers.
fn runtimes() -> Vec<(&'static str, Runtime)> {
    let build = |builder: &mut Builder| builder.build().expect("a runtime");
    vec![
        ("current thread", build(Builder::new_current_thread().enable_all())),
        ("current thread, no timers", build(&mut Builder::new_current_thread())),
        ("one worker", build(Builder::new_multi_thread().worker_threads(1).enable_all())),
        ("two workers", build(Builder::new_multi_thread().worker_threads(2).enable_all())),
        ("two workers, no timers", build(Builder::new_multi_thread().worker_threads(2))),
    ]
}

fn workers(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime")
}

/// Runs it on a thread of its own: what hangs fails the test instead of holding it up.
fn bounded<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, answer) = channel();
    let thread = std::thread::spawn(move || {
        let _ = done.send(work());
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
