//! Faults as text: `busy=0.2,slow=5ms,down@b`.

use super::{Faults, Settings};
use crate::parse_span;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What was wrong with a text of faults.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultsError {
    /// There is no such fault.
    Unknown {
        /// What was written.
        name: String,
    },
    /// The fault exists, its value does not fit.
    Value {
        /// The fault.
        name: String,
        /// What was written; empty if nothing was.
        value: String,
        /// What would do.
        wanted: &'static str,
    },
}

impl fmt::Display for FaultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultsError::Unknown { name } => {
                write!(f, "there is no fault `{name}`; there are busy, disconnect, ambiguous, duplicate, slow, down, stalled and seed, ")?;
                f.write_str("as in `busy=0.2,slow=5ms,down@route`")
            }
            FaultsError::Value { name, value, wanted } if value.is_empty() => write!(f, "the fault `{name}` needs {wanted}"),
            FaultsError::Value { name, value, wanted } => write!(f, "`{value}` does not fit the fault `{name}`: it needs {wanted}"),
        }
    }
}

impl std::error::Error for FaultsError {}

impl Faults {
    /// Reads faults from a text, such as a command line's: entries with commas between, each `name=value`, or `name` alone for `down` and
    /// `stalled`; `name@route=value` for one route only. Empty, or `none`, is none.
    ///
    /// # Errors
    /// Says which entry is wrong and what would do.
    ///
    /// ```
    /// use winddown::messaging::{Faults, FaultsError};
    ///
    /// let faults = Faults::parse("busy=0.2, disconnect=0.01, ambiguous=0.01, duplicate=0.01, slow=5ms, seed=7, down@b")?;
    /// assert_eq!(faults.route("b").to_string(), "down");
    /// let error = Faults::parse("busy=2").unwrap_err();
    /// assert_eq!(error.to_string(), "`2` does not fit the fault `busy`: it needs a probability from 0 to 1, as in `busy=0.2`");
    /// # Ok::<(), FaultsError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Faults, FaultsError> {
        let faults = Faults::new();
        if text.trim() == "none" {
            return Ok(faults);
        }
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            let (name, route) = name.trim().split_once('@').map_or((name.trim(), None), |(name, route)| (name.trim_end(), Some(route.trim())));
            let of = route.map_or_else(|| faults.clone(), |route| faults.route(route));
            of.apply(name, value.trim())?;
        }
        Ok(faults)
    }

    fn apply(&self, name: &str, value: &str) -> Result<(), FaultsError> {
        match name {
            "busy" => self.busy(probability(name, value)?),
            "disconnect" => self.disconnect(probability(name, value)?),
            "ambiguous" => self.ambiguous(probability(name, value)?),
            "duplicate" => self.duplicate(probability(name, value)?),
            "slow" => self.slow(parse_span(value).map_err(|_| wrong(name, value, "a time, as in `slow=5ms`"))?),
            "down" => self.down(switch(name, value)?),
            "stalled" => self.stalled(switch(name, value)?),
            "seed" => self.seed(value.parse().map_err(|_| wrong(name, value, "a whole number, as in `seed=7`"))?),
            _ => return Err(FaultsError::Unknown { name: name.to_owned() }),
        };
        Ok(())
    }
}

impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Faults, FaultsError> {
        Faults::parse(text)
    }
}

/// As [`Faults::parse`] reads it, without the seed; `none` if there are none.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries = self.settings().entries("");
        for (route, faults) in self.routes() {
            entries.extend(faults.settings().entries(&format!("@{route}")));
        }
        f.write_str(if entries.is_empty() { "none" } else { "" })?;
        f.write_str(&entries.join(","))
    }
}

impl Settings {
    fn entries(&self, route: &str) -> Vec<String> {
        let shares = [("busy", self.busy), ("disconnect", self.disconnect), ("ambiguous", self.ambiguous), ("duplicate", self.duplicate)].into_iter();
        let mut entries: Vec<_> = shares.filter(|(_, share)| *share > 0.0).map(|(name, share)| format!("{name}{route}={share}")).collect();
        if !self.slow.is_zero() {
            entries.push(format!("slow{route}={}", span(self.slow)));
        }
        let switches = [("down", self.down), ("stalled", self.stalled)].into_iter();
        entries.extend(switches.filter(|(_, on)| *on).map(|(name, _)| format!("{name}{route}")));
        entries
    }
}

fn span(span: Duration) -> String {
    match span.as_micros() {
        micros if micros % 1000 == 0 => format!("{}ms", micros / 1000),
        micros => format!("{micros}us"),
    }
}

fn probability(name: &str, value: &str) -> Result<f64, FaultsError> {
    let read = value.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    read.ok_or_else(|| wrong(name, value, "a probability from 0 to 1, as in `busy=0.2`"))
}

fn switch(name: &str, value: &str) -> Result<bool, FaultsError> {
    match value {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong(name, value, "nothing, `true` or `false`")),
    }
}

fn wrong(name: &str, value: &str, wanted: &'static str) -> FaultsError {
    FaultsError::Value { name: name.to_owned(), value: value.to_owned(), wanted }
}
