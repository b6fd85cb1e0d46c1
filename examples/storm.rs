//! The order service, killed again and again: half by SIGTERM, half by SIGKILL, at random moments, under load and faults.
//!
//! ```text
//! cargo build --release --example order_service --example storm && target/release/examples/storm 200
//! ```
//!
//! With `--broker` and `--broker-url` it runs on a real server, which is killed and brought back too, every `--broker-restarts` kills. The server
//! has to be a fresh one: `scripts/storm --broker NAME` sees to that.
//!
//! The service runs as a child process, always on the same data directory. The clients run here, outside of what is killed, and note
//! every 202 that they get: so they know what was promised, whatever the service's files say. At the end the service runs once more
//! without faults until nothing waits; then every order that was answered 202 must be handled or a dead letter.

#[path = "storm/args.rs"]
mod args;
#[path = "storm/audit.rs"]
mod audit;
#[path = "order_service/client.rs"]
mod client;
#[path = "storm/clients.rs"]
mod clients;
#[path = "order_service/dice.rs"]
mod dice;
#[path = "storm/heard.rs"]
mod heard;
#[path = "storm/kill.rs"]
mod kill;
#[path = "storm/outage.rs"]
mod outage;
#[path = "storm/server.rs"]
mod server;
#[path = "storm/service.rs"]
mod service;
#[path = "storm/settle.rs"]
mod settle;
#[path = "storm/weather.rs"]
mod weather;

use args::Command;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Storm(args)) => args,
        Ok(Command::Help) => {
            say(args::HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "storm: {problem}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    match weather::storm(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "storm: {problem:#}");
            let _ = writeln!(std::io::stderr(), "storm: seed {}; the files are left in {}", args.seed, args.data.display());
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
