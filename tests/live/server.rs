//! A real server under the tests' control, by way of `scripts/live`.
#![allow(dead_code, reason = "no test needs all of it")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One test at a time has a server: some of them kill it.
static TURN: Mutex<()> = Mutex::new(());

/// A server that runs while nobody else uses it. It is left running: the next test need not wait for it.
pub(crate) struct Server {
    name: &'static str,
    url: String,
    _turn: MutexGuard<'static, ()>,
}

impl Server {
    /// Starts it unless it runs, and waits for those who have it.
    ///
    /// # Panics
    /// When it cannot be started, with what the script says: a test without its server has failed.
    pub(crate) fn up(name: &'static str) -> Server {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Server { name, url: start(name, &[]), _turn: turn }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Runs one of the programs in `scripts/live/java` with RocketMQ's newest Java client: what it says last, as JSON.
    pub(crate) fn java(&self, program: &str, arguments: &[&str]) -> serde_json::Value {
        let said = script("java-client", &[&["5.5.0", program, &self.url], arguments].concat());
        let last = said.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{program} said {last:?}, which is no JSON: {error}"))
    }

    /// SIGKILL, and gone.
    pub(crate) fn kill(&self) {
        script("signal", &["KILL", self.name]);
    }

    /// Up again, with the data that it had.
    pub(crate) fn restart(&self) {
        let url = start(self.name, &["--keep"]);
        assert_eq!(url, self.url, "it came back somewhere else");
    }

    /// It does nothing any more, and its connections stay.
    pub(crate) fn pause(&self) {
        script("signal", &["STOP", self.name]);
    }

    /// Every connection to it is cut.
    pub(crate) fn cut(&self) {
        script("cut", &[self.name]);
    }

    /// It goes on.
    pub(crate) fn resume(&self) {
        script("signal", &["CONT", self.name]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whatever a failed test did to it: the next one has it in good health.
        let _ = run("signal", &["CONT", self.name]);
    }
}

fn start(name: &str, arguments: &[&str]) -> String {
    let said = script("up", &[arguments, &[name]].concat());
    let url = said.lines().find_map(|line| line.strip_prefix("ready: ")?.strip_prefix(name)?.strip_prefix(' '));
    url.unwrap_or_else(|| panic!("no ready line in {said:?}")).to_owned()
}

fn script(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "scripts/live/{name} {} failed: {complained}{said}", arguments.join(" "));
    said.into_owned()
}

fn run(name: &str, arguments: &[&str]) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/live").join(name);
    let mut command = Command::new(&path);
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{} cannot be run: {error}", path.display()))
}
