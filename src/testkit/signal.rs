//! A signal by name or number.

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// One of the signals that stop a program. From its name or number: `"SIGTERM"` or `15`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal(Result<(i32, &'static str), String>);

/// Those that winddown listens to (T8).
const KNOWN: [(i32, &str); 4] = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT"), (SIGQUIT, "SIGQUIT"), (SIGHUP, "SIGHUP")];

impl Signal {
    /// Its number and name, or what is wrong with it.
    pub(super) fn known(&self) -> Result<(i32, &'static str), String> {
        self.0.clone().map_err(|given| {
            let known: Vec<&str> = KNOWN.iter().map(|(_, name)| *name).collect();
            format!("`{given}` is no signal that stops a program: there are {}", known.join(", "))
        })
    }
}

impl From<&str> for Signal {
    fn from(name: &str) -> Signal {
        Signal(KNOWN.into_iter().find(|(_, known)| *known == name).ok_or_else(|| name.to_owned()))
    }
}

impl From<i32> for Signal {
    fn from(number: i32) -> Signal {
        Signal(KNOWN.into_iter().find(|(known, _)| *known == number).ok_or_else(|| number.to_string()))
    }
}
