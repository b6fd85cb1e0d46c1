//! The service as a child process: started, watched, asked to stop, and killed if a test forgets.

use crate::http::{Connection, exchange};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longer than anything here takes; a test that hits it fails.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) address: SocketAddr,
    errors: Option<JoinHandle<String>>,
    in_flight: usize,
}

/// The arguments that keep a service to itself: a free port, and this data directory.
pub(crate) fn options(data: &Path) -> [&str; 4] {
    ["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]
}

impl Child {
    /// Returns once it has said where it listens, which is the first line it prints.
    pub(crate) fn serving(data: &Path, more: &[&str]) -> Child {
        let mut process = spawn(&[&options(data), more].concat());
        let (line, lines) = channel();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        thread::spawn(move || {
            let mut first = String::new();
            let _ = stdout.read_line(&mut first);
            let _ = line.send(first);
            let _ = stdout.read_to_string(&mut String::new()); // so that its pipe is never full
        });
        let errors = Some(text(process.stderr.take().unwrap()));
        let first = lines.recv_timeout(PATIENCE).unwrap_or_default();
        let address = first.trim_end().strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut child = Child { process, address: address.unwrap_or(unknown), errors, in_flight: 0 };
        if address.is_none() {
            let _ = child.process.kill();
            panic!("it said {first:?}, and {}", child.errors());
        }
        child
    }

    /// Posts an order that will not be answered yet; returns once the service has it.
    pub(crate) fn in_flight(&mut self, order: &str) -> Connection {
        let mut connection = Connection::to(self.address);
        connection.send("POST", "/orders", order).unwrap();
        self.in_flight += 1;
        until("the order is in flight", || {
            let health = exchange(self.address, "GET", "/healthz", "").unwrap();
            health.json()["in_flight"] == self.in_flight
        });
        connection
    }

    /// Sends it a real one, by name: TERM, INT.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Its exit code, once it has left by itself.
    pub(crate) fn wait(&mut self) -> i32 {
        left(&mut self.process).code().expect("a code and not a signal")
    }

    /// All that it printed on stderr; to be asked once it has left.
    pub(crate) fn errors(&mut self) -> String {
        self.errors.take().map_or_else(String::new, |errors| errors.join().unwrap())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs it until it leaves by itself: exit code, stdout, stderr.
pub(crate) fn out_of(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut process = spawn(arguments);
    let (out, errors) = (text(process.stdout.take().unwrap()), text(process.stderr.take().unwrap()));
    let status = left(&mut process);
    (status.code(), out.join().unwrap(), errors.join().unwrap())
}

fn spawn(arguments: &[&str]) -> std::process::Child {
    let program = program();
    let child = Command::new(&program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    child.unwrap_or_else(|e| {
        // `cargo test` builds the examples too, `cargo test --test order_service` does not.
        panic!("{e}: {} (cargo build --example order_service makes it)", program.display())
    })
}

/// The example beside this test: the one is in `deps`, the other in `examples` of the same profile.
fn program() -> PathBuf {
    let profile = std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_owned();
    profile.join("examples").join("order_service").with_extension(std::env::consts::EXE_EXTENSION)
}

fn text(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn left(process: &mut std::process::Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > PATIENCE {
            let _ = process.kill();
            panic!("it did not leave");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for what can only be seen by looking.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A directory that is gone when dropped.
pub(crate) struct Directory(PathBuf);

pub(crate) fn fresh() -> Directory {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("order-service-test-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path); // left by a process that had this id before and was killed
    std::fs::create_dir(&path).unwrap();
    Directory(path)
}

impl Directory {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
