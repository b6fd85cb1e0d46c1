//! The command line.

use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const HELP: &str = "\
usage: order_service [options]
  --listen ADDR:PORT    where to serve (127.0.0.1:8080; with --load a free port of 127.0.0.1)
  --data DIR            where the database is (./data; with --load a fresh directory, removed at the end)
  --grace SPAN          the hard deadline for stopping (25s)
  --worker-delay SPAN   how long the work on a batch of orders takes (0)
  --report FILE         write the report there, as JSON, at the end
  --load N              post N orders a second to itself, then stop with a real SIGTERM and audit the database
  --for SPAN            for so long (3s)
spans are written 50ms, 2s, 1m
";

/// The library's own default, under the 30 s that Kubernetes gives.
const GRACE: Duration = Duration::from_secs(25);

/// The most that one thread can be expected to post.
const MOST: u32 = 100_000;

pub(crate) struct Args {
    pub(crate) listen: String,
    pub(crate) data: Option<PathBuf>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) grace: Duration,
    pub(crate) worker_delay: Duration,
}

/// How to load the service.
#[derive(Clone, Copy)]
pub(crate) struct LoadPlan {
    pub(crate) per_second: u32,
    pub(crate) span: Duration,
}

pub(crate) enum Command {
    Serve(Args),
    Load(Args, LoadPlan),
    Help,
}

impl Args {
    /// Reads the arguments after the program's name. The error is for people.
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, lexopt::Error> {
        let mut args = Args { listen: String::new(), data: None, report: None, grace: GRACE, worker_delay: Duration::ZERO };
        let (mut listen, mut load, mut span) = (None, None, None);
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(arg) = parser.next()? {
            match arg {
                Long("listen") => listen = Some(parser.value()?.string()?),
                Long("data") => args.data = Some(parser.value()?.into()),
                Long("report") => args.report = Some(parser.value()?.into()),
                Long("grace") => args.grace = duration("--grace", &mut parser)?,
                Long("worker-delay") => args.worker_delay = duration("--worker-delay", &mut parser)?,
                Long("for") => span = Some(duration("--for", &mut parser)?),
                Long("load") => load = Some(parser.value()?.parse_with(per_second)?),
                Long("help") | Short('h') => return Ok(Command::Help),
                other => return Err(other.unexpected()),
            }
        }
        let preset = if load.is_some() { "127.0.0.1:0" } else { "127.0.0.1:8080" };
        args.listen = listen.unwrap_or_else(|| preset.into());
        match (load, span) {
            (None, Some(_)) => Err("--for says how long --load lasts, and is nothing without it".into()),
            (None, None) => Ok(Command::Serve(args)),
            (Some(per_second), span) => {
                let span = span.unwrap_or(Duration::from_secs(3));
                Ok(Command::Load(args, LoadPlan { per_second, span }))
            }
        }
    }
}

fn per_second(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(n) if (1..=MOST).contains(&n) => Ok(n),
        _ => Err(format!("orders a second, from 1 to {MOST}")),
    }
}

fn duration(flag: &str, parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    winddown::parse_span(&parser.value()?.string()?).map_err(|e| format!("{flag}: {e}").into())
}
