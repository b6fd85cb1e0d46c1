//! A broker that does as it is told, and an app around a producer.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use winddown::messaging::{
    Broker, BrokerError, Class, ErrorKind, Interest, Limits, Message, MessageId, Producer, ProducerStats, Route, Routes, SendReceipt, Subscription,
};
use winddown::{App, EventKind, Handle, Report, async_trait, secs, testkit};

/// What a try is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Yes,
    No(ErrorKind),
    As(ErrorKind, Class),
    After(Duration, Box<Answer>),
    Hang,
    Panic,
}

pub(crate) fn after(span: Duration, answer: Answer) -> Answer {
    Answer::After(span, Box::new(answer))
}

/// One try that the broker saw.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) ids: Vec<MessageId>,
    pub(crate) bodies: Vec<String>,
    pub(crate) route: Option<String>,
}

type Script = dyn Fn(usize, &Message, Option<&str>) -> Answer + Send + Sync;

/// Answers the how-manieth try by its script.
pub(crate) struct Scripted {
    script: Box<Script>,
    routes: Routes,
    limits: Limits,
    calls: Mutex<Vec<Call>>,
}

impl Scripted {
    pub(crate) fn new(script: impl Fn(usize, &Message, Option<&str>) -> Answer + Send + Sync + 'static) -> Arc<Scripted> {
        Scripted::with(&[], Limits::default(), script)
    }

    pub(crate) fn with(
        routes: &[&str],
        limits: Limits,
        script: impl Fn(usize, &Message, Option<&str>) -> Answer + Send + Sync + 'static,
    ) -> Arc<Scripted> {
        let routes = routes.iter().map(|name| Route::new(*name)).collect();
        Arc::new(Scripted { script: Box::new(script), routes, limits, calls: Mutex::default() })
    }

    pub(crate) fn always(answer: Answer) -> Arc<Scripted> {
        Scripted::new(move |_, _, _| answer.clone())
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn routes_taken(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.route.unwrap_or_default()).collect()
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.calls().into_iter().flat_map(|call| call.bodies).collect()
    }

    fn note(&self, messages: &[Message], route: Option<&Route>) -> usize {
        let ids = messages.iter().map(Message::id).collect();
        let bodies = messages.iter().map(|m| String::from_utf8_lossy(m.body()).into_owned()).collect();
        let mut calls = self.calls.lock().unwrap();
        calls.push(Call { at: Instant::now(), ids, bodies, route: route.map(|r| r.name().to_owned()) });
        calls.len() - 1
    }

    async fn answer(&self, mut answer: Answer) -> Result<SendReceipt, BrokerError> {
        loop {
            answer = match answer {
                Answer::Yes => return Ok(SendReceipt::default()),
                Answer::No(kind) => return Err(BrokerError::new("scripted", kind, "as told")),
                Answer::As(kind, class) => return Err(BrokerError::new("scripted", kind, "as told").with_class(class)),
                Answer::Hang => std::future::pending().await,
                Answer::Panic => std::panic::resume_unwind(Box::new("told to")),
                Answer::After(span, then) => {
                    tokio::time::sleep(span).await;
                    *then
                }
            }
        }
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
    fn routes(&self, _topic: &str) -> Routes {
        self.routes.clone()
    }
    async fn send(&self, message: &Message, route: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        let n = self.note(std::slice::from_ref(message), route);
        self.answer((self.script)(n, message, route.map(Route::name))).await
    }
    async fn send_batch(&self, messages: &[Message], route: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        let n = self.note(messages, route);
        let mut answers = Vec::new();
        for message in messages {
            answers.push(self.answer((self.script)(n, message, route.map(Route::name))).await);
        }
        answers
    }
    async fn subscribe(&self, _interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        Err(BrokerError::new("scripted", ErrorKind::Unsupported, "it only takes"))
    }
    async fn close(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

pub(crate) fn shared(broker: &Arc<Scripted>) -> Arc<dyn Broker> {
    broker.clone()
}

pub(crate) fn message(body: &str) -> Message {
    Message::new("orders", body.to_owned())
}

/// Runs an app with this producer, does something once it runs, and then asks for shutdown.
pub(crate) async fn run<F, Fut, T>(producer: &Producer, body: F) -> (Arc<Report>, T)
where
    F: FnOnce(Handle) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    run_with_budget(producer, secs(5), body).await
}

pub(crate) async fn run_with_budget<F, Fut, T>(producer: &Producer, budget: Duration, body: F) -> (Arc<Report>, T)
where
    F: FnOnce(Handle) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let app = App::new("test");
    app.add(producer.component()).stop_budget(budget);
    let handle = app.handle();
    let body = tokio::spawn(async move {
        assert!(handle.wait_ready().await);
        let output = body(handle.clone()).await;
        handle.request_shutdown("the test is over");
        output
    });
    let report = match tokio::time::timeout(secs(24 * 3600), testkit::run(&app)).await {
        Ok(report) => report,
        Err(_) => panic!("the run did not end"),
    };
    assert_balanced(producer.stats());
    (report, body.await.unwrap())
}

pub(crate) fn assert_balanced(s: ProducerStats) {
    assert_eq!(s.accepted, s.acknowledged + s.returned + s.outboxed + s.lost + s.in_flight, "{s:?}");
}

/// The steps that the producer said it took, with their counts.
pub(crate) fn steps(report: &Report) -> Vec<(String, u64)> {
    let step = |event: &winddown::Event| match event.kind() {
        EventKind::Step { step, count } if event.subject() == Some("producer") => Some((step.to_string(), *count)),
        _ => None,
    };
    report.events().iter().filter_map(step).collect()
}

pub(crate) fn step(report: &Report, name: &str) -> u64 {
    let steps = steps(report);
    steps.iter().find(|(step, _)| step == name).unwrap_or_else(|| panic!("no step {name} in {steps:?}")).1
}
