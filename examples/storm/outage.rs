//! The server dies and comes back.

use crate::server::Server;
use anyhow::{Context, ensure};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A SIGKILL of the server and its return, which happen while other things do.
#[derive(Default)]
pub(crate) struct Outage(Option<JoinHandle<anyhow::Result<Duration>>>);

impl Outage {
    /// Kills it after a while, and brings it back with its data as long after that.
    pub(crate) fn begin(server: &Server, after: Duration, away: Duration) -> Outage {
        let name = server.name().to_owned();
        Outage(Some(thread::spawn(move || {
            thread::sleep(after);
            let began = Instant::now();
            live("signal", &["KILL", &name])?;
            thread::sleep(away);
            live("up", &["--keep", &name])?;
            Ok(began.elapsed())
        })))
    }

    /// Returns when the server is back: for how long it was away, if it was.
    pub(crate) fn over(&mut self) -> anyhow::Result<Option<Duration>> {
        match self.0.take().map(JoinHandle::join) {
            None => Ok(None),
            Some(Err(_)) => anyhow::bail!("the server's operator panicked"),
            Some(Ok(away)) => away.map(Some),
        }
    }
}

/// One of the scripts that start and kill real servers.
fn live(script: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/live").join(script);
    let out = Command::new(&path).args(arguments).stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", path.display()))?;
    ensure!(out.status.success(), "scripts/live/{script} {}: {}", arguments.join(" "), String::from_utf8_lossy(&out.stderr).trim_end());
    Ok(())
}
