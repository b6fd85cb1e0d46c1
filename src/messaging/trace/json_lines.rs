//! Trace records in a file, one JSON object a line.
//!
//! The file belongs to a thread of its own, which may hang as long as the disk does: exports hand it their bytes through a short queue and
//! wait for its answer, no longer than their own time.

use super::json::line_to;
use super::{Exporter, TraceRecord};
use async_trait::async_trait;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use tokio::sync::oneshot;

/// More than the exports of one dispatcher; what comes while so many wait for a disk is refused.
const QUEUE: usize = 64;

/// Appends records to a file, one JSON object a line, and hands each batch to the system before its export counts as done; the stop waits until
/// all of it is on the disk (fsync).
///
/// Names of the fields are those of the record, `kind` is `pub`, `sub_before` or `sub_after`, costs are in microseconds (`cost_us`), and what a
/// record does not have is left out. The file is only ever appended to: a rotation has to copy and truncate it. A line that was cut short, by a full
/// disk or a killed process, is ended before the next is begun, so at most that line is no JSON.
pub struct JsonLines {
    path: PathBuf,
    jobs: SyncSender<Job>,
}

/// What is to be written, or nothing: then the file is synced. The answer goes to whoever waits for it.
type Job = (Option<Vec<u8>>, oneshot::Sender<Result<(), JsonLinesError>>);

impl JsonLines {
    /// Opens the file, or makes it, and starts the thread that writes. Blocks for as long as that takes.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn create(path: impl Into<PathBuf>) -> Result<JsonLines, JsonLinesError> {
        let path = path.into();
        let trouble = |error| JsonLinesError::of(&path, error);
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(trouble)?;
        let torn = is_torn(&path);
        let (jobs, queue) = sync_channel(QUEUE);
        let writer = Writer { path: path.clone(), file, torn };
        std::thread::Builder::new().name("winddown-trace".to_owned()).spawn(move || writer.run(queue)).map_err(trouble)?;
        Ok(JsonLines { path, jobs })
    }

    async fn ask(&self, bytes: Option<Vec<u8>>) -> Result<(), JsonLinesError> {
        let (answer, wait) = oneshot::channel();
        self.jobs.try_send((bytes, answer)).map_err(|refused| {
            let kind = if matches!(refused, TrySendError::Full(_)) { JsonLinesErrorKind::Behind } else { JsonLinesErrorKind::Other };
            JsonLinesError { kind, path: self.path.clone(), text: String::new() }
        })?;
        let gone = || JsonLinesError { kind: JsonLinesErrorKind::Other, path: self.path.clone(), text: "its thread has ended".to_owned() };
        wait.await.unwrap_or_else(|_| Err(gone()))
    }
}

#[async_trait]
impl Exporter for JsonLines {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        let mut lines = Vec::with_capacity(batch.iter().map(|record| record.size() * 2).sum());
        batch.iter().for_each(|record| line_to(&mut lines, record));
        Ok(self.ask(Some(lines)).await?)
    }

    async fn close(&self) -> anyhow::Result<()> {
        Ok(self.ask(None).await?)
    }
}

impl fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Does the file end inside a line? What cannot be read, such as a device, does not.
fn is_torn(path: &Path) -> bool {
    let last = || -> io::Result<bool> {
        if !path.metadata()?.is_file() {
            return Ok(false);
        }
        let mut file = File::open(path)?;
        if file.seek(SeekFrom::End(0))? == 0 {
            return Ok(false);
        }
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        Ok(byte != *b"\n")
    };
    last().unwrap_or(false)
}

/// The thread's own.
struct Writer {
    path: PathBuf,
    file: File,
    torn: bool,
}

impl Writer {
    /// Until the exporter is dropped.
    fn run(mut self, queue: Receiver<Job>) {
        while let Ok((bytes, answer)) = queue.recv() {
            // Nobody waits: the export's time was over while this hung, and it was counted as failed.
            if answer.is_closed() {
                continue;
            }
            let result = match bytes {
                Some(bytes) => self.write(&bytes),
                None => self.sync(),
            };
            let _ = answer.send(result.map_err(|error| JsonLinesError::of(&self.path, error)));
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.torn = bytes[written - 1] != b'\n';
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.file.sync_all() {
            // A pipe or a terminal: there is no disk to wait for.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }
}

/// A file that could not be opened or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonLinesError {
    kind: JsonLinesErrorKind,
    path: PathBuf,
    text: String,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JsonLinesErrorKind {
    /// The disk, or the share of it, is full.
    Full,
    /// The file system can only be read.
    ReadOnly,
    /// The process may not write there.
    Denied,
    /// There is no such directory.
    Missing,
    /// The disk does not keep up: so many batches wait already.
    Behind,
    /// Anything else.
    Other,
}

impl JsonLinesError {
    fn of(path: &Path, error: io::Error) -> JsonLinesError {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => JsonLinesErrorKind::Full,
            io::ErrorKind::ReadOnlyFilesystem => JsonLinesErrorKind::ReadOnly,
            io::ErrorKind::PermissionDenied => JsonLinesErrorKind::Denied,
            io::ErrorKind::NotFound => JsonLinesErrorKind::Missing,
            _ => JsonLinesErrorKind::Other,
        };
        JsonLinesError { kind, path: path.to_owned(), text: error.to_string() }
    }

    /// Why.
    pub fn kind(&self) -> JsonLinesErrorKind {
        self.kind
    }

    /// Which file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for JsonLinesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JsonLinesError { kind, path, text } = self;
        let path = path.display();
        match kind {
            JsonLinesErrorKind::Full => write!(f, "trace file {path}: no room ({text}): free some, or rotate the file"),
            JsonLinesErrorKind::ReadOnly => write!(f, "trace file {path}: its file system can only be read ({text}): choose another directory"),
            JsonLinesErrorKind::Denied => {
                write!(f, "trace file {path}: not allowed to write there ({text}): change its owner or mode, or choose another")
            }
            JsonLinesErrorKind::Missing => write!(f, "trace file {path}: its directory is not there ({text}): make it first"),
            JsonLinesErrorKind::Behind => write!(f, "trace file {path}: {QUEUE} batches wait for the disk already: it hangs or is too slow"),
            JsonLinesErrorKind::Other => write!(f, "trace file {path}: {text}"),
        }
    }
}

impl std::error::Error for JsonLinesError {}
