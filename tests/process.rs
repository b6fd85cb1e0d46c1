//! Real processes: signals, exit codes, streams, blocked workers, PID 1. Each child runs the `scenario` example.
//!
//! A test's name begins with the rule that it proves; the rules stand in `docs/semantics.md`.
#![cfg(unix)]

mod common;

#[path = "process/bad_input.rs"]
mod bad_input;
#[path = "process/blocked.rs"]
mod blocked;
#[path = "process/exit_codes.rs"]
mod exit_codes;
#[path = "process/panic_abort.rs"]
mod panic_abort;
#[path = "process/pid_one.rs"]
mod pid_one;
#[path = "process/signals.rs"]
mod signals;
#[path = "process/starting.rs"]
mod starting;
#[path = "process/streams.rs"]
mod streams;
#[path = "process/telling.rs"]
mod telling;
