//! Sending: which queue, one message or a batch, and what the answer means.

use super::client::Client;
use super::codes::{self, WEAKLY_STORED, closed, error, refused};
use super::outgoing::{self, Outgoing};
use super::route::{Part, TopicRoute};
use super::wire::{Answer, Command};
use crate::messaging::{BrokerError, Class, ErrorKind, Message, MessageId, Route, SendReceipt};
use std::sync::Arc;

type Sent = Result<SendReceipt, BrokerError>;

impl Client {
    /// # Errors
    /// As the broker answered, about the message's topic.
    pub(super) async fn send(&self, message: &Message, route: Option<&Route>) -> Sent {
        if self.is_closing() {
            return Err(closed());
        }
        let outgoing = Outgoing::new(message, &self.settings).map_err(|error| about(error, message))?.compressed(self.settings.compress_from);
        let command = |part: &Part, queue| outgoing.command(&self.settings.producer_group, &part.broker, queue);
        let number = if message.is_ordered() { hash(message.key()) } else { self.turn() };
        // An ordered key has its queue, whoever chose the route.
        let route = route.filter(|_| !message.is_ordered());
        self.post(&outgoing.topic, number, route, command).await.map_err(|error| about(error, message))
    }

    /// To the queue that this number falls on.
    async fn post(&self, topic: &str, number: u64, route: Option<&Route>, command: impl Fn(&Part, u32) -> Command) -> Sent {
        let known: Arc<TopicRoute> = self.route(topic).await?;
        let Some((part, queue)) = known.queue(number, route.map(Route::name)) else {
            let text = match route {
                Some(route) => format!("broker `{route}` takes no messages of this topic now"),
                None => "no broker takes messages of this topic now: see whether its master runs and may be written to".to_owned(),
            };
            let error = error(ErrorKind::Unavailable, text);
            self.doubt(topic, &error);
            return Err(error);
        };
        let answered = self.ask(&part.address, command(part, queue)).await;
        let sent = answered.and_then(|answer| self.sent(&answer, part));
        sent.inspect_err(|error| self.doubt(topic, error))
    }

    fn sent(&self, answer: &Answer, part: &Part) -> Sent {
        let weak = WEAKLY_STORED.contains(&answer.code);
        if answer.code != codes::SUCCESS && !(weak && self.settings.weak_is_ok) {
            return Err(refused(answer));
        }
        let broker_id = Some(answer.text("msgId")).filter(|id| !id.is_empty()).map(Into::into);
        Ok(SendReceipt { broker_id, route: Some(Route::new(part.broker.clone())) })
    }

    /// Neighbours of one topic go together, where they can; everything in order.
    pub(super) async fn send_all(&self, messages: &[Message], route: Option<&Route>) -> Vec<Sent> {
        let mut answers: Vec<Sent> = Vec::with_capacity(messages.len());
        while let Some(next) = messages.get(answers.len()) {
            let together = self.together(&messages[answers.len()..]);
            if together.len() < 2 {
                answers.push(self.send(next, route).await);
            } else {
                let count = together.len();
                let sent = self.send_together(&together, route).await;
                let ids = sent.as_ref().ok().and_then(|sent| sent.broker_id.clone());
                // The broker's ids come apart by commas.
                let ids: Vec<_> = ids.iter().flat_map(|ids| ids.split(',')).map(Arc::<str>::from).collect();
                for index in 0..count {
                    let answer = sent.clone().map(|receipt| SendReceipt { broker_id: ids.get(index).cloned(), ..receipt });
                    answers.push(answer.map_err(|error| about(error, next)));
                }
            }
        }
        answers
    }

    /// The longest beginning that can go as one batch; less than two where there is none.
    fn together(&self, messages: &[Message]) -> Vec<Outgoing> {
        let limits = self.settings.limits;
        let mut weight = 0;
        let mut all = Vec::new();
        // What is compressed goes alone: a batch has no flags for one of its messages.
        let can = |message: &Message| {
            !message.body().is_empty() && message.delay().is_none() && !message.is_ordered() && message.topic() == messages[0].topic()
        };
        for message in messages.iter().take(limits.batch).take_while(|message| can(message)) {
            let Ok(outgoing) = Outgoing::new(message, &self.settings) else { break };
            weight += outgoing.weight();
            if weight > limits.message_bytes {
                break;
            }
            all.push(outgoing);
        }
        all
    }

    async fn send_together(&self, all: &[Outgoing], route: Option<&Route>) -> Sent {
        if self.is_closing() {
            return Err(closed());
        }
        let topic = all.first().map_or("", |first| &first.topic);
        let command = |part: &Part, queue| outgoing::batch(all, &self.settings.producer_group, &part.broker, queue);
        self.post(topic, self.turn(), route, command).await
    }
}

/// The same key gives the same number, in every process and version.
fn hash(key: Option<&str>) -> u64 {
    let hash = MessageId::of(key.unwrap_or_default().as_bytes()).as_u128();
    (hash >> 64) as u64 ^ hash as u64
}

fn about(error: BrokerError, message: &Message) -> BrokerError {
    // What is wrong with an empty name is not helped by it.
    if message.topic().is_empty() || error.kind() == ErrorKind::Closed && error.class() == Class::Fatal {
        error
    } else {
        error.about(message.topic_shared())
    }
}
