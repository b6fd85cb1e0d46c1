//! M9: keeping messages while they are in hand.

use crate::kit::*;
use crate::spy::{Answer, Spy};
use tokio::time::Instant;
use winddown::messaging::{Broker, ErrorKind, HandlerCx, Message};
use winddown::{millis, secs};

#[tokio::test(start_paused = true)]
async fn m9_a_long_handler_keeps_its_message_renewed_at_the_half() {
    for changing in [false, true] {
        let broker = broker_with(1).await;
        let spy = Spy::on(broker.clone());
        if changing {
            spy.change_receipts();
        }
        let began = Instant::now();
        let consumer = builder(spy.arc()).visibility(secs(10)).handler(|_: HandlerCx| async {
            tokio::time::sleep(secs(33)).await;
            Ok(())
        });
        let (consumer, handle) = with_handle(consumer);
        let look = broker.clone();
        let (report, ()) = run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
        expect_stopped(&report);
        let at: Vec<u64> = spy.times("extend").iter().map(|at| (*at - began).as_secs()).collect();
        assert_eq!(at, [5, 10, 15, 20, 25, 30]);
        let stats = handle.stats();
        assert_eq!((stats.pulled, stats.acked, stats.stale), (1, 1, 0), "changing receipts: {changing}");
    }
}

#[tokio::test(start_paused = true)]
async fn m9_what_waits_in_the_queue_is_kept_too() {
    let broker = broker_with(6).await;
    let spy = Spy::on(broker.clone());
    let log = Log::default();
    let seen = log.clone();
    let consumer = builder(spy.arc()).visibility(secs(10)).concurrency(1).prefetch(6).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async {
            tokio::time::sleep(secs(8)).await;
            Ok(())
        }
    });
    let (consumer, handle) = with_handle(consumer);
    let other = member(&broker).await;
    let look = broker.clone();
    run_while(&app(consumer), async move {
        while look.pending(TOPIC, GROUP) > 0 {
            // Nobody else is given any of them.
            assert!(other.pull(10, secs(1)).await.unwrap().is_empty());
        }
    })
    .await;
    assert_eq!(log.numbers(), (0..6).collect::<Vec<_>>());
    assert!(log.all().iter().all(|(_, attempt, _)| *attempt == 1));
    assert_eq!((handle.stats().stale, handle.stats().handed_back), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn m9_an_extension_that_fails_is_tried_again_in_time() {
    let broker = broker_with(1).await;
    let spy = Spy::on(broker.clone());
    spy.next("extend", [Answer::Error(ErrorKind::Disconnected), Answer::Never, Answer::Error(ErrorKind::Busy)]);
    let consumer = builder(spy.arc()).visibility(secs(20)).handler(|_: HandlerCx| async {
        tokio::time::sleep(secs(25)).await;
        Ok(())
    });
    let (consumer, handle) = with_handle(consumer);
    let look = broker.clone();
    run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    assert_eq!((handle.stats().pulled, handle.stats().acked, handle.stats().stale), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn m9_a_handler_whose_message_is_anothers_is_told_and_what_it_does_then_is_counted() {
    let broker = broker_with(2).await;
    let spy = Spy::on(broker.clone());
    spy.always("extend", Some(Answer::Error(ErrorKind::Disconnected)));
    let (log, spied) = (Log::default(), spy.clone());
    let seen = log.clone();
    let consumer = builder(spy.arc()).visibility(secs(10)).notify_after(1).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async move {
            if cx.attempt() == 1 {
                cx.cancelled().cancelled().await;
                // One goes on to its end all the same.
                anyhow::ensure!(number(&cx) == 0, "told to end");
            }
            Ok(())
        }
    });
    let (consumer, handle) = with_handle(consumer);
    let look = broker.clone();
    let (report, ()) = run_while(&app(consumer), async move {
        // Too late for the first lease: others (here: itself) have the messages again.
        tokio::time::sleep(millis(10_500)).await;
        spied.always("extend", None);
        until(|| look.pending(TOPIC, GROUP) == 0).await;
        tokio::time::sleep(secs(5)).await;
    })
    .await;
    expect_stopped(&report);
    assert_eq!((log.attempts(0), log.attempts(1)), (vec![1, 2], vec![1, 2]));
    let stats = handle.stats();
    // Two extensions, and the acknowledgement of the one that went on.
    assert_eq!((stats.stale, stats.failed, stats.handled, stats.nacked), (3, 1, 3, 0), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn m9_what_runs_out_in_the_queue_is_dropped_there_and_comes_again() {
    let broker = broker_with(3).await;
    let spy = Spy::on(broker.clone());
    spy.always("extend", Some(Answer::Error(ErrorKind::Stale)));
    let log = Log::default();
    let seen = log.clone();
    let consumer = builder(spy.arc()).visibility(secs(10)).concurrency(1).prefetch(2).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async move {
            tokio::time::sleep(if number(&cx) == 0 && cx.attempt() == 1 { secs(12) } else { millis(1) }).await;
            Ok(())
        }
    });
    let (consumer, handle) = with_handle(consumer);
    let look = broker.clone();
    run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    let stats = handle.stats();
    assert_eq!(stats.expired, 2, "{stats:?}");
    assert!(log.attempts(1) == [2] && log.attempts(2) == [2], "{:?}", log.all());
}

#[tokio::test(start_paused = true)]
async fn m9_a_broker_without_leases_is_asked_once_and_no_more() {
    let broker = broker_with(1).await;
    let spy = Spy::on(broker.clone());
    spy.always("extend", Some(Answer::Error(ErrorKind::Unsupported)));
    let consumer = builder(spy.arc()).visibility(secs(100)).handler(|cx: HandlerCx| async move {
        tokio::time::sleep(secs(90)).await;
        assert!(!cx.is_cancelled());
        assert_eq!(cx.extend(secs(5)).await.unwrap_err().kind(), ErrorKind::Unsupported);
        Ok(())
    });
    let (consumer, handle) = with_handle(consumer);
    let look = broker.clone();
    run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    assert_eq!((spy.count("extend"), handle.stats().acked), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn m9_a_handler_may_extend_by_itself() {
    let broker = broker_with(1).await;
    let spy = Spy::on(broker.clone());
    spy.change_receipts();
    let began = Instant::now();
    let kept = std::sync::Arc::new(std::sync::Mutex::new(None));
    let keep = kept.clone();
    let consumer = builder(spy.arc()).visibility(secs(10)).handler(move |cx: HandlerCx| {
        *keep.lock().unwrap() = Some(cx.clone());
        async move {
            cx.extend(secs(60)).await?;
            tokio::time::sleep(secs(50)).await;
            Ok(())
        }
    });
    let (consumer, handle) = with_handle(consumer);
    let look = broker.clone();
    run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    let at: Vec<u64> = spy.times("extend").iter().map(|at| (*at - began).as_secs()).collect();
    assert_eq!(at, [0, 30], "renewed at the half of what was asked for last");
    assert_eq!((handle.stats().acked, handle.stats().stale), (1, 0));
    let late = kept.lock().unwrap().clone().unwrap();
    assert_eq!(late.extend(secs(1)).await.unwrap_err().kind(), ErrorKind::Stale, "its handling is over");
}

#[tokio::test(start_paused = true)]
async fn m9_leases_are_kept_during_a_stop() {
    let broker = broker_with(1).await;
    let consumer = builder(arc(&broker)).visibility(secs(4)).handler(|_: HandlerCx| async {
        tokio::time::sleep(secs(9)).await;
        Ok(())
    });
    let (consumer, handle) = with_handle(consumer);
    let report = run_for(&app(consumer), secs(1)).await;
    expect_stopped(&report);
    expect_steps(&report, [0, 0, 1, 0, 1, 0]);
    assert_eq!((handle.stats().acked, handle.stats().stale, broker.pending(TOPIC, GROUP)), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn m9_a_thousand_handlers_keep_theirs_over_a_slow_wire() {
    let broker = broker_with(1000).await;
    let spy = Spy::on(broker.clone());
    spy.always("extend", Some(Answer::Late(millis(50))));
    let consumer = builder(spy.arc()).concurrency(1000).visibility(secs(30)).handler(|_: HandlerCx| async {
        tokio::time::sleep(secs(70)).await;
        Ok(())
    });
    let (consumer, handle) = with_handle(consumer);
    let look = broker.clone();
    run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    let stats = handle.stats();
    assert_eq!((stats.pulled, stats.acked, stats.stale), (1000, 1000, 0));
}

#[tokio::test(start_paused = true)]
async fn m9_duplicates_are_counted() {
    let broker = broker_with(0).await;
    let message = Message::new(TOPIC, "7");
    let (consumer, handle) = with_handle(builder(arc(&broker)).handler(|_: HandlerCx| async { Ok(()) }));
    let (sending, counts) = (broker.clone(), handle.clone());
    run_while(&app(consumer), async move {
        for sent in 1..=3 {
            sending.send(&message, None).await.unwrap();
            until(|| counts.stats().acked == sent).await;
        }
        sending.send(&Message::new(TOPIC, "8"), None).await.unwrap();
        until(|| counts.stats().acked == 4).await;
    })
    .await;
    assert_eq!((handle.stats().duplicates, handle.stats().handled), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn m9_a_nack_that_comes_too_late_is_counted_and_does_no_harm() {
    let broker = broker_with(1).await;
    let spy = Spy::on(broker.clone());
    spy.always("extend", Some(Answer::Error(ErrorKind::Unsupported)));
    let log = Log::default();
    let seen = log.clone();
    let consumer = builder(spy.arc()).visibility(secs(5)).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async move {
            if cx.attempt() == 1 {
                tokio::time::sleep(secs(6)).await;
                anyhow::bail!("no");
            }
            Ok(())
        }
    });
    let (consumer, handle) = with_handle(consumer);
    let counts = handle.clone();
    run_while(&app(consumer), async move {
        until(|| counts.stats().stale == 1).await;
        tokio::time::sleep(secs(10)).await;
    })
    .await;
    assert_eq!((log.attempts(0), handle.stats().acked, handle.stats().nacked), (vec![1, 2], 1, 0));
    assert_eq!(broker.pending(TOPIC, GROUP), 0);
}
