//! M9: whatever handlers do, whatever the broker does, whenever it is stopped: nothing is lost.

use crate::kit::*;
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use winddown::messaging::{
    Backoff, Broker, ConsumerHandle, Faults, FaultyBroker, HandlerCx, MemoryBroker, Message, MessageId, Poison, Retry, WhenUnavailable,
};
use winddown::testkit::World;
use winddown::{App, Outcome, millis, secs};

/// One life of a consumer: what it is asked for, what goes wrong meanwhile, and how it ends.
#[derive(Clone, Debug)]
struct Life {
    concurrency: usize,
    prefetch: usize,
    visibility: u64,
    timeout: Option<u64>,
    disconnect: f64,
    duplicate: f64,
    slow: u64,
    /// From when to when the broker is down, and whether it stalls instead.
    outage: Option<(u64, u64, bool)>,
    /// When it is paused, and for how long.
    pause: Option<(u64, u64)>,
    ends_after: u64,
    /// A second signal comes so much later.
    second_signal: Option<u64>,
    budget: u64,
}

#[derive(Clone, Debug)]
struct Case {
    messages: usize,
    keys: usize,
    ordered: bool,
    max_attempts: u32,
    seed: u64,
    lives: Vec<Life>,
}

fn life() -> impl Strategy<Value = Life> {
    let asked = (1usize..6, 1usize..12, 800u64..5_000, proptest::option::of(100u64..1_500));
    let faults = (prop_oneof![Just(0.0), 0.0..0.3], prop_oneof![Just(0.0), 0.0..0.3], 0u64..30);
    let moments = (proptest::option::of((0u64..3_000, 10u64..4_000, any::<bool>())), proptest::option::of((0u64..2_000, 0u64..2_000)));
    let end = (0u64..5_000, proptest::option::weighted(0.3, 0u64..1_500), 200u64..4_000);
    (asked, faults, moments, end).prop_map(|(asked, faults, moments, end)| Life {
        concurrency: asked.0,
        prefetch: asked.1,
        visibility: asked.2,
        timeout: asked.3,
        disconnect: faults.0,
        duplicate: faults.1,
        slow: faults.2,
        outage: moments.0.map(|(at, took, stalls)| (at, at + took, stalls)),
        pause: moments.1,
        ends_after: end.0,
        second_signal: end.1,
        budget: end.2,
    })
}

fn case() -> impl Strategy<Value = Case> {
    (1usize..40, 0usize..5, any::<bool>(), 2u32..6, any::<u64>(), proptest::collection::vec(life(), 1..4))
        .prop_map(|(messages, keys, ordered, max_attempts, seed, lives)| Case { messages, keys, ordered, max_attempts, seed, lives })
}

/// What handlers saw and did.
#[derive(Clone, Default)]
struct Facts {
    handled: Arc<Mutex<HashSet<MessageId>>>,
    /// Keys that are being handled in this life.
    keys: Arc<Mutex<HashSet<String>>>,
    wrong: Arc<Mutex<Vec<String>>>,
}

struct Inside(Facts, Option<String>);
impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(key) = &self.1 {
            self.0.keys.lock().unwrap().remove(key);
        }
    }
}

impl Facts {
    fn enter(&self, cx: &HandlerCx, ordered: bool) -> Inside {
        let key = cx.message().key().filter(|_| ordered).map(String::from);
        if let Some(key) = &key
            && !self.keys.lock().unwrap().insert(key.clone())
        {
            self.wrong.lock().unwrap().push(format!("two of {key} at once"));
        }
        Inside(self.clone(), key)
    }
}

/// What a handler does is a function of message, attempt and seed.
fn dice(seed: u64, cx: &HandlerCx) -> u64 {
    let mut z = seed ^ (number(cx) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(cx.attempt()).wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

async fn act(dice: u64, cx: &HandlerCx) -> anyhow::Result<()> {
    let span = millis(dice / 16 % 900);
    match dice % 16 {
        0 => anyhow::bail!("at once"),
        1 => panic!("at once"),
        2 => {
            tokio::time::sleep(span).await;
            anyhow::bail!("later")
        }
        3 => {
            tokio::time::sleep(span).await;
            panic!("later")
        }
        4 => return Err(Retry::after(span).into()),
        5 if dice.is_multiple_of(7) => return Err(Poison::new("bad").into()),
        6 => std::future::pending().await,
        7 => cx.cancelled().cancelled().await,
        8 => {
            cx.cancelled().cancelled().await;
            anyhow::bail!("told to")
        }
        9 => {
            cx.extend(secs(2)).await?;
            tokio::time::sleep(span * 3).await;
        }
        10 | 11 => tokio::time::sleep(span).await,
        12 => tokio::task::yield_now().await,
        _ => {}
    }
    Ok(())
}

async fn live(broker: &MemoryBroker, case: &Case, life: &Life, world: &Facts, last: bool) -> Result<(), String> {
    let faults = Faults::new().disconnect(life.disconnect).duplicate(life.duplicate).slow(millis(life.slow)).seed(case.seed);
    let faulty: Arc<dyn Broker> = if last { arc(broker) } else { Arc::new(FaultyBroker::new(Arc::new(broker.client()), faults.clone())) };
    let crowd = Crowd::default();
    let (seed, ordered, doing, inside) = (case.seed, case.ordered, world.clone(), crowd.clone());
    let mut asked = builder(faulty).concurrency(life.concurrency).prefetch(life.prefetch).visibility(millis(life.visibility)).ordered(ordered);
    asked = asked.max_attempts(case.max_attempts).backoff(Backoff::new(millis(50), millis(500))).when_unavailable(WhenUnavailable::Retry);
    // In its last life every handler comes to an end.
    if let Some(timeout) = life.timeout.or(last.then_some(1_000)) {
        asked = asked.handler_timeout(millis(timeout));
    }
    let consumer = asked.handler(move |cx: HandlerCx| {
        let (place, key) = (inside.enter(), doing.enter(&cx, ordered));
        let doing = doing.clone();
        async move {
            let _inside = (place, key);
            act(dice(seed, &cx), &cx).await?;
            doing.handled.lock().unwrap().insert(cx.message().id());
            Ok(())
        }
    });
    let handle = consumer.handle();
    let app = App::new("test").grace(secs(30));
    app.add(consumer).stop_budget(millis(life.budget));
    let report = if last {
        run_while(&app, settled(broker.clone())).await.0
    } else {
        let world = World::new(&app).signal_at(millis(life.ends_after), "SIGTERM");
        let world = match life.second_signal {
            Some(later) => world.signal_at(millis(life.ends_after + 200 + later), "SIGTERM"),
            None => world,
        };
        let trouble = tokio::spawn(trouble(life.clone(), faults, handle.clone()));
        let report = world.run().await;
        trouble.abort();
        report
    };
    let component = report.component(NAME).unwrap();
    let told = || report.events().iter().map(|event| format!("\n{:?} {:?} {:?}", event.at(), event.subject(), event.kind())).collect::<String>();
    check(component.lost == 0, || format!("{} lost", component.lost))?;
    let outcome = component.outcome;
    let gentle = life.second_signal.is_none() || last;
    check(!gentle || matches!(outcome, Outcome::Stopped | Outcome::NotStarted), || format!("it ended {outcome}"))?;
    check(outcome <= Outcome::Cancelled, || format!("it ended {outcome}{}", told()))?;
    check(crowd.most() <= life.concurrency, || format!("{} at once, {} asked for", crowd.most(), life.concurrency))?;
    check(crowd.now() == 0, || format!("{} still run", crowd.now()))?;
    let stats = handle.stats();
    let gone =
        stats.handled + stats.failed + stats.panicked + stats.timed_out + stats.exhausted + stats.cancelled + stats.handed_back + stats.expired;
    // What a second signal cut short while it was handed back is in no count but the broker's.
    check(stats.pulled == gone || !gentle, || format!("{stats:?}"))?;
    check((stats.in_flight, stats.prefetched) == (0, 0), || format!("{stats:?}"))
}

async fn trouble(life: Life, faults: Faults, handle: ConsumerHandle) {
    let outage = async {
        let Some((from, to, stalls)) = life.outage else { return };
        tokio::time::sleep(millis(from)).await;
        if stalls {
            faults.stalled(true)
        } else {
            faults.down(true)
        };
        tokio::time::sleep(millis(to - from)).await;
        faults.stalled(false).down(false);
    };
    let pause = async {
        let Some((from, took)) = life.pause else { return };
        tokio::time::sleep(millis(from)).await;
        handle.pause();
        tokio::time::sleep(millis(took)).await;
        handle.resume();
    };
    tokio::join!(outage, pause);
}

async fn settled(broker: MemoryBroker) {
    let bound = tokio::time::Instant::now() + secs(600);
    while broker.pending(TOPIC, GROUP) > 0 && tokio::time::Instant::now() < bound {
        tokio::time::sleep(millis(20)).await;
    }
}

fn check(so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(otherwise()) }
}

async fn play(case: &Case) -> Result<(), String> {
    let broker = MemoryBroker::new();
    let mut sent = Vec::new();
    for number in 0..case.messages {
        let message = Message::new(TOPIC, number.to_string());
        let message = if case.keys > 0 { message.with_ordered_key(format!("key {}", number % case.keys)) } else { message };
        sent.push(message.id());
        broker.send(&message, None).await.map_err(|error| error.to_string())?;
    }
    let world = Facts::default();
    for life in &case.lives {
        live(&broker, case, life, &world, false).await?;
        world.keys.lock().unwrap().clear();
    }
    let last = Life { ends_after: 0, second_signal: None, outage: None, pause: None, timeout: Some(1_000), budget: 4_000, ..case.lives[0].clone() };
    live(&broker, case, &last, &world, true).await?;
    let dead: HashSet<MessageId> = broker.dead_letters(GROUP).iter().map(Message::id).collect();
    let handled = world.handled.lock().unwrap();
    check(broker.pending(TOPIC, GROUP) == 0, || format!("{} are still there", broker.pending(TOPIC, GROUP)))?;
    let lost: Vec<usize> = (0..sent.len()).filter(|n| !handled.contains(&sent[*n]) && !dead.contains(&sent[*n])).collect();
    check(lost.is_empty(), || format!("lost: {lost:?}"))?;
    let wrong = world.wrong.lock().unwrap();
    check(wrong.is_empty(), || wrong.join(", "))
}

fn cases() -> u32 {
    std::env::var("WINDDOWN_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn m9_every_message_is_handled_or_a_dead_letter_whatever_happens(case in case()) {
        quietly();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let bound = Duration::from_secs(24 * 3600);
        let played = runtime.block_on(async { tokio::time::timeout(bound, play(&case)).await });
        if let Err(text) = played.unwrap_or_else(|_| Err("it did not end".into())) {
            return Err(TestCaseError::fail(text));
        }
    }
}

/// The handlers' panics are wanted: thousands of them need not be printed.
fn quietly() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or_default();
            if text != "at once" && text != "later" {
                usual(info);
            }
        }));
    });
}
