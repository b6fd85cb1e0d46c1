//! What a scenario file says of itself in comments: whom to signal when, and how it has to end.
//!
//! Lines begin with `#: ` and are one of
//!
//! ```text
//! args WORD…                                  further arguments for the program
//! rules WORD…                                 the rules it shows
//! signal NAME after MOMENT [+ SPAN]           MOMENT: `ready`, or an event's kind and subject
//! expect …                                    see `verdict.rs`
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) struct Story {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) rules: Vec<String>,
    pub(crate) signals: Vec<Signal>,
    /// Each as its words.
    pub(crate) expects: Vec<Vec<String>>,
    /// The scenario itself.
    pub(crate) toml: toml::Table,
}

pub(crate) struct Signal {
    pub(crate) name: String,
    pub(crate) after: Moment,
    pub(crate) plus: Duration,
}

pub(crate) enum Moment {
    Ready,
    Event { kind: String, subject: Option<String> },
}

impl Story {
    pub(crate) fn read(path: &Path) -> Story {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let toml = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut story = Story { path: path.to_owned(), args: Vec::new(), rules: Vec::new(), signals: Vec::new(), expects: Vec::new(), toml };
        for line in text.lines().filter_map(|line| line.strip_prefix("#:")) {
            let words = words(line);
            match words.split_first() {
                Some((verb, rest)) if verb == "args" => story.args.extend_from_slice(rest),
                Some((verb, rest)) if verb == "rules" => story.rules.extend_from_slice(rest),
                Some((verb, rest)) if verb == "signal" => story.signals.push(signal(rest)),
                Some((verb, rest)) if verb == "expect" => story.expects.push(rest.to_vec()),
                _ => panic!("{}: not a directive: {line}", path.display()),
            }
        }
        assert!(!story.expects.is_empty(), "{}: it expects nothing", path.display());
        story
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().expect("a file name").to_string_lossy().into_owned()
    }

    /// Whether a signal waits for an event that only the trace shows.
    pub(crate) fn needs_trace(&self) -> bool {
        self.signals.iter().any(|signal| matches!(signal.after, Moment::Event { .. }))
    }
}

fn signal(words: &[String]) -> Signal {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (words, plus) = match words[..] {
        [ref head @ .., "+", plus] => (head.to_vec(), winddown::parse_span(plus).expect("a span after `+`")),
        _ => (words, Duration::ZERO),
    };
    let after = match words[..] {
        [_, "after", "ready"] => Moment::Ready,
        [_, "after", kind] => Moment::Event { kind: kind.to_owned(), subject: None },
        [_, "after", kind, subject] => Moment::Event { kind: kind.to_owned(), subject: Some(subject.to_owned()) },
        _ => panic!("not `signal NAME after MOMENT [+ SPAN]`: {words:?}"),
    };
    Signal { name: words[0].to_owned(), after, plus }
}

/// Words are parted by blanks; quotes keep blanks inside.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (part, text) in line.split('"').enumerate() {
        if part % 2 == 1 {
            words.push(text.to_owned());
        } else {
            words.extend(text.split_whitespace().map(str::to_owned));
        }
    }
    words
}
