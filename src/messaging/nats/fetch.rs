//! One pull: what there is, or else the next that comes.
//!
//! First a request for as many as are wanted that is over as soon as it brought some; if it brings none, requests for one that wait. So never is
//! more asked for than there is a place for, and when a pull is over the server owes it nothing.
//!
//! Invariant: a fetch that is called off takes its request back and then reads what the server had sent before it heard of that. One message
//! can be on its way at most. The subscription is limited to one more message, and the fetch sends that one itself: if it comes, nothing else
//! was on its way; if something else comes, that was it.

use super::super::BrokerError;
use super::fault::{Lost, Refusal, pull_ended};
use super::line::Line;
use super::link::Link;
use async_nats::{Message, StatusCode, Subscriber};
use futures_util::StreamExt;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// A request waits for so long at most, and is then made again: a server that lost it is found out.
const SLICE: Duration = Duration::from_secs(30);
/// How long the last message of a pull that was called off is waited for.
const FENCE: Duration = Duration::from_millis(500);
/// What is there comes within this. Without a limit the server would keep the request of a group that has as many unsettled as it may have.
const BRIEF: Duration = Duration::from_millis(10);
/// For so long more the server may keep silent when a request is over; then it is asked whether it is there. Old ones forget to say so.
const SILENCE: Duration = Duration::from_millis(300);
/// Less than this is not worth a request.
const LEAST: Duration = Duration::from_millis(2);
/// So many are asked for at once.
const MOST: usize = 10_000;

/// What a pull asks, of whom.
pub(super) struct Fetch<'a> {
    pub(super) link: &'a Link,
    /// The stream and the consumer, as they stand in subjects.
    pub(super) consumer: &'a str,
    pub(super) max: usize,
    pub(super) until: Instant,
    /// Nobody wants it any more.
    pub(super) off: &'a CancellationToken,
}

/// The status of a request that nobody took.
const NOBODY: u16 = 503;

/// How reading ended.
enum End {
    /// As many came as were asked for.
    Whole,
    /// The server said that there are no more.
    Said(u16, String),
}

impl Fetch<'_> {
    /// What came, even if it ended badly: then some is there that has to be given back or used.
    pub(super) async fn run(&self) -> Result<Vec<Message>, BrokerError> {
        let mut line = self.link.line().map_err(Lost::into_error)?;
        line.flow.mark_unchanged();
        let inbox = line.client.new_inbox();
        let denials = line.denials();
        let subscriber = line.client.subscribe(inbox.clone()).await.map_err(|_| Lost::Broken.into_error())?;
        let subject = self.link.api(&format!("CONSUMER.MSG.NEXT.{}", self.consumer));
        let (link, consumer) = (self.link, self.consumer);
        let mut reading = Reading { link, line, inbox, subscriber, denials, consumer, subject, taken: Vec::new(), heard: 0 };
        match reading.now(self.max.min(MOST)).await {
            Ok(()) if reading.taken.is_empty() => {}
            Err(error) if reading.taken.is_empty() => return Err(error),
            // Some came: they are what this pull brings, and the next one meets the error.
            _ => return Ok(reading.taken),
        }
        while self.until > Instant::now() + LEAST && !self.off.is_cancelled() {
            match reading.wait(self.until, self.off).await {
                Ok(()) if reading.taken.is_empty() => {}
                Err(error) if reading.taken.is_empty() => return Err(error),
                _ => return Ok(reading.taken),
            }
        }
        tokio::select! { () = tokio::time::sleep_until(self.until) => {}, () = self.off.cancelled() => {} }
        Ok(reading.taken)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

struct Reading<'a> {
    link: &'a Link,
    line: Line,
    inbox: String,
    subscriber: Subscriber,
    denials: broadcast::Receiver<Arc<str>>,
    consumer: &'a str,
    subject: String,
    taken: Vec<Message>,
    /// Messages of the inbox, words of the server among them.
    heard: u64,
}

impl Reading<'_> {
    /// What is there at this moment. Not called off: it is over at once.
    async fn now(&mut self, max: usize) -> Result<(), BrokerError> {
        self.ask(json!({ "batch": max, "no_wait": true, "expires": nanos(BRIEF) })).await?;
        let ended = timeout(BRIEF + SILENCE, self.read(max)).await;
        self.over(ended).await
    }

    async fn over(&self, ended: Result<Result<End, Lost>, Elapsed>) -> Result<(), BrokerError> {
        match ended {
            Ok(Ok(End::Said(NOBODY, _))) => match self.is_there().await? {
                // It is there, and nobody speaks for it.
                Ok(_) => Err(Lost::NoResponders.into_error()),
                Err(refusal) => Err(refusal.into_error()),
            },
            Ok(Ok(End::Said(status, text))) => pull_ended(status, &text).map_or(Ok(()), Err),
            Ok(Ok(End::Whole)) => Ok(()),
            Ok(Err(lost)) => Err(lost.into_error()),
            Err(_) => match self.is_there().await? {
                Ok(_) => Ok(()),
                Err(refusal) => Err(refusal.into_error()),
            },
        }
    }

    async fn is_there(&self) -> Result<Result<serde_json::Value, Refusal>, BrokerError> {
        self.link.ask(&format!("CONSUMER.INFO.{}", self.consumer), &json!({})).await
    }

    /// The next one that comes until then.
    async fn wait(&mut self, until: Instant, off: &CancellationToken) -> Result<(), BrokerError> {
        let span = until.saturating_duration_since(Instant::now()).min(SLICE);
        self.ask(json!({ "batch": 1, "expires": nanos(span) })).await?;
        let ended = tokio::select! {
            biased;
            ended = timeout(span + SILENCE, self.read(1)) => ended,
            () = off.cancelled() => {
                self.call_off().await;
                return Ok(());
            }
        };
        self.over(ended).await
    }

    async fn ask(&mut self, request: serde_json::Value) -> Result<(), BrokerError> {
        let sent = self.line.client.publish_with_reply(self.subject.clone(), self.inbox.clone(), request.to_string().into()).await;
        sent.map_err(|_| Lost::Broken.into_error())
    }

    /// Reads until so many came or the server said something. May be dropped: what was read is in `taken`.
    async fn read(&mut self, max: usize) -> Result<End, Lost> {
        let mut left = max;
        while left > 0 {
            let message = tokio::select! {
                biased;
                message = self.subscriber.next() => message.ok_or(Lost::Broken)?,
                text = Line::denied(&mut self.denials, &self.subject) => return Err(Lost::Denied(text)),
                () = self.line.broken() => return Err(Lost::Broken),
            };
            self.heard += 1;
            match message.status {
                None | Some(StatusCode::OK) if message.reply.is_some() => {
                    self.taken.push(message);
                    left -= 1;
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(status) => return Ok(End::Said(status.as_u16(), message.description.unwrap_or_default())),
                // Not of JetStream's.
                None => {}
            }
        }
        Ok(End::Whole)
    }

    /// See the invariant above.
    async fn call_off(&mut self) {
        let fence = async {
            self.subscriber.unsubscribe_after(self.heard + 1).await.ok()?;
            self.line.client.publish(self.inbox.clone(), "".into()).await.ok()?;
            let last = tokio::select! { message = self.subscriber.next() => message, () = self.line.broken() => None }?;
            (last.status.is_none() && last.reply.is_some()).then_some(last)
        };
        if let Ok(Some(straggler)) = timeout(FENCE, fence).await {
            self.taken.push(straggler);
        }
    }
}
