//! M8: failure hooks.

use crate::kit::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use winddown::messaging::{Backoff, Failure, FailureHook, FailureKind, HandlerCx, Next};
use winddown::{async_trait, millis, secs};

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(Failure, Instant)>>>);

impl Heard {
    fn add(&self, failure: &Failure) {
        self.0.lock().unwrap().push((failure.clone(), Instant::now()));
    }
    fn attempts(&self) -> Vec<u32> {
        self.0.lock().unwrap().iter().map(|(failure, _)| failure.attempt).collect()
    }
}

struct Alarm {
    heard: Heard,
    groups: &'static [&'static str],
}

#[async_trait]
impl FailureHook for Alarm {
    fn supports(&self, group: &str) -> bool {
        self.groups.contains(&group)
    }
    async fn on_failure(&self, failure: &Failure) {
        tokio::time::sleep(millis(100)).await;
        self.heard.add(failure);
    }
}

fn hook(heard: &Heard) -> impl FailureHook + use<> {
    let heard = heard.clone();
    move |failure: Failure| {
        heard.add(&failure);
        async {}
    }
}

fn failing(log: &Log) -> impl winddown::messaging::Handler + use<> {
    let log = log.clone();
    move |cx: HandlerCx| {
        log.add(&cx);
        async move { anyhow::bail!("no ({})", cx.attempt()) }
    }
}

#[tokio::test(start_paused = true)]
async fn m8_hooks_are_told_from_notify_after_on_and_of_the_end() {
    let broker = broker_with(1).await;
    let (heard, log) = (Heard::default(), Log::default());
    let consumer = builder(arc(&broker)).max_attempts(5).notify_after(3).on_failure(hook(&heard)).handler(failing(&log));
    run_while(&app(consumer), async move { until(|| broker.pending(TOPIC, GROUP) == 0).await }).await;
    assert_eq!((log.attempts(0), heard.attempts()), (vec![1, 2, 3, 4, 5], vec![3, 4, 5]));
    let all = heard.0.lock().unwrap();
    let last = &all[2].0;
    assert_eq!((&*last.group, &*last.topic, &*last.error, last.next, last.kind), (GROUP, TOPIC, "no (5)", Next::DeadLetter, FailureKind::Error));
    assert_eq!(last.delivery.message().body().as_ref(), b"0");
    assert!(matches!(all[0].0.next, Next::Retry(delay) if delay >= millis(200) && delay <= millis(400)), "{:?}", all[0].0.next);
}

#[tokio::test(start_paused = true)]
async fn m8_each_hook_says_which_groups_it_supports() {
    let broker = broker_with(1).await;
    let (mine, others, everybodys) = (Heard::default(), Heard::default(), Heard::default());
    let consumer = builder(arc(&broker))
        .max_attempts(2)
        .notify_after(1)
        .on_failure(Alarm { heard: mine.clone(), groups: &["x", GROUP] })
        .on_failure(Alarm { heard: others.clone(), groups: &["x", "y"] })
        .on_failure(hook(&everybodys))
        .handler(failing(&Log::default()));
    run_while(&app(consumer), async move {
        until(|| broker.pending(TOPIC, GROUP) == 0).await;
        tokio::time::sleep(secs(1)).await;
    })
    .await;
    assert_eq!((mine.attempts(), others.attempts(), everybodys.attempts()), (vec![1, 2], vec![], vec![1, 2]));
}

struct Bad(&'static str);

#[async_trait]
impl FailureHook for Bad {
    fn supports(&self, _: &str) -> bool {
        assert_ne!(self.0, "supports", "in supports");
        true
    }
    async fn on_failure(&self, _: &Failure) {
        match self.0 {
            "panic" => panic!("in the hook"),
            _ => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m8_a_bad_hook_hurts_nobody() {
    let broker = broker_with(1).await;
    let (heard, log) = (Heard::default(), Log::default());
    let bad = builder(arc(&broker)).on_failure(Bad("panic")).on_failure(Bad("supports")).on_failure(Bad("hang"));
    let consumer = bad.on_failure(hook(&heard)).max_attempts(2).notify_after(1).backoff(Backoff::new(millis(1), millis(1))).handler(failing(&log));
    let (consumer, handle) = with_handle(consumer);
    let look = broker.clone();
    let (report, ()) = run_while(&app(consumer), async move {
        until(|| look.pending(TOPIC, GROUP) == 0).await;
        tokio::time::sleep(secs(2)).await;
    })
    .await;
    expect_stopped(&report);
    assert_eq!((heard.attempts(), handle.stats().hook_failures), (vec![1, 2], 6));
}

#[tokio::test(start_paused = true)]
async fn m8_hooks_are_bounded_and_delay_nobody_but_their_own_place() {
    let broker = broker_with(40).await;
    let (log, ok) = (Log::default(), Log::default());
    let (failed, good) = (log.clone(), ok.clone());
    let consumer = builder(arc(&broker))
        .concurrency(2)
        .max_attempts(2)
        .notify_after(1)
        .hook_timeout(secs(3))
        .on_failure(Bad("hang"))
        .on_failure(Bad("hang"))
        .handler(move |cx: HandlerCx| {
            let bad = number(&cx) == 0;
            if bad {
                failed.add(&cx)
            } else {
                good.add(&cx)
            }
            async move {
                tokio::time::sleep(millis(10)).await;
                anyhow::ensure!(!bad, "no");
                Ok(())
            }
        });
    let began = Instant::now();
    let look = broker.clone();
    let (report, took) = run_while(&app(consumer), async move {
        until(|| ok.len() == 39).await;
        let took = began.elapsed();
        until(|| look.pending(TOPIC, GROUP) == 0).await;
        took
    })
    .await;
    expect_stopped(&report);
    // One place handles all the others while the hooks of the other hang; the message itself comes again without waiting for them, behind those
    // that had been fetched.
    assert!(took < millis(600), "{took:?}");
    let pause = log.all()[1].2 - log.all()[0].2;
    assert!(pause < millis(600), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn m8_hooks_hold_a_stop_up_no_longer_than_handlers_may() {
    let broker = broker_with(1).await;
    let consumer =
        builder(arc(&broker)).notify_after(1).hook_timeout(Duration::from_secs(3600)).on_failure(Bad("hang")).handler(failing(&Log::default()));
    let report = run_for(&app(consumer), secs(1)).await;
    expect_stopped(&report);
    // It had been given back long before: there was nothing to cancel but the hook.
    expect_steps(&report, [0, 0, 0, 0, 0, 0]);
    assert!(report.shutdown_took().unwrap() <= secs(10) - millis(50));
    assert_eq!(broker.pending(TOPIC, GROUP), 1);
}
