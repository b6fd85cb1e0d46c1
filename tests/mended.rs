//! What was once wrong, each with its smallest reproduction.
#[path = "virtual_time/kit.rs"]
#[allow(dead_code)]
mod kit;
use kit::run;
use kit::*;
use std::sync::{Arc, Mutex};
use winddown::*;
type Any = anyhow::Result<()>;

struct BadDrop(&'static str);
impl Drop for BadDrop {
    fn drop(&mut self) {
        panic!("{}", self.0)
    }
}

/// `Cx::deadline`: "Far away while nothing was asked."
#[tokio::test(start_paused = true)]
async fn deadline_is_far_away_while_nothing_was_asked() {
    let (app, log) = (App::new("x"), Log::default());
    let seen = log.clone();
    app.task("reader", move |cx| async move {
        tokio::time::sleep(secs(40)).await;
        seen.say(format!("{:?}", cx.remaining()));
        cx.stopping().await;
        Ok(())
    });
    run_for(&app, secs(50)).await;
    assert_ne!(log.lines(), ["0ns"]);
}

/// R2, C4
#[tokio::test(start_paused = true)]
async fn a_payload_that_goes_on_panicking() {
    struct Bomb(u32);
    impl Drop for Bomb {
        fn drop(&mut self) {
            if let Some(left) = self.0.checked_sub(1) {
                std::panic::panic_any(Bomb(left));
            }
        }
    }
    let app = App::new("x");
    app.task("bomb", |_| async { std::panic::panic_any(Bomb(2)) });
    let report = run_for(&app, secs(60)).await;
    assert_eq!(report.component("bomb").unwrap().outcome, Outcome::Panicked);
}

/// R2
#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_an_interrupted_start() {
    struct Starting;
    #[async_trait]
    impl Lifecycle for Starting {
        async fn start(&mut self, _cx: &StartCx) -> Any {
            let _bad = BadDrop("while taken back");
            std::future::pending().await
        }
        async fn stop(&mut self, _cx: &StopCx) -> Any {
            Ok(())
        }
    }
    let (app, log) = (App::new("x"), Log::default());
    app.add(Starting);
    app.add(Actor::new("bad", &log).start(Act::Fail("no")));
    let report = run(&app).await;
    assert!(report.component("Starting").unwrap().error.is_some());
}

struct Holder(#[allow(dead_code)] BadDrop);
#[async_trait]
impl Lifecycle for Holder {
    async fn stop(&mut self, _cx: &StopCx) -> Any {
        Ok(())
    }
}

/// R2, P7
#[tokio::test(start_paused = true)]
async fn a_component_stopped_alone_harms_nobody_when_it_is_dropped() {
    let app = App::new("x");
    let id = app.add(Holder(BadDrop("on the conductor"))).id();
    let beside = once_ready(&app, move |handle| async move {
        handle.stop(id).await.unwrap();
        handle.request_shutdown("enough");
    });
    run(&app).await;
    beside.await.unwrap();
}

struct Where(&'static str, Arc<Mutex<Vec<String>>>);
impl Drop for Where {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(format!("{} on {}", self.0, std::thread::current().name().unwrap_or("?")));
    }
}
struct Kept(#[allow(dead_code)] Where);
#[async_trait]
impl Lifecycle for Kept {
    async fn stop(&mut self, _cx: &StopCx) -> Any {
        Ok(())
    }
}

/// P7, real time: on which thread.
#[test]
fn a_component_is_dropped_on_a_worker() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let app = App::new("x").signals(Signals::Ignore).output(Output::Quiet);
    let id = app.add(Kept(Where("component", seen.clone()))).id();
    let handle = app.handle();
    let t = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            handle.wait_ready().await;
            handle.stop(id).await.unwrap();
            handle.request_shutdown("enough");
        })
    });
    app.run_blocking();
    t.join().unwrap();
    drop(app);
    let end = std::time::Instant::now() + secs(5);
    while seen.lock().unwrap().is_empty() && std::time::Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!(*seen.lock().unwrap(), ["component on winddown-worker"]);
}

/// P7: a resource that the deadline cut.
#[tokio::test(start_paused = true)]
async fn a_resource_cut_by_the_deadline_harms_nobody_when_it_is_dropped() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let app = App::new("x").grace(secs(1));
    app.resource("first", async { anyhow::Ok(BadDrop("resource on the conductor")) }).await.unwrap();
    app.resource("second", async { anyhow::Ok(1) }).await.unwrap();
    app.thread("stuck", move |_| {
        let _ = held.lock().map(|held| held.recv());
        Ok(())
    })
    .stop_budget(millis(980));
    run_for(&app, secs(1)).await;
    drop(release);
}

/// P7, R2: an observer that panics, and panics again when it is dropped, takes the others with it.
#[tokio::test(start_paused = true)]
async fn an_observer_whose_drop_panics_leaves_the_others_alone() {
    struct Touchy(#[allow(dead_code)] BadDrop);
    impl Observer for Touchy {
        fn on_event(&mut self, _event: &Event) {
            panic!("not my day");
        }
    }
    let app = App::new("x");
    let (tell, told) = std::sync::mpsc::channel();
    app.observe(Touchy(BadDrop("nor this")));
    app.observe(move |event: &Event| {
        let _ = tell.send(event.kind().name());
    });
    idle(&app, "w", 0);
    run_for(&app, secs(1)).await;
    drop(app);
    assert_eq!(told.iter().last(), Some("run_ended"));
}

/// `ready()` from outside of the scope while the component waits for its restart.
#[tokio::test(start_paused = true)]
async fn ready_during_a_restart_pause() {
    struct Leaky(u32);
    #[async_trait]
    impl Lifecycle for Leaky {
        async fn start(&mut self, cx: &StartCx) -> Any {
            self.0 += 1;
            if self.0 == 1 {
                cx.spawn("work", async { anyhow::bail!("no") });
                let cx = cx.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(secs(5)).await;
                    cx.ready();
                });
            }
            Ok(())
        }
        async fn stop(&mut self, _cx: &StopCx) -> Any {
            Ok(())
        }
    }
    let app = App::new("x");
    app.add(Leaky(0)).policy(Policy::Restart(Restart::new(1, secs(60)).backoff(secs(20))));
    let report = run_for(&app, secs(60)).await;
    assert_eq!(report.exit_code(), 0);
}

/// A critical section that outlives its tasks.
#[tokio::test(start_paused = true)]
async fn critical_released_during_a_restart_pause() {
    let app = App::new("x");
    let kept: Arc<Mutex<Option<Critical>>> = Arc::default();
    let keep = kept.clone();
    struct It(Arc<Mutex<Option<Critical>>>, u32);
    #[async_trait]
    impl Lifecycle for It {
        async fn start(&mut self, cx: &StartCx) -> Any {
            self.1 += 1;
            if self.1 == 1 {
                *self.0.lock().unwrap() = Some(cx.critical(secs(2)));
                cx.spawn("deaf", std::future::pending());
                cx.spawn("work", async { anyhow::bail!("no") });
            }
            Ok(())
        }
        async fn stop(&mut self, _cx: &StopCx) -> Any {
            Ok(())
        }
    }
    app.add(It(keep, 0)).policy(Policy::Restart(Restart::new(1, secs(60)).backoff(secs(20))));
    tokio::spawn(async move {
        tokio::time::sleep(secs(8)).await;
        kept.lock().unwrap().take();
    });
    let report = run_for(&app, secs(60)).await;
    assert_eq!(report.exit_code(), 0);
}

/// S6
#[tokio::test(start_paused = true)]
async fn configuring_while_running_is_an_error() {
    let app = App::new("x");
    let id = idle(&app, "w", 0);
    let late = app.clone();
    let beside = once_ready(&app, move |handle| async move {
        let error = late.configure(id).stop_budget(secs(9)).error();
        handle.request_shutdown("enough");
        assert!(error.is_some());
    });
    run(&app).await;
    beside.await.unwrap();
}

/// `Handle::start` in set-up, with an id of this app: "is_not_now", not "of another app".
#[tokio::test(start_paused = true)]
async fn start_before_the_plan_is_not_an_unknown_component() {
    let answers = Log::default();
    let seen = answers.clone();
    let app = App::new("x").setup(|app| async move {
        let id = app.configure(idle(&app, "lazy", 0)).auto_startup(false).id();
        let error = app.handle().start(id).await.unwrap_err();
        seen.say(format!("{}", error));
        Ok(())
    });
    run_for(&app, secs(1)).await;
    assert!(!answers.lines()[0].contains("another app"), "{:?}", answers.lines());
}

/// The event of an opened resource.
#[tokio::test(start_paused = true)]
async fn resource_created_is_told() {
    let app = App::new("x").setup(|app| async move {
        app.resource("pool", async { anyhow::Ok(1) }).await?;
        app.task("t", |_| async { Ok(()) });
        Ok(())
    });
    let report = run(&app).await;
    assert_eq!(story(&report, "pool")[0], "resource_created");
}
