//! T12: typed reasons, and what a profile changes for one of them.

use crate::kit::{Act, Actor, Log, TICK, idle, of, once_ready, run, run_for, when};
use winddown::{App, Outcome, Profile, ReasonKind, Verdict, secs};

#[tokio::test(start_paused = true)]
async fn t12_in_the_drain_delay_readiness_is_gone_and_everything_still_runs() {
    let log = Log::default();
    let app = App::new("drain").profile(ReasonKind::Request, Profile::new().drain_delay(secs(3)));
    app.add(Actor::new("edge", &log));
    let beside = once_ready(&app, {
        let log = log.clone();
        move |handle| async move {
            assert!(handle.is_ready() && !handle.is_stopping());
            let asked = handle.shutdown("drain");
            handle.stopping().await;
            assert!(!handle.is_ready() && handle.is_stopping(), "readiness flips first");
            tokio::time::sleep(secs(3) - TICK).await;
            log.say(if log.count("stop edge") == 0 { "still serving" } else { "stopped early" });
            tokio::time::sleep(3 * TICK).await;
            assert_eq!(log.count("stop edge"), 1);
            asked.await;
        }
    });
    let report = run(&app).await;
    beside.await.unwrap();
    assert_eq!(log.lines()[2..], ["still serving", "stop edge", "down edge"]);
    assert_eq!(when(&report, "edge", "stop_began") - when(&report, "", "shutdown_began"), secs(3));
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn t12_without_a_profile_there_is_no_delay() {
    let app = App::new("drain").profile(ReasonKind::Signal, Profile::new().drain_delay(secs(3)));
    idle(&app, "edge", 0);
    let report = run_for(&app, secs(1)).await;
    assert_eq!(when(&report, "edge", "stop_began"), when(&report, "", "shutdown_began"));
}

#[tokio::test(start_paused = true)]
async fn t12_the_delay_is_part_of_the_grace_period() {
    let log = Log::default();
    let app = App::new("drain").grace(secs(5)).profile(ReasonKind::Request, Profile::new().drain_delay(secs(4)));
    app.add(Actor::new("deaf", &log).stop(Act::Hang));
    let report = run_for(&app, secs(1)).await;
    assert!(report.shutdown_took().unwrap() <= secs(5));
    assert_eq!((of(&report, "deaf").outcome, log.count("stop deaf")), (Outcome::Aborted, 1), "it is asked, and forced in what is left: {report}");
}

#[tokio::test(start_paused = true)]
async fn t12_with_nothing_running_there_is_nothing_to_drain() {
    let app = App::new("drain").profile(ReasonKind::Request, Profile::new().drain_delay(secs(4)));
    app.handle().request_shutdown("before it began");
    idle(&app, "worker", 0);
    assert_eq!(run(&app).await.shutdown_took(), Some(secs(0)));
}

#[tokio::test(start_paused = true)]
async fn t12_a_profile_changes_the_grace_of_its_reason_only() {
    for (fails, grace) in [(true, secs(2)), (false, secs(25))] {
        let log = Log::default();
        let app = App::new("grace").profile(ReasonKind::ComponentFailed, Profile::new().grace(secs(2)));
        app.add(Actor::new("deaf", &log).stop(Act::Hang));
        app.task("job", move |cx| async move {
            anyhow::ensure!(!fails, "no");
            cx.stopping().await;
            Ok(())
        });
        let report = run_for(&app, secs(1)).await;
        assert_eq!(report.grace(), grace);
        assert_eq!(report.shutdown_took().unwrap() < secs(2), fails, "{:?}", report.shutdown_took());
    }
}

#[tokio::test(start_paused = true)]
async fn t12_a_profile_changes_the_exit_code_of_clean_and_failed_ends() {
    let seventy = Profile::new().exit_code(70);
    let app = App::new("code").profile(ReasonKind::ComponentFailed, seventy).profile(ReasonKind::Request, Profile::new().exit_code(3));
    app.task("job", |_| async { anyhow::bail!("no") });
    let report = run(&app).await;
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Failed, 70));

    let app = App::new("code").profile(ReasonKind::Request, Profile::new().exit_code(3));
    idle(&app, "worker", 0);
    let report = run_for(&app, secs(1)).await;
    assert_eq!((report.verdict(), report.exit_code()), (Verdict::Clean, 3));
}

#[tokio::test(start_paused = true)]
async fn t12_force_keeps_its_own_exit_code() {
    let log = Log::default();
    let app = App::new("code").profile(ReasonKind::Request, Profile::new().exit_code(3));
    app.add(Actor::new("deaf", &log).stop(Act::Hang));
    assert_eq!(run_for(&app, secs(1)).await.exit_code(), 124);
}

#[tokio::test(start_paused = true)]
async fn t12_the_last_profile_said_for_a_reason_holds() {
    let first = Profile::new().drain_delay(secs(9)).exit_code(3);
    let app = App::new("code").profile(ReasonKind::Finished, first).profile(ReasonKind::Finished, Profile::new());
    app.task("job", |_| async { Ok(()) });
    let report = run(&app).await;
    assert_eq!((report.trigger().unwrap().kind(), report.exit_code(), report.shutdown_took()), (ReasonKind::Finished, 0, Some(secs(0))));
}

#[tokio::test(start_paused = true)]
async fn t12_work_may_end_during_the_drain_and_is_finished() {
    let app = App::new("drain").profile(ReasonKind::Request, Profile::new().drain_delay(secs(4)));
    app.task("short", |_| async {
        tokio::time::sleep(secs(3)).await;
        Ok(())
    });
    idle(&app, "worker", 0);
    let report = run_for(&app, secs(1)).await;
    assert_eq!((report.trigger().unwrap().kind(), of(&report, "short").outcome), (ReasonKind::Request, Outcome::Finished));
    let took = report.shutdown_took().unwrap();
    assert!(took >= secs(4) && took <= secs(4) + 2 * TICK && report.exit_code() == 0, "{took:?}");
}
