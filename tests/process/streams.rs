//! P7: whatever stdout and stderr are, nobody is held by them.

use crate::common::child::{Ended, Setup, eventually};
use crate::common::{PATIENCE, SLACK, millis};
use std::io::{PipeReader, PipeWriter, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Prints a good deal: a laggard is told about, cut short, and the report is long.
const TALKATIVE: &str = "
grace = '2s'
stop_after = '100ms'
[[component]]
name = 'hangs'
stop = 'hang'
stop_budget = '300ms'
[[component]]
name = 'stops'
stop = '100ms'
";

#[track_caller]
fn ended_as_always(end: &Ended) {
    assert_eq!(end.code(), 124);
    assert_eq!(end.report().outcome("hangs"), "aborted");
    assert_eq!(end.report().outcome("stops"), "stopped");
}

#[test]
fn p7_closed_stdout_and_stderr() {
    for closed in [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        let wrapper = ["sh".to_owned(), "-c".to_owned(), format!("exec \"$@\" {closed}"), "sh".to_owned()];
        let end = Setup::of("closed", TALKATIVE).wrapped(wrapper).spawn().end(PATIENCE);
        ended_as_always(&end);
    }
}

#[test]
fn p7_readers_that_are_gone() {
    let (out_reader, out) = std::io::pipe().expect("a pipe");
    let (err_reader, err) = std::io::pipe().expect("a pipe");
    drop((out_reader, err_reader));
    let end = Setup::of("gone", TALKATIVE).stdout(out).stderr(err).spawn().end(PATIENCE);
    ended_as_always(&end);
}

#[test]
fn p7_full_pipes_that_nobody_reads() {
    for (full_out, full_err) in [(false, true), (true, false), (true, true)] {
        let mut setup = Setup::of("full", TALKATIVE);
        // Kept open until the child has ended: a pipe without a reader would not be full but broken.
        let mut readers = Vec::new();
        if full_out {
            let (reader, writer) = full_pipe();
            setup = setup.stdout(writer);
            readers.push(reader);
        }
        if full_err {
            let (reader, writer) = full_pipe();
            setup = setup.stderr(writer);
            readers.push(reader);
        }
        let began = Instant::now();
        let end = setup.spawn().end(PATIENCE);
        ended_as_always(&end);
        // From the beginning: 100 ms until it asks, 300 + 500 + 250 ms at most for the one that hangs.
        assert!(end.at - began < Duration::from_millis(2_200), "{:?}", end.at - began);
        drop(readers);
    }
}

#[test]
fn p7_full_pipes_do_not_spoil_a_clean_end() {
    for grace in ["2s", "300ms"] {
        let toml = format!("grace = '{grace}'\nstop_after = '50ms'\n[[component]]\nname = 'a'\nstop = '20ms'\n");
        let ((out_reader, out), (err_reader, err)) = (full_pipe(), full_pipe());
        let end = Setup::of("clean", &toml).stdout(out).stderr(err).spawn().end(PATIENCE);
        assert_eq!((end.code(), end.report().text("verdict")), (0, "clean"), "grace {grace}");
        drop((out_reader, err_reader));
    }
}

#[test]
fn t9_full_stderr_does_not_move_the_last_deadline() {
    let toml = "
        grace = '1s'
        stop_after = '300ms'
        [[component]]
        name = 'first'
        run = 'block 30s after 20ms'
        [[component]]
        name = 'second'
        run = 'block 30s after 40ms'
    ";
    let (reader, writer) = full_pipe();
    let child = Setup::of("full-blocked", toml).stderr(writer).spawn();
    child.ready();
    let ready = Instant::now();
    let end = child.end(PATIENCE);
    assert_eq!(end.code(), 124);
    assert!(end.report().number("shutdown_ms") <= 1_000.0 + SLACK.as_secs_f64() * 1e3);
    assert!(end.at - ready < millis(1_300) + 2 * SLACK, "{:?}", end.at - ready);
    drop(reader);
}

/// A pipe that takes no further byte. The thread that filled it waits in its last write until the reader is dropped.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut filler = writer.try_clone().expect("a second writer");
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    std::thread::spawn(move || {
        while filler.write_all(&[b'.'; 512]).is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    // Full is what no longer moves, and is at least a page.
    let mut before = 0;
    eventually(PATIENCE, || {
        std::thread::sleep(millis(20));
        let now = written.load(Ordering::Relaxed);
        let full = now >= 8 && now == before;
        before = now;
        full.then_some(())
    })
    .expect("the pipe fills up");
    (reader, writer)
}
