//! What clauses are written with: clients, topics and groups of their own, and ways to wait that say what did not come.

use super::{Capability, Fixture};
use crate::messaging::{Broker, BrokerError, Delivery, ErrorKind, Interest, Message, MessageId, Receipt, Settled, Subscription};
use crate::sync::{Mutex, lock};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How a clause ends: kept, or declared as what the broker cannot do.
pub(super) type Verdict = Result<Option<String>, Trouble>;

/// Kept.
pub(super) const KEPT: Verdict = Ok(None);

/// Why a clause is not kept.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The broker's fault.
    Broken(String),
    /// The machine's fault: it took so long that nothing is proven.
    TooSlow(String),
}

impl From<BrokerError> for Trouble {
    fn from(error: BrokerError) -> Trouble {
        Trouble::Broken(format!("unexpected error: {error} ({})", error.class().name()))
    }
}

/// Ends the clause as broken unless something holds.
macro_rules! keep {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::testkit::contract::bench::Trouble::Broken(format!($($text)+)));
        }
    };
}
pub(super) use keep;

pub(super) struct Bench<'a> {
    pub(super) fixture: &'a dyn Fixture,
    number: u32,
    tries: u32,
    /// In all names, so that none was ever used before.
    stamp: String,
    clients: Mutex<Vec<Arc<dyn Broker>>>,
}

pub(super) type Member = Arc<dyn Subscription>;

impl<'a> Bench<'a> {
    pub(super) fn new(fixture: &'a dyn Fixture, number: u32, tries: u32) -> Bench<'a> {
        // Time, process and counter: 20 digits are plenty, and leave room in short names.
        let stamp = MessageId::new().to_string()[4..].to_lowercase();
        Bench { fixture, number, tries, stamp, clients: Mutex::default() }
    }

    /// No clause takes longer.
    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(60) + (self.visibility() + self.slack()) * 40
    }

    /// Closes the clients that the clause opened. Gives their name on the way.
    pub(super) async fn finish(self, name: &mut String) {
        let clients = std::mem::take(&mut *lock(&self.clients));
        for client in clients {
            *name = client.name().to_owned();
            // Whether closing works is a clause of its own.
            let _ = timeout(self.slack() * 5, client.close()).await;
        }
    }

    pub(super) fn can(&self, capability: Capability) -> bool {
        self.fixture.capabilities().has(capability)
    }

    pub(super) fn slack(&self) -> Duration {
        self.fixture.slack()
    }

    /// A visibility, or delay, that is waited for.
    pub(super) fn visibility(&self) -> Duration {
        self.fixture.visibility() * 2u32.pow(self.tries)
    }

    /// What should come comes within this, be it for a lost connection or a dropped pull.
    pub(super) fn patience(&self) -> Duration {
        self.visibility() + self.slack()
    }

    pub(super) async fn client(&self) -> Arc<dyn Broker> {
        let client = self.fixture.broker().await;
        lock(&self.clients).push(client.clone());
        client
    }

    /// A topic that is new.
    pub(super) async fn topic(&self, label: &str) -> Arc<str> {
        let name = format!("c{}-{label}-{}", self.number, self.stamp);
        self.fixture.make_topic(&name).await;
        name.into()
    }

    /// What a new group wants of a topic, for longer than any clause lasts.
    pub(super) fn interest(&self, group: &str, topic: &Arc<str>) -> Interest {
        let visibility = (self.limit() * 2).max(Duration::from_secs(30));
        Interest { visibility, ..Interest::new(format!("c{}-{group}-{}", self.number, self.stamp), topic.clone()) }
    }

    /// The same for a visibility that is waited for.
    pub(super) fn brief(&self, group: &str, topic: &Arc<str>) -> Interest {
        Interest { visibility: self.visibility(), ..self.interest(group, topic) }
    }

    /// Pulls until so many came, or it has taken too long.
    pub(super) async fn collect(&self, member: &Member, count: usize) -> Result<Vec<Delivery>, Trouble> {
        self.collect_within(member, count, self.patience()).await
    }

    pub(super) async fn collect_within(&self, member: &Member, count: usize, within: Duration) -> Result<Vec<Delivery>, Trouble> {
        let mut all: Vec<Delivery> = Vec::new();
        let mut last = Instant::now();
        while all.len() < count {
            let left = within.saturating_sub(last.elapsed());
            let taken = pull(member, count - all.len(), left).await?;
            keep!(taken.len() <= count - all.len(), "{} deliveries came of a pull for {}", taken.len(), count - all.len());
            if taken.is_empty() {
                let span = within.as_millis();
                keep!(last.elapsed() < within, "{} of {count} messages came, and no more within {span} ms: {:?}", all.len(), bodies(&all));
            } else {
                last = Instant::now();
            }
            all.extend(taken);
        }
        Ok(all)
    }

    /// One delivery.
    pub(super) async fn one(&self, member: &Member) -> Result<Delivery, Trouble> {
        let mut taken = self.collect(member, 1).await?;
        taken.pop().ok_or_else(|| Trouble::Broken("nothing came".into()))
    }

    /// Nothing comes for so long.
    pub(super) async fn nothing(&self, member: &Member, span: Duration, why: &str) -> Result<(), Trouble> {
        let until = Instant::now() + span;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let taken = pull(member, 10, left).await?;
            keep!(taken.is_empty(), "{why}, but {:?} came", bodies(&taken));
            if left.is_zero() {
                return Ok(());
            }
        }
    }

    /// For how long nothing is waited for, where nothing in particular would bring it.
    pub(super) fn short(&self) -> Duration {
        (self.visibility() / 2).min(Duration::from_millis(300))
    }

    /// Acknowledges, and all of it has to count.
    pub(super) async fn ack(&self, member: &Member, deliveries: &[Delivery]) -> Result<(), Trouble> {
        let settled = member.ack(&receipts(deliveries)).await?;
        keep!(settled == Settled::all(deliveries.len()), "of {} deliveries, all acknowledged in time, the answer says {settled:?}", deliveries.len());
        Ok(())
    }

    /// If this took longer than a visibility, it proves nothing: the clause is tried again with a longer one.
    pub(super) fn in_time(&self, began: Instant, allowed: Duration) -> Result<(), Trouble> {
        if began.elapsed() < allowed {
            return Ok(());
        }
        Err(Trouble::TooSlow(format!("{} ms went by where {} ms were allowed", began.elapsed().as_millis(), allowed.as_millis())))
    }

    /// This came at the time it should: not before (but for a broker's clock that counts milliseconds), and not much later.
    pub(super) fn at(&self, began: Instant, due: Duration, what: &str) -> Result<(), Trouble> {
        let took = began.elapsed();
        let (took_ms, due_ms) = (took.as_millis(), due.as_millis());
        keep!(took + Duration::from_millis(2) >= due, "{what} after {took_ms} ms, and not before {due_ms} ms was right");
        keep!(took <= due + self.slack() * 2, "{what} after {took_ms} ms, where {due_ms} ms were right");
        Ok(())
    }
}

/// A pull in a loop: should it answer with nothing at once, time goes on nevertheless.
pub(super) async fn pull(member: &Member, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
    let taken = member.pull(max, wait).await?;
    if taken.is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    Ok(taken)
}

/// The error that there has to be.
pub(super) fn refused<T>(answer: Result<T, BrokerError>, kind: ErrorKind, what: &str) -> Result<BrokerError, Trouble> {
    match answer {
        Ok(_) => Err(Trouble::Broken(format!("{what} was not refused"))),
        Err(error) => {
            keep!(error.kind() == kind, "{what} was answered with `{error}`, where `{}` is right", kind.name());
            let class = error.kind().usual_class();
            keep!(error.class() == class, "{what}: `{error}` is classed {}, where {} is right", error.class().name(), class.name());
            Ok(error)
        }
    }
}

/// What the broker cannot do was refused, as it should be.
pub(super) fn unsupported<T>(answer: Result<T, BrokerError>, what: &str) -> Verdict {
    Ok(Some(refused(answer, ErrorKind::Unsupported, what)?.to_string()))
}

/// What cannot be refused is declared.
pub(super) fn declared(what: &str) -> Verdict {
    Ok(Some(format!("declared: {what}")))
}

pub(super) fn numbered(topic: &Arc<str>, number: usize) -> Message {
    Message::new(topic.clone(), number.to_string())
}

/// Messages with the numbers 1 to so many as bodies.
pub(super) async fn send_numbered(client: &Arc<dyn Broker>, topic: &Arc<str>, count: usize) -> Result<Vec<Message>, Trouble> {
    let messages: Vec<_> = (1..=count).map(|number| numbered(topic, number)).collect();
    for message in &messages {
        client.send(message, None).await?;
    }
    Ok(messages)
}

/// The bodies as texts, each as far as it can be read at a glance.
pub(super) fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    let glance = |body: &[u8]| String::from_utf8_lossy(&body[..body.len().min(20)]).into_owned();
    deliveries.iter().map(|delivery| glance(delivery.message().body())).collect()
}

pub(super) fn sorted_ids<'m>(messages: impl IntoIterator<Item = &'m Message>) -> Vec<MessageId> {
    let mut ids: Vec<_> = messages.into_iter().map(Message::id).collect();
    ids.sort_unstable();
    ids
}

pub(super) fn ids(deliveries: &[Delivery]) -> Vec<MessageId> {
    sorted_ids(deliveries.iter().map(Delivery::message))
}

pub(super) fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt().clone()).collect()
}
