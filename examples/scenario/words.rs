//! The little languages of the file: `"hang"`, `"block 30s after 100ms"` and so on. Each reader says what it allows.

use crate::model::{Destroy, Run, Start, Stop};
use std::time::Duration;

/// What was read, or what is allowed in its place.
pub(crate) type Word<T> = Result<T, String>;

pub(crate) fn span(text: &str) -> Word<Duration> {
    winddown::parse_span(text).map_err(|error| error.to_string())
}

pub(crate) fn span_above_zero(text: &str) -> Word<Duration> {
    match span(text)? {
        Duration::ZERO => Err(format!("`{text}` is zero; allowed: a span above zero, such as \"500ms\"")),
        span => Ok(span),
    }
}

pub(crate) fn start(text: &str) -> Word<Start> {
    const ALLOWED: &str = r#"a span such as "20ms", "fail", "panic", "hang", "block 5s""#;
    match text {
        "fail" => Ok(Start::Fail),
        "panic" => Ok(Start::Panic),
        "hang" => Ok(Start::Hang),
        _ => match text.strip_prefix("block ") {
            Some(rest) => said(rest, text, ALLOWED).map(Start::Block),
            None => said(text, text, ALLOWED).map(Start::Takes),
        },
    }
}

pub(crate) fn run(text: &str) -> Word<Run> {
    const ALLOWED: &str = r#""idle", "finish 500ms", "fail 500ms", "panic 500ms", "block 30s after 100ms", "blocking 30s after 100ms""#;
    let span = |part: &str| said(part, text, ALLOWED);
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    match (verb, rest.split_once(" after ")) {
        ("idle", None) if rest.is_empty() => Ok(Run::Idle),
        ("finish", None) => span(rest).map(Run::Finish),
        ("fail", None) => span(rest).map(Run::Fail),
        ("panic", None) => span(rest).map(Run::Panic),
        ("block", Some((lasts, after))) => Ok(Run::Block { lasts: span(lasts)?, after: span(after)? }),
        ("blocking", Some((lasts, after))) => Ok(Run::Blocking { lasts: span(lasts)?, after: span(after)? }),
        _ => Err(neither(text, ALLOWED)),
    }
}

pub(crate) fn stop(text: &str) -> Word<Stop> {
    const ALLOWED: &str = r#"a span such as "300ms", "fail", "panic", "hang", "stubborn 300ms", "block 5s""#;
    match text {
        "fail" => return Ok(Stop::Fail),
        "panic" => return Ok(Stop::Panic),
        "hang" => return Ok(Stop::Hang),
        _ => {}
    }
    match text.split_once(' ') {
        Some(("stubborn", rest)) => said(rest, text, ALLOWED).map(Stop::Stubborn),
        Some(("block", rest)) => said(rest, text, ALLOWED).map(Stop::Block),
        _ => said(text, text, ALLOWED).map(Stop::Takes),
    }
}

pub(crate) fn drop_of_stop(text: &str) -> Word<Duration> {
    const ALLOWED: &str = r#""block 5s""#;
    match text.strip_prefix("block ") {
        Some(rest) => said(rest, text, ALLOWED),
        None => Err(neither(text, ALLOWED)),
    }
}

pub(crate) fn destroy(text: &str) -> Word<Destroy> {
    match text {
        "fail" => Ok(Destroy::Fail),
        "panic" => Ok(Destroy::Panic),
        "hang" => Ok(Destroy::Hang),
        _ => said(text, text, r#"a span such as "50ms", "fail", "panic", "hang""#).map(Destroy::Takes),
    }
}

#[derive(Clone, Copy)]
pub(crate) enum PolicyName {
    ShutDown,
    Ignore,
    Restart,
}

pub(crate) fn policy(text: &str) -> Word<PolicyName> {
    match text {
        "shutdown" => Ok(PolicyName::ShutDown),
        "ignore" => Ok(PolicyName::Ignore),
        "restart" => Ok(PolicyName::Restart),
        _ => Err(neither(text, r#""shutdown", "ignore", "restart""#)),
    }
}

/// A span that is part of a phrase: when it is none, the whole phrase is shown with what is allowed in its place.
fn said(part: &str, whole: &str, allowed: &str) -> Word<Duration> {
    span(part).map_err(|error| if part == whole { neither(whole, allowed) } else { format!("{error}; allowed: {allowed}") })
}

fn neither(text: &str, allowed: &str) -> String {
    format!("`{text}` is not known; allowed: {allowed}")
}
