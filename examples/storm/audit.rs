//! The service's own audit, as its operator calls it: another process, another look at the files.

use crate::server::Server;
use anyhow::{Context, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The instances whose promises are looked at together: those that share a server.
pub(crate) struct Audited<'a> {
    pub(crate) program: &'a Path,
    pub(crate) data: &'a [PathBuf],
    pub(crate) server: &'a Server,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) handled: u64,
    pub(crate) duplicates: u64,
    pub(crate) pending: u64,
    pub(crate) dead: u64,
    pub(crate) lost: u64,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    state: String,
}

/// The counts, which must add up, with nothing lost.
pub(crate) fn counts(audited: &Audited<'_>) -> anyhow::Result<Counts> {
    let text = run(audited, "--json")?;
    ensure!(text.lines().count() == 1, "not one line: {text:?}");
    let counts: Counts = json(&text)?;
    ensure!(counts.accepted == counts.handled + counts.pending + counts.dead + counts.lost, "it does not add up: {text}");
    ensure!(counts.lost == 0, "orders are lost: {text}");
    Ok(counts)
}

/// The state of each accepted order.
pub(crate) fn states(audited: &Audited<'_>) -> anyhow::Result<HashMap<String, String>> {
    run(audited, "--list")?.lines().map(|line| json(line).map(|Line { id, state }| (id, state))).collect()
}

fn run(audited: &Audited<'_>, how: &str) -> anyhow::Result<String> {
    let mut command = Command::new(audited.program);
    command.arg("audit").args(audited.server.flags());
    for data in audited.data {
        command.arg("--data").arg(data);
    }
    let out = command.arg(how).output().context("cannot run the audit")?;
    let (text, errors) = (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned());
    ensure!(out.status.success(), "the audit ended with {}: {text}{errors}", out.status);
    Ok(text)
}

fn json<T: DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).with_context(|| format!("not what an audit says: {text:?}"))
}
