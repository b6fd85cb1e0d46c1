//! A real child process that runs the `scenario` example: started, awaited, signalled by pid, and killed with the test.

use super::lines::Lines;
use super::report::Report;
use super::{PATIENCE, millis};
use serde_json::Value;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The example that was built together with the running test: `target/<profile>/examples/scenario`.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.parent().and_then(Path::parent).expect("a test runs from target/<profile>/deps");
    let path = profile.join("examples/scenario");
    assert!(path.is_file(), "{} is not there: `cargo test` builds it, `cargo test --test …` does not", path.display());
    path
}

/// A directory of this run's own, removed in the end unless the test fails.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// What to run and how; see [`Setup::spawn`].
pub(crate) struct Setup {
    scratch: Scratch,
    program: PathBuf,
    file: PathBuf,
    args: Vec<OsString>,
    /// Put before the program, such as `nohup`.
    wrapper: Vec<OsString>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl Setup {
    /// A scenario that stands in the test.
    pub(crate) fn of(name: &str, toml: &str) -> Setup {
        let scratch = Scratch::new(name);
        let file = scratch.path(&format!("{name}.toml"));
        std::fs::write(&file, toml).expect("the scenario is written");
        Setup { scratch, program: binary(), file, args: Vec::new(), wrapper: Vec::new(), stdout: None, stderr: None }
    }

    /// A scenario in a file.
    pub(crate) fn file(path: &Path) -> Setup {
        let name = path.file_stem().expect("a file name").to_string_lossy();
        let scratch = Scratch::new(&name);
        Setup { scratch, program: binary(), file: path.to_owned(), args: Vec::new(), wrapper: Vec::new(), stdout: None, stderr: None }
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Setup {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Another build of the example.
    pub(crate) fn program(mut self, program: &Path) -> Setup {
        self.program = program.to_owned();
        self
    }

    pub(crate) fn wrapped(mut self, wrapper: impl IntoIterator<Item = impl Into<OsString>>) -> Setup {
        self.wrapper.extend(wrapper.into_iter().map(Into::into));
        self
    }

    pub(crate) fn stdout(mut self, stream: impl Into<Stdio>) -> Setup {
        self.stdout = Some(stream.into());
        self
    }

    pub(crate) fn stderr(mut self, stream: impl Into<Stdio>) -> Setup {
        self.stderr = Some(stream.into());
        self
    }

    pub(crate) fn report_path(&self) -> PathBuf {
        self.scratch.path("report.json")
    }

    /// The words of the whole command: wrapper, program, file, `--report`, arguments.
    fn words(&self) -> Vec<OsString> {
        let mut words = self.wrapper.clone();
        words.extend([self.program.clone().into(), self.file.clone().into(), "--report".into(), self.report_path().into()]);
        words.extend(self.args.iter().cloned());
        words
    }

    pub(crate) fn spawn(mut self) -> Running {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).env("NO_COLOR", "1");
        // Finding the names for a backtrace can take longer than the graces of these tests.
        command.env("RUST_BACKTRACE", "0");
        command.stdout(self.stdout.take().unwrap_or_else(Stdio::piped));
        command.stderr(self.stderr.take().unwrap_or_else(Stdio::piped));
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let stdout = process.stdout.take().map(Lines::read).unwrap_or_else(Lines::none);
        let stderr = process.stderr.take().map(Lines::read).unwrap_or_else(Lines::none);
        Running { report: self.report_path(), scratch: self.scratch, process, stdout, stderr }
    }
}

/// A child that runs. It does not outlive the test.
pub(crate) struct Running {
    process: Child,
    report: PathBuf,
    scratch: Scratch,
    pub(crate) stdout: Lines,
    pub(crate) stderr: Lines,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the line that says that everything runs.
    pub(crate) fn ready(&self) {
        let ready = self.stdout.wait_for(PATIENCE, |line| line == "ready");
        assert!(ready.is_some(), "it never said `ready`:\n{}", self.told());
    }

    /// Waits for an event; the child has to run with `--trace`.
    pub(crate) fn event(&self, kind: &str, subject: Option<&str>) {
        let wanted = |event: &Value| event["kind"] == kind && subject.is_none_or(|subject| event["subject"] == subject);
        assert!(self.traced(1, wanted), "no event {kind} of {subject:?}:\n{}", self.told());
    }

    /// Sends a signal and waits until it has been taken; the child has to run with `--trace`. Two that are on their way
    /// at the same time may arrive in either order.
    pub(crate) fn signal_and_wait(&self, name: &str) {
        self.signal(name);
        self.took(name, 1);
    }

    /// Waits until the child has taken this signal for the `n`th time; it has to run with `--trace`.
    pub(crate) fn took(&self, name: &str, n: usize) {
        let wanted = |event: &Value| event["kind"] == "signal_received" && event["signal"] == format!("SIG{name}");
        assert!(self.traced(n, wanted), "SIG{name} was not taken {n} times:\n{}", self.told());
    }

    fn traced(&self, n: usize, wanted: impl Fn(&Value) -> bool) -> bool {
        let event = |line: &str| serde_json::from_str(line).is_ok_and(|event| wanted(&event));
        self.stderr.wait_for_nth(PATIENCE, n, event).is_some()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits until the process handles this signal (and so would not simply die of it).
    pub(crate) fn catches(&self, number: u32) {
        let mask_of = |pid: u32| -> Option<u64> {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        };
        let caught = eventually(PATIENCE, || mask_of(self.pid()).filter(|mask| mask & (1 << (number - 1)) != 0));
        assert!(caught.is_some(), "no handler for signal {number}:\n{}", self.told());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("the child can be asked").is_none()
    }

    /// Waits for its end; what takes longer than the bound is killed and fails the test.
    pub(crate) fn end(mut self, bound: Duration) -> Ended {
        let status = eventually(bound, || self.process.try_wait().expect("the child can be asked"));
        let at = Instant::now();
        let Some(status) = status else {
            panic!("still there after {bound:?}:\n{}", self.told());
        };
        self.stdout.wait_closed(PATIENCE);
        self.stderr.wait_closed(PATIENCE);
        Ended { status, at, stdout: self.stdout.text(), stderr: self.stderr.text(), report: Report::read(&self.report) }
    }

    fn told(&self) -> String {
        let _ = &self.scratch;
        format!("--- stdout\n{}\n--- stderr\n{}\n---", self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is left of a child.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) at: Instant,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// `None` where none was written.
    pub(crate) report: Option<Report>,
}

impl Ended {
    /// Its exit code; a child killed by a signal has none and fails the test.
    pub(crate) fn code(&self) -> i32 {
        let told = || format!("it died of signal {:?}:\n{}", self.status.signal(), self.stderr);
        self.status.code().unwrap_or_else(|| panic!("{}", told()))
    }

    pub(crate) fn report(&self) -> &Report {
        self.report.as_ref().unwrap_or_else(|| panic!("no report was written; stderr:\n{}", self.stderr))
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let name = name.strip_prefix("SIG").unwrap_or(name);
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).stderr(Stdio::null()).status();
    assert!(status.expect("kill can be run").success(), "{pid} cannot be sent {name}");
}

/// Asks again and again until there is an answer or the time is over. For what has no event to wait on.
pub(crate) fn eventually<T>(bound: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + bound;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= deadline {
            return answer;
        }
        std::thread::sleep(millis(1));
    }
}
