//! The command line.

use lexopt::{Arg, Parser, ValueExt as _};
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: scenario FILE.toml [--report OUT.json] [--plan] [--rehearse] [--trace]

  --report OUT.json  write the report there when the run ends, however it ends
  --plan             print the plan and leave: nothing is started
  --rehearse         print what every single failure would do, and leave: nothing is started
  --trace            print each event on stderr as one line of JSON
  --help             print this";

pub(crate) enum Request {
    Help,
    Run(Args),
}

pub(crate) struct Args {
    pub(crate) file: PathBuf,
    pub(crate) report: Option<PathBuf>,
    pub(crate) plan: bool,
    pub(crate) rehearse: bool,
    pub(crate) trace: bool,
}

impl Args {
    /// What the app is called when its file does not say: the file's own name.
    pub(crate) fn stem(&self) -> String {
        self.file.file_stem().map_or_else(|| "scenario".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

pub(crate) fn read() -> Result<Request, lexopt::Error> {
    let mut parser = Parser::from_env();
    let (mut file, mut report, mut plan, mut rehearse, mut trace) = (None, None, false, false, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("report") => report = Some(parser.value()?.into()),
            Arg::Long("plan") => plan = true,
            Arg::Long("rehearse") => rehearse = true,
            Arg::Long("trace") => trace = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(Request::Help),
            Arg::Value(value) if file.is_none() => file = Some(value.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    let file = file.ok_or("which FILE.toml?")?;
    Ok(Request::Run(Args { file, report, plan, rehearse, trace }))
}
