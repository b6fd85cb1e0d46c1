//! Several order services in one group, restarted one after the other under constant load: what their clients feel, and that no order is lost.
//!
//! ```text
//! scripts/rollout --broker nats --services 3
//! ```
//!
//! Each service has a data directory of its own, and all share one server; without `--broker` each has its own file and they share nothing. In each round
//! one is asked to leave by SIGTERM and comes again, as in a rolling update of a stateful set. The clients post at a steady rate to those that are
//! in service, as a load balancer would, and try the next one when they are refused. An order's wait counts from when it was due.

#[path = "rollout/args.rs"]
mod args;
#[path = "storm/audit.rs"]
mod audit;
#[path = "order_service/client.rs"]
mod client;
#[path = "rollout/figures.rs"]
mod figures;
#[path = "rollout/load.rs"]
mod load;
#[path = "rollout/rounds.rs"]
mod rounds;
#[path = "storm/server.rs"]
#[allow(dead_code, reason = "the storm needs more of it")]
mod server;
#[path = "storm/service.rs"]
#[allow(dead_code, reason = "the storm needs more of it")]
mod service;

use args::Command;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Rollout(args)) => args,
        Ok(Command::Help) => {
            say(args::HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "rollout: {problem}\n\n{}", args::HELP);
            return ExitCode::from(2);
        }
    };
    match rounds::roll_out(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "rollout: {problem:#}");
            let _ = writeln!(std::io::stderr(), "rollout: the files are left in {}", args.data.display());
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
