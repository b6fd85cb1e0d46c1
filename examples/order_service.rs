//! A small real service: an HTTP intake, a bounded queue, workers, SQLite.
//!
//! ```text
//! cargo run --release --example order_service                              # serves until a signal
//! cargo run --release --example order_service -- --load 500 --for 3s       # loads and stops itself, then audits
//! ```
//!
//! What there is to see: `POST /orders` answers 202 only after the order is durable, so a stop must never lose one that was
//! answered, and must not leave a client without an answer. The order of stopping does that: first the edge (the HTTP server),
//! which waits for what it began; then the workers, which find an empty queue; the database is closed when all are done.

#[path = "order_service/answers.rs"]
mod answers;
#[path = "order_service/args.rs"]
mod args;
#[path = "order_service/audit.rs"]
mod audit;
#[path = "order_service/body.rs"]
mod body;
#[path = "order_service/client.rs"]
mod client;
#[path = "order_service/connections.rs"]
mod connections;
#[path = "order_service/database.rs"]
mod database;
#[path = "order_service/directory.rs"]
mod directory;
#[path = "order_service/gauge.rs"]
mod gauge;
#[path = "order_service/intake.rs"]
mod intake;
#[path = "order_service/load.rs"]
mod load;
#[path = "order_service/order.rs"]
mod order;
#[path = "order_service/queue.rs"]
mod queue;
#[path = "order_service/routes.rs"]
mod routes;
#[path = "order_service/server.rs"]
mod server;
#[path = "order_service/store.rs"]
mod store;
#[path = "order_service/trial.rs"]
mod trial;
#[path = "order_service/worker.rs"]
mod worker;

use args::{Args, Command};
use server::HttpServer;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitCode, Termination};
use store::Store;
use tokio::sync::mpsc::UnboundedSender;
use winddown::{App, Policy, Restart, secs};
use worker::Worker;

/// Orders that may wait for a worker; more are told to come back, which is better than an answer that comes too late.
const QUEUE: usize = 1024;

const WORKERS: usize = 2;

fn main() -> ExitCode {
    match Args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Serve(args)) => {
            let data = args.data.clone().unwrap_or_else(|| PathBuf::from("data"));
            service(&args, data, None).run_main().report()
        }
        Ok(Command::Load(args, plan)) => trial::run(&args, plan),
        Ok(Command::Help) => {
            let _ = write!(std::io::stdout(), "{}", args::HELP);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "order_service: {problem}\n\n{}", args::HELP);
            ExitCode::from(2)
        }
    }
}

/// The service's life. No component has an explicit budget, so together they fit any grace period; what they have by default is
/// ample here, for an order that is begun is worth waiting for as long as the grace period has room.
fn service(args: &Args, data: PathBuf, tell: Option<UnboundedSender<SocketAddr>>) -> App {
    let mut app = App::new("order-service").grace(args.grace).stop_budget(args.grace.max(secs(5)));
    if let Some(file) = &args.report {
        app = app.report_to(file);
    }
    let (listen, delay) = (args.listen.clone(), args.worker_delay);
    app.setup(move |app| async move {
        let store = app.resource("orders-db", Store::open(data)).destroy_with(|store| async move { store.close().await }).await?;
        let (inlet, outlet) = queue::bounded(QUEUE);
        for number in 1..=WORKERS {
            app.service(Worker { number, queue: outlet.clone(), store: store.clone(), delay })
                .uses(&store)
                // What a worker dies of may be one batch; its clients were told to come back. If not, another process is better.
                .policy(Policy::Restart(Restart::new(3, secs(60))));
        }
        app.add(HttpServer::new(listen, store.clone(), inlet, tell)).uses(&store);
        Ok(())
    })
}
