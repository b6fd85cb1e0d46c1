//! M9: a broker that goes away and comes back.

use crate::kit::*;
use crate::spy::{Answer, Spy};
use std::sync::Arc;
use winddown::messaging::{ErrorKind, Faults, FaultyBroker, HandlerCx};
use winddown::{millis, secs};

#[tokio::test(start_paused = true)]
async fn m9_a_minute_without_the_broker_and_on_it_goes() {
    let (broker, faults) = (broker_with(0).await, Faults::new());
    let log = Log::default();
    let seen = log.clone();
    let faulty = Arc::new(FaultyBroker::new(arc(&broker), faults.clone()));
    let (consumer, handle) = with_handle(builder(faulty).concurrency(4).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async {
            tokio::time::sleep(millis(500)).await;
            Ok(())
        }
    }));
    let look = broker.clone();
    let (report, ()) = run_while(&app(consumer), async move {
        send(&look, 0..20).await;
        tokio::time::sleep(millis(1200)).await;
        faults.down(true);
        tokio::time::sleep(secs(60)).await;
        send(&look, 20..30).await;
        faults.down(false);
        until(|| look.pending(TOPIC, GROUP) == 0).await;
    })
    .await;
    expect_stopped(&report);
    let mut numbers = log.numbers();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
    let stats = handle.stats();
    assert!(stats.pull_errors >= 12 && stats.pull_errors < 40, "every five seconds or so: {stats:?}");
    assert!(stats.acked >= 30 - stats.stale, "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn m9_no_error_of_a_pull_ends_it() {
    let kinds = [
        ErrorKind::Busy,
        ErrorKind::Disconnected,
        ErrorKind::TimedOut,
        ErrorKind::Unavailable,
        ErrorKind::UnknownTopic,
        ErrorKind::Unauthorised,
        ErrorKind::Closed,
        ErrorKind::Corrupt,
        ErrorKind::Other,
    ];
    let broker = broker_with(1).await;
    let spy = Spy::on(broker.clone());
    spy.next("pull", kinds.map(Answer::Error));
    let (consumer, handle) = with_handle(builder(spy.arc()).handler(|_: HandlerCx| async { Ok(()) }));
    let counts = handle.clone();
    let (report, ()) = run_while(&app(consumer), async move { until(|| counts.stats().acked == 1).await }).await;
    expect_stopped(&report);
    assert_eq!(handle.stats().pull_errors, kinds.len() as u64);
    let pauses: Vec<_> = spy.times("pull").windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (pause, bare) in pauses.iter().zip([100, 200, 400, 800, 1600, 3200, 5000, 5000].map(millis)) {
        assert!(*pause >= bare / 2 && *pause <= bare + millis(2), "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn m9_a_pull_that_hangs_is_asked_anew() {
    let broker = broker_with(1).await;
    let spy = Spy::on(broker.clone());
    spy.next("pull", [Answer::Never]);
    let (consumer, handle) = with_handle(builder(spy.arc()).poll(secs(15)).handler(|_: HandlerCx| async { Ok(()) }));
    let counts = handle.clone();
    run_while(&app(consumer), async move { until(|| counts.stats().acked == 1).await }).await;
    let times = spy.times("pull");
    let hung = times[1] - times[0];
    assert!(hung >= secs(18) && hung <= millis(18_200), "{hung:?}");
}

#[tokio::test(start_paused = true)]
async fn m9_a_broker_that_says_nothing_at_once_is_not_asked_in_a_loop() {
    // A pull that waits for no time at all.
    let spy = Spy::on(broker_with(0).await);
    let consumer = builder(spy.arc()).poll(std::time::Duration::ZERO).handler(|_: HandlerCx| async { Ok(()) });
    run_for(&app(consumer), secs(10)).await;
    let pulls = spy.count("pull");
    assert!((500..=1001).contains(&pulls), "{pulls}");
}

#[tokio::test(start_paused = true)]
async fn m9_acknowledgements_are_tried_again_until_they_could_help_nobody() {
    let broker = broker_with(2).await;
    let spy = Spy::on(broker.clone());
    spy.next("ack", [ErrorKind::Busy, ErrorKind::Disconnected, ErrorKind::TimedOut].map(Answer::Error));
    let (consumer, handle) = with_handle(builder(spy.arc()).visibility(secs(10)).handler(|_: HandlerCx| async { Ok(()) }));
    let (counts, spied, look) = (handle.clone(), spy.clone(), broker.clone());
    run_while(&app(consumer), async move {
        until(|| counts.stats().acked == 2).await;
        assert_eq!((look.pending(TOPIC, GROUP), counts.stats().unanswered), (0, 0));
        spied.always("ack", Some(Answer::Error(ErrorKind::Disconnected)));
        send(&look, 2..3).await;
        until(|| counts.stats().unanswered == 1).await;
        spied.always("ack", None);
        until(|| counts.stats().acked == 3).await;
    })
    .await;
    assert_eq!((handle.stats().handled, handle.stats().pulled), (4, 4), "the third came again");
}

#[tokio::test(start_paused = true)]
async fn m9_an_acknowledgement_that_can_never_be_told_is_given_up_at_once() {
    let broker = broker_with(1).await;
    let spy = Spy::on(broker.clone());
    spy.next("ack", [Answer::Error(ErrorKind::Invalid)]);
    let (consumer, handle) = with_handle(builder(spy.arc()).visibility(secs(10)).handler(|_: HandlerCx| async { Ok(()) }));
    let counts = handle.clone();
    run_while(&app(consumer), async move {
        until(|| counts.stats().unanswered == 1).await;
        until(|| counts.stats().acked == 1).await;
    })
    .await;
    assert_eq!((spy.count("ack"), handle.stats().handled), (2, 2));
}
