//! Random faults, cancels, drops and stops against the books (M5). `WINDDOWN_CASES` raises the number of cases, and takes new ones each time.

use crate::kit::{Answer, Scripted, after, run_with_budget, shared};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use winddown::messaging::{Class, ErrorKind, Limits, Message, MessageId, Outbox, Producer, ProducerStats, SendError, Sent};
use winddown::{millis, secs};

/// How one message is sent, and when who sent it loses interest.
#[derive(Clone, Debug)]
struct Send {
    at: u64,
    path: u8,
    bytes: usize,
    key: Option<u8>,
    dropped_after: Option<u64>,
}

#[derive(Clone, Debug)]
struct Case {
    sends: Vec<Send>,
    answers: Vec<(u8, u64)>,
    count: usize,
    bytes: usize,
    timeout: u64,
    batch: usize,
    routes: usize,
    max_attempts: Option<u32>,
    stop_at: u64,
    budget: u64,
    resize: Option<(u64, usize, usize)>,
    /// How many messages an outbox takes, if there is one.
    outbox: Option<u64>,
}

fn case() -> impl Strategy<Value = Case> {
    let send = (0u64..3000, 0u8..4, 0usize..120, option::weighted(0.4, 0u8..3), option::weighted(0.3, 0u64..1500));
    let send = send.prop_map(|(at, path, bytes, key, dropped_after)| Send { at, path, bytes, key, dropped_after });
    let answers = vec((0u8..12, 0u64..400), 1..30);
    let limits = (0usize..8, 50usize..400, 50u64..1500, prop_oneof![Just(1usize), Just(4)], 0usize..3);
    let ends = (0u64..4000, 50u64..3000, option::weighted(0.3, (0u64..3000, 0usize..8, 0usize..400)), option::weighted(0.5, 0u64..20));
    (vec(send, 1..60), answers, limits, option::weighted(0.3, 1u32..4), ends).prop_map(
        |(sends, answers, (count, bytes, timeout, batch, routes), max_attempts, (stop_at, budget, resize, outbox))| Case {
            sends,
            answers,
            count,
            bytes,
            timeout,
            batch,
            routes,
            max_attempts,
            stop_at,
            budget,
            resize,
            outbox,
        },
    )
}

fn answer((what, span): (u8, u64)) -> Answer {
    match what {
        0..=3 => after(millis(span), Answer::Yes),
        4 => Answer::No(ErrorKind::Busy),
        5 => after(millis(span), Answer::No(ErrorKind::Busy)),
        6 => Answer::No(ErrorKind::Disconnected),
        7 => after(millis(span), Answer::As(ErrorKind::Other, Class::RetryableSafe)),
        8 => Answer::No(ErrorKind::Invalid),
        9 => Answer::Hang,
        10 => Answer::Panic,
        _ => Answer::Yes,
    }
}

/// What the test itself knows of each message.
#[derive(Default)]
struct Known {
    acknowledged: Vec<MessageId>,
    stored: Vec<MessageId>,
    returned: Vec<MessageId>,
    refused: Vec<MessageId>,
    lost: Vec<MessageId>,
    unbalanced: Option<ProducerStats>,
}

type Shared = Arc<Mutex<Known>>;

fn heard(known: &Shared, id: MessageId, outcome: Result<Sent, SendError>) {
    let mut known = known.lock().unwrap();
    match outcome {
        Ok(Sent::Acknowledged(_)) => known.acknowledged.push(id),
        Ok(Sent::Stored) => known.stored.push(id),
        Err(error) => {
            assert_eq!(error.message().id(), id);
            known.returned.push(id);
        }
    }
}

fn balanced(s: ProducerStats) -> bool {
    s.accepted == s.acknowledged + s.returned + s.outboxed + s.lost + s.in_flight
}

async fn send_one(producer: Producer, send: Send, id: MessageId, known: Shared) {
    let mut message = Message::new("orders", vec![b'x'; send.bytes]).with_id(id);
    if let Some(key) = send.key {
        message = message.with_ordered_key(key.to_string());
    }
    let refuse = |error: SendError| {
        assert_eq!(error.message().id(), id);
        known.lock().unwrap().refused.push(id);
    };
    let patience = send.dropped_after.map_or(secs(3600), millis);
    match send.path {
        0 => {
            if let Ok(outcome) = tokio::time::timeout(patience, producer.send(message)).await {
                match outcome {
                    // Refused or returned: for who sends it so the two are one.
                    Err(error) if error.attempts() == 0 => refuse(error),
                    outcome => heard(&known, id, outcome),
                }
            }
        }
        1 => match producer.try_send(message) {
            Err(error) => refuse(error),
            Ok(in_flight) => {
                if let Ok(outcome) = tokio::time::timeout(patience, in_flight).await {
                    heard(&known, id, outcome);
                }
            }
        },
        2 => match tokio::time::timeout(patience, producer.enqueue(message)).await {
            Ok(Err(error)) => refuse(error),
            Ok(Ok(in_flight)) => {
                if let Ok(outcome) = tokio::time::timeout(patience, in_flight).await {
                    heard(&known, id, outcome);
                }
            }
            Err(_) => {}
        },
        _ => {
            let told = known.clone();
            if let Err(error) = producer.try_send_with(message, move |outcome| heard(&told, id, outcome)) {
                refuse(error);
            }
        }
    }
}

async fn judge(case: Case) -> Result<(), String> {
    let known = Shared::default();
    let answers = case.answers.clone();
    let names = ["a", "b"];
    let mut limits = Limits::default();
    limits.batch = 4;
    let broker = Scripted::with(&names[..case.routes.min(2)], limits, move |n, _, _| answer(answers[n % answers.len()]));
    let lost = known.clone();
    let mut builder = Producer::builder(shared(&broker))
        .max_in_flight(case.count)
        .max_in_flight_bytes(case.bytes)
        .timeout(millis(case.timeout))
        .batch(case.batch)
        .on_lost(move |error| lost.lock().unwrap().lost.push(error.message().id()));
    if let Some(attempts) = case.max_attempts {
        builder = builder.max_attempts(attempts);
    }
    let store = crate::store::Held::new(case.outbox.unwrap_or(0));
    if case.outbox.is_some() {
        builder = builder.outbox(Outbox::with_store(store.clone()));
    }
    let producer = builder.build();
    let (sender, told, sends, case_) = (producer.clone(), known.clone(), case.sends.clone(), case.clone());
    let ids: Vec<MessageId> = (0..sends.len()).map(|n| MessageId::from_u128(n as u128 + 1)).collect();
    let (all, watch) = (ids.clone(), producer.clone());
    let (report, tasks) = run_with_budget(&producer, millis(case.budget), move |_| async move {
        let began = tokio::time::Instant::now();
        let mut tasks = Vec::new();
        for (n, send) in sends.into_iter().enumerate() {
            let (sender, told, id) = (sender.clone(), told.clone(), all[n]);
            tasks.push(tokio::spawn(async move {
                tokio::time::sleep_until(began + millis(send.at)).await;
                send_one(sender, send, id, told).await;
            }));
        }
        tasks.push(tokio::spawn(async move {
            let mut resize = case_.resize;
            for ms in 0..8000u64 {
                if let Some((_, count, bytes)) = resize.take_if(|(at, ..)| *at <= ms) {
                    watch.permits().resize(count, bytes);
                }
                let stats = watch.stats();
                if !balanced(stats) {
                    told.lock().unwrap().unbalanced = Some(stats);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }));
        tokio::time::sleep_until(began + millis(case_.stop_at)).await;
        tasks
    })
    .await;
    for task in tasks {
        task.await.map_err(|error| format!("a sender panicked: {error}"))?;
    }
    let (stats, known) = (producer.stats(), known.lock().unwrap());
    let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {stats:?}")) };
    check(known.unbalanced.is_none(), "a snapshot did not balance")?;
    check(balanced(stats) && stats.in_flight == 0, "in the end nothing is in flight")?;
    check(producer.permits().in_flight() == (0, 0) && producer.permits().waiting() == 0, "every permit is back")?;
    check(report.exit_code() == 0, "inside its budget nothing is forced")?;
    check(stats.lost == known.lost.len() as u64, "each lost one was reported")?;
    let back = known.returned.len() + known.refused.len();
    check(stats.returned + stats.refused == back as u64, "what was refused or returned came back")?;
    check(stats.returned >= known.returned.len() as u64, "what was returned is in the books")?;
    check(stats.acknowledged >= known.acknowledged.len() as u64, "what was acknowledged is in the books")?;
    let put = store.ids();
    check(
        stats.outboxed == put.len() as u64 || stats.outboxed <= put.len() as u64 && case.outbox.is_some(),
        "what is in the outbox is in the books",
    )?;
    check(known.stored.iter().all(|id| put.contains(id)), "what was said to be stored is")?;
    // A message is in one place.
    let mut places = BTreeSet::new();
    let all = [&known.acknowledged, &known.stored, &known.returned, &known.refused, &known.lost];
    check(all.into_iter().flatten().all(|id| places.insert(*id)), "a message was in two places")?;
    let tried: BTreeSet<MessageId> = broker.calls().into_iter().flat_map(|call| call.ids).collect();
    check(known.acknowledged.iter().all(|id| tried.contains(id)), "what was acknowledged was sent")?;
    check(known.refused.iter().all(|id| !tried.contains(id)), "what was refused was never sent")?;
    Ok(())
}

#[test]
fn m5_random_faults_drops_and_stops_keep_the_books() {
    let wanted = std::env::var("WINDDOWN_CASES").ok().and_then(|n| n.parse().ok());
    let config = Config { cases: wanted.unwrap_or(200), failure_persistence: None, max_shrink_iters: 5_000, ..Config::default() };
    let mut runner = match wanted {
        Some(_) => TestRunner::new(config),
        // The same cases every time: a change is judged by what it changed.
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let judged = runner.run(&case(), |case| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(judge(case)).map_err(TestCaseError::fail)
    });
    match judged {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => panic!("{reason}\n{case:?}"),
        Err(error) => panic!("{error}"),
    }
}
