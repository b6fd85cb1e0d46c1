//! One connection to one server: many requests at a time, each answered by number.
//!
//! Invariants:
//! 1. Only the writer task writes, whole frames only: a caller that goes away cannot cut one.
//! 2. A request is either waiting for the writer, taken by it, or abandoned; one that is abandoned while it waits is never written.
//! 3. Every request ends: with its answer, with its time, or with the connection. Which of the last two is safe follows from 2.
//! 4. When the connection ends, from whichever side, both tasks end.

use super::codes::{self, NAME};
use super::transport::Stream;
use super::wire::{self, Answer, Command};
use crate::messaging::{BrokerError, Class, ErrorKind};
use crate::sync::{Mutex, lock};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Frames that wait for the writer; who has another one waits for room.
const QUEUE: usize = 32;
/// After the last frame was written, the other side has this long for what it still has to say.
const LINGER: Duration = Duration::from_secs(1);

const WAITS: u8 = 0;
const TAKEN: u8 = 1;
const ABANDONED: u8 = 2;

struct Outgoing {
    frame: [Bytes; 2],
    stage: Arc<AtomicU8>,
}

/// `None` once the connection has ended.
type Pending = Mutex<Option<HashMap<i32, oneshot::Sender<Answer>>>>;

struct Shared {
    address: Arc<str>,
    pending: Pending,
    /// Why it ended.
    end: Mutex<String>,
    /// No new requests, please.
    retired: AtomicBool,
    /// How many frames have come: a time-out during which none came is the connection's fault.
    heard: AtomicU64,
    finish: CancellationToken,
    next: AtomicI32,
}

/// Its drop ends it.
pub(super) struct Connection {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Outgoing>,
}

/// Forgets a request that nobody waits for any more.
struct Place<'a> {
    shared: &'a Shared,
    opaque: i32,
    stage: Arc<AtomicU8>,
}

impl Place<'_> {
    /// Was it certainly not written?
    fn abandon(&self) -> bool {
        self.stage.compare_exchange(WAITS, ABANDONED, Ordering::AcqRel, Ordering::Acquire).is_ok_and(|_| true)
            || self.stage.load(Ordering::Acquire) == ABANDONED
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.abandon();
        if let Some(pending) = lock(&self.shared.pending).as_mut() {
            pending.remove(&self.opaque);
        }
    }
}

impl Connection {
    /// Takes over a stream that is connected.
    pub(super) fn start(stream: Box<dyn Stream>, address: &str, tasks: &TaskTracker, end: &CancellationToken) -> Connection {
        let (reader, writer) = tokio::io::split(stream);
        let (outgoing, frames) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            address: address.into(),
            pending: Mutex::new(Some(HashMap::new())),
            end: Mutex::default(),
            retired: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            finish: end.child_token(),
            next: AtomicI32::new(1),
        });
        tasks.spawn(write(shared.clone(), writer, frames));
        tasks.spawn(read(shared.clone(), reader));
        Connection { shared, outgoing }
    }

    /// Can it be used for another request?
    pub(super) fn is_good(&self) -> bool {
        !self.shared.retired.load(Ordering::Acquire) && !self.shared.finish.is_cancelled() && lock(&self.shared.pending).is_some()
    }

    /// What is under way is answered; nothing new is to be sent.
    pub(super) fn retire(&self) {
        self.shared.retired.store(true, Ordering::Release);
    }

    /// Asks, and waits for the answer for so long. Its future may be dropped at any time.
    ///
    /// # Errors
    /// Safe where the request was certainly not written, ambiguous otherwise. An answer, whatever its code, is no error here.
    pub(super) async fn request(&self, command: Command, within: Duration) -> Result<Answer, BrokerError> {
        let opaque = self.shared.next.fetch_add(1, Ordering::Relaxed) & i32::MAX;
        let stage = Arc::new(AtomicU8::new(WAITS));
        let (reply, answer) = oneshot::channel();
        let place = Place { shared: &self.shared, opaque, stage: stage.clone() };
        match lock(&self.shared.pending).as_mut() {
            Some(pending) => drop(pending.insert(opaque, reply)),
            None => return Err(self.lost(true)),
        }
        let heard = self.shared.heard.load(Ordering::Acquire);
        let until = Instant::now() + within;
        let asked = timeout_at(until, async {
            let outgoing = Outgoing { frame: command.frame(opaque), stage };
            self.outgoing.send(outgoing).await.map_err(|_| ())?;
            answer.await.map_err(|_| ())
        });
        match asked.await {
            Ok(Ok(answer)) => {
                if answer.code == codes::GO_AWAY {
                    self.retire();
                }
                Ok(answer)
            }
            Ok(Err(())) => Err(self.lost(place.abandon())),
            Err(_) => {
                let safe = place.abandon();
                // Nothing came at all: whoever asks next does so on another connection.
                if self.shared.heard.load(Ordering::Acquire) == heard {
                    self.end("no answer, and no other sign of life");
                }
                let text = format!("{} did not answer within {} ms", self.shared.address, within.as_millis());
                let error = BrokerError::new(NAME, ErrorKind::TimedOut, text);
                Err(if safe { error.with_class(Class::RetryableSafe) } else { error })
            }
        }
    }

    fn lost(&self, safe: bool) -> BrokerError {
        let why = lock(&self.shared.end).clone();
        let error = BrokerError::new(NAME, ErrorKind::Disconnected, format!("the connection to {} was lost: {why}", self.shared.address));
        if safe { error.with_class(Class::RetryableSafe) } else { error }
    }

    /// Ends it now.
    fn end(&self, why: &str) {
        self.shared.ended(why);
    }

    /// No more is written; what the other side has still to say is heard, for a bounded time.
    pub(super) fn finish(&self) {
        self.shared.finish.cancel();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    /// Everything that waits hears of it: the senders of their answers are dropped.
    fn ended(&self, why: &str) {
        let pending = {
            let mut pending = lock(&self.pending);
            if pending.is_some() {
                why.clone_into(&mut lock(&self.end));
            }
            pending.take()
        };
        drop(pending);
        self.finish.cancel();
    }
}

async fn write(shared: Arc<Shared>, mut writer: WriteHalf<Box<dyn Stream>>, mut frames: mpsc::Receiver<Outgoing>) {
    loop {
        let outgoing = tokio::select! {
            biased;
            () = shared.finish.cancelled() => break,
            outgoing = frames.recv() => match outgoing {
                Some(outgoing) => outgoing,
                None => break,
            },
        };
        if outgoing.stage.compare_exchange(WAITS, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_err() {
            continue;
        }
        let writing = async {
            let [head, body] = &outgoing.frame;
            writer.write_all(head).await?;
            writer.write_all(body).await?;
            writer.flush().await
        };
        // A frame that was begun is written to its end, or the connection is of no more use.
        let written = tokio::select! {
            biased;
            written = writing => Some(written),
            () = async { shared.finish.cancelled().await; tokio::time::sleep(LINGER).await } => None,
        };
        match written {
            Some(Ok(())) => {}
            Some(Err(error)) => return shared.ended(&error.to_string()),
            None => return shared.ended("it was closed"),
        }
    }
    shared.finish.cancel();
    let _ = timeout(LINGER, writer.shutdown()).await;
}

async fn read(shared: Arc<Shared>, mut reader: ReadHalf<Box<dyn Stream>>) {
    let over = async {
        shared.finish.cancelled().await;
        tokio::time::sleep(LINGER).await;
    };
    let mut over = std::pin::pin!(over);
    let why = loop {
        let incoming = tokio::select! {
            biased;
            incoming = wire::read(&mut reader) => incoming,
            () = &mut over => break "it was closed".to_owned(),
        };
        match incoming {
            Ok(incoming) if incoming.is_answer => {
                shared.heard.fetch_add(1, Ordering::AcqRel);
                let reply = lock(&shared.pending).as_mut().and_then(|pending| pending.remove(&incoming.opaque));
                if let Some(reply) = reply {
                    // Whoever has gone in this very moment does without.
                    let _ = reply.send(incoming.answer);
                }
            }
            // The broker asks: that members of a group have changed, or for this client's state. Neither concerns who pops.
            Ok(_) => drop(shared.heard.fetch_add(1, Ordering::AcqRel)),
            Err(error) => break error,
        }
    };
    shared.ended(&why);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    const SOON: Duration = Duration::from_millis(200);

    fn connected(buffer: usize) -> (Connection, DuplexStream) {
        let (ours, theirs) = duplex(buffer);
        (Connection::start(Box::new(ours), "there:1", &TaskTracker::new(), &CancellationToken::new()), theirs)
    }

    /// The frame's number, as the other side reads it.
    async fn heard(server: &mut DuplexStream) -> i32 {
        wire::read(server).await.expect("a whole frame").opaque
    }

    async fn say(server: &mut DuplexStream, opaque: i32, code: i32) {
        let header = format!(r#"{{"code":{code},"flag":1,"opaque":{opaque}}}"#);
        server.write_u32(4 + header.len() as u32).await.unwrap();
        server.write_u32(header.len() as u32).await.unwrap();
        server.write_all(header.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn answers_find_their_requests_in_any_order() {
        let (connection, mut server) = connected(1 << 16);
        let serving = async {
            let (first, second) = (heard(&mut server).await, heard(&mut server).await);
            say(&mut server, 4711, 9).await;
            say(&mut server, second, 2).await;
            say(&mut server, first, 1).await;
        };
        let (first, second, ()) = tokio::join!(connection.request(Command::new(1), SOON), connection.request(Command::new(2), SOON), serving);
        assert_eq!((first.unwrap().code, second.unwrap().code), (1, 2));
    }

    #[tokio::test]
    async fn what_was_written_is_ambiguous_and_what_was_not_is_safe() {
        let (connection, mut server) = connected(1 << 16);
        let (error, ()) = tokio::join!(async { connection.request(Command::new(1), SOON).await.unwrap_err() }, async {
            heard(&mut server).await;
            drop(server);
        });
        assert_eq!((error.kind(), error.class()), (ErrorKind::Disconnected, Class::RetryableAmbiguous), "{error}");
        assert!(!connection.is_good());
        let error = connection.request(Command::new(2), SOON).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (ErrorKind::Disconnected, Class::RetryableSafe), "{error}");
    }

    #[tokio::test]
    async fn no_answer_in_time_is_ambiguous_unless_it_still_waited_to_be_written() {
        let (connection, _server) = connected(64);
        // The first fills the way and stands in it; the second is not begun.
        let first = connection.request(Command::new(1).body(vec![0; 4096]), SOON);
        let second = connection.request(Command::new(2), SOON / 2);
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first.unwrap_err().class(), Class::RetryableAmbiguous);
        assert_eq!(second.unwrap_err().class(), Class::RetryableSafe);
        assert!(!connection.is_good(), "nothing was heard: another connection is to be tried");
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_cuts_no_frame() {
        let (connection, mut server) = connected(64);
        let gone = connection.request(Command::new(1).body(vec![7; 4096]), SOON * 10);
        assert!(timeout(SOON / 4, gone).await.is_err());
        let serving = async {
            let mut frames = vec![heard(&mut server).await];
            frames.push(heard(&mut server).await);
            say(&mut server, frames[1], codes::GO_AWAY).await;
            frames
        };
        let (answer, frames) = tokio::join!(connection.request(Command::new(2), SOON * 10), serving);
        assert_eq!((answer.unwrap().code, frames.len()), (codes::GO_AWAY, 2));
        assert!(!connection.is_good(), "the other side is about to go");
    }

    #[tokio::test]
    async fn who_finishes_hears_what_is_still_said() {
        let (connection, mut server) = connected(1 << 16);
        let mut asked = std::pin::pin!(connection.request(Command::new(1), SOON * 10));
        assert!(timeout(SOON / 4, &mut asked).await.is_err());
        connection.finish();
        let opaque = heard(&mut server).await;
        // Nothing more comes from there.
        assert_eq!(server.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        say(&mut server, opaque, 7).await;
        assert_eq!(asked.await.unwrap().code, 7);
    }
}
