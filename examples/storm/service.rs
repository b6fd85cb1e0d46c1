//! The service as a child process: started, watched, signalled, killed.

use anyhow::{Context, bail, ensure};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long the service may take before it says where it listens. Longer than it ever should: it opens three files.
const START: Duration = Duration::from_secs(30);

/// How late a process may be, past its grace period, as seen from a loaded machine.
const SLACK: Duration = Duration::from_millis(1500);

/// How it leaves when its broker is away at its start.
pub(crate) const AWAY: i32 = 1;

pub(crate) struct Service {
    child: Child,
    first_line: Receiver<String>,
    report: PathBuf,
    log: PathBuf,
    grace: Duration,
}

impl Service {
    pub(crate) fn start(program: &Path, data: &Path, grace: Duration, more: &[&str]) -> anyhow::Result<Service> {
        let (report, log) = (beside(data, "report.json"), beside(data, "log"));
        let _ = fs::remove_file(&report); // the one of the run before
        let stderr = File::options().create(true).append(true).open(&log).with_context(|| format!("cannot open {}", log.display()))?;
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--grace", &format!("{}ms", grace.as_millis())])
            .arg("--data")
            .arg(data)
            .arg("--report")
            .arg(&report)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("cannot run {} (cargo build --example order_service makes it)", program.display()))?;
        let (line, first_line) = channel();
        let stdout = child.stdout.take().context("no pipe")?;
        thread::spawn(move || {
            let (mut stdout, mut first) = (BufReader::new(stdout), String::new());
            let _ = stdout.read_line(&mut first);
            let _ = line.send(first);
            let _ = stdout.read_to_end(&mut Vec::new()); // so that its pipe is never full
        });
        Ok(Service { child, first_line, report, log, grace })
    }

    /// Where it listens, as soon as it has said so; nothing if the time was over before, or it left without a word.
    pub(crate) fn address_within(&self, patience: Duration) -> Option<SocketAddr> {
        match self.first_line.recv_timeout(patience) {
            Ok(line) => line.trim_end().strip_prefix("listening on http://")?.parse().ok(),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Where it listens, which it must say.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.address_within(START).with_context(|| format!("the service did not come up, see {}", self.log.display()))
    }

    /// Waits until a SIGTERM would not simply kill it: what comes earlier, no program can do anything about.
    pub(crate) fn until_it_handles_sigterm(&self) {
        let (status, began) = (format!("/proc/{}/status", self.child.id()), Instant::now());
        while began.elapsed() < START {
            match fs::read_to_string(&status) {
                Ok(status) if !handles_sigterm(&status) => thread::sleep(Duration::from_millis(1)),
                // Elsewhere than on Linux: once it listens, it does.
                Err(_) if cfg!(not(target_os = "linux")) => thread::sleep(Duration::from_millis(500)),
                _ => return,
            }
        }
    }

    /// Whether it has left by itself since its broker was away: then with 1, and a report that says so. Its orchestrator would start it again.
    pub(crate) fn turned_away(&mut self) -> anyhow::Result<bool> {
        match self.child.try_wait()? {
            Some(status) if status.code() == Some(AWAY) => self.says_that_the_broker_was_away(),
            _ => Ok(false),
        }
    }

    fn says_that_the_broker_was_away(&self) -> anyhow::Result<bool> {
        let report = self.read_report()?;
        let broker = report["resources"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "broker"));
        Ok(report["trigger"]["kind"] == "setup_failed" && broker.is_some_and(|broker| broker["outcome"] == "not_created"))
    }

    fn read_report(&self) -> anyhow::Result<serde_json::Value> {
        let report = fs::read_to_string(&self.report).with_context(|| format!("there is no report {}", self.report.display()))?;
        serde_json::from_str(&report).with_context(|| format!("no JSON: {}", self.report.display()))
    }

    pub(crate) fn signal(&self, name: &str) -> anyhow::Result<()> {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().context("cannot run kill")?;
        ensure!(sent.success(), "cannot send SIG{name}");
        Ok(())
    }

    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill the service")?;
        self.child.wait().context("cannot wait for the service")?;
        Ok(())
    }

    /// After a SIGTERM: it leaves within its grace period, with 0 or 124, and a report that says the same; or it was about to leave anyway, since its
    /// broker was away.
    pub(crate) fn leave(mut self) -> anyhow::Result<i32> {
        let began = Instant::now();
        let status = self.wait()?;
        let waited = began.elapsed();
        let code = status.code().with_context(|| format!("it did not leave by itself: {status}, see {}", self.log.display()))?;
        let expected = code == 0 || code == 124 || (code == AWAY && self.says_that_the_broker_was_away()?);
        ensure!(expected, "it left with {code}, see {} and {}", self.log.display(), self.report.display());
        let report = match self.read_report() {
            // The deadline comes before the report where the machine is so busy that there was no time to write one.
            Err(problem) if code == 124 && waited >= self.grace => {
                crate::say(&format!("storm: it left at its deadline of {:?} without a report ({problem:#})", self.grace));
                return Ok(code);
            }
            report => report?,
        };
        ensure!(report["exit_code"] == code, "it left with {code}, and its report says {}", report["exit_code"]);
        Ok(code)
    }

    fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if began.elapsed() > self.grace + SLACK {
                bail!("it did not leave within its grace period of {:?}, see {}", self.grace, self.log.display());
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of this storm that is no file of the service's.
pub(crate) fn beside(data: &Path, what: &str) -> PathBuf {
    data.with_extension(what)
}

/// From the kernel's list of the signals that a process catches, a mask in hexadecimal.
fn handles_sigterm(status: &str) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & (1 << (signal_hook::consts::SIGTERM - 1)) != 0)
}
