//! Writes to stderr from a thread of its own, so that a full pipe holds nobody.
//!
//! It writes to a duplicate of the descriptor: the standard library's lock on stderr can be held by user code. It never sets
//! O_NONBLOCK: the descriptor is shared with whoever started us.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Lines that may wait; what comes when there are more is dropped and counted.
const WAITING: usize = 1024;

enum Job {
    Text(String),
    Flush(SyncSender<()>),
}

#[derive(Debug)]
pub(super) struct Printer {
    queue: Option<SyncSender<Job>>,
    dropped: u64,
}

impl Printer {
    pub(super) fn new(on: bool) -> Printer {
        let queue = on.then(start).flatten();
        Printer { queue, dropped: 0 }
    }

    pub(super) fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Never blocks.
    pub(super) fn print(&mut self, text: String) {
        let Some(queue) = &self.queue else { return };
        if let Err(TrySendError::Full(_)) = queue.try_send(Job::Text(text)) {
            self.dropped += 1;
        }
    }

    /// The report: also printed by one who is quiet, when the process is about to be left.
    pub(super) fn print_at_last(&mut self, leaving: bool, text: impl FnOnce() -> String) {
        if self.queue.is_none() && leaving {
            self.queue = start();
        }
        if self.queue.is_some() {
            self.print(text());
        }
    }

    /// Waits until what was printed is written, for a bounded time.
    pub(super) fn flush(&mut self, bound: Duration) {
        let Some(queue) = &self.queue else { return };
        let (done, wait) = sync_channel(1);
        if queue.try_send(Job::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(bound);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn start() -> Option<SyncSender<Job>> {
    let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned().ok()?);
    let (queue, jobs) = sync_channel(WAITING);
    std::thread::Builder::new().name("winddown-printer".into()).spawn(move || write(stderr, &jobs)).ok()?;
    Some(queue)
}

fn write(mut stderr: File, jobs: &Receiver<Job>) {
    for job in jobs {
        match job {
            // A closed pipe is not our business: the report says it all.
            Job::Text(text) => {
                let _ = stderr.write_all(text.as_bytes());
            }
            Job::Flush(done) => {
                let _ = done.try_send(());
            }
        }
    }
}
