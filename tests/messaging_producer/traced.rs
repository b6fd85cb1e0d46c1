//! Sends that were tried are recorded (M13: and the dispatcher outlives the producer).

use crate::kit::{Answer, Scripted, message, shared};
use crate::store::Held;
use std::sync::{Arc, Mutex};
use winddown::messaging::trace::{Exporter, PubTrace, TraceDispatcher, TraceRecord};
use winddown::messaging::{ErrorKind, Outbox, Producer, SendErrorKind, Sent};
use winddown::{App, async_trait, millis, secs, testkit};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<PubTrace>>>);

#[async_trait]
impl Exporter for Kept {
    async fn export(&self, batch: &[TraceRecord]) -> anyhow::Result<()> {
        let records = batch.iter().filter_map(|record| if let TraceRecord::Pub(trace) = record { Some(trace.clone()) } else { None });
        self.0.lock().unwrap().extend(records);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn m13_every_send_is_recorded_up_to_the_last_one_of_the_drain() {
    let broker = Scripted::new(|_, m, _| match &m.body()[..] {
        b"bad" => Answer::No(ErrorKind::Invalid),
        b"slow" => crate::kit::after(secs(2), Answer::Yes),
        _ => Answer::Yes,
    });
    let (kept, app) = (Kept::default(), App::new("test"));
    let dispatcher = TraceDispatcher::new(kept.clone());
    let producer = Producer::builder(shared(&broker)).trace(&dispatcher).build();
    app.add(producer.component());
    app.add(dispatcher.component());
    let (handle, sender) = (app.handle(), producer.clone());
    let test = tokio::spawn(async move {
        handle.wait_ready().await;
        sender.send(message("good").with_key("k").with_tag("t")).await.unwrap();
        assert_eq!(sender.send(message("bad")).await.unwrap_err().kind(), SendErrorKind::Refused);
        drop(sender.try_send(message("slow")).unwrap());
        handle.request_shutdown("over");
    });
    let report = testkit::run(&app).await;
    test.await.unwrap();
    assert_eq!(report.exit_code(), 0);
    let kept = kept.0.lock().unwrap();
    let told: Vec<_> = kept.iter().map(|trace| (trace.body_len, trace.success, trace.cost >= secs(2))).collect();
    assert_eq!(told, [(4, true, false), (3, false, false), (4, true, true)]);
    assert_eq!((kept[0].keys.as_deref(), kept[0].tag.as_deref(), &*kept[0].group), (Some("k"), Some("t"), "producer"));
    assert_eq!(dispatcher.counts().accepted, 3);
}

#[tokio::test(start_paused = true)]
async fn m3_what_was_stored_is_recorded_when_the_replay_has_sent_it() {
    let broker = Scripted::new(|n, _, _| if n < 3 { Answer::No(ErrorKind::Busy) } else { Answer::Yes });
    let (kept, app, store) = (Kept::default(), App::new("test"), Held::new(10));
    let dispatcher = TraceDispatcher::new(kept.clone());
    let outbox = Outbox::with_store(store.clone());
    let producer = Producer::builder(shared(&broker)).trace(&dispatcher).outbox(outbox).max_attempts(2).build();
    app.add(producer.component());
    app.add(dispatcher.component());
    let (handle, sender, held) = (app.handle(), producer.clone(), store.clone());
    let test = tokio::spawn(async move {
        handle.wait_ready().await;
        assert_eq!(sender.send(message("x")).await, Ok(Sent::Stored));
        held.replays();
        while !held.bodies().is_empty() {
            tokio::time::sleep(millis(100)).await;
        }
        handle.request_shutdown("over");
    });
    testkit::run(&app).await;
    test.await.unwrap();
    let kept = kept.0.lock().unwrap();
    assert_eq!(kept.iter().map(|trace| trace.success).collect::<Vec<_>>(), [true]);
}
