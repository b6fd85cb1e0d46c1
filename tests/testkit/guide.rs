//! The tests of `docs/testing.md`, as they stand there.

use std::sync::Arc;
use winddown::testkit::{Recorder, Sabotage, When, World, assert_stop_order};
use winddown::{
    App, Lifecycle, OnDeadline, Outcome, Phase, Policy, Resource, ResourceOutcome, Restart, Signals, StartCx, StopCx, Where, async_trait, millis,
    secs,
};

struct Database;

impl Database {
    async fn open(_name: &str) -> anyhow::Result<Database> {
        tokio::time::sleep(millis(20)).await;
        Ok(Database)
    }
    async fn close(self: Arc<Database>) -> anyhow::Result<()> {
        tokio::time::sleep(millis(20)).await;
        Ok(())
    }
}

struct Producer {
    database: Resource<Database>,
}

impl Producer {
    fn new(database: &Resource<Database>) -> Producer {
        Producer { database: database.clone() }
    }
}

#[async_trait]
impl Lifecycle for Producer {
    fn name(&self) -> String {
        "producer".into()
    }
    async fn start(&mut self, cx: &StartCx) -> anyhow::Result<()> {
        let lease = cx.lease(&self.database)?;
        let task = cx.clone();
        cx.spawn("flush", async move {
            task.stopping().await;
            drop(lease);
            Ok(())
        });
        Ok(())
    }
    async fn stop(&mut self, _cx: &StopCx) -> anyhow::Result<()> {
        tokio::time::sleep(millis(100)).await;
        Ok(())
    }
}

async fn set_up(app: App) -> anyhow::Result<()> {
    let database = app.resource("database", Database::open("orders")).destroy_with(|database| database.close()).await?;
    app.add(Producer::new(&database)).phase(Phase::CLIENTS).uses(&database).policy(Policy::Restart(Restart::new(3, secs(60))));
    app.task("consumer", |cx| async move {
        while cx.until_stopping(tokio::time::sleep(secs(1))).await.is_some() {
            // an order
        }
        Ok(())
    })
    .phase(Phase::INTAKE)
    .stop_budget(secs(8));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn it_stops_in_order_and_cleanly() {
    let report = World::of(set_up).shutdown_when("ready").run().await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert_stop_order(&report, &["consumer", "producer"]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_hangs_costs_the_producer_nothing() {
    let report = World::of(set_up).ignore_cancel("consumer", Where::Stop).signal_at("ready", "SIGTERM").run().await;
    let outcome = |name| report.component(name).unwrap().outcome;
    assert_eq!(outcome("consumer"), Outcome::Aborted, "{report}");
    assert_eq!(outcome("producer"), Outcome::Stopped, "{report}");
    assert_eq!(report.resource("database").unwrap().outcome, ResourceOutcome::Destroyed);
    assert!(report.shutdown_took().unwrap() <= report.grace());
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_cannot_start_leaves_nothing_open() {
    let report = World::of(set_up).fail("producer", Where::Start, "no route to the broker").run().await;
    assert_eq!(report.exit_code(), 1);
    assert_eq!(report.trigger().unwrap().detail(), "no route to the broker");
    assert_eq!(report.component("consumer").unwrap().outcome, Outcome::NotStarted);
    assert_eq!(report.resource("database").unwrap().outcome, ResourceOutcome::Destroyed);
}

#[tokio::test(start_paused = true)]
async fn an_impatient_operator_gets_a_quick_end() {
    let report = World::of(set_up)
        .hang("consumer", Where::Stop)
        .signal_at("ready", "SIGINT")
        .signal_at(When::event("shutdown_began").then(secs(1)), "SIGINT")
        .run()
        .await;
    let took = report.shutdown_took().unwrap();
    assert!(took < secs(2), "{took:?}\n{report}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_after_an_hour_is_made_again() {
    let lost = Sabotage::fail("connection lost").after(secs(3600)).times(1);
    let report = World::new(&App::new("orders").setup(set_up))
        .sabotage("producer", Where::Run, lost)
        .shutdown_when(secs(2 * 3600))
        .horizon(secs(3 * 3600))
        .run()
        .await;
    let producer = report.component("producer").unwrap();
    assert_eq!((producer.restarts, producer.outcome), (1, Outcome::Stopped), "{report}");
}

#[tokio::test(start_paused = true)]
async fn whoever_misbehaves_the_process_leaves_in_time() {
    for who in ["producer", "consumer"] {
        for sabotage in [Sabotage::hang(), Sabotage::ignore_cancel(), Sabotage::fail("no"), Sabotage::panic("no")] {
            let report = World::of(set_up).sabotage(who, Where::Stop, sabotage).shutdown_when("ready").run().await;
            assert!(report.shutdown_took().unwrap() <= report.grace(), "{report}");
            assert_eq!(report.resource("database").unwrap().outcome, ResourceOutcome::Destroyed, "{report}");
        }
    }
}

#[test]
fn in_real_time_the_consumer_is_up_before_anybody_asks() {
    let recorder = Recorder::new();
    let app = App::new("orders").signals(Signals::Ignore).on_deadline(OnDeadline::Return).setup(set_up);
    app.observe(recorder.clone());
    let handle = app.handle();
    let running = std::thread::spawn(move || app.run_blocking());

    recorder.wait_for_blocking("ready", secs(10)).expect("it starts");
    handle.request_shutdown("seen enough");
    assert_eq!(running.join().unwrap().exit_code(), 0);
    assert_eq!(recorder.kinds_of("consumer"), ["start_began", "start_ended", "stop_began", "component_ended"]);
}

#[test]
fn the_guides_code_is_this_files() {
    let guide = include_str!("../../docs/testing.md");
    let here = [include_str!("guide.rs"), include_str!("guide_messages.rs")];
    let blocks: Vec<&str> = guide.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 6);
    for block in blocks {
        assert!(here.iter().any(|file| file.contains(block)), "this stands in docs/testing.md and not in tests/testkit/guide.rs:\n{block}");
    }
}
