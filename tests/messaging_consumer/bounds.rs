//! M7: how many are handled, and fetched, at the same time.

use crate::kit::*;
use crate::spy::Spy;
use std::time::Duration;
use tokio::time::Instant;
use winddown::messaging::{Broker, HandlerCx, Message};
use winddown::{millis, secs};

#[tokio::test(start_paused = true)]
async fn m7_never_more_handlers_than_asked_for_and_as_many_as_there_is_work_for() {
    for concurrency in [1, 2, 16, 1000] {
        let broker = broker_with(2000).await;
        let crowd = Crowd::default();
        let inside = crowd.clone();
        let consumer = builder(arc(&broker)).concurrency(concurrency).prefetch(64).handler(move |_: HandlerCx| {
            let place = inside.enter();
            async move {
                tokio::time::sleep(secs(1)).await;
                drop(place);
                Ok(())
            }
        });
        let report = run_for(&app(consumer), millis(1500)).await;
        expect_stopped(&report);
        assert_eq!(crowd.most(), concurrency, "no more, and no less while there is work");
    }
}

#[tokio::test(start_paused = true)]
async fn m7_handlers_of_any_length_keep_within_the_bound() {
    let broker = broker_with(500).await;
    let crowd = Crowd::default();
    let (inside, log) = (crowd.clone(), Log::default());
    let seen = log.clone();
    let consumer = builder(arc(&broker)).concurrency(3).prefetch(5).max_attempts(100).handler(move |cx: HandlerCx| {
        let place = inside.enter();
        seen.add(&cx);
        async move {
            let _place = place;
            match number(&cx) % 5 {
                0 => tokio::time::sleep(millis(3)).await,
                1 => tokio::task::yield_now().await,
                2 if cx.attempt() == 1 => anyhow::bail!("no"),
                3 if cx.attempt() == 1 => panic!("no"),
                _ => {}
            }
            Ok(())
        }
    });
    let app = app(consumer);
    let (broker, done) = (broker.clone(), broker);
    let (report, ()) = run_while(&app, async move { until(|| broker.pending(TOPIC, GROUP) == 0).await }).await;
    expect_stopped(&report);
    assert_eq!((crowd.most(), crowd.now(), done.pending(TOPIC, GROUP)), (3, 0, 0));
    assert!((0..500).all(|n| !log.attempts(n).is_empty()));
}

#[tokio::test(start_paused = true)]
async fn m7_never_more_is_fetched_than_asked_for() {
    for (concurrency, prefetch) in [(1, 1), (1, 10), (4, 3), (16, 64), (0, 0)] {
        let broker = broker_with(300).await;
        let spy = Spy::on(broker.clone());
        let (consumer, handle) = with_handle(builder(spy.arc()).concurrency(concurrency).prefetch(prefetch).handler(|_: HandlerCx| async {
            tokio::time::sleep(millis(10)).await;
            Ok(())
        }));
        let (concurrency, prefetch) = (concurrency.max(1), prefetch.max(1));
        let app = app(consumer);
        let held = broker.clone();
        let (report, most) = run_while(&app, async move {
            let mut most = (0, 0);
            while held.pending(TOPIC, GROUP) > 0 {
                let stats = handle.stats();
                most = (most.0.max(stats.prefetched as usize), most.1.max(held.in_flight(TOPIC, GROUP)));
                tokio::time::sleep(millis(1)).await;
            }
            most
        })
        .await;
        expect_stopped(&report);
        assert_eq!(most.0, prefetch, "concurrency {concurrency}");
        assert!(most.1 <= prefetch + concurrency, "{} are held, {prefetch} + {concurrency} may be", most.1);
        assert_eq!(spy.most_pulled(), prefetch);
    }
}

#[tokio::test(start_paused = true)]
async fn m7_a_broker_that_takes_no_acknowledgements_is_not_pulled_from_for_ever() {
    let broker = broker_with(3000).await;
    let spy = Spy::on(broker.clone());
    spy.always("ack", Some(crate::spy::Answer::Error(winddown::messaging::ErrorKind::Busy)));
    let (consumer, handle) = with_handle(builder(spy.arc()).prefetch(64).handler(|_: HandlerCx| async { Ok(()) }));
    let (report, stats) = run_while(&app(consumer), async move {
        tokio::time::sleep(secs(20)).await;
        let held_up = handle.stats();
        spy.always("ack", None);
        until(|| handle.stats().acked == 3000).await;
        held_up
    })
    .await;
    expect_stopped(&report);
    assert!((256..400).contains(&(stats.handled as usize)), "{stats:?}");
    assert_eq!(broker.pending(TOPIC, GROUP), 0);
}

#[tokio::test(start_paused = true)]
async fn m7_a_single_message_is_handled_and_acknowledged_without_waiting_for_company() {
    let broker = broker_with(0).await;
    let log = Log::default();
    let seen = log.clone();
    let consumer = builder(arc(&broker)).handler(move |cx: HandlerCx| {
        seen.add(&cx);
        async { Ok(()) }
    });
    let app = app(consumer);
    run_while(&app, async move {
        for n in 0..20 {
            tokio::time::sleep(Duration::from_millis(777)).await;
            broker.send(&Message::new(TOPIC, n.to_string()), None).await.unwrap();
            let sent = Instant::now();
            until(|| broker.pending(TOPIC, GROUP) == 0).await;
            assert!(sent.elapsed() <= millis(2), "{:?}", sent.elapsed());
        }
    })
    .await;
    assert_eq!(log.len(), 20);
}

#[tokio::test(start_paused = true)]
async fn m7_members_of_a_group_share_the_messages() {
    let broker = broker_with(200).await;
    let logs = [Log::default(), Log::default()];
    let app = winddown::App::new("test");
    for (n, log) in logs.iter().cloned().enumerate() {
        app.add(builder(arc(&broker)).name(format!("member {n}")).concurrency(2).prefetch(8).handler(move |cx: HandlerCx| {
            log.add(&cx);
            async {
                tokio::time::sleep(millis(5)).await;
                Ok(())
            }
        }));
    }
    run_while(&app, async move { until(|| broker.pending(TOPIC, GROUP) == 0).await }).await;
    let mut all: Vec<usize> = logs.iter().flat_map(Log::numbers).collect();
    all.sort_unstable();
    assert_eq!(all, (0..200).collect::<Vec<_>>(), "each once");
    assert!(logs.iter().all(|log| log.len() > 50), "{} and {}", logs[0].len(), logs[1].len());
}

#[test]
fn m7_on_real_threads_no_wake_up_is_missed() {
    for (concurrency, prefetch) in [(1, 1), (2, 64), (16, 3), (64, 64)] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let report = runtime.block_on(async move {
            let broker = broker_with(0).await;
            let crowd = Crowd::default();
            let inside = crowd.clone();
            let consumer = builder(arc(&broker)).concurrency(concurrency).prefetch(prefetch).handler(move |cx: HandlerCx| {
                let place = inside.enter();
                async move {
                    let _place = place;
                    match number(&cx) % 7 {
                        0 => tokio::task::yield_now().await,
                        1 => std::thread::sleep(Duration::from_micros(20)),
                        2 if cx.attempt() == 1 => anyhow::bail!("no"),
                        _ => {}
                    }
                    Ok(())
                }
            });
            let app = winddown::App::new("test");
            app.add(consumer);
            let shutdown = app.handle();
            tokio::spawn(async move {
                for start in (0..5000).step_by(500) {
                    send(&broker, start..start + 500).await;
                    tokio::time::sleep(millis(1)).await;
                }
                let done = async {
                    while broker.pending(TOPIC, GROUP) > 0 {
                        tokio::time::sleep(millis(1)).await;
                    }
                };
                // In real time: a message that nobody is woken for would wait until somebody else comes.
                let done = tokio::time::timeout(secs(60), done).await.is_ok() && crowd.most() <= concurrency;
                shutdown.request_shutdown(if done { "done" } else { "not done" });
            });
            app.run().await
        });
        assert_eq!((report.exit_code(), report.trigger().unwrap().detail()), (0, "done"), "{concurrency} {prefetch}");
    }
}
