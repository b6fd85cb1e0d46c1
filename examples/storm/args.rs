//! The command line.

use crate::audit::Audited;
use crate::dice::Dice;
use crate::server::Server;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
usage: storm [KILLS] [options]
  KILLS             how often the service is killed (200)
  --seed N          for the moments and kinds of the kills (a random one, which is printed)
  --data DIR        where the service's files are (a fresh directory, removed if all went well)
  --faults LIST     what the broker does wrong meanwhile
  --broker NAME     the server that it runs on: rocketmq, kafka, rabbitmq or nats (sqlite: a file of its own); it must be a fresh one
  --broker-url URL  where that server is
  --broker-restarts N   every N kills the server is killed too, and brought back by scripts/live while the service runs (never)
  --service FILE    the service's program (order_service, beside this one)
";

const FAULTS: &str = "busy=0.2,disconnect=0.02,ambiguous=0.02,duplicate=0.01,slow=2ms";

pub(crate) struct Args {
    pub(crate) kills: u32,
    pub(crate) seed: u64,
    pub(crate) data: PathBuf,
    /// Remove the directory when all went well.
    pub(crate) tidy: bool,
    pub(crate) faults: String,
    pub(crate) service: PathBuf,
    pub(crate) server: Server,
    /// Every so many kills; 0 for never.
    pub(crate) restarts: u32,
}

impl Args {
    /// What the service's audit is asked about.
    pub(crate) fn audited(&self) -> Audited<'_> {
        Audited { program: &self.service, data: std::slice::from_ref(&self.data), server: &self.server }
    }
}

pub(crate) enum Command {
    Storm(Args),
    Help,
}

pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let seed = Dice::fresh_seed();
    let data = std::env::temp_dir().join(format!("storm-{}-{seed:x}", std::process::id()));
    let service = std::env::current_exe().map_err(|e| format!("cannot tell where this program is: {e}"))?.with_file_name("order_service");
    let mut args = Args { kills: 200, seed, data, tidy: true, faults: FAULTS.into(), service, server: Server::default(), restarts: 0 };
    let (mut broker, mut url) = (None, None);
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(arg) = parser.next()? {
        match arg {
            Value(kills) => args.kills = kills.parse()?,
            Long("seed") => args.seed = parser.value()?.parse()?,
            Long("data") => (args.data, args.tidy) = (parser.value()?.into(), false),
            Long("faults") => args.faults = parser.value()?.string()?,
            Long("broker") => broker = Some(parser.value()?.string()?),
            Long("broker-url") => url = Some(parser.value()?.string()?),
            Long("broker-restarts") => args.restarts = parser.value()?.parse()?,
            Long("service") => args.service = parser.value()?.into(),
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    args.server = Server::of(broker, url)?;
    if args.restarts > 0 && args.server.is_file() {
        return Err("--broker-restarts needs a --broker that is a server: a file cannot be restarted".into());
    }
    Ok(Command::Storm(args))
}
