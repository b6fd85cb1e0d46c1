//! M14: records as messages of a broker's topic.

use crate::kit::{append, record, run, settled};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use winddown::messaging::trace::{BrokerExporter, ContextCode, Exporter, SubAfter, TraceDispatcher, TraceRecord, wire};
use winddown::messaging::{Broker, BrokerError, ErrorKind, Interest, Limits, Message, MessageId, Route, SendReceipt, Subscription};
use winddown::{Link, async_trait, millis, secs};

/// A broker that gives prepared answers, and keeps what it said yes to.
struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    taken: Mutex<Vec<Message>>,
    tries: Mutex<Vec<Instant>>,
    limits: Limits,
}

#[derive(Clone, Copy)]
enum Answer {
    No(ErrorKind),
    Never,
}

impl Scripted {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Scripted> {
        Scripted::with_limit(answers, Limits::default().message_bytes)
    }

    fn with_limit(answers: impl IntoIterator<Item = Answer>, message_bytes: usize) -> Arc<Scripted> {
        let mut limits = Limits::default();
        limits.message_bytes = message_bytes;
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Scripted { answers, taken: Mutex::default(), tries: Mutex::default(), limits })
    }

    fn taken(&self) -> Vec<Message> {
        self.taken.lock().unwrap().clone()
    }

    fn tries(&self) -> usize {
        self.tries.lock().unwrap().len()
    }
}

#[async_trait]
impl Broker for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }
    fn limits(&self) -> Limits {
        self.limits
    }
    async fn send(&self, message: &Message, _route: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        self.tries.lock().unwrap().push(Instant::now());
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(Answer::No(kind)) => Err(BrokerError::new("scripted", kind, "as told")),
            Some(Answer::Never) => std::future::pending().await,
            None => {
                self.limits.check("scripted", message)?;
                self.taken.lock().unwrap().push(message.clone());
                Ok(SendReceipt::default())
            }
        }
    }
    async fn subscribe(&self, _interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        Err(BrokerError::new("scripted", ErrorKind::Unsupported, ""))
    }
    async fn close(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

fn exporter(broker: &Arc<Scripted>) -> BrokerExporter {
    let broker: Arc<dyn Broker> = broker.clone();
    BrokerExporter::new(broker)
}

fn handled(number: u32, keys: &str) -> TraceRecord {
    let message_id = MessageId::from_u128(number.into());
    let after = SubAfter {
        request_id: MessageId::from_u128(7),
        message_id,
        cost: millis(3),
        success: true,
        keys: Some(keys.into()),
        code: ContextCode::Success,
        timestamp: 1_725_000_000_123,
        group: "billing".into(),
    };
    after.into()
}

#[tokio::test(start_paused = true)]
async fn m14_a_batch_is_a_message_of_rocketmqs_topic_with_its_ids_and_keys() {
    let broker = Scripted::new([]);
    let traces = TraceDispatcher::new(exporter(&broker));
    let batch = [record(1), handled(1, "order-1"), handled(2, "order-2"), handled(3, "order-1")];
    run(&traces, |_| async {
        for record in &batch {
            traces.append(record.clone()).unwrap();
        }
    })
    .await;
    let [message] = &broker.taken()[..] else { panic!("{:?}", broker.taken()) };
    assert_eq!(message.topic(), "RMQ_SYS_TRACE_TOPIC");
    assert_eq!(message.body().as_ref(), wire::encode(&batch).as_bytes());
    let id = |number: u128| MessageId::from_u128(number).to_string();
    assert_eq!(message.key(), Some(&*format!("{} order-1 {} order-2 {}", id(1), id(2), id(3))));
    assert_eq!(message.key(), Some(&*wire::message_keys(&batch)));
}

#[tokio::test(start_paused = true)]
async fn m14_what_is_retryable_is_tried_again_within_the_exports_time() {
    use Answer::{Never, No};
    let broker = Scripted::new([No(ErrorKind::Busy), No(ErrorKind::Disconnected), No(ErrorKind::Unavailable)]);
    exporter(&broker).export(&[record(1)]).await.unwrap();
    assert_eq!((broker.tries(), broker.taken().len()), (4, 1));
    let tries = broker.tries.lock().unwrap().clone();
    let pauses: Vec<Duration> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // 20, 40, 80 ms, of each between a half and the whole; the clock of the tests counts milliseconds.
    for (pause, most) in pauses.iter().zip([20, 40, 80]) {
        assert!((millis(most / 2)..=millis(most + 1)).contains(pause), "{pauses:?}");
    }

    let broker = Scripted::new([No(ErrorKind::UnknownTopic)]);
    let error = exporter(&broker).export(&[record(1)]).await.unwrap_err();
    assert_eq!(broker.tries(), 1, "what is fatal is not");
    assert_eq!(error.downcast_ref::<BrokerError>().map(BrokerError::kind), Some(ErrorKind::UnknownTopic));

    let began = Instant::now();
    let broker = Scripted::new([No(ErrorKind::Busy); 10_000]);
    let error = exporter(&broker).export(&[record(1)]).await.unwrap_err();
    assert!(began.elapsed() <= millis(2500), "{:?}", began.elapsed());
    assert_eq!(error.downcast_ref::<BrokerError>().map(BrokerError::kind), Some(ErrorKind::Busy), "the last answer is told: {error:#}");

    let began = Instant::now();
    let broker = Scripted::new([Never]);
    let error = exporter(&broker).export(&[record(1)]).await.unwrap_err();
    assert_eq!(began.elapsed(), millis(2500));
    assert_eq!(error.downcast_ref::<BrokerError>().map(BrokerError::kind), Some(ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn m14_a_broker_that_never_answers_ends_inside_the_dispatchers_bounds() {
    let broker = Scripted::new([Answer::Never; 100]);
    let traces = TraceDispatcher::new(exporter(&broker).timeout(secs(3600)));
    run(&traces, |_| async {
        append(&traces, 0..20);
        tokio::time::sleep(secs(4)).await;
        assert_eq!(traces.counts().failed, 20);
        append(&traces, 20..60);
    })
    .await;
    let counts = traces.counts();
    assert!(settled(&counts), "{counts:?}");
    assert_eq!((counts.sent, counts.failed + counts.abandoned), (0, 60));
}

#[tokio::test(start_paused = true)]
async fn m14_a_batch_that_is_too_large_for_the_broker_is_several_messages() {
    let batch: Vec<TraceRecord> = (0..20).map(record).collect();
    for limit in [400, 1000, 5000] {
        let broker = Scripted::with_limit([], limit);
        exporter(&broker).export(&batch).await.unwrap();
        let taken = broker.taken();
        assert!(taken.iter().all(|message| message.size() <= limit));
        let read: Vec<TraceRecord> = taken.iter().flat_map(|message| wire::decode(message.body()).unwrap()).collect();
        assert_eq!(read, batch, "all of it, in order");
        if limit == 5000 {
            assert_eq!(taken.len(), 1);
        } else {
            // Two of them would have fitted into one nowhere.
            for pair in taken.windows(2) {
                let first = wire::decode(pair[1].body()).unwrap()[0].clone();
                assert!(pair[0].size() + wire::encode(&[first]).len() + 33 > limit);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn m14_a_record_that_the_broker_never_takes_keeps_no_other_from_being_sent() {
    let broker = Scripted::with_limit([], 1000);
    let batch = [record(1), handled(2, &"x".repeat(2000)), record(3)];
    let error = exporter(&broker).export(&batch).await.unwrap_err();
    assert_eq!(error.downcast_ref::<BrokerError>().map(BrokerError::kind), Some(ErrorKind::TooLarge));
    let read: Vec<TraceRecord> = broker.taken().iter().flat_map(|message| wire::decode(message.body()).unwrap()).collect();
    assert_eq!(read, [record(1), record(3)]);
}

#[tokio::test(start_paused = true)]
async fn m14_keys_are_no_longer_than_rocketmqs_properties() {
    let broker = Scripted::new([]);
    let batch: Vec<TraceRecord> = (0..20).map(|number| handled(number, &format!("{number}-{}", "k".repeat(4000)))).collect();
    let mut batch = batch;
    batch.push(handled(20, &"monstrous".repeat(4000)));
    exporter(&broker).export(&batch).await.unwrap();
    let taken = broker.taken();
    assert!(taken.iter().all(|message| message.key().is_some_and(|key| key.len() <= 30_000)));
    let keys: Vec<String> = taken.iter().flat_map(|message| message.key().unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    assert!((0..21).all(|number| keys.contains(&MessageId::from_u128(number).to_string())), "every id can be found");
    assert!((0..20).all(|number: u32| keys.iter().any(|key| key.starts_with(&format!("{number}-k")))));
    let read: usize = taken.iter().map(|message| wire::decode(message.body()).unwrap().len()).sum();
    assert_eq!(read, 21);
}

#[test]
fn m13_what_the_broker_is_reached_through_is_needed() {
    let link = Link::new("connection");
    let exporter = exporter(&Scripted::new([])).needing(link.clone()).topic("traces");
    assert_eq!(exporter.needs(), [link]);
}
