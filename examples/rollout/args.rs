//! The command line.

use crate::server::Server;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;
use winddown::messaging::MessageId;

pub(crate) const HELP: &str = "\
usage: rollout [options]
  --services N      how many run (2)
  --rounds N        how often one leaves and comes again (10)
  --rate N          orders a second, all clients together (200)
  --broker NAME     the server that they share: rocketmq, kafka, rabbitmq or nats (sqlite: each has a file of its own); it must be a fresh one
  --broker-url URL  where that server is
  --data DIR        where the services' files are (a fresh directory, removed if all went well)
  --service FILE    the service's program (order_service, beside this one)
";

pub(crate) struct Args {
    pub(crate) services: usize,
    pub(crate) rounds: usize,
    pub(crate) rate: u32,
    pub(crate) server: Server,
    pub(crate) data: PathBuf,
    /// Remove the directory when all went well.
    pub(crate) tidy: bool,
    pub(crate) service: PathBuf,
}

pub(crate) enum Command {
    Rollout(Args),
    Help,
}

pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let data = std::env::temp_dir().join(format!("rollout-{}", MessageId::new()));
    let service = std::env::current_exe().map_err(|e| format!("cannot tell where this program is: {e}"))?.with_file_name("order_service");
    let mut args = Args { services: 2, rounds: 10, rate: 200, server: Server::default(), data, tidy: true, service };
    let (mut broker, mut url) = (None, None);
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("services") => args.services = parser.value()?.parse_with(|text| within(text, 1, 16))?,
            Long("rounds") => args.rounds = parser.value()?.parse_with(|text| within(text, 1, 10_000))?,
            Long("rate") => args.rate = parser.value()?.parse_with(|text| within(text, 1, 100_000))?,
            Long("broker") => broker = Some(parser.value()?.string()?),
            Long("broker-url") => url = Some(parser.value()?.string()?),
            Long("data") => (args.data, args.tidy) = (parser.value()?.into(), false),
            Long("service") => args.service = parser.value()?.into(),
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    args.server = Server::of(broker, url)?;
    Ok(Command::Rollout(args))
}

fn within<T: std::str::FromStr + PartialOrd + std::fmt::Display>(text: &str, least: T, most: T) -> Result<T, String> {
    match text.parse() {
        Ok(n) if (&least..=&most).contains(&&n) => Ok(n),
        _ => Err(format!("a number from {least} to {most}")),
    }
}
