//! The broker's face.

use super::builder::RocketMqBuilder;
use super::client::Client;
use super::codes::{NAME, closed, error};
use super::member::Member;
use super::names;
use super::subscription::RocketMqSubscription;
use crate::messaging::{
    Backlog, Broker, BrokerError, Class, ErrorKind, Interest, Limits, Message, Route, Routes, SendReceipt, StartFrom, Subscription,
};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;

/// Apache RocketMQ, 5.0 or later, spoken to by its remoting protocol.
///
/// Guarantees, settings, traps and error codes are in `docs/rocketmq.md`. A clone is another handle of the same client. Everything of it runs on the
/// tokio runtime that it was connected in; with the last handle, subscriptions included, its connections end without the good-bye that
/// [`close`](Broker::close) says.
#[derive(Clone)]
pub struct RocketMqBroker(pub(super) Arc<Face>);

/// What all handles share; tasks hold the client only. Its drop ends them.
pub(super) struct Face {
    pub(super) client: Arc<Client>,
}

impl Drop for Face {
    fn drop(&mut self) {
        self.client.dialer.end.cancel();
    }
}

impl RocketMqBroker {
    /// Connects by these name servers: one or several `host:port`, apart by `;`. Credentials, TLS, timeouts: see [`builder`](RocketMqBroker::builder).
    ///
    /// # Errors
    /// [`ErrorKind::Disconnected`] when none of them answers within the connect timeout, 5 s; [`ErrorKind::Invalid`] for a bad list.
    pub async fn connect(name_servers: &str) -> Result<RocketMqBroker, BrokerError> {
        RocketMqBroker::builder(name_servers).connect().await
    }

    /// The same with settings.
    pub fn builder(name_servers: &str) -> RocketMqBuilder {
        RocketMqBuilder::new(name_servers)
    }

    /// Makes a topic with so many queues on every broker of the cluster, or changes it to that, and returns when it can be sent to. One whose
    /// name ends with `.dead` is a group's topic of dead letters.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a name that cannot be, [`ErrorKind::Unauthorised`] without an administrator's rights, no connection.
    pub async fn create_topic(&self, name: &str, queues: u32) -> Result<(), BrokerError> {
        self.0.client.open()?;
        if queues == 0 {
            return Err(error(ErrorKind::Invalid, "a topic has one queue or more").about(name));
        }
        self.0.client.create_topic(name, queues).await
    }

    /// Makes a group on every broker of the cluster. Needed only where brokers were told not to make groups by themselves.
    ///
    /// # Errors
    /// As [`create_topic`](RocketMqBroker::create_topic).
    pub async fn create_group(&self, name: &str) -> Result<(), BrokerError> {
        self.0.client.open()?;
        self.0.client.create_group(name).await
    }

    /// How many messages of a topic a group has not been given yet, as the brokers' offsets tell it. What members hold is in it for some ten
    /// seconds and then no longer; what was given back is in it from the time on at which it is due; what is delayed is not in it before. So it
    /// is good for a gauge or for scaling, and no proof that nothing is left: [`backlog`](Broker::backlog) is refused.
    ///
    /// # Errors
    /// No connection, no such topic, not allowed.
    pub async fn lag(&self, group: &str, topic: &str) -> Result<u64, BrokerError> {
        self.0.client.open()?;
        names::group(group)?;
        self.0.client.lag(group, &names::topic(topic)?).await.map_err(|error| error.about(topic))
    }
}

impl fmt::Debug for RocketMqBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocketMqBroker").field("id", &self.0.client.id).finish_non_exhaustive()
    }
}

impl Client {
    /// Sends a dead letter. RocketMQ makes the topics of dead letters when they are used, so one that is missing is made.
    pub(super) async fn bury(&self, letter: &Message) -> Result<(), BrokerError> {
        match self.send(letter, None).await {
            Err(error) if error.kind() == ErrorKind::UnknownTopic => {
                self.create_topic(letter.topic(), 1).await?;
                self.send(letter, None).await.map(drop)
            }
            sent => sent.map(drop),
        }
    }
}

#[async_trait]
impl Broker for RocketMqBroker {
    fn name(&self) -> &str {
        NAME
    }

    fn limits(&self) -> Limits {
        self.0.client.settings.limits
    }

    fn routes(&self, topic: &str) -> Routes {
        let route = names::topic(topic).ok().and_then(|topic| self.0.client.known_route(&topic));
        let routes: Vec<Route> = route.iter().flat_map(|route| route.writable()).map(|part| Route::new(part.broker.clone())).collect();
        // Of one there is no choice.
        if routes.len() > 1 { routes.into() } else { Routes::default() }
    }

    async fn send(&self, message: &Message, route: Option<&Route>) -> Result<SendReceipt, BrokerError> {
        self.0.client.send(message, route).await
    }

    async fn send_batch(&self, messages: &[Message], route: Option<&Route>) -> Vec<Result<SendReceipt, BrokerError>> {
        self.0.client.send_all(messages, route).await
    }

    async fn subscribe(&self, interest: &Interest) -> Result<Arc<dyn Subscription>, BrokerError> {
        let client = &self.0.client;
        client.open()?;
        let topic = names::topic(&interest.topic)?;
        names::group(&interest.group)?;
        if interest.visibility.is_zero() {
            let text = "a visibility of zero gives every message to everybody at once: give it at least a millisecond";
            return Err(error(ErrorKind::Invalid, text).about(interest.topic.clone()));
        }
        let about = |error: BrokerError| error.about(interest.topic.clone());
        let route = client.route(&topic).await.map_err(about)?;
        let member = Arc::new(Member::new(interest, topic));
        client.registry.add(&member);
        // From here on, whoever goes away has the member leave.
        let subscription = RocketMqSubscription { face: self.0.clone(), member: member.clone() };
        let (mut told, mut trouble) = (0, None);
        for part in route.readable() {
            match client.beat(&part.address).await {
                Ok(()) => told += 1,
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            // One broker that is away is found out by its poller; none at all is worth an error.
            Some(error) if told == 0 || error.class() == Class::Fatal => return Err(about(error)),
            _ => {}
        }
        // The heartbeat has made the group known, which offsets need.
        if interest.start == StartFrom::Latest {
            client.begin_with_latest(&interest.group, &member.topic).await.map_err(about)?;
        }
        member.joined.store(true, Ordering::Release);
        member.poll(client, route.readable().map(|part| part.broker.clone()));
        Ok(Arc::new(subscription))
    }

    async fn backlog(&self, _: &str, topic: &str) -> Result<Backlog, BrokerError> {
        let text = "what is held, was given back or was put off is known to the broker alone: `RocketMqBroker::lag` tells what was never delivered";
        Err(error(ErrorKind::Unsupported, text).about(topic))
    }

    async fn close(&self) -> Result<(), BrokerError> {
        let client = &self.0.client;
        client.close_gate();
        let members = client.registry.all();
        members.iter().for_each(|member| member.leave(client));
        let mut outcome = Ok(());
        for member in &members {
            outcome = member.left().await.and(outcome);
        }
        client.dialer.end.cancel();
        client.dialer.tasks.close();
        let bound = client.settings.close_timeout + Duration::from_secs(3);
        if timeout(bound, client.dialer.tasks.wait()).await.is_err() {
            return Err(error(ErrorKind::TimedOut, format!("connections still stand {} ms after the close", bound.as_millis())));
        }
        outcome
    }
}

impl Client {
    pub(super) fn open(&self) -> Result<(), BrokerError> {
        if self.is_closing() { Err(closed()) } else { Ok(()) }
    }
}
