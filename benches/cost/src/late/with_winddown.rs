//! The same load as components of an app that owns the process.

use super::Kind;
use super::load::{Gates, LONG, block, carry};
use std::process::{ExitCode, Termination as _};
use std::time::Duration;
use winddown::App;

pub(super) fn run(kind: Kind, grace: Duration) -> ExitCode {
    let app = App::new("late").grace(grace).worker_threads(2).report_to(report_file(std::process::id()));
    let gates = Gates::new(kind);
    for index in 0..kind.size() {
        let gate = gates.gate(index);
        app.task(format!("component-{index}"), move |cx| async move {
            let _held = (kind == Kind::Critical).then(|| cx.critical(LONG));
            if let Kind::BlockingThreads(_) = kind {
                cx.spawn_blocking("thread", || {
                    block();
                    Ok(())
                });
            }
            carry(kind, gate).await;
            Ok(())
        });
    }
    let handle = app.handle();
    std::thread::spawn(move || {
        while !handle.is_ready() {
            std::thread::sleep(Duration::from_millis(1));
        }
        gates.open();
        println!("ready");
    });
    app.run_main().report()
}

/// Where the child leaves its report, so that the time to write it counts.
pub(super) fn report_file(process: u32) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("winddown-cost-{process}.json"))
}
