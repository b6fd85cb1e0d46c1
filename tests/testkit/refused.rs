//! Worlds that cannot be played say so, and why, before anything is started.

use crate::actors::{Log, orders, parts};
use winddown::testkit::{Sabotage, When, World, WorldError};
use winddown::{App, Fault, Where, millis, secs};

async fn problems(world: World) -> Vec<String> {
    match world.try_run().await {
        Err(WorldError::Refused { problems }) => problems,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_component_is_refused_with_the_names_there_are_and_nothing_starts() {
    let (app, log) = (App::new("orders"), Log::default());
    parts(&app, &log);
    let world = World::new(&app).hang("consumre", Where::Stop).hang("prod", Where::Start).shutdown_when("ready");
    assert_eq!(
        problems(world).await,
        [
            "no component is called `consumre`; there are trace, producer, consumer",
            "no component is called `prod`; there are trace, producer, consumer"
        ]
    );
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "no component is called `ghost`; there are trace, producer, consumer")]
async fn run_panics_with_the_same_text() {
    World::new(&orders()).hang("ghost", Where::Stop).shutdown_when("ready").run().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_name_in_a_set_up_destroys_what_was_opened() {
    let log = Log::default();
    let says = log.clone();
    let world = World::of(|app| async move {
        let open = app.resource("pool", async { anyhow::Ok(()) });
        open.destroy_with(move |_| async move {
            says.say("destroyed");
            Ok(())
        })
        .await?;
        app.task("worker", |cx| async move {
            cx.stopping().await;
            Ok(())
        });
        Ok(())
    });
    assert_eq!(problems(world.hang("wroker", Where::Stop)).await, ["no component is called `wroker`; there are worker"]);
    assert_eq!(log.lines(), ["destroyed"]);
}

#[tokio::test(start_paused = true)]
async fn a_moment_that_cannot_come_is_refused() {
    let [kind] = &problems(World::new(&orders()).shutdown_when("redy")).await[..] else { panic!() };
    assert!(kind.starts_with("no event is called `redy`; there are run_began, ") && kind.contains(", ready, "), "{kind}");
    let [subject] = &problems(World::new(&orders()).shutdown_when(("start_ended", "consumr"))).await[..] else { panic!() };
    assert_eq!(subject, "no component or resource is called `consumr`, which is waited for; there are trace, producer, consumer");
    let [step] = &problems(World::new(&orders()).shutdown_when(When::step("nobody", "drained"))).await[..] else { panic!() };
    assert!(step.contains("`nobody`"), "{step}");
    let [signal] = &problems(World::new(&orders()).signal_at("ready", "SIGUSR1")).await[..] else { panic!() };
    assert_eq!(signal, "`SIGUSR1` is no signal that stops a program: there are SIGTERM, SIGINT, SIGQUIT, SIGHUP");
}

#[tokio::test(start_paused = true)]
async fn a_thread_cannot_be_blocked_in_virtual_time() {
    let [blocks] = &problems(World::new(&orders()).fault("trace", Where::Stop, Fault::Blocks)).await[..] else { panic!() };
    assert!(blocks.contains("`trace` cannot block its thread in virtual time"), "{blocks}");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_a_component_does_not_have_is_refused() {
    let app = App::new("orders");
    app.task("task", |cx| async move {
        cx.stopping().await;
        Ok(())
    });
    parts(&app, &Log::default());
    let other = App::new("other");
    let foreign = other.task("task", |_| async { Ok(()) }).id();
    let world = World::new(&app).hang("task", Where::Start).delay("trace", Where::Run, secs(1)).hang(foreign, Where::Stop);
    let [task, delay, foreign] = &problems(world).await[..] else { panic!() };
    assert!(task.contains("`task` is a task, which has no start"), "{task}");
    assert!(delay.contains("`trace` runs tasks of its own"), "{delay}");
    assert!(foreign.contains("an id is of another app"), "{foreign}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_nobody_stops_ends_at_the_horizon_and_says_what_never_came() {
    let world = World::new(&orders()).shutdown_when("cancel_began").at(("task_ended", "trace"), || {}).horizon(secs(600));
    let error = world.try_run().await.unwrap_err();
    let WorldError::Endless { horizon, waiting, report } = &error else { panic!("{error}") };
    assert_eq!(*horizon, secs(600));
    assert_eq!(waiting[..], ["`cancel_began`", "`task_ended` of `trace`"]);
    assert_eq!(report.exit_code(), 0);
    assert_eq!(crate::actors::when(report, "", "shutdown_began"), secs(600));
    assert!(error.to_string().contains("what was waited for never came: `cancel_began`; `task_ended` of `trace`"), "{error}");
    let error = World::new(&orders()).try_run().await.unwrap_err();
    assert!(error.to_string().starts_with("nothing stopped the app within 60 min: say when with `shutdown_when`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_may_last_beyond_the_horizon() {
    let world = World::new(&orders()).hang("trace", Where::Stop).shutdown_when("ready").horizon(secs(2));
    assert_eq!(world.run().await.exit_code(), 124);
}

#[tokio::test(start_paused = true)]
async fn what_the_app_itself_is_refused_for_is_in_its_report() {
    let app = App::new("orders");
    for _ in 0..2 {
        app.task("twin", |cx| async move {
            cx.stopping().await;
            Ok(())
        });
    }
    let report = World::new(&app).hang("twin", Where::Stop).shutdown_when("ready").run().await;
    assert_eq!(report.exit_code(), 2);
    assert!(report.problems()[0].contains("twin"), "{report}");
    let report = World::new(&app).run().await;
    assert!(report.problems()[0].contains("run already"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn faults_against_a_set_up_that_fails_are_no_matter() {
    let world = World::of(|_app| async move { anyhow::bail!("no configuration") });
    let report = world.sabotage("worker", Where::Stop, Sabotage::hang()).shutdown_when("ready").run().await;
    assert_eq!((report.exit_code(), report.trigger().unwrap().detail()), (1, "no configuration"));
    assert!(report.shutdown_took().unwrap() < millis(10));
}
