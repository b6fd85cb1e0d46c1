//! Files that are none, or none of ours, or not to be written: a clear error each, and not a byte of them changed.

use super::support::*;
use std::fs;
use std::path::Path;
use winddown::messaging::{Broker, BrokerError, Class, ErrorKind, Message, SqliteBroker};

/// Opening is refused in both ways, and the folder is as it was.
fn refused(file: &Path, kind: ErrorKind, says: &str) {
    let before = contents(file.parent().unwrap());
    let check = |error: BrokerError| {
        assert_eq!((error.kind(), error.class()), (kind, Class::Fatal), "{error}");
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(error.text().contains(says) && error.text().contains(name), "{error}");
    };
    check(SqliteBroker::open(file).unwrap_err());
    check(SqliteBroker::inspect(file).unwrap_err());
    assert!(before == contents(file.parent().unwrap()), "the folder has changed");
}

fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        // The index of the log is in shared memory by nature, and made anew whenever it is not there.
        .filter(|path| !path.to_str().unwrap().ends_with("-shm"))
        .map(|path| (path.clone(), fs::read(&path).unwrap_or_default()))
        .filter(|(path, content)| !(path.to_str().unwrap().ends_with("-wal") && content.is_empty()))
        .collect();
    all.sort();
    all
}

async fn filled(scratch: &Scratch) {
    let broker = scratch.open();
    for n in 0..300 {
        broker.send(&Message::new("t", format!("{n:0500}")), None).await.unwrap();
    }
    broker.close().await.unwrap();
}

#[test]
fn a_file_of_something_else_is_refused() {
    let scratch = Scratch::new();
    for (content, says) in [(&b"short"[..], "no SQLite file"), (&[b'x'; 10_000][..], "no SQLite file"), (&[0; 4096][..], "no SQLite file")] {
        fs::write(scratch.file(), content).unwrap();
        refused(&scratch.file(), ErrorKind::Corrupt, says);
    }
}

#[test]
fn another_programs_database_is_refused_in_any_journal_mode() {
    for mode in ["DELETE", "WAL"] {
        for application in [0, 42] {
            let scratch = Scratch::new();
            let foreign = rusqlite::Connection::open(scratch.file()).unwrap();
            let sql = format!(
                "PRAGMA journal_mode = {mode}; PRAGMA application_id = {application}; CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (1)"
            );
            foreign.execute_batch(&sql).unwrap();
            refused(&scratch.file(), ErrorKind::Corrupt, "another program");
            drop(foreign);
            refused(&scratch.file(), ErrorKind::Corrupt, "another program");
        }
    }
}

#[tokio::test]
async fn a_later_version_is_refused() {
    let scratch = Scratch::new();
    filled(&scratch).await;
    let conn = rusqlite::Connection::open(scratch.file()).unwrap();
    conn.execute_batch("PRAGMA user_version = 2").unwrap();
    drop(conn);
    refused(&scratch.file(), ErrorKind::Invalid, "later version");
}

#[tokio::test]
async fn a_file_that_lost_a_table_is_refused() {
    let scratch = Scratch::new();
    filled(&scratch).await;
    let conn = rusqlite::Connection::open(scratch.file()).unwrap();
    conn.execute_batch("DROP TABLE broker_deliveries").unwrap();
    drop(conn);
    refused(&scratch.file(), ErrorKind::Corrupt, "lost tables");
}

/// Damage of every kind and place: an error or the truth, never a wrong answer and never a write.
#[tokio::test]
async fn damage_is_found_and_left_alone() {
    let scratch = Scratch::new();
    filled(&scratch).await;
    let sound = fs::read(scratch.file()).unwrap();
    let pages = sound.len() / 4096;
    assert!(pages > 20);
    let mut found = 0;
    for page in 0..pages {
        let mut damaged = sound.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        fs::write(scratch.file(), &damaged).unwrap();
        match SqliteBroker::open(scratch.file()) {
            Err(error) => {
                assert_eq!((error.kind(), error.class()), (ErrorKind::Corrupt, Class::Fatal), "page {page}: {error}");
                assert!(error.text().contains("queue.db"), "{error}");
                assert!(fs::read(scratch.file()).unwrap() == damaged, "page {page} was changed");
                found += 1;
            }
            // A page that is not in use.
            Ok(broker) => broker.close().await.unwrap(),
        }
    }
    assert!(found >= pages - 1, "{found} of {pages}");
    for length in [50, 512, 4096, 5000, sound.len() / 2, sound.len() - 1] {
        fs::write(scratch.file(), &sound[..length]).unwrap();
        let kind = SqliteBroker::open(scratch.file()).map_err(|error| error.kind());
        assert_eq!(kind.err(), Some(ErrorKind::Corrupt), "{length} of {} bytes", sound.len());
        assert_eq!(fs::read(scratch.file()).unwrap().len(), length);
    }
}

/// Damage that comes while it runs: who meets it is told, and the file is left for who salvages it.
#[tokio::test]
async fn damage_while_running_is_an_error_of_each_call_that_meets_it() {
    let scratch = Scratch::new();
    let broker = scratch.open();
    // More than the pages that SQLite keeps in memory.
    let all: Vec<_> = (0..3_000).map(|n| Message::new("t", format!("{n:02000}"))).collect();
    for part in all.chunks(1_000) {
        broker.send_batch(part, None).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    }
    broker.close().await.unwrap();
    let broker = scratch.open();
    let member = join(&broker, "g", "t").await;
    broker.close().await.unwrap();
    drop(member);
    let broker = scratch.open();
    let member = join(&broker, "g", "t").await;
    let mut damaged = fs::read(scratch.file()).unwrap();
    let length = damaged.len();
    damaged[4096..length - 4096].fill(0x5a);
    fs::write(scratch.file(), &damaged).unwrap();
    for _ in 0..2 {
        let error = member.pull(3_000, ms(100)).await.unwrap_err();
        assert_eq!((error.kind(), error.class(), error.topic()), (ErrorKind::Corrupt, Class::Fatal, Some("t")), "{error}");
    }
    let _ = broker.close().await;
    assert!(fs::read(scratch.file()).unwrap() == damaged);
}

#[test]
fn paths_that_lead_nowhere_say_so() {
    let scratch = Scratch::new();
    let missing = scratch.0.join("none/queue.db");
    let kind = |result: Result<SqliteBroker, BrokerError>, says: &str| {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.class()), (ErrorKind::Invalid, Class::Fatal), "{error}");
        assert!(error.text().contains(says), "{error}");
    };
    kind(SqliteBroker::open(&missing), "does not exist: create it first");
    assert!(!missing.parent().unwrap().exists());
    kind(SqliteBroker::open(&scratch.0), "is a directory");
    kind(SqliteBroker::open(""), "path of a file");
    kind(SqliteBroker::open(":memory:"), "path of a file");
    fs::write(scratch.0.join("plain"), "").unwrap();
    kind(SqliteBroker::open(scratch.0.join("plain/queue.db")), "is no directory");
    let error = SqliteBroker::inspect(scratch.file()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!scratch.file().exists());
    // An empty file is a new one: that is how temporary files are made. To look into, it is nothing.
    fs::write(scratch.file(), "").unwrap();
    assert_eq!(SqliteBroker::inspect(scratch.file()).unwrap_err().kind(), ErrorKind::Invalid);
    SqliteBroker::open(scratch.file()).unwrap();
}

/// Permissions do not bind root, so a child does this as somebody else.
#[tokio::test]
async fn what_may_not_be_written_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    filled(&scratch).await;
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let before = fs::read(scratch.file()).unwrap();
    for (file, folder) in [(0o444, 0o777), (0o444, 0o555), (0o666, 0o555), (0o000, 0o777)] {
        mode(&scratch.file(), file);
        mode(&scratch.0, folder);
        let said = Role::start("somebody", &scratch.file(), &[]).finish();
        assert!(said.len() == 1 && said[0].starts_with("unauthorised fatal: `"), "file {file:o}, folder {folder:o}: {said:?}");
        mode(&scratch.0, 0o777);
        assert!(fs::read(scratch.file()).unwrap() == before);
    }
    mode(&scratch.file(), 0o666);
    assert_eq!(Role::start("somebody", &scratch.file(), &[]).finish(), ["opened"]);
}

#[tokio::test]
async fn a_path_may_hold_whatever_a_path_may_hold() {
    for name in ["file:queue.db", "a b%20c?mode=memory#d", "größe"] {
        let scratch = Scratch::new();
        let file = scratch.0.join(name);
        for n in 0..2 {
            let broker = SqliteBroker::open(&file).unwrap();
            send(&broker, "t", [n]).await;
            broker.close().await.unwrap();
        }
        assert_eq!(stored(&file, "t").len(), 2);
        fs::write(&file, "no database").unwrap();
        assert_eq!(SqliteBroker::open(&file).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_create_one_file_at_once_all_get_it() {
    for _ in 0..5 {
        let scratch = Scratch::new();
        let file = scratch.file();
        let opening: Vec<_> = (0..6)
            .map(|n| {
                let file = file.clone();
                tokio::task::spawn_blocking(move || (n, SqliteBroker::open(file).unwrap()))
            })
            .collect();
        let mut all = Vec::new();
        for broker in opening {
            let (n, broker) = broker.await.unwrap();
            send(&broker, "t", [n]).await;
            all.push(broker);
        }
        for broker in all {
            broker.close().await.unwrap();
        }
        assert_eq!(stored(&file, "t").len(), 6);
        assert_sound(&file);
    }
}

/// Mounting a small file system needs rights that not every machine gives. Only that is a reason to skip, and it is said.
fn may_mount(scratch: &Scratch) -> bool {
    use std::process::{Command, Stdio};
    let mut mount = Command::new("unshare");
    mount.args(["-m", "mount", "-t", "tmpfs", "none"]).arg(&scratch.0).stdout(Stdio::null()).stderr(Stdio::null());
    let allowed = mount.status().is_ok_and(|status| status.success());
    if !allowed {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "SKIPPED: `unshare -m mount` is refused here");
    }
    allowed
}

#[test]
fn m2_a_disk_that_is_really_full_is_safe_to_retry_and_loses_nothing() {
    let scratch = Scratch::new();
    if !may_mount(&scratch) {
        return;
    }
    let said = Role::start("small", &scratch.file(), &[]).finish();
    let all = |what: &str| said.iter().filter_map(|line| line.strip_prefix(what)).map(str::to_owned).collect::<Vec<_>>();
    let (sent, done) = (all("sent "), all("done "));
    assert!(sent.len() > 100, "{said:?}");
    assert_eq!(all("stored "), [sent.len().to_string()]);
    assert!(said.contains(&"full retryable-safe".to_owned()), "{said:?}");
    assert_eq!(done[..sent.len()], sent);
    assert_eq!(done[sent.len()..], ["1000000"]);
    assert_eq!(said.last().unwrap(), "sound");
}

#[tokio::test]
async fn a_snapshot_shows_where_every_group_stands() {
    use winddown::messaging::{GroupState, Interest};
    let scratch = Scratch::new();
    let broker = scratch.open();
    let all: Vec<Message> = (0..250).map(|n| Message::new("t", n.to_string()).with_ordered_key((n % 200).to_string())).collect();
    broker.send_batch(&all, None).await;
    let idle = join(&broker, "idle", "t").await;
    let busy = broker.subscribe(&Interest { ordered: true, ..Interest::new("busy", "t") }).await.unwrap();
    let got = busy.pull(201, LONG).await.unwrap();
    assert_eq!(got.len(), 200);
    busy.ack(&[got[0].receipt().clone()]).await.unwrap();
    busy.nack(&[got[1].receipt().clone()], LONG).await.unwrap();
    let inside = SqliteBroker::inspect(scratch.file()).unwrap();
    // It is a snapshot: what happens from now on does not show.
    broker.send(&Message::new("t", "later"), None).await.unwrap();
    busy.ack(&[got[2].receipt().clone()]).await.unwrap();
    assert_eq!(inside.topics().unwrap(), ["t"]);
    assert_eq!(inside.groups("t").unwrap(), ["busy", "idle"]);
    let seen: Vec<_> = inside.messages("t").unwrap().map(Result::unwrap).collect();
    assert_eq!(seen.iter().map(|one| &one.message).collect::<Vec<_>>(), all.iter().collect::<Vec<_>>());
    let state = |n: usize| seen[n].groups.iter().find(|(name, _)| &**name == "busy").unwrap().1;
    assert_eq!((state(0), state(1), state(2)), (GroupState::Settled, GroupState::Waiting { attempts: 1 }, GroupState::InFlight { attempt: 1 }));
    // The second of key 0 is up, since its first is settled; the second of key 1 is not.
    assert_eq!((state(200), state(201)), (GroupState::Waiting { attempts: 0 }, GroupState::Behind));
    assert!(seen.iter().all(|one| one.groups.iter().any(|(name, state)| &**name == "idle" && *state == GroupState::Ahead)));
    let counts = inside.counts("t", "busy").unwrap();
    assert_eq!((counts.stored, counts.pending, counts.in_flight, counts.dead), (250, 249, 198, 0));
    assert_eq!(inside.counts("t", "idle").unwrap().pending, 250);
    assert_eq!(inside.counts("no such", "idle").unwrap(), Default::default());
    assert_eq!(inside.messages("no such").unwrap().count(), 0);
    idle.close().await.unwrap();
    drop(inside);
    broker.close().await.unwrap();
    // After the close as well.
    assert_eq!(SqliteBroker::inspect(scratch.file()).unwrap().counts("t", "idle").unwrap().stored, 251);
}
