//! A small real service: HTTP intake, a producer with an outbox, a broker (a file, or a real server), a consumer, orders in SQLite.
//!
//! ```text
//! cargo run --release --example order_service                              # serves until a signal
//! cargo run --release --example order_service -- --load 500 --for 3s       # loads and stops itself, then audits
//! cargo run --release --example order_service -- audit --data data         # what became of the orders, from the files
//! ```
//!
//! What there is to see: `POST /orders` answers 202 only when the order is held durably, by the broker or by the outbox, and logged
//! as accepted. From then on, whatever ends the process and whenever, the order is handled in the end or is a dead letter. The order
//! of stopping helps it: first the edge (the HTTP server), which answers what it began; then the consumer, which finishes what it can
//! and hands back the rest; then the producer, and last the trace dispatcher, which hears from both.

#[path = "order_service/answers.rs"]
mod answers;
#[path = "order_service/args.rs"]
mod args;
#[path = "order_service/assemble.rs"]
mod assemble;
#[path = "order_service/audit.rs"]
mod audit;
#[path = "order_service/belongs.rs"]
mod belongs;
#[path = "order_service/body.rs"]
mod body;
#[path = "order_service/brokers.rs"]
mod brokers;
#[path = "order_service/client.rs"]
mod client;
#[path = "order_service/connections.rs"]
mod connections;
#[path = "order_service/database.rs"]
mod database;
#[path = "order_service/dead_letter.rs"]
mod dead_letter;
#[path = "order_service/dice.rs"]
mod dice;
#[path = "order_service/directory.rs"]
mod directory;
#[path = "order_service/evidence.rs"]
mod evidence;
#[path = "order_service/files.rs"]
mod files;
#[path = "order_service/gauge.rs"]
mod gauge;
#[path = "order_service/handler.rs"]
mod handler;
#[path = "order_service/inquiry.rs"]
mod inquiry;
#[path = "order_service/intake.rs"]
mod intake;
#[path = "order_service/load.rs"]
mod load;
#[path = "order_service/order.rs"]
mod order;
#[path = "order_service/reckoning.rs"]
mod reckoning;
#[path = "order_service/routes.rs"]
mod routes;
#[path = "order_service/server.rs"]
mod server;
#[path = "order_service/store.rs"]
mod store;
#[path = "order_service/tables.rs"]
mod tables;
#[path = "order_service/trial.rs"]
mod trial;
#[path = "order_service/under_way.rs"]
mod under_way;

use args::{Args, AuditPlan, Command};
use audit::Audit;
use std::io::Write;
use std::path::PathBuf;
use std::process::{ExitCode, Termination};

/// For a wrong command line, and where there is nothing to audit or nobody to ask.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    match Args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Serve(args)) => {
            let data = args.data.clone().unwrap_or_else(|| PathBuf::from("data"));
            assemble::service(&args, data, None).run_main().report()
        }
        Ok(Command::Load(args, plan)) => trial::run(&args, plan),
        Ok(Command::Audit(plan)) => audit(&plan),
        Ok(Command::Help) => {
            let _ = write!(std::io::stdout(), "{}", args::HELP);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "order_service: {problem}\n\n{}", args::HELP);
            ExitCode::from(REFUSED)
        }
    }
}

fn audit(plan: &AuditPlan) -> ExitCode {
    let audit = match Audit::of(&plan.data, &plan.broker) {
        Ok(audit) => audit,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "order_service: {problem:#}");
            return ExitCode::from(REFUSED);
        }
    };
    let text = match (plan.list, plan.json) {
        (true, _) => audit.list(),
        (false, true) => audit.json(),
        (false, false) => audit.to_string(),
    };
    let _ = write!(std::io::stdout(), "{text}");
    if audit.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
