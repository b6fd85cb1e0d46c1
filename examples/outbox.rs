//! Looks into an outbox in an SQLite file, and does with it what an operator may: list, count, try again, delete, put.
//!
//! ```text
//! cargo run --features sqlite --example outbox -- stats /var/lib/shop/outbox.db
//! ```
//!
//! May be used while services have the file open: they find within a second what was changed.

#[path = "outbox/args.rs"]
mod args;
#[path = "outbox/file.rs"]
mod file;
#[path = "outbox/show.rs"]
mod show;

use args::{Args, Command};
use std::io::Write as _;
use std::process::ExitCode;
use winddown::messaging::{NotStored, Outbox, OutboxError};

/// Nothing there is of that id, row or state.
const NOTHING: u8 = 3;

fn main() -> ExitCode {
    let args = match args::parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            show::line(args::HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            complain(&format!("{problem}\n\n{}", args::HELP.trim_end()));
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(carry_out(args)) {
        Ok(0) => ExitCode::from(NOTHING),
        Ok(_) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&format!("{problem:#}"));
            ExitCode::FAILURE
        }
    }
}

/// How many rows it was about; for what is only looked at, at least one.
async fn carry_out(args: Args) -> anyhow::Result<u64> {
    file::check(&args.path, matches!(args.command, Command::Put { create: true, .. }))?;
    let outbox = Outbox::sqlite(&args.path)?;
    let done = command(&outbox, args.command, args.json).await;
    outbox.close().await?;
    done
}

async fn command(outbox: &Outbox, command: Command, json: bool) -> anyhow::Result<u64> {
    match command {
        Command::Stats => {
            show::counts(&outbox.counts().await?, json);
            Ok(1)
        }
        Command::List { filter, bodies } => {
            show::entries(&outbox.list(filter).await?, bodies, json);
            Ok(1)
        }
        Command::Retry(pick) => Ok(show::changed("retried", outbox.retry(pick).await?, json)),
        Command::Purge(pick) => Ok(show::changed("purged", outbox.purge(pick).await?, json)),
        Command::Put { message, .. } => {
            let id = message.id();
            outbox.put(vec![*message]).await.map_err(|refused: NotStored| -> OutboxError { refused.into_parts().0 })?;
            show::stored(id, json);
            Ok(1)
        }
    }
}

fn complain(problem: &str) {
    let _ = writeln!(std::io::stderr(), "outbox: {problem}");
}
