//! A way of sending that does as the test says and notes what it was given.

use crate::messaging::sending::Attempt;
use crate::messaging::{BrokerError, ErrorKind, Message, MessageId, SendReceipt};
use crate::sync::{Mutex, lock};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What is answered to a message, the how-manieth try of which this is (from 1).
type Script = Box<dyn Fn(&Message, u32) -> Result<(), ErrorKind> + Send + Sync>;

pub(super) struct Scripted {
    script: Script,
    takes: Duration,
    tried: Mutex<Vec<(Instant, Message)>>,
    turns: Mutex<HashMap<MessageId, u32>>,
    taken: Mutex<Vec<Message>>,
    flying: Mutex<HashMap<String, usize>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Scripted {
    pub(super) fn new(takes: Duration, script: impl Fn(&Message, u32) -> Result<(), ErrorKind> + Send + Sync + 'static) -> Arc<Scripted> {
        Arc::new(Scripted {
            script: Box::new(script),
            takes,
            tried: Mutex::default(),
            turns: Mutex::default(),
            taken: Mutex::default(),
            flying: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        })
    }

    pub(super) fn well(takes: Duration) -> Arc<Scripted> {
        Scripted::new(takes, |_, _| Ok(()))
    }

    /// What was tried, and when.
    pub(super) fn tried(&self) -> Vec<(Instant, Message)> {
        lock(&self.tried).clone()
    }

    /// What was acknowledged, in that order.
    pub(super) fn taken(&self) -> Vec<Message> {
        lock(&self.taken).clone()
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.taken().iter().map(|message| String::from_utf8_lossy(message.body()).into_owned()).collect()
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    /// Waits, in the present kind of time, until so many were acknowledged.
    pub(super) async fn until_taken(&self, count: usize) {
        until("messages to be acknowledged", || lock(&self.taken).len() >= count).await;
    }
}

/// Waits for something to become true; a minute at most.
pub(super) async fn until(what: &str, done: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    let virtually = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60) && virtually.elapsed() < Duration::from_secs(7 * 24 * 3600), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One less under way, also when a try is dropped.
struct Flight<'a>(&'a Scripted, Option<String>);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
        if let Some(key) = &self.1 {
            *lock(&self.0.flying).entry(key.clone()).or_default() -= 1;
        }
    }
}

#[async_trait]
impl Attempt for Scripted {
    async fn attempt(&self, message: &Message) -> Result<SendReceipt, BrokerError> {
        let key = message.key().filter(|_| message.is_ordered()).map(|key| format!("{}/{key}", message.topic()));
        if let Some(key) = &key {
            let mut flying = lock(&self.flying);
            let count = flying.entry(key.clone()).or_default();
            *count += 1;
            assert_eq!(*count, 1, "two of the ordered key {key} are under way");
        }
        let most = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(most, Ordering::SeqCst);
        let _flight = Flight(self, key);
        lock(&self.tried).push((Instant::now(), message.clone()));
        let turn = {
            let mut turns = lock(&self.turns);
            let turn = turns.entry(message.id()).or_default();
            *turn += 1;
            *turn
        };
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        match (self.script)(message, turn) {
            Ok(()) => {
                lock(&self.taken).push(message.clone());
                Ok(SendReceipt::default())
            }
            Err(kind) => Err(BrokerError::new("scripted", kind, "as the test wants").about(message.topic_shared())),
        }
    }
}
