//! Waiting for the writer thread's end, but not for ever.
//!
//! A disk that hangs holds the thread, and no timer of a runtime may be relied on: so a second thread waits for the first, for a bounded time,
//! and joins it. It exists from the close on only.

use super::super::{BrokerError, ErrorKind};
use super::fault::NAME;
use super::queue::ended;
use crate::sync::{Mutex, lock};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

type Ended = Result<(), BrokerError>;

/// The thread, until somebody waits for it.
struct Writer {
    thread: JoinHandle<()>,
    answer: Receiver<Ended>,
    said: watch::Sender<Option<Ended>>,
}

pub(super) struct Closing {
    writer: Mutex<Option<Writer>>,
    said: watch::Receiver<Option<Ended>>,
    bound: Duration,
}

impl Closing {
    pub(super) fn new(thread: JoinHandle<()>, answer: Receiver<Ended>, bound: Duration) -> Closing {
        let (say, said) = watch::channel(None);
        Closing { writer: Mutex::new(Some(Writer { thread, answer, said: say })), said, bound }
    }

    /// What the thread said when it ended; everybody who asks hears the same.
    pub(super) async fn ended(&self) -> Ended {
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer {
            let bound = self.bound;
            let watcher = std::thread::Builder::new().name("winddown-sqlite-end".into()).spawn(move || writer.wait(bound));
            watcher.map_err(|error| BrokerError::new(NAME, ErrorKind::Other, format!("no thread to wait for the writer: {error}")))?;
        }
        let mut said = self.said.clone();
        match said.wait_for(Option::is_some).await {
            Ok(said) => said.clone().expect("an answer, which was waited for"),
            Err(_) => Err(ended()),
        }
    }
}

impl Writer {
    fn wait(self, bound: Duration) {
        let answer = match self.answer.recv_timeout(bound) {
            Ok(answer) => {
                // It has nothing left to do but to return.
                let _ = self.thread.join();
                answer
            }
            Err(RecvTimeoutError::Timeout) => {
                let text = format!("the writer thread is still at work after {bound:?}: what was acknowledged is safe, leases run out by themselves");
                Err(BrokerError::new(NAME, ErrorKind::TimedOut, text))
            }
            Err(RecvTimeoutError::Disconnected) => Err(ended()),
        };
        self.said.send_replace(Some(answer));
    }
}
