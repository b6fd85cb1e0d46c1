//! Components on threads of their own, which work in real time.

use crate::actors::{TICK, of};
use winddown::testkit::World;
use winddown::{App, Outcome, Where, millis, secs};

#[tokio::test(start_paused = true)]
async fn a_thread_that_ends_when_asked_takes_no_virtual_time() {
    let app = App::new("orders");
    for name in ["one", "two"] {
        app.thread(name, |cx| {
            while cx.sleep(millis(50)) {}
            Ok(())
        });
    }
    // It looks now and then; an answer in real time is an answer in time.
    app.thread("looks", |cx| {
        while !cx.is_stopping() {
            std::thread::sleep(millis(30));
        }
        Ok(())
    });
    let report = World::new(&app).shutdown_when(secs(1)).run().await;
    assert_eq!(report.exit_code(), 0, "{report}");
    assert!(report.shutdown_took().unwrap() <= 5 * TICK, "{report}");
}

#[tokio::test(start_paused = true)]
async fn t5_a_thread_that_does_not_end_goes_up_the_rungs_all_the_same() {
    let app = App::new("orders");
    app.thread("stuck", |cx| {
        while !cx.is_cancelled() {
            std::thread::sleep(millis(5));
        }
        Ok(())
    });
    let began = std::time::Instant::now();
    let report = World::new(&app).shutdown_when(secs(1)).run().await;
    assert_eq!(of(&report, "stuck").outcome, Outcome::Cancelled, "{report}");
    assert!(began.elapsed() < secs(5), "{:?}", began.elapsed());
    let stop = of(&report, "stuck").stop.unwrap();
    assert!(stop.ended - stop.began >= secs(5), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_threads_start_and_stop_can_be_sabotaged() {
    let thread = |cx: &winddown::ThreadCx| {
        while cx.sleep(millis(50)) {}
        Ok(())
    };
    let app = App::new("orders");
    app.thread("sampler", thread);
    let report = World::new(&app).fail("sampler", Where::Stop, "no").shutdown_when(secs(1)).run().await;
    assert_eq!((of(&report, "sampler").outcome, of(&report, "sampler").error.as_deref()), (Outcome::Failed, Some("no")));
    let app = App::new("orders");
    app.thread("sampler", thread);
    let report = World::new(&app).fail("sampler", Where::Start, "no").run().await;
    assert_eq!(of(&report, "sampler").outcome, Outcome::Failed);
}
