//! What can be seen only from outside the process: this test program, run again as a child with a part to play.

use crate::common::PATIENCE;
use crate::common::child::{eventually, signal};
use crate::common::lines::Lines;
use crate::guarded;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

const PART: &str = "WINDDOWN_REAL_TIME_PART";

/// The child's side: without a part there is nothing to do, and it passes.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else { return };
    match &*part {
        "hangs" => guarded::hangs(),
        "leaves" => guarded::leaves(),
        "unguarded" => guarded::unguarded(),
        "too long" => guarded::too_long(),
        "host" => guarded::host(),
        "at once after guard" => guarded::at_once("guard"),
        "at once after run" => guarded::at_once("run"),
        "at once after run_blocking" => guarded::at_once("run_blocking"),
        other => panic!("no such part: {other}"),
    }
}

/// What a child says to its test, on stderr.
pub(crate) fn say(text: &str) {
    // One write, so that a line stays whole beside what others write.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Waits for ever: for a signal.
pub(crate) fn park() -> ! {
    loop {
        std::thread::park();
    }
}

/// This program as a child that plays a part. It does not outlive the test.
pub(crate) struct Running {
    process: Child,
    stderr: Lines,
}

impl Running {
    pub(crate) fn start(part: &str) -> Running {
        let program = std::env::current_exe().expect("the test's own path");
        let mut command = Command::new(program);
        command.args(["--exact", "children::child", "--nocapture", "--test-threads=1"]).env(PART, part).env("NO_COLOR", "1");
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it can be run again");
        let stderr = Lines::read(process.stderr.take().expect("it is a pipe"));
        Running { process, stderr }
    }

    /// Waits until it has said this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        let said = self.stderr.wait_for(PATIENCE, |line| line == text);
        assert!(said.is_some(), "it never said `{text}`:\n{}", self.stderr.text());
    }

    /// Sends SIGTERM; the instants before and after.
    pub(crate) fn terminate(&self) -> (Instant, Instant) {
        let before = Instant::now();
        signal(self.process.id(), "SIGTERM");
        (before, Instant::now())
    }

    /// Waits for its end: how, when, and what it had said.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let status = eventually(PATIENCE, || self.process.try_wait().expect("it can be asked"));
        let at = Instant::now();
        let status = status.unwrap_or_else(|| panic!("it is still there:\n{}", self.stderr.text()));
        self.stderr.wait_closed(PATIENCE);
        Ended { status, at, stderr: self.stderr.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) struct Ended {
    status: ExitStatus,
    pub(crate) at: Instant,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that killed it.
    pub(crate) fn killed_by(&self) -> Option<i32> {
        self.status.signal()
    }
}
