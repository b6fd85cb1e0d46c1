//! The command line.

use lexopt::{Arg, Parser, ValueExt as _};
use std::ffi::OsString;
use std::io::Read as _;
use std::path::PathBuf;
use winddown::messaging::{Message, MessageId, OutboxFilter, OutboxPick};

pub(crate) const HELP: &str = "\
usage: outbox stats FILE [--json]
       outbox list  FILE [--pending | --dead | --damaged] [--limit N] [--after ROW] [--bodies] [--json]
       outbox retry FILE (ID | --row ROW | --dead | --damaged) [--json]
       outbox purge FILE (ID | --row ROW | --dead | --damaged) [--json]
       outbox put   FILE TOPIC (BODY | -) [--key KEY [--ordered]] [--tag TAG] [--property NAME=VALUE]...
                    [--delay SPAN] [--id ID] [--create] [--json]

  stats    how many messages wait, are dead, are damaged, and their bytes
  list     the rows, oldest first; 1000 unless --limit says otherwise, on from ROW with --after
  retry    dead (or mended) messages are sent again, with all their attempts before them
  purge    deletes for good, pending messages too if they are named by ID or ROW
  put      stores a message; `-` takes its body from standard input; --create makes the file

exit codes: 0 done, 1 the outbox said no, 2 not understood, 3 nothing of that id, row or state
";

pub(crate) struct Args {
    pub(crate) path: PathBuf,
    pub(crate) json: bool,
    pub(crate) command: Command,
}

pub(crate) enum Command {
    Stats,
    List { filter: OutboxFilter, bodies: bool },
    Retry(OutboxPick),
    Purge(OutboxPick),
    Put { message: Box<Message>, create: bool },
}

/// Everything that may stand on the line; which of it means something depends on the command.
#[derive(Default)]
struct Raw {
    words: Vec<OsString>,
    options: Vec<&'static str>,
    json: bool,
    bodies: bool,
    ordered: bool,
    create: bool,
    state: Option<(OutboxFilter, Option<OutboxPick>)>,
    row: Option<i64>,
    after: i64,
    limit: Option<usize>,
    key: Option<String>,
    tag: Option<String>,
    id: Option<MessageId>,
    delay: Option<std::time::Duration>,
    properties: Vec<(String, String)>,
}

/// `None`: help was asked for.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Option<Args>, lexopt::Error> {
    let Some(raw) = read(args)? else { return Ok(None) };
    let mut words = raw.words.iter();
    let name = words.next().ok_or("say what to do")?.to_string_lossy().into_owned();
    let allowed: &[&str] = match name.as_str() {
        "stats" => &[],
        "list" => &["--pending", "--dead", "--damaged", "--limit", "--after", "--bodies"],
        "retry" | "purge" => &["--row", "--dead", "--damaged"],
        "put" => &["--key", "--ordered", "--tag", "--property", "--delay", "--id", "--create"],
        other => return Err(format!("`{other}` is none of stats, list, retry, purge, put").into()),
    };
    if let Some(wrong) = raw.options.iter().find(|option| !allowed.contains(option)) {
        return Err(format!("{wrong} means nothing to `{name}`").into());
    }
    let path = PathBuf::from(words.next().ok_or("say which file")?);
    let command = match name.as_str() {
        "stats" => Command::Stats,
        "list" => {
            let filter = raw.state.map_or(OutboxFilter::all(), |(filter, _)| filter).after(raw.after);
            Command::List { filter: raw.limit.map_or(filter, |limit| filter.limit(limit)), bodies: raw.bodies }
        }
        "retry" => Command::Retry(pick(&raw, words.next())?),
        "purge" => Command::Purge(pick(&raw, words.next())?),
        _ => Command::Put { message: Box::new(message(&raw, words.next(), words.next())?), create: raw.create },
    };
    match words.next() {
        Some(more) => Err(format!("`{}` is one word too many", more.to_string_lossy()).into()),
        None => Ok(Some(Args { path, json: raw.json, command })),
    }
}

fn read(args: impl IntoIterator<Item = OsString>) -> Result<Option<Raw>, lexopt::Error> {
    let mut parser = Parser::from_args(args);
    let mut raw = Raw::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("json") => raw.json = true,
            Arg::Long("bodies") => raw.flag("--bodies", |raw| raw.bodies = true),
            Arg::Long("ordered") => raw.flag("--ordered", |raw| raw.ordered = true),
            Arg::Long("create") => raw.flag("--create", |raw| raw.create = true),
            Arg::Long("pending") => raw.state("--pending", OutboxFilter::pending(), None)?,
            Arg::Long("dead") => raw.state("--dead", OutboxFilter::dead(), Some(OutboxPick::Dead))?,
            Arg::Long("damaged") => raw.state("--damaged", OutboxFilter::damaged(), Some(OutboxPick::Damaged))?,
            Arg::Long("row") => (raw.row, _) = (Some(parser.value()?.parse()?), raw.options.push("--row")),
            Arg::Long("after") => (raw.after, _) = (parser.value()?.parse()?, raw.options.push("--after")),
            Arg::Long("limit") => (raw.limit, _) = (Some(parser.value()?.parse()?), raw.options.push("--limit")),
            Arg::Long("key") => (raw.key, _) = (Some(parser.value()?.string()?), raw.options.push("--key")),
            Arg::Long("tag") => (raw.tag, _) = (Some(parser.value()?.string()?), raw.options.push("--tag")),
            Arg::Long("id") => (raw.id, _) = (Some(parser.value()?.parse()?), raw.options.push("--id")),
            Arg::Long("delay") => (raw.delay, _) = (Some(parser.value()?.parse_with(winddown::parse_span)?), raw.options.push("--delay")),
            Arg::Long("property") => {
                let text = parser.value()?.string()?;
                let (name, value) = text.split_once('=').ok_or("--property wants NAME=VALUE")?;
                raw.properties.push((name.to_owned(), value.to_owned()));
                raw.options.push("--property");
            }
            Arg::Value(word) => raw.words.push(word),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(raw))
}

impl Raw {
    fn flag(&mut self, name: &'static str, set: impl FnOnce(&mut Raw)) {
        self.options.push(name);
        set(self);
    }

    fn state(&mut self, name: &'static str, filter: OutboxFilter, pick: Option<OutboxPick>) -> Result<(), lexopt::Error> {
        self.options.push(name);
        match self.state.replace((filter, pick)) {
            None => Ok(()),
            Some(_) => Err("one state at a time".into()),
        }
    }
}

fn pick(raw: &Raw, id: Option<&OsString>) -> Result<OutboxPick, lexopt::Error> {
    match (id, raw.row, raw.state) {
        (Some(id), None, None) => Ok(OutboxPick::Id(id.parse()?)),
        (None, Some(row), None) => Ok(OutboxPick::Row(row)),
        (None, None, Some((_, Some(pick)))) => Ok(pick),
        _ => Err("say which: an id, --row ROW, --dead or --damaged, one of them".into()),
    }
}

fn message(raw: &Raw, topic: Option<&OsString>, body: Option<&OsString>) -> Result<Message, lexopt::Error> {
    let topic = topic.ok_or("say which topic")?.clone().string()?;
    let body = body.ok_or("say what the body is, or `-` for standard input")?;
    let body = if body == "-" {
        let mut all = Vec::new();
        std::io::stdin().lock().read_to_end(&mut all).map_err(|error| format!("standard input: {error}"))?;
        all
    } else {
        body.clone().string()?.into_bytes()
    };
    let mut message = Message::new(topic, body);
    message = match (&raw.key, raw.ordered) {
        (Some(key), true) => message.with_ordered_key(key.as_str()),
        (Some(key), false) => message.with_key(key.as_str()),
        (None, true) => return Err("--ordered wants a --key".into()),
        (None, false) => message,
    };
    if let Some(tag) = &raw.tag {
        message = message.with_tag(tag.as_str());
    }
    if let Some(id) = raw.id {
        message = message.with_id(id);
    }
    for (name, value) in &raw.properties {
        message = message.with_property(name, value);
    }
    Ok(message.with_delay(raw.delay.unwrap_or_default()))
}
