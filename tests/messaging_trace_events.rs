//! M14: records as `tracing` events; and what the dispatcher itself says.
//!
//! A process of its own: whoever reaches an event first decides, with the subscriber of its own thread, whether anybody is interested in it.

#[path = "messaging_trace/kit.rs"]
#[allow(dead_code)]
mod kit;

use crate::kit::{Act, Spy, append, record, run};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use winddown::messaging::trace::{ContextCode, Exporter, MessageKind, PubTrace, SubAfter, TraceDispatcher, TracingExporter};
use winddown::messaging::{Message, MessageId};
use winddown::{millis, secs};

#[derive(Clone, Debug)]
struct Heard {
    target: String,
    level: Level,
    fields: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Heard>>>);

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        self.0.lock().unwrap().push(Heard { target: event.metadata().target().to_owned(), level: *event.metadata().level(), fields });
    }
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

impl Ear {
    /// What was said under a target that begins so, with its level.
    fn heard(&self, target: &str) -> Vec<Heard> {
        self.0.lock().unwrap().iter().filter(|heard| heard.target.starts_with(target)).cloned().collect()
    }
}

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn m14_every_record_is_an_event_under_stable_names() {
    let ear = Ear::default();
    let group: Arc<str> = "billing".into();
    let message = Message::new("orders", "two").with_id(MessageId::from_u128(1)).with_delay(secs(1));
    let sent = PubTrace { timestamp: 17, cost: millis(2), success: false, ..PubTrace::of(&group, &message) };
    assert_eq!(sent.kind, MessageKind::Delay);
    let after = SubAfter {
        request_id: MessageId::from_u128(2),
        message_id: MessageId::from_u128(1),
        cost: millis(3),
        success: false,
        keys: Some("k".into()),
        code: ContextCode::TimedOut,
        timestamp: 18,
        group,
    };
    tracing::subscriber::with_default(ear.clone(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(TracingExporter::new().export(&[sent.into(), record(5), after.into()])).unwrap();
    });
    let heard = ear.heard("winddown.trace");
    let [one, two, five, seven] = [1, 2, 5, 7].map(|number| MessageId::from_u128(number).to_string());
    assert!(heard.iter().all(|heard| heard.level == Level::INFO));
    assert_eq!(
        heard[0].fields,
        fields(&[
            ("message", "pub"),
            ("timestamp", "17"),
            ("group", "billing"),
            ("topic", "orders"),
            ("message_id", &one),
            ("body_len", "3"),
            ("cost_us", "2000"),
            ("message_kind", "delay"),
            ("success", "false"),
        ])
    );
    assert_eq!(
        heard[1].fields,
        fields(&[
            ("message", "sub_before"),
            ("timestamp", "1725000000123"),
            ("group", "billing"),
            ("request_id", &seven),
            ("message_id", &five),
            ("retry_times", "5")
        ])
    );
    assert_eq!(
        heard[2].fields,
        fields(&[
            ("message", "sub_after"),
            ("timestamp", "18"),
            ("group", "billing"),
            ("request_id", &two),
            ("message_id", &one),
            ("cost_us", "3000"),
            ("success", "false"),
            ("keys", "k"),
            ("code", "timed-out"),
        ])
    );
    assert_eq!(heard.len(), 3);
}

/// What the dispatcher itself said during a run: level and text.
fn said(traces: impl FnOnce() -> TraceDispatcher, rounds: u32) -> Vec<(Level, Heard)> {
    let ear = Ear::default();
    tracing::subscriber::with_default(ear.clone(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let traces = traces();
            run(&traces, |_| async {
                for round in 0..rounds {
                    append(&traces, round * 20..round * 20 + 20);
                    tokio::time::sleep(secs(1)).await;
                }
            })
            .await;
        });
    });
    ear.heard("winddown::messaging::trace").into_iter().map(|heard| (heard.level, heard)).collect()
}

#[test]
fn m12_the_summary_is_a_warning_only_when_something_was_lost() {
    let good = said(|| TraceDispatcher::new(Spy::sending()), 2);
    let [(Level::INFO, summary)] = &good[..] else { panic!("{good:?}") };
    assert_eq!((&*summary.fields["accepted"], &*summary.fields["sent"]), ("40", "40"));

    let bad = said(|| TraceDispatcher::new(Spy::new(|call, _| if call % 3 == 2 { Act::Send } else { Act::Fail })), 7);
    let levels: Vec<Level> = bad.iter().map(|(level, _)| *level).collect();
    // The first of each row of failures, that it works again, and the summary; calls: f f s f f s f.
    assert_eq!(levels, [Level::WARN, Level::INFO, Level::WARN, Level::INFO, Level::WARN, Level::WARN]);
    let first = &bad[0].1.fields;
    assert_eq!((&*first["dispatcher"], &*first["records"], &*first["why"]), ("trace", "20", "no way"));
    let summary = &bad[5].1.fields;
    assert_eq!((&*summary["sent"], &*summary["failed"], &*summary["abandoned"]), ("40", "100", "0"));
}
