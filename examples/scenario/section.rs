//! Reading one table of the file key by key. What is wrong is collected with its line, so that one run shows all of it;
//! a key that nobody asked for is unknown.

use crate::words::Word;
use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The file's text and all that is wrong with it so far.
pub(crate) struct Source<'a> {
    path: &'a str,
    text: &'a str,
    problems: RefCell<Vec<(usize, String)>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(path: &'a str, text: &'a str) -> Source<'a> {
        Source { path, text, problems: RefCell::default() }
    }

    pub(crate) fn problem(&self, at: usize, text: String) {
        // Counting newlines is linear, and only done for mistakes.
        let before = self.text.as_bytes().iter().take(at);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        self.problems.borrow_mut().push((line, text));
    }

    /// Everything that was wrong, by line.
    pub(crate) fn into_problems(self) -> Vec<String> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(line, _)| *line);
        problems.into_iter().map(|(line, text)| format!("{}:{line}: {text}", self.path)).collect()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }
}

/// One table: the whole file, a `[[component]]` or a `[[resource]]`.
pub(crate) struct Section<'a> {
    source: &'a Source<'a>,
    table: &'a DeTable<'a>,
    at: usize,
    /// Put before each problem, such as "component `db`: ".
    prefix: String,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(source: &'a Source<'a>, table: &'a DeTable<'a>, at: usize, prefix: String) -> Section<'a> {
        Section { source, table, at, prefix, asked: Vec::new() }
    }

    /// Where it begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn problem(&self, at: usize, text: impl std::fmt::Display) {
        self.source.problem(at, format!("{}{text}", self.prefix));
    }

    fn value(&mut self, key: &'static str) -> Option<(Range<usize>, &'a DeValue<'a>)> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.get(key).map(|value| (value.span(), value.get_ref()))
    }

    /// Where a key's value stands, if it is there.
    pub(crate) fn place(&mut self, key: &'static str) -> Option<usize> {
        self.value(key).map(|(span, _)| span.start)
    }

    /// A string, in the words that `read` knows.
    pub(crate) fn word<T>(&mut self, key: &'static str, read: impl FnOnce(&str) -> Word<T>) -> Option<T> {
        let (span, value) = self.value(key)?;
        let DeValue::String(text) = value else {
            // The reader knows what it allows, and says so of any text that it does not know.
            let hint = read("").err().and_then(|error| error.split_once("allowed: ").map(|(_, rest)| rest.to_owned()));
            let allowed = hint.unwrap_or_else(|| "a span such as \"50ms\", \"2s\" or \"1m\"".to_owned());
            self.problem(span.start, format_args!("`{key}` is {}; allowed, in quotes: {allowed}", kind(value)));
            return None;
        };
        read(text).map_err(|error| self.problem(span.start, format_args!("`{key}`: {error}"))).ok()
    }

    /// A name: any text but none at all.
    pub(crate) fn name(&mut self, key: &'static str) -> Option<String> {
        self.word(key, |text| match text.trim() {
            "" => Err("an empty text; allowed: any other text".to_owned()),
            _ => Ok(text.to_owned()),
        })
    }

    pub(crate) fn integer(&mut self, key: &'static str, allowed: RangeInclusive<i64>) -> Option<i64> {
        let (span, value) = self.value(key)?;
        let number = match value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let fits = number.filter(|number| allowed.contains(number));
        if fits.is_none() {
            let (low, high) = (allowed.start(), allowed.end());
            self.problem(span.start, format_args!("`{key}` is {}; allowed: a whole number from {low} to {high}", kind(value)));
        }
        fits
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let (span, value) = self.value(key)?;
        let DeValue::Boolean(value) = value else {
            self.problem(span.start, format_args!("`{key}` is {}; allowed: true or false", kind(value)));
            return None;
        };
        Some(*value)
    }

    /// A list of names; empty where the key is left out.
    pub(crate) fn names(&mut self, key: &'static str) -> Vec<String> {
        let Some((span, value)) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value else {
            self.problem(span.start, format_args!("`{key}` is {}; allowed: a list of names such as [\"db\"]", kind(value)));
            return Vec::new();
        };
        let name = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            other => {
                self.problem(item.span().start, format_args!("`{key}` has {} in it; allowed: names in quotes", kind(other)));
                None
            }
        };
        items.iter().filter_map(name).collect()
    }

    /// A list of tables, as `[[key]]` makes one.
    pub(crate) fn sections(&mut self, key: &'static str) -> Vec<(usize, &'a DeTable<'a>)> {
        let Some((span, value)) = self.value(key) else { return Vec::new() };
        let items: &[Spanned<DeValue<'a>>] = match value {
            DeValue::Array(items) => items,
            _ => {
                self.problem(span.start, format_args!("`{key}` is {}; allowed: any number of [[{key}]] tables", kind(value)));
                return Vec::new();
            }
        };
        let table = |item: &'a Spanned<DeValue<'a>>| match item.get_ref() {
            DeValue::Table(table) => Some((item.span().start, table)),
            other => {
                self.problem(item.span().start, format_args!("`{key}` has {} in it; allowed: [[{key}]] tables", kind(other)));
                None
            }
        };
        items.iter().filter_map(table).collect()
    }

    /// Call it last: whatever is there and was not asked for is unknown.
    pub(crate) fn end(self) {
        for key in self.table.keys().filter(|key| !self.asked.contains(&key.get_ref().as_ref())) {
            self.problem(key.span().start, format_args!("unknown key `{}`; allowed: {}", key.get_ref(), self.asked.join(", ")));
        }
    }
}

fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => format!("{value}"),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
