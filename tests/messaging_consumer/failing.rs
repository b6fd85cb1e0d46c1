//! M8: what becomes of a message whose handling fails.

use crate::kit::*;
use crate::spy::{Answer, Spy};
use anyhow::Context;
use std::time::Duration;
use winddown::messaging::{Backoff, ErrorKind, Handler, HandlerCx, Poison, Retry};
use winddown::{async_trait, millis, secs};

/// Runs a handler on one message until it is out of the queue. Gives the log and the counts.
async fn one(
    configure: impl FnOnce(winddown::messaging::ConsumerBuilder) -> winddown::messaging::Consumer,
    log: &Log,
) -> winddown::messaging::ConsumerStats {
    let broker = broker_with(1).await;
    let (consumer, handle) = with_handle(configure(builder(arc(&broker))));
    let seen = broker.clone();
    let (report, ()) = run_while(&app(consumer), async move { until(|| seen.pending(TOPIC, GROUP) == 0).await }).await;
    expect_stopped(&report);
    assert!(log.len() > 0);
    let stats = handle.stats();
    let gone =
        stats.handled + stats.failed + stats.panicked + stats.timed_out + stats.exhausted + stats.cancelled + stats.handed_back + stats.expired;
    assert_eq!(stats.pulled, gone, "{stats:?}");
    assert_eq!((stats.in_flight, stats.prefetched), (0, 0));
    stats
}

/// The pauses between the attempts.
fn pauses(log: &Log) -> Vec<Duration> {
    log.all().windows(2).map(|pair| pair[1].2 - pair[0].2).collect()
}

#[tokio::test(start_paused = true)]
async fn m8_an_error_comes_again_after_a_pause_that_doubles_and_has_jitter() {
    let log = Log::default();
    let seen = log.clone();
    let failing = move |cx: HandlerCx| {
        seen.add(&cx);
        async move {
            anyhow::ensure!(cx.attempt() > 8, "not yet");
            Ok(())
        }
    };
    let stats = one(|b| b.backoff(Backoff::new(millis(100), secs(2))).handler(failing), &log).await;
    assert_eq!(log.attempts(0), (1..=9).collect::<Vec<_>>());
    for (pause, bare) in pauses(&log).iter().zip([100, 200, 400, 800, 1600, 2000, 2000, 2000].map(millis)) {
        assert!(*pause >= bare / 2 && *pause <= bare + millis(2), "{pause:?} {bare:?}");
    }
    assert_eq!((stats.failed, stats.nacked, stats.handled, stats.acked, stats.dead_lettered), (8, 8, 1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn m8_a_panic_is_an_error_with_its_text_and_ends_nothing() {
    let log = Log::default();
    let seen = log.clone();
    let failing = move |cx: HandlerCx| {
        seen.add(&cx);
        assert!(cx.attempt() > 1, "in the closure itself");
        async move {
            assert!(cx.attempt() > 2, "in its future");
            tokio::task::yield_now().await;
            assert!(cx.attempt() > 3, "after an await");
            Ok(())
        }
    };
    let stats = one(|b| b.handler(failing), &log).await;
    assert_eq!((stats.panicked, stats.nacked, stats.handled), (3, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn m8_a_handler_that_takes_too_long_is_told_dropped_and_tried_again() {
    let log = Log::default();
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let seen = log.clone();
    let failing = move |cx: HandlerCx| {
        seen.add(&cx);
        let told = told.clone();
        async move {
            if cx.attempt() == 1 {
                let (token, at) = (cx.cancelled(), cx.deadline().unwrap());
                tokio::spawn(async move {
                    token.cancelled().await;
                    told.send(tokio::time::Instant::now().into_std() - at).unwrap();
                });
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(millis(1900)).await;
            Ok(())
        }
    };
    let stats = one(|b| b.handler_timeout(secs(2)).handler(failing), &log).await;
    assert_eq!((stats.timed_out, stats.nacked, stats.handled), (1, 1, 1));
    let late = heard.recv().await.unwrap();
    assert!(late <= millis(2), "{late:?}");
    let pause = pauses(&log)[0];
    assert!(pause >= millis(2050) && pause <= millis(2105), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn m8_retry_after_sets_the_pause() {
    let log = Log::default();
    let seen = log.clone();
    let failing = move |cx: HandlerCx| {
        seen.add(&cx);
        async move {
            match cx.attempt() {
                1 => Err(Retry::after(secs(90)).into()),
                2 => Err::<(), _>(Retry::after(Duration::ZERO)).context("the shop is closed"),
                _ => Ok(()),
            }
        }
    };
    one(|b| b.handler(failing), &log).await;
    let pauses = pauses(&log);
    assert!(pauses[0] >= secs(90) && pauses[0] <= secs(90) + millis(2), "{pauses:?}");
    assert!(pauses[1] <= millis(2), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn m8_poison_goes_to_the_dead_letters_at_once() {
    let broker = broker_with(1).await;
    let log = Log::default();
    let seen = log.clone();
    let consumer = builder(arc(&broker)).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async { Err::<(), _>(Poison::new("no such customer")).context("looking it up") }
    });
    let look = broker.clone();
    run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    let dead = broker.dead_letters(GROUP);
    assert_eq!((dead.len(), log.len()), (1, 1));
    assert_eq!(dead[0].property("winddown.dead-reason"), Some("looking it up: poison: no such customer"));
    assert_eq!(dead[0].property("winddown.dead-attempts"), Some("1"));
    assert_eq!(dead[0].property("winddown.dead-topic"), Some(TOPIC));
}

#[tokio::test(start_paused = true)]
async fn m8_exactly_max_attempts_and_then_the_dead_letters() {
    for max in [1, 2, 7] {
        let broker = broker_with(1).await;
        let id = broker.messages(TOPIC)[0].id();
        let log = Log::default();
        let seen = log.clone();
        let consumer = builder(arc(&broker)).max_attempts(max).handler(move |cx: HandlerCx| {
            seen.add(&cx);
            async move { anyhow::bail!("not this time ({})", cx.attempt()) }
        });
        let (consumer, handle) = with_handle(consumer);
        let look = broker.clone();
        run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
        assert_eq!(log.attempts(0), (1..=max).collect::<Vec<_>>());
        let dead = broker.dead_letters(GROUP);
        assert_eq!((dead.len(), dead[0].id(), dead[0].body().as_ref()), (1, id, &b"0"[..]));
        let reason = format!("attempt {max} failed: not this time ({max})");
        assert_eq!(dead[0].property("winddown.dead-reason"), Some(reason.as_str()));
        assert_eq!(dead[0].property("winddown.dead-attempts"), Some(max.to_string().as_str()));
        let stats = handle.stats();
        assert_eq!((stats.dead_lettered, stats.nacked, stats.acked, stats.exhausted), (1, u64::from(max) - 1, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn m8_a_dead_letter_that_cannot_be_moved_is_not_lost_not_handled_again_and_moved_in_the_end() {
    let broker = broker_with(1).await;
    let spy = Spy::on(broker.clone());
    // Ten tries fail: two deliveries' worth, and two of the third's.
    spy.next("dead_letter", [Answer::Error(ErrorKind::Busy); 10]);
    let log = Log::default();
    let seen = log.clone();
    let consumer = builder(spy.arc()).max_attempts(2).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async { anyhow::bail!("no") }
    });
    let (consumer, handle) = with_handle(consumer);
    let look = broker.clone();
    let (report, ()) = run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    expect_stopped(&report);
    assert_eq!(log.attempts(0), [1, 2]);
    assert_eq!((broker.dead_letters(GROUP).len(), spy.count("dead_letter")), (1, 11));
    let stats = handle.stats();
    assert_eq!((stats.dead_lettered, stats.exhausted, stats.failed), (1, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn m8_a_message_that_ends_the_process_each_time_is_buried_without_another_try() {
    let broker = broker_with(1).await;
    // Three members that took it and died.
    for attempt in 1..=3 {
        let taken = member(&broker).await.pull(1, millis(1)).await.unwrap();
        assert_eq!(taken[0].attempt(), attempt);
    }
    let log = Log::default();
    let seen = log.clone();
    let consumer = builder(arc(&broker)).max_attempts(3).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async { Ok(()) }
    });
    let look = broker.clone();
    run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    assert_eq!((log.len(), broker.dead_letters(GROUP).len()), (0, 1));
    assert_eq!(broker.dead_letters(GROUP)[0].property("winddown.dead-reason"), Some("delivered 4 times, 3 are allowed"));
}

#[tokio::test(start_paused = true)]
async fn m8_a_nack_that_is_not_answered_leaves_it_to_the_visibility() {
    let broker = broker_with(1).await;
    let spy = Spy::on(broker.clone());
    spy.next("nack", [Answer::Error(ErrorKind::Disconnected); 4]);
    let log = Log::default();
    let seen = log.clone();
    let consumer = builder(spy.arc()).visibility(secs(10)).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async move {
            anyhow::ensure!(cx.attempt() > 1, "no");
            Ok(())
        }
    });
    let (consumer, handle) = with_handle(consumer);
    let look = broker.clone();
    let (report, ()) = run_while(&app(consumer), async move { until(|| look.pending(TOPIC, GROUP) == 0).await }).await;
    expect_stopped(&report);
    assert_eq!(log.attempts(0), [1, 2]);
    assert!(pauses(&log)[0] >= secs(10));
    assert_eq!((handle.stats().unanswered, handle.stats().nacked), (1, 0));
}

struct Ledger(Log);

#[async_trait]
impl Handler for Ledger {
    async fn handle(&self, cx: &HandlerCx) -> anyhow::Result<()> {
        self.0.add(cx);
        tokio::task::yield_now().await;
        assert_eq!((cx.group(), cx.message().topic(), cx.delivery().attempt()), (GROUP, TOPIC, cx.attempt()));
        assert!(!cx.is_cancelled() && cx.deadline().is_none());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn m8_a_handler_may_be_a_type_of_its_own() {
    let log = Log::default();
    let ledger = Ledger(log.clone());
    let stats = one(|b| b.handler(ledger), &log).await;
    assert_eq!((stats.handled, stats.panicked), (1, 0));
}

struct BadText;
impl std::fmt::Display for BadText {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("in the text")
    }
}
impl std::fmt::Debug for BadText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BadText")
    }
}
impl std::error::Error for BadText {}

struct BadDrop;
impl Drop for BadDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in the drop");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m8_panics_in_an_errors_text_and_in_drops_end_nothing() {
    let log = Log::default();
    let seen = log.clone();
    let failing = move |cx: HandlerCx| {
        seen.add(&cx);
        let bad = BadDrop;
        async move {
            match cx.attempt() {
                1 => {
                    std::mem::forget(bad);
                    Err(BadText.into())
                }
                2 => {
                    // Dropped with the future, at the time-out.
                    std::future::pending::<()>().await;
                    drop(bad);
                    Ok(())
                }
                3 => {
                    drop(bad);
                    Ok(())
                }
                _ => {
                    std::mem::forget(bad);
                    Ok(())
                }
            }
        }
    };
    let stats = one(|b| b.handler_timeout(secs(1)).handler(failing), &log).await;
    assert_eq!((stats.panicked, stats.timed_out, stats.handled), (2, 1, 1));
}
