//! Joining the group: brokers that are away, and ones that say no.

use crate::kit::*;
use crate::spy::{Answer, Spy};
use winddown::messaging::{Consumer, ErrorKind, HandlerCx, MemoryBroker, WhenUnavailable};
use winddown::{App, Outcome, Policy, ReasonKind, Restart, millis, secs};

fn plain(broker: std::sync::Arc<dyn winddown::messaging::Broker>) -> winddown::messaging::ConsumerBuilder {
    builder(broker).concurrency(2)
}

fn quick(builder: winddown::messaging::ConsumerBuilder) -> Consumer {
    builder.handler(|_: HandlerCx| async { Ok(()) })
}

#[tokio::test(start_paused = true)]
async fn m9_a_broker_that_is_away_at_the_start_is_joined_when_it_comes() {
    let broker = broker_with(3).await;
    let spy = Spy::on(broker.clone());
    spy.next("subscribe", [ErrorKind::Disconnected, ErrorKind::TimedOut, ErrorKind::Unavailable, ErrorKind::Busy].map(Answer::Error));
    let (consumer, handle) = with_handle(quick(plain(spy.arc())));
    let counts = handle.clone();
    let (report, ()) = run_while(&app(consumer), async move { until(|| counts.stats().acked == 3).await }).await;
    expect_stopped(&report);
    let started = report.component(NAME).unwrap().start.unwrap();
    assert!(started.ended - started.began < millis(5), "it starts without it");
    assert_eq!((handle.stats().pull_errors, spy.count("subscribe")), (4, 5));
}

#[tokio::test(start_paused = true)]
async fn m9_a_broker_that_does_not_answer_holds_a_start_up_for_a_second() {
    let broker = broker_with(3).await;
    let spy = Spy::on(broker.clone());
    // The second try comes when the first has had its ten seconds.
    spy.next("subscribe", [Answer::Never, Answer::Late(secs(4))]);
    let (consumer, handle) = with_handle(quick(plain(spy.arc())));
    let (report, ()) = run_while(&app(consumer), async move { until(|| handle.stats().acked == 3).await }).await;
    let started = report.component(NAME).unwrap().start.unwrap();
    let took = started.ended - started.began;
    assert!(took >= secs(1) && took < millis(1010), "{took:?}");
    assert_eq!(spy.count("subscribe"), 2);
}

#[tokio::test(start_paused = true)]
async fn m9_a_slow_answer_is_not_asked_for_twice() {
    let broker = broker_with(3).await;
    let spy = Spy::on(broker.clone());
    spy.next("subscribe", [Answer::Late(secs(8))]);
    let (consumer, handle) = with_handle(quick(plain(spy.arc())));
    run_while(&app(consumer), async move { until(|| handle.stats().acked == 3).await }).await;
    assert_eq!(spy.count("subscribe"), 1);
}

#[tokio::test(start_paused = true)]
async fn m9_where_the_start_is_to_fail_it_does() {
    let spy = Spy::on(MemoryBroker::new());
    spy.next("subscribe", [Answer::Error(ErrorKind::Disconnected)]);
    let consumer = quick(plain(spy.arc()).when_unavailable(WhenUnavailable::FailStart));
    let report = winddown::testkit::run(&app(consumer)).await;
    let component = report.component(NAME).unwrap();
    assert_eq!((component.outcome, report.exit_code(), report.trigger().unwrap().kind()), (Outcome::Failed, 1, ReasonKind::StartFailed));
    let error = component.error.clone().unwrap();
    assert!(error.contains("it cannot join group `g` on topic `t`: spy: disconnected"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn m9_what_no_waiting_cures_fails_the_start() {
    for kind in [ErrorKind::UnknownTopic, ErrorKind::Unauthorised, ErrorKind::Invalid] {
        let spy = Spy::on(MemoryBroker::new());
        spy.next("subscribe", [Answer::Error(kind)]);
        let report = winddown::testkit::run(&app(quick(plain(spy.arc())))).await;
        assert_eq!(report.trigger().unwrap().kind(), ReasonKind::StartFailed, "{kind:?}");
    }
    let broker = MemoryBroker::builder().topics(["others"]).build();
    let report = winddown::testkit::run(&app(quick(plain(arc(&broker))))).await;
    assert!(report.component(NAME).unwrap().error.clone().unwrap().contains("unknown-topic"));
}

#[tokio::test(start_paused = true)]
async fn m9_what_no_waiting_cures_ends_it_also_when_it_is_found_later() {
    let spy = Spy::on(MemoryBroker::new());
    spy.next("subscribe", [ErrorKind::Disconnected, ErrorKind::UnknownTopic].map(Answer::Error));
    let report = winddown::testkit::run(&app(quick(plain(spy.arc())))).await;
    let trigger = report.trigger().unwrap();
    assert_eq!((trigger.kind(), trigger.component(), report.exit_code()), (ReasonKind::ComponentFailed, Some(NAME), 1));
    assert!(trigger.detail().contains("unknown-topic"), "{}", trigger.detail());
    expect_steps(&report, [0; 6]);
}

#[tokio::test(start_paused = true)]
async fn m9_a_policy_may_start_it_again() {
    let broker = broker_with(3).await;
    let spy = Spy::on(broker.clone());
    spy.next("subscribe", [ErrorKind::Disconnected, ErrorKind::Unauthorised, ErrorKind::Disconnected].map(Answer::Error));
    let (consumer, handle) = with_handle(quick(plain(spy.arc())));
    let app = App::new("test");
    app.add(consumer).policy(Policy::Restart(Restart::new(3, secs(60))));
    let counts = handle.clone();
    let (report, ()) = run_while(&app, async move { until(|| counts.stats().acked == 3).await }).await;
    let component = report.component(NAME).unwrap();
    assert_eq!((component.restarts, component.outcome), (1, Outcome::Stopped));
    assert_eq!((spy.count("subscribe"), handle.stats().pull_errors), (4, 2), "the counts go on");
}

#[tokio::test(start_paused = true)]
async fn m6_a_stop_while_it_still_tries_to_join() {
    for answer in [Answer::Error(ErrorKind::Disconnected), Answer::Never] {
        let spy = Spy::on(MemoryBroker::new());
        spy.always("subscribe", Some(answer));
        let report = run_for(&app(quick(plain(spy.arc()))), secs(100)).await;
        expect_stopped(&report);
        expect_steps(&report, [0; 6]);
        assert!(report.shutdown_took().unwrap() < millis(10));
    }
}

#[tokio::test(start_paused = true)]
async fn m6_a_start_that_is_taken_back_leaves_its_group_all_the_same() {
    // A shutdown comes while a later component still starts, and one while the consumer itself does.
    let broker = broker_with(5).await;
    let spy = Spy::on(broker.clone());
    let app = App::new("test");
    let consumer = builder(spy.arc()).concurrency(1).handler(|_: HandlerCx| std::future::pending());
    app.add(consumer);
    app.task("never ready", |cx| async move {
        cx.stopping().await;
        Ok(())
    })
    .waits_for_ready()
    .phase(winddown::Phase::EDGE);
    let report = winddown::testkit::World::new(&app).shutdown_when(secs(2)).run().await;
    assert_eq!(report.component(NAME).unwrap().outcome, Outcome::Stopped);
    assert_eq!((spy.count("close"), broker.in_flight(TOPIC, GROUP)), (1, 0));

    let spy = Spy::on(broker.clone());
    spy.always("subscribe", Some(Answer::Late(secs(60))));
    let consumer = quick(plain(spy.arc()).when_unavailable(WhenUnavailable::FailStart));
    let report = winddown::testkit::World::new(&self::app(consumer)).shutdown_when(secs(2)).run().await;
    assert_eq!(report.component(NAME).unwrap().outcome, Outcome::NotStarted);
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test(start_paused = true)]
async fn m9_without_a_group_or_a_topic_its_start_says_so() {
    let consumer = |group: &str, topic: &str| Consumer::new(MemoryBroker::new(), group, topic, |_: HandlerCx| async { Ok(()) });
    for (group, topic, text) in [("", "t", "`.group(…)`"), ("g", "", "`.topic(…)`")] {
        let report = winddown::testkit::run(&app(consumer(group, topic))).await;
        assert!(report.trigger().unwrap().detail().contains(text), "{:?}", report.trigger());
    }
}
