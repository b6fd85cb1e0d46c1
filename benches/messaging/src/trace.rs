//! A trace record appended, beside the two bounded channels people would take: all from one thread, nobody taking away.

use crate::table::{Contender, compare};
use std::sync::Arc;
use std::time::{Duration, Instant};
use winddown::messaging::Message;
use winddown::messaging::trace::{Exporter, PubTrace, TraceDispatcher, TraceRecord};

const OPERATIONS: usize = 100_000;

struct Nowhere;

#[winddown::async_trait]
impl Exporter for Nowhere {
    async fn export(&self, _batch: &[TraceRecord]) -> anyhow::Result<()> {
        Ok(())
    }
}

fn records() -> Vec<TraceRecord> {
    let (group, message) = (Arc::from("orders"), Message::new("orders", "two pumps").with_key("17"));
    (0..OPERATIONS).map(|_| TraceRecord::Pub(PubTrace::of(&group, &message))).collect()
}

/// The time of `each` for every record; making and dropping what holds them is not counted.
fn timed(mut each: impl FnMut(TraceRecord)) -> Duration {
    let records = records();
    let began = Instant::now();
    records.into_iter().for_each(&mut each);
    began.elapsed()
}

pub(crate) fn run(rounds: usize) {
    let tokio = || {
        let (sender, _receiver) = tokio::sync::mpsc::channel(OPERATIONS);
        timed(|record| sender.try_send(record).expect("there is room"))
    };
    let crossbeam = || {
        let (sender, _receiver) = crossbeam_channel::bounded(OPERATIONS);
        timed(|record| sender.try_send(record).expect("there is room"))
    };
    let dispatcher = || {
        let dispatcher = TraceDispatcher::builder(Nowhere).capacity(OPERATIONS).build();
        timed(|record| dispatcher.append(record).expect("there is room"))
    };
    compare(
        "a trace record appended",
        OPERATIONS as u64,
        rounds,
        vec![
            Contender { name: "bounded `tokio::sync::mpsc`, try_send", sample: Box::new(tokio) },
            Contender { name: "bounded `crossbeam_channel`, try_send", sample: Box::new(crossbeam) },
            Contender { name: "`TraceDispatcher::append`", sample: Box::new(dispatcher) },
        ],
    );
}
