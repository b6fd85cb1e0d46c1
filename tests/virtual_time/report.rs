//! P1–P3, P6: outcomes, the report as a value, the exit code, counters.

use crate::kit::{Act, Actor, Log, idle, of, run, run_for};
use std::sync::atomic::{AtomicU32, Ordering};
use winddown::{App, EventKind, Outcome, Policy, Report, Restart, RunCx, Rung, SCHEMA, Verdict, millis, secs};

/// What holds of every report.
fn is_whole(report: &Report) {
    for c in report.components() {
        let forced = c.rung >= Rung::Cancel;
        assert_eq!(forced, c.outcome >= Outcome::Cancelled, "{}: {} by {}", c.name, c.outcome, c.rung);
        assert!([c.start, c.stop].into_iter().flatten().all(|span| span.began <= span.ended), "{}: whatever began has an end", c.name);
        let ends = |e: &&winddown::Event| matches!(e.kind(), EventKind::ComponentEnded { .. }) && e.subject() == Some(&c.name);
        assert_eq!(report.events().iter().filter(ends).count(), usize::from(c.start.is_some()), "{}: one outcome", c.name);
    }
    assert!(report.events().windows(2).all(|pair| pair[0].at() <= pair[1].at()), "the timeline is in order");
}

#[tokio::test(start_paused = true)]
async fn p1_each_component_has_exactly_one_outcome_and_the_worst_wins() {
    let (app, log) = (App::new("outcomes"), Log::default());
    app.add(Actor::new("stopped", &log));
    app.add(Actor::new("failed", &log).stop(Act::Fail("a")));
    app.add(Actor::new("panicked", &log).stop(Act::Panic("b")));
    app.add(Actor::new("cancelled", &log).stop(Act::HeedCancel));
    app.add(Actor::new("aborted", &log).stop(Act::Hang));
    app.add(Actor::new("not started", &log)).auto_startup(false);
    app.task("finished", |_| async {
        tokio::time::sleep(secs(1)).await;
        Ok(())
    });
    app.task("failed, then cancelled", |cx| async move {
        cx.cancelled().await;
        anyhow::bail!("too late")
    });
    let report = run(&app).await;
    let outcomes: Vec<_> = report.components().iter().map(|c| (&*c.name, c.outcome)).collect();
    use Outcome::{Aborted, Cancelled, Failed, Finished, NotStarted, Panicked, Stopped};
    let expected = [
        ("stopped", Stopped),
        ("failed", Failed),
        ("panicked", Panicked),
        ("cancelled", Cancelled),
        ("aborted", Aborted),
        ("not started", NotStarted),
        ("finished", Finished),
        ("failed, then cancelled", Cancelled),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(of(&report, "failed, then cancelled").error.as_deref(), Some("too late"));
    is_whole(&report);
}

#[tokio::test(start_paused = true)]
async fn p3_the_exit_code_is_the_worst_of_all() {
    let ends = [(Act::Return, 0), (Act::Fail("no"), 1), (Act::Panic("no"), 1), (Act::HeedCancel, 124), (Act::Hang, 124)];
    for (one, code) in &ends {
        for (other, other_code) in &ends {
            let (app, log) = (App::new("codes"), Log::default());
            app.add(Actor::new("one", &log).stop(one.clone()));
            app.add(Actor::new("other", &log).stop(other.clone()));
            let report = run_for(&app, secs(1)).await;
            assert_eq!(report.exit_code(), *code.max(other_code), "{one:?} and {other:?}");
            let verdict = [(0, Verdict::Clean), (1, Verdict::Failed), (124, Verdict::Forced)].into_iter().find(|(c, _)| *c == report.exit_code());
            assert_eq!(Some(report.verdict()), verdict.map(|(_, v)| v));
            is_whole(&report);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p2_the_report_says_when_everything_began_and_ended() {
    let (app, log) = (App::new("spans"), Log::default());
    app.add(Actor::new("a", &log).start(Act::Take(secs(2))).stop(Act::Take(secs(1)))).phase(7);
    let report = run_for(&app, secs(10)).await;
    let a = of(&report, "a");
    let (start, stop) = (a.start.unwrap(), a.stop.unwrap());
    assert_eq!((start.began, start.ended, stop.began, stop.ended), (secs(0), secs(2), secs(12), secs(13)));
    assert_eq!((a.phase, report.shutdown_took(), report.app()), (7, Some(secs(1)), "spans"));
    assert_eq!(report.trigger().unwrap().detail(), "the test is over");
    is_whole(&report);
}

#[tokio::test(start_paused = true)]
async fn p2_whatever_began_has_an_end_also_when_the_deadline_cuts_it() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let app = App::new("cut").grace(secs(2));
    let wait = move |_: &winddown::ThreadCx| {
        let _ = held.lock().map(|held| held.recv());
        Ok(())
    };
    app.thread("stuck", wait).stop_budget(millis(1900)).phase(1);
    idle(&app, "never asked", 0);
    let report = run_for(&app, secs(1)).await;
    assert_eq!((of(&report, "stuck").outcome, report.exit_code()), (Outcome::Abandoned, 124));
    assert!(report.shutdown_took().unwrap() <= secs(2));
    is_whole(&report);
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn p2_counters_add_up_and_are_nothing_unless_said() {
    let app = App::new("counters");
    idle(&app, "quiet", 0);
    app.task("consumer", |cx: RunCx| async move {
        cx.stopping().await;
        for _ in 0..4 {
            cx.drained(2);
        }
        cx.handed_back(3);
        cx.lost(1);
        cx.lost(0);
        Ok(())
    });
    let report = run_for(&app, secs(1)).await;
    let (consumer, quiet) = (of(&report, "consumer"), of(&report, "quiet"));
    assert_eq!((consumer.drained, consumer.handed_back, consumer.lost), (8, 3, 1));
    assert_eq!((quiet.drained, quiet.handed_back, quiet.lost), (0, 0, 0));
    let text = report.to_text(false);
    assert!(["8 drained", "3 handed back", "1 lost"].iter().all(|part| text.contains(part)), "{text}");
}

#[tokio::test(start_paused = true)]
async fn p2_counters_are_summed_over_restarts() {
    let (app, runs) = (App::new("counters"), AtomicU32::new(0));
    let make = move |cx: RunCx| {
        let n = runs.fetch_add(1, Ordering::SeqCst);
        async move {
            cx.drained(10);
            cx.lost(u64::from(n));
            anyhow::ensure!(n == 2, "again");
            cx.stopping().await;
            cx.handed_back(5);
            Ok(())
        }
    };
    app.task_factory("worker", make).policy(Policy::Restart(Restart::new(9, secs(60))));
    let report = run_for(&app, secs(30)).await;
    let worker = of(&report, "worker");
    assert_eq!((worker.restarts, worker.drained, worker.handed_back, worker.lost), (2, 30, 5, 3));
}

#[tokio::test(start_paused = true)]
async fn p2_counters_of_an_abandoned_component_are_kept() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let (counted, ready) = tokio::sync::oneshot::channel();
    let mut counted = Some(counted);
    let app = App::new("counters");
    let wait = move |cx: &winddown::ThreadCx| {
        cx.lost(42);
        let _ = counted.take().map(|counted| counted.send(()));
        let _ = held.lock().map(|held| held.recv());
        Ok(())
    };
    app.thread("stuck", wait);
    let handle = app.handle();
    tokio::spawn(async move {
        // A thread runs in real time: the shutdown begins only once it has counted.
        let _ = ready.await;
        handle.request_shutdown("counted");
    });
    let report = winddown::testkit::run(&app).await;
    assert_eq!((of(&report, "stuck").outcome, of(&report, "stuck").lost), (Outcome::Abandoned, 42));
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn p6_text_and_json_say_the_same() {
    let (app, log) = (App::new("shown"), Log::default());
    app.add(Actor::new("deaf", &log).stop(Act::Hang));
    app.add(Actor::new("failed", &log).stop(Act::Fail("disk full\nsecond line")));
    let report = run_for(&app, secs(1)).await;
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!((&json["schema"], &json["exit_code"], &json["verdict"]), (&SCHEMA.into(), &124.into(), &"forced".into()));
    let outcomes: Vec<_> = json["components"].as_array().unwrap().iter().map(|c| c["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["aborted", "failed"]);
    assert_eq!(json["components"][1]["error"], "disk full\nsecond line");
    let text = report.to_string();
    assert!(
        text.contains("exit code 124") && text.contains("deaf was aborted") && text.contains("disk full") && !text.contains("second line"),
        "{text}"
    );
}
