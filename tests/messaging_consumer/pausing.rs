//! Pausing, resuming, and handles that outlive everything.

use crate::kit::*;
use crate::spy::{Answer, Spy};
use winddown::messaging::{ConsumerStats, ErrorKind, HandlerCx};
use winddown::{App, millis, secs};

fn slow(broker: std::sync::Arc<dyn winddown::messaging::Broker>) -> winddown::messaging::Consumer {
    builder(broker).concurrency(2).prefetch(4).handler(|_: HandlerCx| async {
        tokio::time::sleep(secs(1)).await;
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn m9_a_pause_stops_the_pulling_lets_handlers_end_and_gives_the_rest_back() {
    let broker = broker_with(20).await;
    let (consumer, handle) = with_handle(slow(arc(&broker)));
    let look = broker.clone();
    let paused = handle.clone();
    let (report, ()) = run_while(&app(consumer), async move {
        tokio::time::sleep(millis(500)).await;
        paused.pause();
        tokio::time::sleep(millis(5)).await;
        assert!(paused.is_paused());
        let stats = paused.stats();
        assert_eq!((stats.in_flight, stats.prefetched, stats.handed_back), (2, 0, 4), "{stats:?}");
        // Others have them, in their first attempt.
        let others = member(&look).await;
        let taken = others.pull(100, millis(1)).await.unwrap();
        assert_eq!((taken.len(), taken[0].attempt()), (18, 1));
        others.close().await.unwrap();
        tokio::time::sleep(secs(100)).await;
        let stats = paused.stats();
        assert_eq!((stats.pulled, stats.handled, stats.acked, stats.in_flight), (6, 2, 2, 0), "{stats:?}");
        paused.resume();
        until(|| look.pending(TOPIC, GROUP) == 0).await;
    })
    .await;
    expect_stopped(&report);
    assert_eq!(handle.stats().acked, 20);
}

#[tokio::test(start_paused = true)]
async fn m9_a_handle_works_before_the_start_and_after_the_stop() {
    let broker = broker_with(3).await;
    let (consumer, handle) = with_handle(slow(arc(&broker)));
    handle.pause();
    assert_eq!(handle.stats(), ConsumerStats::default());
    let resume = handle.clone();
    run_while(&app(consumer), async move {
        tokio::time::sleep(secs(10)).await;
        assert_eq!(resume.stats().pulled, 0);
        std::thread::spawn(move || resume.resume()).join().unwrap();
        until(|| broker.pending(TOPIC, GROUP) == 0).await;
    })
    .await;
    handle.pause();
    handle.resume();
    assert_eq!((handle.stats().acked, handle.stats().in_flight), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn m9_a_stop_while_it_is_paused_and_while_it_gives_back() {
    let broker = broker_with(20).await;
    let spy = Spy::on(broker.clone());
    // The first time the broker does not answer; the stop tells it again.
    spy.next("release", [Answer::Never]);
    let (consumer, handle) = with_handle(slow(spy.arc()));
    let paused = handle.clone();
    let (report, ()) = run_while(&app(consumer), async move {
        tokio::time::sleep(millis(500)).await;
        paused.pause();
        tokio::time::sleep(millis(100)).await;
    })
    .await;
    expect_stopped(&report);
    expect_steps(&report, [4, 4, 2, 0, 2, 0]);
    assert_eq!((broker.pending(TOPIC, GROUP), broker.in_flight(TOPIC, GROUP), handle.stats().handed_back), (18, 0, 4));
}

#[tokio::test(start_paused = true)]
async fn m9_pausing_and_resuming_at_random_loses_nothing() {
    let broker = broker_with(300).await;
    let log = Log::default();
    let seen = log.clone();
    let (consumer, handle) = with_handle(builder(arc(&broker)).concurrency(3).prefetch(10).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async {
            tokio::time::sleep(millis(7)).await;
            Ok(())
        }
    }));
    let look = broker.clone();
    let (report, ()) = run_while(&app(consumer), async move {
        let mut on = true;
        while look.pending(TOPIC, GROUP) > 0 {
            on = !on;
            if on {
                handle.resume()
            } else {
                handle.pause()
            }
            tokio::time::sleep(millis(if on { 13 } else { 3 })).await;
        }
    })
    .await;
    expect_stopped(&report);
    let mut numbers = log.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>(), "each exactly once: nothing of it counts as a failure");
    assert!(log.all().iter().all(|(_, attempt, _)| *attempt == 1));
}

#[tokio::test(start_paused = true)]
async fn m9_it_can_be_stopped_and_started_again_and_the_counts_go_on() {
    let broker = broker_with(2).await;
    let (consumer, counts) = with_handle(slow(arc(&broker)));
    let app = App::new("test").grace(secs(30));
    let id = app.add(consumer).stop_budget(secs(10)).id();
    let handle = app.handle();
    let look = broker.clone();
    let (report, ()) = run_while(&app, async move {
        until(|| counts.stats().acked == 2).await;
        handle.stop(id).await.unwrap();
        send(&look, 2..4).await;
        tokio::time::sleep(secs(10)).await;
        assert_eq!(counts.stats().pulled, 2);
        counts.pause();
        handle.start(id).await.unwrap();
        tokio::time::sleep(secs(10)).await;
        assert_eq!(counts.stats().pulled, 2, "a pause outlasts a restart");
        counts.resume();
        until(|| counts.stats().acked == 4).await;
        assert_eq!(counts.stats().pulled, 4);
    })
    .await;
    expect_stopped(&report);
}

#[tokio::test(start_paused = true)]
async fn m9_a_release_that_fails_in_a_pause_is_counted_and_comes_again() {
    let broker = broker_with(6).await;
    let spy = Spy::on(broker.clone());
    spy.next("release", [Answer::Error(ErrorKind::Invalid)]);
    let (consumer, handle) = with_handle(slow(spy.arc()));
    let (paused, look) = (handle.clone(), broker.clone());
    run_while(&app(consumer), async move {
        tokio::time::sleep(millis(500)).await;
        paused.pause();
        tokio::time::sleep(millis(100)).await;
        paused.resume();
        until(|| look.pending(TOPIC, GROUP) == 0).await;
    })
    .await;
    assert_eq!((handle.stats().unanswered, handle.stats().acked), (4, 6));
}
