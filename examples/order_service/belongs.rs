//! Which broker a data directory belongs to: its orders are there, so on another one they would be forgotten, and an audit would call them lost.

use crate::brokers::Chosen;
use crate::files;
use anyhow::{Context, ensure};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Notes it when a service first runs on the directory, and refuses another one from then on.
///
/// # Errors
/// It belongs to another one, or cannot be noted.
pub(crate) fn claim(data: &Path, chosen: &Chosen) -> anyhow::Result<()> {
    if check(data, chosen)? {
        return Ok(());
    }
    let (file, half) = (files::note(data), files::note(data).with_extension("new"));
    // Renamed, so that a kill leaves all of it or nothing.
    let noted = fs::write(&half, chosen.name()).and_then(|()| fs::rename(&half, &file));
    noted.with_context(|| format!("cannot note the broker in {}", file.display()))
}

/// The same without noting anything; true if it is noted.
///
/// # Errors
/// It belongs to another one, or that cannot be read.
pub(crate) fn check(data: &Path, chosen: &Chosen) -> anyhow::Result<bool> {
    let file = files::note(data);
    match fs::read_to_string(&file) {
        Ok(noted) => {
            let (noted, name) = (noted.trim(), chosen.name());
            ensure!(
                noted == name,
                "{} belongs to the broker `{noted}`, not to {name}: say --broker {noted}, or take another directory",
                data.display()
            );
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}
