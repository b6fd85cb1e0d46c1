//! Whole worlds: an app's own set-up, and the same run twice.

use crate::actors::{Log, of, orders, parts};
use std::sync::Arc;
use winddown::testkit::{Sabotage, When, World};
use winddown::{App, Outcome, Phase, Policy, Report, ResourceOutcome, Restart, Where, millis, secs};

/// What a user's `main` hands to `winddown::run`.
async fn set_up(app: App) -> anyhow::Result<()> {
    let pool = app.resource("pool", async { anyhow::Ok("a pool") }).await?;
    parts(&app, &Log::default());
    let held = pool.clone();
    app.task("worker", move |cx| async move {
        let _lease = cx.lease(&held)?;
        cx.stopping().await;
        Ok(())
    })
    .uses(&pool);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn components_that_a_set_up_closure_registers_can_be_sabotaged() {
    let report = World::of(set_up).ignore_cancel("worker", Where::Stop).shutdown_when("ready").run().await;
    assert_eq!(of(&report, "worker").outcome, Outcome::Aborted);
    assert_eq!(of(&report, "producer").outcome, Outcome::Stopped);
    assert_eq!(report.resource("pool").unwrap().outcome, ResourceOutcome::Destroyed);
}

#[tokio::test(start_paused = true)]
async fn the_settings_of_an_app_hold_in_a_world() {
    let app = App::new("orders").grace(secs(3)).setup(set_up);
    let report = World::new(&app).ignore_cancel("consumer", Where::Stop).signal_at("ready", 15).run().await;
    assert_eq!((report.app(), report.grace()), ("orders", secs(3)));
    assert!(report.shutdown_took().unwrap() <= secs(3));
}

/// Restarts with jitter, a hang, signals, calls, several things at one instant.
async fn busy(seed: u64) -> Arc<Report> {
    let app = orders();
    for n in 0..20 {
        let name = format!("worker-{n}");
        app.task_factory(name, |cx| async move {
            while cx.until_stopping(tokio::time::sleep(millis(70))).await.is_some() {}
            Ok(())
        })
        .phase(Phase::WORKERS)
        .policy(Policy::Restart(Restart::new(5, secs(60))));
    }
    let mut world = World::new(&app).seed(seed).hang("producer", Where::Stop);
    for n in [3, 7, 11] {
        world = world.sabotage(format!("worker-{n}"), Where::Run, Sabotage::fail("lost").after(secs(n)).times(3));
    }
    world.signal_at(secs(40), "SIGTERM").signal_at(When::of("cancel_began", "producer").then(millis(100)), "SIGINT").run().await
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_report_and_another_one_another_jitter() {
    let (first, second, other) = (busy(7).await.to_json(), busy(7).await.to_json(), busy(8).await.to_json());
    assert!(first.contains("\"restart_scheduled\"") && first.contains("\"cancel_began\""));
    assert!(first == second, "{first}\n{second}");
    assert_ne!(first, other);
}

#[test]
fn the_same_seed_gives_the_same_report_in_another_runtime() {
    let in_one = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(busy(3)).to_json()
    };
    let first = in_one();
    // On a thread of its own, too, with another set of everything that is kept by thread.
    assert!(first == std::thread::spawn(in_one).join().unwrap());
}

#[tokio::test(start_paused = true)]
async fn without_a_word_a_world_is_the_plain_run() {
    let stopped = |app: &App| app.handle().shutdown("at once");
    let (one, two) = (orders(), orders());
    drop((stopped(&one), stopped(&two)));
    assert_eq!(World::new(&one).run().await.to_json(), winddown::testkit::run(&two).await.to_json());
}

#[tokio::test]
async fn where_the_clock_is_not_paused_it_takes_real_time() {
    let began = std::time::Instant::now();
    let app = App::new("orders");
    app.task("worker", |cx| async move {
        cx.stopping().await;
        Ok(())
    });
    let report = World::new(&app).delay("worker", Where::Stop, millis(50)).shutdown_when("ready").run().await;
    assert_eq!(report.exit_code(), 0);
    assert!(began.elapsed() >= millis(50));
}
