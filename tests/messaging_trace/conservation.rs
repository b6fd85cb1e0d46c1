//! M12: at every moment accepted = sent + failed + abandoned + buffered + in flight, whatever happens and whenever it is stopped.

use crate::kit::{Act, Spy, balanced, record, run_app, settled, steps};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use winddown::messaging::trace::{TraceCounts, TraceDispatcher, Why};
use winddown::{App, Outcome, millis, secs};

#[derive(Clone, Debug)]
struct Case {
    capacity: usize,
    batch: usize,
    batch_records: usize,
    exports: usize,
    age: u64,
    timeout: u64,
    budget: u64,
    acts: Vec<Act>,
    /// Pauses in milliseconds, and how many records are appended after each.
    appends: Vec<(u64, u32)>,
    /// So many records are tried while it is being stopped.
    late: u32,
}

fn act() -> impl Strategy<Value = Act> {
    let pause = || prop_oneof![Just(0), 1..50_u64, 50..5000_u64].prop_map(millis);
    prop_oneof![
        3 => Just(Act::Send),
        3 => pause().prop_map(Act::SendAfter),
        1 => Just(Act::Fail),
        1 => pause().prop_map(Act::FailAfter),
        1 => Just(Act::Hang),
        1 => Just(Act::Panic),
        1 => pause().prop_map(Act::PanicAfter),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let sizes = (1..80_usize, 1..30_usize, 1..10_usize, 1..5_usize);
    let times = (0..3000_u64, 1..3000_u64, 20..4000_u64);
    let appends = proptest::collection::vec((prop_oneof![Just(0), 0..20_u64, 0..2000_u64], 0..60_u32), 0..12);
    (sizes, times, proptest::collection::vec(act(), 1..12), appends, 0..20_u32).prop_map(
        |((capacity, batch, batch_records, exports), (age, timeout, budget), acts, appends, late)| Case {
            capacity,
            batch,
            batch_records,
            exports,
            age,
            timeout,
            budget,
            acts,
            appends,
            late,
        },
    )
}

/// What came of the calls of `append`.
#[derive(Default)]
struct Tried {
    accepted: Vec<u32>,
    full: u64,
    closed: u64,
}

impl Tried {
    fn append(&mut self, traces: &TraceDispatcher, number: u32) {
        match traces.append(record(number)) {
            Ok(()) => self.accepted.push(number),
            Err(rejected) => {
                assert_eq!(crate::kit::number(&rejected.record), number, "it comes back whole");
                match rejected.why {
                    Why::Full => self.full += 1,
                    Why::Closed => self.closed += 1,
                }
            }
        }
    }
}

async fn judged(case: Case) -> Result<(), TestCaseError> {
    let acts = case.acts.clone();
    let spy = Spy::new(move |call, _| acts[call % acts.len()]);
    let traces = TraceDispatcher::builder(spy.clone())
        .capacity(case.capacity)
        .batch(case.batch)
        .batch_bytes(case.batch_records * record(0).size())
        .exports(case.exports)
        .max_age(millis(case.age))
        .export_timeout(millis(case.timeout))
        .build();
    let app = App::new("traced");
    app.add(traces.component()).stop_budget(millis(case.budget));
    let seen: Arc<Mutex<Vec<TraceCounts>>> = Arc::default();
    let watcher = tokio::spawn({
        let (traces, seen) = (traces.clone(), seen.clone());
        async move {
            loop {
                seen.lock().unwrap().push(traces.counts());
                tokio::time::sleep(millis(7)).await;
            }
        }
    });
    let tried = Arc::new(Mutex::new(Tried::default()));
    let late = tokio::spawn({
        let (traces, tried, handle, count) = (traces.clone(), tried.clone(), app.handle(), case.late);
        async move {
            handle.stopping().await;
            for number in 0..count {
                tried.lock().unwrap().append(&traces, 1_000_000 + number);
                tokio::time::sleep(millis(u64::from(number) * 5)).await;
            }
        }
    });
    let report = run_app(&app, |_| async {
        let mut next = 0;
        for (pause, count) in &case.appends {
            tokio::time::sleep(millis(*pause)).await;
            for _ in 0..*count {
                tried.lock().unwrap().append(&traces, next);
                next += 1;
            }
        }
    })
    .await;
    late.await.unwrap();
    watcher.abort();

    let tried = tried.lock().unwrap();
    let counts = traces.counts();
    prop_assert!(settled(&counts), "{counts:?}");
    let known = (tried.accepted.len() as u64, tried.full, tried.closed);
    prop_assert_eq!((counts.accepted, counts.dropped_full, counts.dropped_closed), known, "each answer is counted as what it was");
    for counts in seen.lock().unwrap().iter() {
        prop_assert!(balanced(counts), "{counts:?}");
        prop_assert!(counts.buffered <= case.capacity as u64);
    }

    let batches = spy.batches();
    let exported: Vec<u32> = spy.numbers();
    prop_assert_eq!(exported.iter().collect::<BTreeSet<_>>().len(), exported.len(), "no record is exported twice");
    let mut rest = tried.accepted.iter();
    prop_assert!(exported.iter().all(|number| rest.any(|accepted| accepted == number)), "in the order in which they were taken");
    prop_assert!(batches.iter().all(|batch| (1..=case.batch.min(case.batch_records)).contains(&batch.numbers.len())), "{batches:?}");
    prop_assert!(spy.most.load(std::sync::atomic::Ordering::SeqCst) <= case.exports);
    let sent: u64 = batches.iter().filter(|batch| batch.sent).map(|batch| batch.numbers.len() as u64).sum();
    prop_assert_eq!(counts.sent, sent, "what the exporter said has arrived");

    let trace = report.component("trace").unwrap();
    prop_assert_eq!(trace.outcome, Outcome::Stopped);
    let stop = trace.stop.unwrap();
    prop_assert!(stop.ended - stop.began <= millis(case.budget), "{stop:?}");
    let steps = steps(&report);
    let [(gate, closed), (flushed, drained), (abandoned, given_up)] = &steps[..] else { panic!("{steps:?}") };
    prop_assert_eq!((&**gate, &**flushed, &**abandoned), ("gate_closed", "flushed", "abandoned"));
    prop_assert_eq!((trace.drained, trace.lost), (*drained, closed - drained), "what was there when the gate closed was sent or is lost");
    prop_assert_eq!(*given_up, counts.abandoned);
    Ok(())
}

#[test]
fn m12_random_appends_failures_and_stops_keep_the_accounts() {
    let wanted = std::env::var("WINDDOWN_CASES").ok().and_then(|n| n.parse().ok());
    let config = Config { cases: wanted.unwrap_or(300), failure_persistence: None, ..Config::default() };
    let mut runner = match wanted {
        Some(_) => TestRunner::new(config),
        // The same cases every time: a change is judged by what it changed.
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let hook = std::panic::take_hook();
    // The exporter panics often here, as told.
    std::panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("as told") {
            hook(info);
        }
    }));
    let judged = runner.run(&case(), |case| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { tokio::time::timeout(secs(100_000), judged(case)).await.expect("it ends") })
    });
    judged.unwrap();
}

/// Threads append at once while it is stopped: what they were told and what was counted agree.
#[test]
fn m12_many_threads_append_while_it_is_stopped() {
    for round in 0..20_u64 {
        let spy = Spy::sending();
        let traces = TraceDispatcher::builder(spy.clone()).capacity(100_000).max_age(Duration::from_micros(50)).build();
        let app = App::new("traced");
        app.add(traces.component());
        let handle = app.handle();
        let taken: u64 = std::thread::scope(|scope| {
            let run = scope.spawn(|| app.run_blocking());
            let threads: Vec<_> = (0..3_u32)
                .map(|thread| {
                    let traces = &traces;
                    scope.spawn(move || {
                        let mut taken = 0;
                        for number in 0.. {
                            match traces.append(record(thread * 100_000_000 + number)) {
                                Ok(()) => taken += 1,
                                Err(rejected) if rejected.why == Why::Closed => break,
                                Err(_) => std::thread::yield_now(),
                            }
                        }
                        taken
                    })
                })
                .collect();
            while traces.counts().sent < 1000 + round * 37 {
                std::thread::yield_now();
            }
            handle.request_shutdown("now");
            let taken = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            run.join().unwrap();
            taken
        });
        let counts = traces.counts();
        assert!(settled(&counts), "{counts:?}");
        assert_eq!((counts.accepted, counts.sent, counts.dropped_closed), (taken, taken, 3));
        assert_eq!(spy.numbers().len() as u64, taken);
    }
}
