//! The command line.

use crate::brokers::Chosen;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use winddown::messaging::Faults;

pub(crate) const HELP: &str = "\
usage: order_service [options]
       order_service audit --data DIR… [--broker NAME --broker-url URL] [--json] [--list]
  --listen ADDR:PORT    where to serve (127.0.0.1:8080; with --load a free port of 127.0.0.1)
  --data DIR            where the files are (./data; with --load a fresh directory, removed at the end)
  --broker NAME         sqlite (a file in the data directory; the default), rocketmq, kafka, rabbitmq or nats
  --broker-url URL      where that server is; of rocketmq the name servers, such as 127.0.0.1:9876
  --grace SPAN          the hard deadline for stopping (25s)
  --concurrency N       orders handled at the same time (16)
  --handler-delay SPAN  how long the work on an order takes (0); --worker-delay is the same
  --handler-fail P      how often that work fails, from 0 to 1 (0)
  --handler-poison P    which share of the orders nobody can ever do, from 0 to 1 (0): they become dead letters
  --faults LIST         what the broker does wrong, such as busy=0.2,disconnect=0.01,ambiguous=0.01,slow=5ms
  --report FILE         write the report there, as JSON, at the end
  --load N              post N orders a second to itself, then stop with a real SIGTERM and audit the files
  --for SPAN            for so long (3s)
audit says what became of the orders, from the files and, of a server, by what it has left to do; services may be running meanwhile
  --data DIR            once for each instance that shared the broker
  --broker, --broker-url   as the service was given them
  --json                the counts as one line of JSON
  --list                one line of JSON for each accepted order: its id and its state
  it leaves with 0, with 1 if orders are lost, with 2 if there is nothing to audit or no broker
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
    pub(crate) concurrency: usize,
    pub(crate) work: Work,
    pub(crate) broker: Chosen,
    pub(crate) faults: Option<Faults>,
}

/// What handling an order costs, and how often it goes wrong.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) delay: Duration,
    pub(crate) fail: f64,
    /// The share that is hopeless.
    pub(crate) poison: f64,
}

/// How to load the service.
#[derive(Clone, Copy)]
pub(crate) struct LoadPlan {
    pub(crate) per_second: u32,
    pub(crate) span: Duration,
}

/// How to show an audit.
pub(crate) struct AuditPlan {
    pub(crate) data: Vec<PathBuf>,
    pub(crate) broker: Chosen,
    pub(crate) json: bool,
    pub(crate) list: bool,
}

pub(crate) enum Command {
    Serve(Args),
    Load(Args, LoadPlan),
    Audit(AuditPlan),
    Help,
}

impl Args {
    /// Reads the arguments after the program's name. The error is for people.
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let work = Work { delay: Duration::ZERO, fail: 0.0, poison: 0.0 };
        let (listen, broker) = (String::new(), Chosen::default());
        let mut args = Args { listen, data: None, report: None, grace: GRACE, concurrency: 16, work, broker, faults: None };
        let (mut listen, mut load, mut span, mut broker) = (None, None, None, Broker::default());
        let mut first = true;
        while let Some(arg) = parser.next()? {
            match arg {
                Value(word) if first && word == "audit" => return audit(&mut parser),
                Long("listen") => listen = Some(parser.value()?.string()?),
                Long("data") => args.data = Some(parser.value()?.into()),
                Long(flag @ ("broker" | "broker-url")) => broker.read(flag == "broker", &mut parser)?,
                Long("report") => args.report = Some(parser.value()?.into()),
                Long("grace") => args.grace = duration("--grace", &mut parser)?,
                Long("concurrency") => args.concurrency = parser.value()?.parse_with(at_once)?,
                Long("handler-delay" | "worker-delay") => args.work.delay = duration("--handler-delay", &mut parser)?,
                Long("handler-fail") => args.work.fail = parser.value()?.parse_with(probability)?,
                Long("handler-poison") => args.work.poison = parser.value()?.parse_with(probability)?,
                Long("faults") => args.faults = Some(faults(&mut parser)?),
                Long("for") => span = Some(duration("--for", &mut parser)?),
                Long("load") => load = Some(parser.value()?.parse_with(per_second)?),
                Long("help") | Short('h') => return Ok(Command::Help),
                other => return Err(other.unexpected()),
            }
            first = false;
        }
        let preset = if load.is_some() { "127.0.0.1:0" } else { "127.0.0.1:8080" };
        args.broker = broker.chosen()?;
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

fn audit(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut data, mut json, mut list, mut broker) = (Vec::new(), false, false, Broker::default());
    while let Some(arg) = parser.next()? {
        match arg {
            Long("data") => data.push(parser.value()?.into()),
            Long(flag @ ("broker" | "broker-url")) => broker.read(flag == "broker", parser)?,
            Long("json") => json = true,
            Long("list") => list = true,
            Long("help") | Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected()),
        }
    }
    if data.is_empty() {
        return Err("audit needs --data DIR, the directory to look at".into());
    }
    Ok(Command::Audit(AuditPlan { data, broker: broker.chosen()?, json, list }))
}

/// The two flags that say which broker.
#[derive(Default)]
struct Broker {
    name: Option<String>,
    url: Option<String>,
}

impl Broker {
    fn read(&mut self, name: bool, parser: &mut lexopt::Parser) -> Result<(), lexopt::Error> {
        let value = parser.value()?.string()?;
        *(if name { &mut self.name } else { &mut self.url }) = Some(value);
        Ok(())
    }

    fn chosen(self) -> Result<Chosen, String> {
        Chosen::of(self.name.as_deref(), self.url)
    }
}

fn per_second(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(n) if (1..=MOST).contains(&n) => Ok(n),
        _ => Err(format!("orders a second, from 1 to {MOST}")),
    }
}

fn at_once(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (1..=4096).contains(&n) => Ok(n),
        _ => Err("orders handled at the same time, from 1 to 4096".into()),
    }
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("a probability, from 0 to 1".into()),
    }
}

fn faults(parser: &mut lexopt::Parser) -> Result<Faults, lexopt::Error> {
    Faults::parse(&parser.value()?.string()?).map_err(|e| format!("--faults: {e}").into())
}

fn duration(flag: &str, parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    winddown::parse_span(&parser.value()?.string()?).map_err(|e| format!("{flag}: {e}").into())
}
