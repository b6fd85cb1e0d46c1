//! M14: records in a file, one JSON object a line.

use crate::kit::{append, record, settled};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use winddown::messaging::trace::{
    ContextCode, Exporter, JsonLines, JsonLinesError, JsonLinesErrorKind, MessageKind, PubTrace, SubAfter, TraceDispatcher,
};
use winddown::messaging::{Message, MessageId};
use winddown::{App, Outcome, millis, secs};

/// A file's name in a directory of its own, which goes with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let directory = std::env::temp_dir().join(format!("winddown-trace-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Place(directory)
    }

    fn file(&self) -> PathBuf {
        self.0.join("traces.jsonl")
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is whole");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn m14_every_record_is_an_object_on_a_line() {
    let place = Place::new("objects");
    let (one, two) = (MessageId::from_u128(1), MessageId::from_u128(2));
    let group: Arc<str> = "billing".into();
    let message = Message::new("orders", "two \"pumps\"").with_id(one).with_ordered_key("a\n\u{1}b").with_tag("größe");
    let sent = PubTrace { timestamp: 17, cost: millis(2), store_host: Some("b-1".into()), ..PubTrace::of(&group, &message) };
    assert_eq!(sent.kind, MessageKind::Order);
    let after = SubAfter {
        request_id: two,
        message_id: one,
        cost: millis(3),
        success: false,
        keys: None,
        code: ContextCode::Exception,
        timestamp: 18,
        group: group.clone(),
    };
    let lines = JsonLines::create(place.file()).unwrap();
    runtime().block_on(async {
        lines.export(&[sent.into(), record(5), after.into()]).await.unwrap();
        // On the disk, or at least with the system, by now: no close is needed to read it.
        let (one, two, seven, five) = (one.to_string(), two.to_string(), MessageId::from_u128(7).to_string(), MessageId::from_u128(5).to_string());
        let expected = [
            json!({"kind": "pub", "timestamp": 17, "group": "billing", "topic": "orders", "message_id": one, "tag": "größe", "keys": "a\n\u{1}b",
                "store_host": "b-1", "body_len": 11, "cost_us": 2000, "message_kind": "order", "success": true}),
            json!({"kind": "sub_before", "timestamp": 1_725_000_000_123_u64, "group": "billing", "request_id": seven, "message_id": five, "retry_times": 5}),
            json!({"kind": "sub_after", "timestamp": 18, "group": "billing", "request_id": two, "message_id": one, "cost_us": 3000, "success": false,
                "code": "exception"}),
        ];
        assert_eq!(place.lines(), expected);
        assert!(std::fs::read_to_string(place.file()).unwrap().starts_with(r#"{"kind":"pub","timestamp":17,"group""#), "in the record's own order");
        lines.close().await.unwrap();
        lines.export(&[record(6)]).await.unwrap();
        assert_eq!(place.lines().len(), 4, "it can go on after a close: the component may be started again");
    });
}

#[test]
fn m14_the_file_is_appended_to_and_a_torn_line_ended_first() {
    let place = Place::new("torn");
    std::fs::write(place.file(), "{\"whole\":1}\n{\"torn\":").unwrap();
    runtime().block_on(async {
        for number in 0..2 {
            let lines = JsonLines::create(place.file()).unwrap();
            lines.export(&[record(number)]).await.unwrap();
            lines.close().await.unwrap();
        }
    });
    let text = std::fs::read_to_string(place.file()).unwrap();
    let whole: Vec<bool> = text.lines().map(|line| serde_json::from_str::<Value>(line).is_ok()).collect();
    assert_eq!(whole, [true, false, true, true], "{text}");
}

#[test]
fn m14_a_whole_app_writes_every_record() {
    let place = Place::new("app");
    let traces = TraceDispatcher::new(JsonLines::create(place.file()).unwrap());
    let app = App::new("traced");
    app.add(traces.component());
    append(&traces, 0..1000);
    let handle = app.handle();
    let report = std::thread::scope(|scope| {
        let run = scope.spawn(|| app.run_blocking());
        while traces.counts().sent == 0 && !run.is_finished() {
            std::thread::yield_now();
        }
        handle.request_shutdown("the test is over");
        run.join().unwrap()
    });
    assert_eq!(report.component("trace").unwrap().outcome, Outcome::Stopped);
    let mut numbers: Vec<u64> = place.lines().iter().map(|line| line["retry_times"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    assert!(settled(&traces.counts()));
    assert_eq!(traces.counts().sent, 1000);
}

#[cfg(target_os = "linux")]
#[test]
fn m14_a_full_disk_is_named_and_ends_with_the_fullness() {
    let lines = JsonLines::create("/dev/full").unwrap();
    runtime().block_on(async {
        let error = lines.export(&[record(1)]).await.unwrap_err();
        let error = error.downcast_ref::<JsonLinesError>().unwrap();
        assert_eq!((error.kind(), error.path().to_str()), (JsonLinesErrorKind::Full, Some("/dev/full")));
        assert!(error.to_string().contains("free some"), "{error}");
        lines.close().await.expect("a device has no disk to wait for");
    });
}

#[test]
fn m14_a_file_that_cannot_be_opened_says_what_to_do() {
    let place = Place::new("missing");
    let error = JsonLines::create(place.0.join("nowhere").join("traces.jsonl")).unwrap_err();
    assert_eq!(error.kind(), JsonLinesErrorKind::Missing);
    assert!(error.to_string().contains("make it first"), "{error}");
    let error = JsonLines::create(&place.0).unwrap_err();
    assert_eq!(error.kind(), JsonLinesErrorKind::Other, "a directory: {error}");
}

/// A file system that can only be read, where there is one that every Linux has.
#[cfg(target_os = "linux")]
#[test]
fn m14_a_file_system_that_can_only_be_read_is_named() {
    let error = JsonLines::create("/proc/version").err().map(|error| error.kind());
    let expected = [JsonLinesErrorKind::ReadOnly, JsonLinesErrorKind::Denied, JsonLinesErrorKind::Other];
    match error {
        Some(kind) => assert!(expected.contains(&kind), "{kind:?}"),
        // A superuser may open it; writing fails then.
        None => {
            let lines = JsonLines::create("/proc/version").unwrap();
            assert!(runtime().block_on(lines.export(&[record(1)])).is_err());
        }
    }
}

/// A pipe that nobody empties is a disk that hangs.
#[test]
fn m14_a_disk_that_hangs_is_bounded_everywhere() {
    let place = Place::new("hanging");
    let made = std::process::Command::new("mkfifo").arg(place.file()).status().unwrap();
    assert!(made.success());
    // Read and write: opening it so waits for nobody.
    let mut reader = std::fs::OpenOptions::new().read(true).write(true).open(place.file()).unwrap();
    let lines = Arc::new(JsonLines::create(place.file()).unwrap());
    let traces = TraceDispatcher::builder(lines.clone()).capacity(10_000).export_timeout(millis(100)).build();
    let app = App::new("traced");
    app.add(traces.component()).stop_budget(secs(2));
    append(&traces, 0..4000);
    let handle = app.handle();
    let report = std::thread::scope(|scope| {
        let run = scope.spawn(|| app.run_blocking());
        while traces.counts().failed == 0 && !run.is_finished() {
            std::thread::yield_now();
        }
        let began = std::time::Instant::now();
        handle.request_shutdown("the test is over");
        let report = run.join().unwrap();
        assert!(began.elapsed() < secs(10), "{:?}", began.elapsed());
        report
    });
    let counts = traces.counts();
    assert!(settled(&counts), "{counts:?}");
    // How many of the rest were late and how many were left is a matter of speed.
    assert!(counts.sent > 0 && counts.failed > 0, "{counts:?}");
    let trace = report.component("trace").unwrap();
    // What was written last is not known to be safe, and it is said. On a machine that is very busy the end of the budget is told first.
    assert!(matches!(trace.outcome, Outcome::Failed | Outcome::Cancelled), "{:?}", trace.outcome);

    // As long as it hangs, a short queue fills and everything else is refused at once.
    runtime().block_on(async {
        let waiting: Vec<_> = (0..64)
            .map(|_| {
                tokio::spawn({
                    let lines = lines.clone();
                    async move { lines.export(&[record(1)]).await }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let error = lines.export(&[record(2)]).await.unwrap_err();
        assert_eq!(error.downcast_ref::<JsonLinesError>().map(JsonLinesError::kind), Some(JsonLinesErrorKind::Behind));
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        for task in waiting {
            assert!(!matches!(task.await, Ok(Ok(()))), "none was written");
        }
        // It moves again: what nobody waits for any more is passed over, and the next is written.
        let emptied = std::thread::spawn(move || {
            let mut text = Vec::new();
            let mut piece = [0; 65_536];
            while !String::from_utf8_lossy(&text).contains(r#""retry_times":777"#) {
                let read = std::io::Read::read(&mut reader, &mut piece).unwrap();
                text.extend_from_slice(&piece[..read]);
            }
            String::from_utf8(text).unwrap()
        });
        while lines.export(&[record(777)]).await.is_err() {
            tokio::task::yield_now().await;
        }
        let text = emptied.join().unwrap();
        for number in [1, 2] {
            let written = text.lines().filter(|line| line.ends_with(&format!(r#""retry_times":{number}}}"#))).count();
            assert_eq!(written, 1, "that of the app's run; those given up or refused since then are not written");
        }
    });
}
