//! M6: the stop, step by step.

use crate::kit::*;
use crate::spy::{Answer, Spy};
use std::sync::Arc;
use winddown::messaging::{Consumer, ErrorKind, Faults, FaultyBroker, HandlerCx, MemoryBroker};
use winddown::testkit::World;
use winddown::{App, EventKind, Outcome, Rung, Where, millis, secs};

/// Handlers that take this long.
fn slow(broker: Arc<dyn winddown::messaging::Broker>, took: std::time::Duration) -> Consumer {
    builder(broker).concurrency(2).prefetch(4).handler(move |_: HandlerCx| async move {
        tokio::time::sleep(took).await;
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn m6_the_steps_come_in_order_each_with_its_count() {
    let broker = broker_with(10).await;
    // After 1 s the first two are handled, the next two run, and four more are fetched.
    let report = run_for(&app(slow(arc(&broker), secs(1))), millis(1500)).await;
    expect_stopped(&report);
    expect_steps(&report, [4, 4, 2, 0, 2, 0]);
    let component = report.component(NAME).unwrap();
    assert_eq!((component.drained, component.handed_back, component.rung), (2, 4, Rung::Graceful));
    assert_eq!((broker.pending(TOPIC, GROUP), broker.in_flight(TOPIC, GROUP)), (6, 0));
    assert!(step_after(&report, "handed_back") < millis(5), "not after the handlers");
    assert!((millis(500)..millis(510)).contains(&step_after(&report, "drained")));
    assert!(step_after(&report, "left_group") < millis(510), "no longer than the handlers");
}

#[tokio::test(start_paused = true)]
async fn m6_with_nothing_to_do_it_stops_at_once_in_the_same_order() {
    let broker = MemoryBroker::new();
    let report = run_for(&app(slow(arc(&broker), secs(1))), secs(1)).await;
    expect_stopped(&report);
    expect_steps(&report, [0; 6]);
    assert!(report.shutdown_took().unwrap() < millis(10));
}

#[tokio::test(start_paused = true)]
async fn m6_the_broker_hears_it_in_this_order() {
    let spy = Spy::on(broker_with(10).await);
    run_for(&app(slow(spy.arc(), secs(1))), millis(1500)).await;
    let last = spy.settlements().split_off(spy.settlements().len() - 4);
    let acks = last[1].1;
    assert_eq!(last, [("release", 4), ("ack", acks), ("commit", 0), ("close", 0)]);
    assert!(spy.times("ack").last().unwrap() < spy.times("commit").last().unwrap() || acks == 2);
}

#[tokio::test(start_paused = true)]
async fn m6_another_member_has_at_once_what_is_handed_back() {
    let broker = broker_with(10).await;
    let app = app(slow(arc(&broker), secs(1)));
    let other = member(&broker).await;
    let (report, taken) = run_while(&app, async move {
        tokio::time::sleep(millis(1500)).await;
        let taking = tokio::spawn(async move {
            let mut taken = Vec::new();
            // The four that were never fetched by the consumer, and the four that it hands back, long before its handlers end.
            while taken.len() < 6 {
                taken.extend(other.pull(10, millis(400)).await.unwrap());
                assert!(!taken.is_empty());
            }
            taken
        });
        (taking,)
    })
    .await;
    expect_stopped(&report);
    let taken = taken.0.await.unwrap();
    assert_eq!(taken.len(), 6);
    assert!(taken.iter().all(|delivery| delivery.attempt() == 1), "what was not begun does not count");
}

#[tokio::test(start_paused = true)]
async fn m6_a_handler_that_never_ends_is_cancelled_inside_the_budget() {
    let broker = broker_with(1).await;
    let consumer = builder(arc(&broker)).handler(|_: HandlerCx| std::future::pending());
    let (consumer, handle) = with_handle(consumer);
    let report = run_for(&app(consumer), secs(1)).await;
    expect_stopped(&report);
    expect_steps(&report, [0, 0, 0, 1, 0, 0]);
    let component = report.component(NAME).unwrap();
    assert_eq!((component.rung, component.drained, component.handed_back), (Rung::Graceful, 0, 1));
    let took = step_after(&report, "left_group");
    assert!(took >= secs(10) - millis(500) && took <= secs(10) - millis(50), "{took:?}");
    assert_eq!((handle.stats().cancelled, handle.stats().nacked), (1, 1));
    // Others have it at once, as a second attempt.
    let again = member(&broker).await.pull(1, millis(1)).await.unwrap();
    assert_eq!(again[0].attempt(), 2);
}

#[tokio::test(start_paused = true)]
async fn m6_a_handler_that_hears_its_token_has_time_to_end() {
    let broker = broker_with(2).await;
    let consumer = builder(arc(&broker)).handler(|cx: HandlerCx| async move {
        cx.cancelled().cancelled().await;
        tokio::time::sleep(millis(100)).await;
        // One saves its work, the other gives up.
        anyhow::ensure!(number(&cx) == 0, "told to end");
        Ok(())
    });
    let (consumer, handle) = with_handle(consumer);
    let report = run_for(&app(consumer), secs(1)).await;
    expect_stopped(&report);
    expect_steps(&report, [0, 0, 0, 2, 1, 0]);
    let stats = handle.stats();
    assert_eq!((stats.handled, stats.acked, stats.failed, stats.cancelled, stats.nacked), (1, 1, 0, 1, 1));
    assert_eq!(broker.pending(TOPIC, GROUP), 1);
}

#[tokio::test(start_paused = true)]
async fn m6_handlers_know_how_long_they_have() {
    let broker = broker_with(1).await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let consumer = builder(arc(&broker)).handler(move |cx: HandlerCx| {
        let told = told.clone();
        async move {
            told.send(cx.remaining()).unwrap();
            tokio::time::sleep(secs(2)).await;
            told.send(cx.remaining()).unwrap();
            Ok(())
        }
    });
    run_for(&app(consumer), secs(1)).await;
    assert_eq!(heard.recv().await, Some(None));
    // Asked to stop a second before, of 10 s less the margin.
    let left = heard.recv().await.flatten().unwrap();
    assert!(left > millis(8400) && left <= millis(8510), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn m6_a_pull_that_hangs_holds_nothing_up() {
    let spy = Spy::on(broker_with(1).await);
    spy.always("pull", Some(Answer::Never));
    let report = run_for(&app(slow(spy.arc(), secs(1))), secs(5)).await;
    expect_stopped(&report);
    expect_steps(&report, [0; 6]);
    assert!(report.shutdown_took().unwrap() < millis(10));
}

#[tokio::test(start_paused = true)]
async fn m6_a_broker_that_is_down_during_the_stop_fails_nothing_and_loses_nothing() {
    let (broker, faults) = (broker_with(10).await, Faults::new());
    let faulty = FaultyBroker::new(arc(&broker), faults.clone());
    let (consumer, handle) = with_handle(slow(Arc::new(faulty), secs(1)));
    let (report, ()) = run_while(&app(consumer), async move {
        tokio::time::sleep(millis(1500)).await;
        faults.down(true);
    })
    .await;
    let component = report.component(NAME).unwrap();
    assert_eq!((component.outcome, component.lost, component.handed_back, report.exit_code()), (Outcome::Stopped, 0, 0, 0));
    let names: Vec<String> = steps(&report).into_iter().map(|(name, n)| format!("{name} {n}")).collect();
    let expected =
        ["pull_stopped 4", "handed_back 0", "handed_back_unanswered 4", "drained 2", "cancelled 0", "committed 0", "committed_unanswered 2"];
    assert_eq!(names[..7], expected);
    assert!(component.stop.unwrap().ended - component.stop.unwrap().began <= secs(10));
    assert_eq!(handle.stats().unanswered, 6);
    // The group has them all: two were acknowledged before.
    assert_eq!(broker.pending(TOPIC, GROUP), 8);
    tokio::time::sleep(secs(31)).await;
    assert_eq!(broker.in_flight(TOPIC, GROUP), 0);
}

#[tokio::test(start_paused = true)]
async fn m6_a_broker_that_comes_back_during_the_stop_hears_everything() {
    let (broker, faults) = (broker_with(10).await, Faults::new());
    let faulty = FaultyBroker::new(arc(&broker), faults.clone());
    let (report, ()) = run_while(&app(slow(Arc::new(faulty), secs(1))), async move {
        tokio::time::sleep(millis(1500)).await;
        faults.down(true);
        tokio::spawn(async move {
            tokio::time::sleep(secs(3)).await;
            faults.down(false);
        });
    })
    .await;
    expect_stopped(&report);
    expect_steps(&report, [4, 4, 2, 0, 2, 0]);
    assert_eq!((broker.pending(TOPIC, GROUP), broker.in_flight(TOPIC, GROUP)), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn m6_every_call_of_the_stop_may_hang_and_it_still_ends_in_time() {
    for call in ["release", "ack", "nack", "commit", "close"] {
        let broker = broker_with(10).await;
        let spy = Spy::on(broker.clone());
        let consumer = builder(spy.arc()).concurrency(2).prefetch(4).handler(|cx: HandlerCx| async move {
            // One ends by itself, the other never.
            let span = if number(&cx).is_multiple_of(2) { secs(2) } else { secs(3600) };
            tokio::time::sleep(span).await;
            Ok(())
        });
        spy.always(call, Some(Answer::Never));
        let report = run_for(&app(consumer), secs(1)).await;
        let component = report.component(NAME).unwrap();
        assert_eq!((component.outcome, component.rung, component.lost), (Outcome::Stopped, Rung::Graceful, 0), "{call}: {:?}", steps(&report));
        let took = component.stop.unwrap().ended - component.stop.unwrap().began;
        assert!(took <= secs(10), "{call}: {took:?}");
        tokio::time::sleep(secs(31)).await;
        let left = if call == "ack" { 10 } else { 9 };
        assert_eq!((broker.pending(TOPIC, GROUP), broker.in_flight(TOPIC, GROUP)), (left, 0), "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn m6_the_answer_to_the_commit_is_awaited_before_it_leaves() {
    let spy = Spy::on(broker_with(1).await);
    spy.next("commit", [Answer::Error(ErrorKind::Busy), Answer::Late(millis(300))]);
    let report = run_for(&app(slow(spy.arc(), secs(1))), millis(500)).await;
    expect_stopped(&report);
    expect_steps(&report, [0, 0, 1, 0, 1, 0]);
    let (committed, left) = (step_after(&report, "committed"), step_after(&report, "left_group"));
    assert!(committed >= millis(800) && left >= committed && left < committed + millis(10), "{committed:?} {left:?}");
}

#[tokio::test(start_paused = true)]
async fn m6_all_acknowledgements_are_told_before_the_commit() {
    let spy = Spy::on(broker_with(20).await);
    // The first call takes long; what is handled meanwhile waits for the next one.
    spy.next("ack", [Answer::Late(secs(2))]);
    let consumer = builder(spy.arc()).handler(|_: HandlerCx| async { Ok(()) });
    let report = run_for(&app(consumer), secs(1)).await;
    expect_stopped(&report);
    let told: usize = spy.settlements().iter().filter(|(call, _)| *call == "ack").map(|(_, n)| n).sum();
    assert_eq!(told, 20);
    assert!(spy.count("ack") <= 3, "in batches: {:?}", spy.settlements());
    assert_eq!(spy.settlements().split_off(spy.settlements().len() - 2), [("commit", 0), ("close", 0)]);
    assert_eq!(steps(&report)[4].1, 20);
}

#[tokio::test(start_paused = true)]
async fn m6_a_second_signal_cuts_it_short_and_still_gives_back() {
    let broker = broker_with(5).await;
    let consumer = builder(arc(&broker)).concurrency(2).prefetch(4).handler(|_: HandlerCx| std::future::pending());
    let app = app(consumer);
    let report = World::new(&app).signal_at(secs(1), "SIGTERM").signal_at(secs(2), "SIGTERM").run().await;
    let component = report.component(NAME).unwrap();
    assert_eq!((component.outcome, component.lost), (Outcome::Cancelled, 0), "{:?}", steps(&report));
    expect_steps(&report, [3, 3, 0, 2, 0, 0]);
    assert!(component.stop.unwrap().ended < millis(2600));
    assert_eq!((broker.pending(TOPIC, GROUP), broker.in_flight(TOPIC, GROUP)), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn m6_when_its_stop_is_never_called_it_gives_back_all_the_same() {
    // The stop hangs before it reaches the consumer: its scope is cancelled, and that has to be enough.
    let broker = broker_with(5).await;
    let consumer = builder(arc(&broker)).concurrency(2).prefetch(4).handler(|_: HandlerCx| std::future::pending());
    let report = World::new(&app(consumer)).hang(NAME, Where::Stop).shutdown_when(secs(1)).run().await;
    assert_eq!(report.component(NAME).unwrap().outcome, Outcome::Cancelled);
    expect_steps(&report, [3, 3, 0, 2, 0, 0]);
    assert_eq!((broker.pending(TOPIC, GROUP), broker.in_flight(TOPIC, GROUP)), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn m6_what_is_aborted_comes_again() {
    let broker = broker_with(5).await;
    let spy = Spy::on(broker.clone());
    for call in ["release", "nack", "ack", "commit", "close"] {
        spy.always(call, Some(Answer::Never));
    }
    let consumer = builder(spy.arc()).concurrency(2).prefetch(4).handler(|_: HandlerCx| std::future::pending());
    let app = App::new("test").grace(secs(30));
    app.add(consumer).stop_budget(secs(10)).cancel_wait(millis(1));
    let report = World::new(&app).signal_at(secs(1), "SIGTERM").signal_at(secs(2), "SIGTERM").run().await;
    assert!(report.component(NAME).unwrap().outcome >= Outcome::Cancelled);
    assert_eq!(report.component(NAME).unwrap().lost, 0);
    tokio::time::sleep(secs(31)).await;
    assert_eq!((broker.pending(TOPIC, GROUP), broker.in_flight(TOPIC, GROUP)), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn m6_a_small_budget_keeps_a_fifth_for_the_end() {
    let broker = broker_with(1).await;
    let consumer = builder(arc(&broker)).handler(|_: HandlerCx| std::future::pending());
    let app = App::new("test");
    app.add(consumer).stop_budget(secs(1));
    let report = run_for(&app, secs(1)).await;
    expect_stopped(&report);
    let drained = step_after(&report, "drained");
    assert!((millis(800)..millis(805)).contains(&drained), "{drained:?}");
}

#[tokio::test(start_paused = true)]
async fn m6_nothing_is_begun_once_the_stop_has_begun() {
    let broker = broker_with(100).await;
    let log = Log::default();
    let seen = log.clone();
    let consumer = builder(arc(&broker)).concurrency(4).prefetch(64).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async {
            tokio::time::sleep(millis(100)).await;
            Ok(())
        }
    });
    let report = run_for(&app(consumer), millis(250)).await;
    expect_stopped(&report);
    let (drained, begun) = (steps(&report)[2].1, log.len());
    assert_eq!((drained, begun), (4, 12));
    assert_eq!(broker.pending(TOPIC, GROUP), 88);
    let began = report.events().iter().find(|e| matches!(e.kind(), EventKind::StopBegan { .. })).unwrap().at();
    assert!(began >= millis(250));
}
