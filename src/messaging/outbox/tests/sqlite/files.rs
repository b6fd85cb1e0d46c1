//! Files that are not as they should be: said clearly, and left as they are.
// The child tells its parent how far it is.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use super::{Scratch, numbered, own};
use crate::messaging::outbox::{Outbox, OutboxBounds, OutboxError, OutboxErrorKind, OutboxStore, SqliteOutbox, create_table};
use std::path::Path;

/// Opening it fails so, says where and what to do, and changes nothing.
fn refused(path: &Path, kind: OutboxErrorKind, advice: &str) -> OutboxError {
    let before = std::fs::read(path).ok();
    let error = Outbox::sqlite(path).expect_err("it must not open");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(&*path.to_string_lossy()) && error.text().contains(advice), "{error}");
    assert_eq!(std::fs::read(path).ok(), before, "the file was altered");
    error
}

/// An outbox that nobody has open.
fn made(path: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(SqliteOutbox::open(path).expect("it opens").close()).expect("closed");
}

#[test]
fn m3_what_is_no_outbox_is_refused_and_left_as_it_is() {
    let scratch = Scratch::new("files");
    refused(&scratch.path("missing/outbox.db"), OutboxErrorKind::NotFound, "create it");
    refused(&scratch.path(""), OutboxErrorKind::NotADatabase, "directory");
    assert_eq!(Outbox::sqlite(":memory:").expect_err("not durable").kind(), OutboxErrorKind::NotFound);
    assert_eq!(Outbox::sqlite("").expect_err("not durable").kind(), OutboxErrorKind::NotFound);

    let text = scratch.path("notes.txt");
    std::fs::write(&text, "Not a database at all. ".repeat(100)).expect("written");
    refused(&text, OutboxErrorKind::NotADatabase, "left as it is");
    let short = scratch.path("short");
    std::fs::write(&short, "x").expect("written");
    refused(&short, OutboxErrorKind::NotADatabase, "left as it is");

    let empty = scratch.path("empty.db");
    std::fs::write(&empty, "").expect("written");
    Outbox::sqlite(&empty).expect("an empty file is an empty database");
}

#[test]
fn m3_newer_tables_are_left_alone() {
    let scratch = Scratch::new("newer");
    made(&scratch.file());
    let db = own(&scratch.file());
    db.execute_batch("UPDATE winddown_outbox_schema SET version = 2; PRAGMA wal_checkpoint(TRUNCATE)").expect("made newer");
    let error = create_table(&db).expect_err("newer");
    assert_eq!(error.kind(), OutboxErrorKind::NewerSchema);
    drop(db);
    refused(&scratch.file(), OutboxErrorKind::NewerSchema, "newer winddown");
}

#[tokio::test]
async fn m3_tables_that_become_newer_under_way_are_left_alone() {
    let scratch = Scratch::new("upgraded");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    store.put(&numbered("t", 1), OutboxBounds::default()).await.expect("stored");
    own(&scratch.file()).execute("UPDATE winddown_outbox_schema SET version = 2", []).expect("another process upgrades");
    assert_eq!(store.put(&numbered("t", 1), OutboxBounds::default()).await.expect_err("newer").kind(), OutboxErrorKind::NewerSchema);
    assert_eq!(store.claim(super::claim(1)).await.expect_err("newer").kind(), OutboxErrorKind::NewerSchema);
}

#[tokio::test]
async fn m3_a_damaged_file_is_said_and_left_as_it_is() {
    let scratch = Scratch::new("corrupt");
    let store = SqliteOutbox::open(scratch.file()).expect("it opens");
    store.put(&numbered("t", 2000), OutboxBounds::default()).await.expect("stored");
    store.close().await.expect("closed");
    let whole = std::fs::read(scratch.file()).expect("read");
    // The first page says that there are tables; everything behind it is gone.
    let mut broken = whole.clone();
    broken[4096..].fill(0xaa);
    std::fs::write(scratch.file(), &broken).expect("written");
    refused(&scratch.file(), OutboxErrorKind::Corrupt, "recover");

    // Only where the rows are: it may open, and says so when it comes there.
    let mut broken = whole.clone();
    let end = broken.len();
    broken[end / 2..].fill(0xaa);
    std::fs::write(scratch.file(), &broken).expect("written");
    let error = match SqliteOutbox::open(scratch.file()) {
        Err(error) => error,
        Ok(store) => match store.put(&numbered("t", 500), OutboxBounds::default()).await {
            Err(error) => error,
            Ok(()) => store.list(crate::messaging::OutboxFilter::all().limit(10_000)).await.expect_err("it cannot be read as a whole"),
        },
    };
    assert_eq!(error.kind(), OutboxErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("outbox.db"), "{error}");
}

/// The name of the test below, as the test's executable knows it.
const CHILD: &str = "messaging::outbox::tests::sqlite::files::m3_without_the_right_to_write_it_says_so";

/// Root may write everything, so the test does this in a process that is somebody else.
#[test]
fn m3_without_the_right_to_write_it_says_so() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    if let Some(directory) = std::env::var_os("WINDDOWN_TEST_READ_ONLY") {
        let directory = Path::new(&directory);
        refused(&directory.join("outbox.db"), OutboxErrorKind::ReadOnly, "the right to write");
        refused(&directory.join("new.db"), OutboxErrorKind::Denied, "may write");
        refused(&directory.join("secret.db"), OutboxErrorKind::Denied, "may write");
        println!("refused as it should be");
        return;
    }
    let (scratch, elsewhere) = (Scratch::new("read-only"), Scratch::new("executable"));
    made(&scratch.file());
    own(&scratch.file()).pragma_update(None, "journal_mode", "DELETE").expect("as a file that was copied there");
    std::fs::copy(scratch.file(), scratch.path("secret.db")).expect("copied");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    mode(&scratch.file(), 0o444);
    mode(&scratch.path("secret.db"), 0o000);
    mode(&scratch.path(""), 0o555);
    let mut executable = std::env::current_exe().expect("the test's own path");
    let is_root = std::fs::metadata("/proc/self").expect("who we are").uid() == 0;
    if is_root {
        // Where somebody else can reach it.
        let copy = elsewhere.path("test");
        std::fs::copy(executable, &copy).expect("copied");
        executable = copy;
    }
    let mut child = std::process::Command::new(executable);
    child.args([CHILD, "--exact", "--nocapture"]).env("WINDDOWN_TEST_READ_ONLY", scratch.path("")).current_dir("/");
    if is_root {
        child.uid(65534).gid(65534);
    }
    let output = child.output().expect("it runs");
    mode(&scratch.path(""), 0o755);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("refused as it should be"), "{said}");
}
