//! From a path to a connection that may be written to, or an error that says what stands in the way. What is no broker's is not touched.

use super::super::{BrokerError, ErrorKind};
use super::fault::{NAME, failed, is_busy};
use super::schema::{self, APPLICATION_ID, Found, VERSION};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// While it is opened, another process may be creating it, recovering it, or closing it as the last one.
const OPENING: Duration = Duration::from_secs(5);

/// Longer than the gap between a look for a journal and a look at the file.
const AGAIN: Duration = Duration::from_millis(20);

/// Files up to this size are checked as a whole when they are opened: some tens of milliseconds.
const CHECKED: u64 = 32 << 20;

/// Opens for writing, and creates what is not there yet.
pub(super) fn open(path: &Path) -> Result<(PathBuf, Connection), BrokerError> {
    let path = judged(path)?;
    let fails = |error: rusqlite::Error| failed(&path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&path, flags).map_err(|error| cannot_open(&path, &error))?;
    conn.busy_timeout(OPENING).map_err(fails)?;
    // Before anything is read: that would leave a log behind that is as little to be written as the file.
    if conn.is_readonly("main").map_err(fails)? {
        let text = format!("`{}` can only be read: allow this user to write the file and its directory", path.display());
        return Err(BrokerError::new(NAME, ErrorKind::Unauthorised, text));
    }
    if looked(&path, &conn)? == Found::Empty {
        create(&path, &conn)?;
    } else {
        whole(&path, &conn)?;
    }
    prepare(&path, &conn)?;
    Ok((path, conn))
}

/// Opens for reading only.
pub(super) fn open_read_only(path: &Path) -> Result<(PathBuf, Connection), BrokerError> {
    let path = judged(path)?;
    if !path.exists() {
        return Err(BrokerError::new(NAME, ErrorKind::Invalid, format!("there is no file `{}` to look into: check the path", path.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&path, flags).map_err(|error| cannot_open(&path, &error))?;
    conn.busy_timeout(OPENING).map_err(|error| failed(&path, &error))?;
    match looked(&path, &conn)? {
        Found::Empty => Err(BrokerError::new(NAME, ErrorKind::Invalid, format!("`{}` is empty: no broker has opened it yet", path.display()))),
        _ => Ok((path, conn)),
    }
}

/// The path made absolute, if a broker's file can be there.
fn judged(path: &Path) -> Result<PathBuf, BrokerError> {
    let invalid = |text: String| BrokerError::new(NAME, ErrorKind::Invalid, text);
    if path.as_os_str().is_empty() || path.as_os_str() == ":memory:" {
        return Err(invalid("this broker needs the path of a file; for messages that need not outlive the process there is MemoryBroker".into()));
    }
    let path = std::path::absolute(path).map_err(|error| invalid(format!("`{}`: {error}", path.display())))?;
    let shown = path.display();
    if path.is_dir() {
        return Err(invalid(format!("`{shown}` is a directory: name a file in it")));
    }
    match path.parent() {
        Some(parent) if !parent.exists() => return Err(invalid(format!("the directory `{}` does not exist: create it first", parent.display()))),
        Some(parent) if !parent.is_dir() => return Err(invalid(format!("`{}` is no directory: name another path", parent.display()))),
        _ => {}
    }
    // Whoever is just creating it writes page by page, with a journal beside it: what is strange now may be right when looked at again.
    if header(&path).is_err() {
        std::thread::sleep(AGAIN);
        header(&path)?;
    }
    Ok(path)
}

/// Looks at the file's own header, apart from its log: to open it fully would already begin to recover it, also one that is none of ours.
///
/// Through SQLite nevertheless: a file of ours that is opened and closed by any other way loses the locks of all connections in this process.
fn header(path: &Path) -> Result<(), BrokerError> {
    // A half-made file whose maker was killed has its journal beside it; SQLite undoes that, and then the file is empty.
    let unfinished = beside(path, "-journal").metadata().is_ok_and(|journal| journal.len() > 0);
    if unfinished || path.metadata().map_or(0, |file| file.len()) == 0 {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(unchanging(path), flags).map_err(|error| cannot_open(path, &error))?;
    match conn.query_row("PRAGMA application_id", [], |row| row.get(0)) {
        Ok(APPLICATION_ID) => Ok(()),
        Ok(_) => Err(foreign(path, "is an SQLite file of another program")),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(foreign(path, "is no SQLite file, or its beginning is destroyed"))
        }
        Err(error) => Err(cannot_open(path, &error)),
    }
}

/// The address of a file that is to be read as it stands, without locks, log and shared memory.
fn unchanging(path: &Path) -> String {
    let mut address = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => address.push(char::from(*byte)),
            other => address.push_str(&format!("%{other:02x}")),
        }
    }
    address + "?immutable=1"
}

/// A file that SQLite keeps beside another.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn foreign(path: &Path, what: &str) -> BrokerError {
    let text = format!("`{}` {what}; nothing was changed: name another path, or move that file away", path.display());
    BrokerError::new(NAME, ErrorKind::Corrupt, text)
}

/// Asks SQLite what it is, and refuses what is no broker's of this version.
fn looked(path: &Path, conn: &Connection) -> Result<Found, BrokerError> {
    match schema::look(conn).map_err(|error| cannot_open(path, &error))? {
        Found::Foreign => Err(foreign(path, "is an SQLite file of another program")),
        Found::Incomplete => Err(foreign(path, "has lost tables of the broker that made it")),
        Found::Newer(version) => {
            let text = format!(
                "`{}` was made by a later version of this library (schema {version}, this one knows {VERSION}); nothing was changed: use that version",
                path.display()
            );
            Err(BrokerError::new(NAME, ErrorKind::Invalid, text))
        }
        found => Ok(found),
    }
}

fn create(path: &Path, conn: &Connection) -> Result<(), BrokerError> {
    conn.execute_batch("BEGIN IMMEDIATE").map_err(|error| cannot_open(path, &error))?;
    // Another process may have been faster.
    let made = match looked(path, conn) {
        Ok(Found::Empty) => schema::create(conn).and_then(|()| conn.execute_batch("COMMIT")).map_err(|error| cannot_open(path, &error)),
        Ok(_) => conn.execute_batch("COMMIT").map_err(|error| failed(path, &error)),
        Err(error) => Err(error),
    };
    if made.is_err() && !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    made
}

/// Damage that shows when it is opened is better than damage that shows at the first message that lies there.
fn whole(path: &Path, conn: &Connection) -> Result<(), BrokerError> {
    if path.metadata().map_or(0, |file| file.len()) > CHECKED {
        return Ok(());
    }
    let fails = |error: rusqlite::Error| failed(path, &error);
    // A page that is cut off reads as zeros from there on. While there is a log, it may stand in the log.
    let page: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(fails)?;
    let logged = beside(path, "-wal").metadata().is_ok_and(|log| log.len() > 0);
    let said = match path.metadata() {
        Ok(file) if !logged && !file.len().is_multiple_of(page.into()) => "its end is cut off".into(),
        _ => conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).map_err(fails)?,
    };
    if said == "ok" {
        return Ok(());
    }
    let advice = "nothing was changed; restore it from a backup, or move it away and salvage it with sqlite3's .recover";
    Err(BrokerError::new(NAME, ErrorKind::Corrupt, format!("`{}` is damaged ({}): {advice}", path.display(), said.trim())))
}

fn prepare(path: &Path, conn: &Connection) -> Result<(), BrokerError> {
    let fails = |error: rusqlite::Error| failed(path, &error);
    let mode = write_ahead(conn).map_err(fails)?;
    if mode != "wal" {
        let text = format!("`{}` cannot have a write-ahead log (its journal stays `{mode}`): put it on a local file system", path.display());
        return Err(BrokerError::new(NAME, ErrorKind::Unsupported, text));
    }
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864;").map_err(fails)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Switches to the write-ahead log. That needs the file for oneself for a moment, and somebody else may be just opening it too.
fn write_ahead(conn: &Connection) -> rusqlite::Result<String> {
    let until = Instant::now() + OPENING;
    loop {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)) {
            Err(error) if is_busy(&error) && Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            answer => return answer,
        }
    }
}

/// "Cannot open" with the reason that is most likely.
fn cannot_open(path: &Path, error: &rusqlite::Error) -> BrokerError {
    if error.sqlite_error_code() != Some(ErrorCode::CannotOpen) {
        return failed(path, error);
    }
    let text = format!("`{}` cannot be opened ({error}): allow this user to write the file and its directory", path.display());
    BrokerError::new(NAME, ErrorKind::Unauthorised, text)
}
