//! What this executable does when it is started as a child.

use super::support::*;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use winddown::messaging::{Broker, Message, SqliteBroker};

/// A fact that is told only once it is true. The test harness writes without line ends, hence the mark.
fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("> {what}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Does nothing unless it is asked to be somebody.
#[test]
fn role() {
    let Ok(role) = std::env::var("WINDDOWN_SQLITE_ROLE") else { return };
    let file: PathBuf = std::env::var_os("WINDDOWN_SQLITE_FILE").unwrap().into();
    match role.as_str() {
        "somebody" => return somebody(&file),
        "small" => return small(&file),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = SqliteBroker::open(&file).unwrap();
        match role.as_str() {
            "sender" => sender(broker).await,
            "consumer" => consumer(broker).await,
            "writer" => writer(broker).await,
            "full" => full(broker).await,
            "measure" => super::measure::run(broker).await,
            other => panic!("no role {other}"),
        }
    });
}

/// Opens the file as a user who owns nothing.
fn somebody(file: &std::path::Path) {
    use std::os::unix::process::CommandExt;
    if std::env::var("WINDDOWN_SQLITE_AGAIN").is_err()
        && std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
    {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["roles::role", "--exact", "--nocapture", "--test-threads", "1"]).env("WINDDOWN_SQLITE_AGAIN", "1").uid(65534).gid(65534);
        assert!(command.status().unwrap().success());
        return;
    }
    match SqliteBroker::open(file) {
        Ok(_) => say("opened"),
        Err(error) => say(&format!("{} {}: {}", error.kind().name(), error.class().name(), error.text())),
    }
}

/// Starts itself again where the file's folder is a file system of a few megabytes, which goes with the process.
fn small(file: &std::path::Path) {
    let me = std::env::current_exe().unwrap();
    let mount = r#"mount -t tmpfs -o size=3m none "$1" && shift && exec "$@""#;
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "sh", "-c", mount, "sh"]).arg(file.parent().unwrap()).arg(me);
    command.args(["roles::role", "--exact", "--nocapture", "--test-threads", "1"]).env("WINDDOWN_SQLITE_ROLE", "full");
    assert!(command.status().unwrap().success());
}

/// Fills a small disk, makes room, and goes on.
async fn full(broker: SqliteBroker) {
    let ballast = broker.path().with_file_name("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let member = join(&broker, "g", "t").await;
    let mut next = 0..;
    let error = loop {
        let n: u32 = next.next().unwrap();
        match broker.send(&Message::new("t", format!("{n:02000}")), None).await {
            Ok(_) => say(&format!("sent {n}")),
            Err(error) => break error,
        }
    };
    say(&format!("{} {}", error.kind().name(), error.class().name()));
    say(&format!("stored {}", broker.counts("t", "g").await.unwrap().stored));
    std::fs::remove_file(ballast).unwrap();
    broker.send(&Message::new("t", "1000000"), None).await.unwrap();
    loop {
        let got = take(&member, 100, ms(0)).await;
        if got.is_empty() {
            break;
        }
        got.iter().for_each(|n| say(&format!("done {n}")));
    }
    broker.close().await.unwrap();
    assert_sound(broker.path());
    say("sound");
}

/// Whether the parent wants it to end: its input is at its end then.
fn ending() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = flag.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        set.store(true, Ordering::Release);
    });
    flag
}

fn setting(name: &str) -> u32 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Sends numbers from FIRST on, eight at once, some in batches; says each once it was acknowledged.
async fn sender(broker: SqliteBroker) {
    let ending = ending();
    let next = Arc::new(AtomicU32::new(setting("FIRST")));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (broker, next, ending) = (broker.clone(), next.clone(), ending.clone());
            tokio::spawn(async move {
                while !ending.load(Ordering::Acquire) {
                    let count = if task == 0 { 20 } else { 1 };
                    let first = next.fetch_add(count, Ordering::Relaxed);
                    let batch: Vec<_> = (first..first + count).map(|n| Message::new("t", n.to_string())).collect();
                    let answers = if count == 1 { vec![broker.send(&batch[0], None).await] } else { broker.send_batch(&batch, None).await };
                    for (message, answer) in batch.iter().zip(answers) {
                        answer.unwrap();
                        say(&format!("sent {}", text(message)));
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    broker.close().await.unwrap();
}

/// Four members of one group; says what it acknowledged once that was answered, and what was delivered as a repetition.
async fn consumer(broker: SqliteBroker) {
    let ending = ending();
    say("ready");
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (broker, ending) = (broker.clone(), ending.clone());
            tokio::spawn(async move {
                let member = join_for(&broker, "g", "t", ms(u64::from(setting("VISIBILITY")))).await;
                while !ending.load(Ordering::Acquire) {
                    let got = member.pull(8, ms(50)).await.unwrap();
                    for one in &got {
                        if member.ack(&[one.receipt().clone()]).await.unwrap().done == 1 {
                            say(&format!("done {} {}", number(one), one.attempt()));
                        }
                    }
                }
                member.close().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    broker.close().await.unwrap();
}

/// Holds the file's lock most of the time: large transactions without a pause.
async fn writer(broker: SqliteBroker) {
    let ending = ending();
    say("ready");
    let batch: Vec<_> = (0..500).map(|n: u32| Message::new("noise", n.to_string())).collect();
    while !ending.load(Ordering::Acquire) {
        let (one, two) = tokio::join!(broker.send_batch(&batch, None), broker.send_batch(&batch, None));
        assert!(one.iter().chain(&two).all(Result::is_ok));
    }
    broker.close().await.unwrap();
}
