//! A broker in front of another that writes down what it is asked for, and answers otherwise when it is told to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use winddown::async_trait;
use winddown::messaging::{Broker, BrokerError, Delivery, ErrorKind, Interest, Message, Receipt, Route, SendReceipt, Settled, Subscription};

/// What a call is answered instead of the broker's own answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// Never.
    Never,
    /// Later than it would be.
    Late(Duration),
    Error(ErrorKind),
}

#[derive(Default)]
struct Script {
    calls: Mutex<Vec<(Instant, &'static str, usize)>>,
    /// Answers in turn, by call.
    next: Mutex<HashMap<&'static str, VecDeque<Answer>>>,
    always: Mutex<HashMap<&'static str, Answer>>,
    /// The largest number of messages asked for in a pull.
    most_pulled: Mutex<usize>,
    extend_changes_receipt: Mutex<bool>,
}

#[derive(Clone)]
pub(crate) struct Spy {
    inner: Arc<dyn Broker>,
    script: Arc<Script>,
}

impl Spy {
    pub(crate) fn on(broker: impl Broker) -> Spy {
        Spy { inner: Arc::new(broker), script: Arc::default() }
    }
    pub(crate) fn arc(&self) -> Arc<dyn Broker> {
        Arc::new(self.clone())
    }
    /// The next call of this kind is answered so; those after it in turn.
    pub(crate) fn next(&self, call: &'static str, answers: impl IntoIterator<Item = Answer>) {
        self.script.next.lock().unwrap().entry(call).or_default().extend(answers);
    }
    /// Calls of this kind are answered so from now on.
    pub(crate) fn always(&self, call: &'static str, answer: Option<Answer>) {
        let mut always = self.script.always.lock().unwrap();
        match answer {
            Some(answer) => drop(always.insert(call, answer)),
            None => drop(always.remove(call)),
        }
    }
    /// From now on each extension gives another receipt.
    pub(crate) fn change_receipts(&self) {
        *self.script.extend_changes_receipt.lock().unwrap() = true;
    }
    /// What was asked for, in order, without pulls.
    pub(crate) fn settlements(&self) -> Vec<(&'static str, usize)> {
        self.script.calls.lock().unwrap().iter().filter(|(_, call, _)| *call != "pull").map(|(_, call, n)| (*call, *n)).collect()
    }
    pub(crate) fn times(&self, call: &str) -> Vec<Instant> {
        self.script.calls.lock().unwrap().iter().filter(|(_, name, _)| *name == call).map(|(at, ..)| *at).collect()
    }
    pub(crate) fn count(&self, call: &str) -> usize {
        self.times(call).len()
    }
    pub(crate) fn most_pulled(&self) -> usize {
        *self.script.most_pulled.lock().unwrap()
    }
}

impl Script {
    async fn ask(&self, call: &'static str, messages: usize) -> Result<(), BrokerError> {
        self.calls.lock().unwrap().push((Instant::now(), call, messages));
        let scripted = self.next.lock().unwrap().get_mut(call).and_then(VecDeque::pop_front);
        let answer = scripted.or_else(|| self.always.lock().unwrap().get(call).copied());
        match answer {
            None => Ok(()),
            Some(Answer::Never) => std::future::pending().await,
            Some(Answer::Late(by)) => {
                tokio::time::sleep(by).await;
                Ok(())
            }
            Some(Answer::Error(kind)) => Err(BrokerError::new("spy", kind, "as the test wants it")),
        }
    }
}

#[async_trait]
impl Broker for Spy {
    fn name(&self) -> &str {
        "spy"
    }
    async fn send(&self, message: &Message, route: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        self.inner.send(message, route).await
    }
    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        self.script.ask("subscribe", 0).await?;
        let inner = self.inner.subscribe(interest).await?;
        Ok(Arc::new(Watched { inner, script: self.script.clone(), aliases: Mutex::default() }))
    }
    async fn close(&self) -> Result<(), BrokerError> {
        self.inner.close().await
    }
}

struct Watched {
    inner: Arc<dyn Subscription>,
    script: Arc<Script>,
    /// Receipts that stand for others.
    aliases: Mutex<Vec<Receipt>>,
}

impl Watched {
    /// An alias stands for its receipt; a receipt that has an alias is no longer good.
    fn real(&self, receipt: &Receipt) -> Option<Receipt> {
        let aliases = self.aliases.lock().unwrap();
        match receipt.as_text().and_then(|text| text.parse::<usize>().ok()) {
            // Only the newest alias of a receipt is good.
            Some(at) => {
                let real = aliases[at].clone();
                (!aliases[at + 1..].contains(&real)).then_some(real)
            }
            None => (!aliases.contains(receipt)).then(|| receipt.clone()),
        }
    }
    fn real_ones(&self, receipts: &[Receipt]) -> (Vec<Receipt>, usize) {
        let real: Vec<Receipt> = receipts.iter().filter_map(|receipt| self.real(receipt)).collect();
        let stale = receipts.len() - real.len();
        (real, stale)
    }
}

#[async_trait]
impl Subscription for Watched {
    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        {
            let mut most = self.script.most_pulled.lock().unwrap();
            *most = (*most).max(max);
        }
        self.script.ask("pull", max).await?;
        self.inner.pull(max, wait).await
    }
    async fn ack(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.script.ask("ack", receipts.len()).await?;
        let (real, stale) = self.real_ones(receipts);
        Ok(self.inner.ack(&real).await?.plus(Settled { done: 0, stale }))
    }
    async fn nack(&self, receipts: &[Receipt], delay: Duration) -> Result<Settled, BrokerError> {
        self.script.ask("nack", receipts.len()).await?;
        let (real, stale) = self.real_ones(receipts);
        Ok(self.inner.nack(&real, delay).await?.plus(Settled { done: 0, stale }))
    }
    async fn release(&self, receipts: &[Receipt]) -> Result<Settled, BrokerError> {
        self.script.ask("release", receipts.len()).await?;
        let (real, stale) = self.real_ones(receipts);
        Ok(self.inner.release(&real).await?.plus(Settled { done: 0, stale }))
    }
    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<Settled, BrokerError> {
        self.script.ask("dead_letter", 1).await?;
        let Some(real) = self.real(delivery.receipt()) else { return Ok(Settled { done: 0, stale: 1 }) };
        let delivery = Delivery::new(delivery.message().clone(), delivery.attempt(), real);
        self.inner.dead_letter(&delivery, reason).await
    }
    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<Receipt, BrokerError> {
        self.script.ask("extend", 1).await?;
        let stale = || BrokerError::new("spy", ErrorKind::Stale, "an old receipt");
        let real = self.real(receipt).ok_or_else(stale)?;
        let next = self.inner.extend(&real, by).await?;
        if !*self.script.extend_changes_receipt.lock().unwrap() {
            return Ok(next);
        }
        let mut aliases = self.aliases.lock().unwrap();
        aliases.push(next);
        Ok(Receipt::text((aliases.len() - 1).to_string()))
    }
    async fn commit(&self) -> Result<(), BrokerError> {
        self.script.ask("commit", 0).await?;
        self.inner.commit().await
    }
    async fn close(&self) -> Result<(), BrokerError> {
        self.script.ask("close", 0).await?;
        self.inner.close().await
    }
}
